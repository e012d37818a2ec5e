//! The samples that live, and the stacks that allocated.

use std::alloc::Layout;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::PAGE_BYTES;
use super::countdown::{self, Inside};
use crate::registers::Registers;
use crate::stack::{Stack, Unwinder};

/// The mean of bytes between two samples. A smaller one tells more of small things, a larger one costs less.
pub(super) const MEAN_BYTES: usize = 512 << 10;

/// Parts of the tables with a lock each. A sample takes a lock for some hundred nanoseconds.
const SHARDS: usize = 16;

/// Stacks that are told apart in each shard; 1 KiB each at most. What comes beyond is told as one stack without calls.
const SHARD_STACKS_MAX: usize = 1024;

/// The stack without calls.
const NO_STACK: u64 = 0;

/// Entries of the table of counts: 16 KiB, of which a process uses a few lines often.
const PAGE_COUNTS: usize = 4096;

static HEAP: OnceLock<Heap> = OnceLock::new();

/// How many samples live in the pages that fall on each entry.
static COUNTS: [AtomicU32; PAGE_COUNTS] = [const { AtomicU32::new(0) }; PAGE_COUNTS];

/// All samples.
pub(super) struct Heap {
    unwinder: &'static Unwinder,
    hasher: std::hash::RandomState,
    /// Samples that live, by address.
    live: Vec<Mutex<HashMap<usize, Live>>>,
    /// Stacks, by the hash of their addresses.
    stacks: Vec<Mutex<HashMap<u64, Allocated>>>,
}

/// A sample that lives.
#[derive(Clone, Copy)]
struct Live {
    stack: u64,
    /// How it was allocated.
    layout: Layout,
}

/// A stack, and what it has allocated.
struct Allocated {
    addresses: Box<[u64]>,
    amount: Amount,
}

/// Objects and bytes, scaled from samples to all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) objects: f64,
    pub(super) bytes: f64,
}

/// What a stack has allocated.
pub(super) struct StackUse {
    pub(super) addresses: Box<[u64]>,
    pub(super) allocated: Amount,
    pub(super) in_use: Amount,
}

/// Begins to sample; a second call does nothing.
pub(super) fn start(heap: Heap) {
    HEAP.set(heap).ok();
}

/// The heap, if sampling has begun.
pub(super) fn heap() -> Option<&'static Heap> {
    HEAP.get()
}

/// Whether an address that is a multiple of a page may be one of a sample; certainly not, if false.
#[inline(always)]
pub(super) fn page_may_be_sample(address: usize) -> bool {
    // Whoever frees has got the address from whoever allocated, and with it what was counted before.
    count_of(address).load(Ordering::Relaxed) != 0
}

/// Whether an address is that of a sample.
pub(super) fn is_sample(address: usize) -> bool {
    // What the profile itself allocates is no sample, and its locks may be held by this thread.
    let heap = heap().filter(|_| !Inside::is_entered());
    heap.is_some_and(|heap| lock(&heap.live[shard_of_address(address)]).contains_key(&address))
}

/// Ends a sample that is freed; returns how it was allocated, or nothing if it is no sample.
pub(super) fn forget(address: usize) -> Option<Layout> {
    let heap = heap().filter(|_| !Inside::is_entered())?;
    let live = lock(&heap.live[shard_of_address(address)]).remove(&address)?;
    count_of(address).fetch_sub(1, Ordering::Relaxed);
    Some(live.layout)
}

impl Heap {
    /// No samples. `seed`: where the random numbers of threads start.
    pub(super) fn new(unwinder: &'static Unwinder, seed: u64) -> Self {
        countdown::seed(seed);
        Self {
            unwinder,
            hasher: std::hash::RandomState::new(),
            live: (0..SHARDS).map(|_| Mutex::default()).collect(),
            stacks: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Adds a sample. The thread is [`Inside`]: what the tables allocate is not sampled.
    pub(super) fn record(&self, address: usize, layout: Layout, registers: Registers) {
        let mut stack = Stack::empty();
        self.unwinder.walk(registers, &mut stack);
        let mut key = self.hasher.hash_one(stack.addresses());
        let mut stacks = lock(&self.stacks[shard_of_stack(key)]);
        let is_full = stacks.len() >= SHARD_STACKS_MAX && !stacks.contains_key(&key);
        if is_full || stack.addresses().is_empty() {
            drop(stacks);
            stack = Stack::empty();
            key = NO_STACK;
            stacks = lock(&self.stacks[shard_of_stack(key)]);
        }
        let allocated = match stacks.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Allocated { addresses: stack.addresses().into(), amount: Amount::default() })
            }
        };
        allocated.amount.add(Amount::of_sample(layout.size()));
        drop(stacks);
        lock(&self.live[shard_of_address(address)]).insert(address, Live { stack: key, layout });
        count_of(address).fetch_add(1, Ordering::Relaxed);
    }

    /// What each stack has allocated and what of it lives, in no order. Shards are read one after the other.
    pub(super) fn uses(&self) -> Vec<StackUse> {
        let inside = Inside::enter();
        let mut in_use: HashMap<u64, Amount> = HashMap::new();
        for shard in &self.live {
            for sample in lock(shard).values() {
                in_use.entry(sample.stack).or_default().add(Amount::of_sample(sample.layout.size()));
            }
        }
        let mut uses = Vec::new();
        for shard in &self.stacks {
            for (key, Allocated { addresses, amount }) in lock(shard).iter() {
                let in_use = in_use.get(key).copied().unwrap_or_default();
                uses.push(StackUse { addresses: addresses.clone(), allocated: *amount, in_use });
            }
        }
        drop(in_use);
        drop(inside);
        uses
    }
}

impl Amount {
    /// What a sample of `bytes` stands for: it was chosen with a probability of `1 - e^(-bytes / mean)`.
    fn of_sample(bytes: usize) -> Self {
        let bytes = bytes as f64;
        let objects = -1.0 / (-bytes / MEAN_BYTES as f64).exp_m1();
        Self { objects, bytes: bytes * objects }
    }

    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

fn count_of(address: usize) -> &'static AtomicU32 {
    let page = address / PAGE_BYTES;
    // Neighbouring pages have neighbouring counts; the shift lets distant regions fall on different ones.
    &COUNTS[(page ^ (page >> 12)) % PAGE_COUNTS]
}

fn shard_of_address(address: usize) -> usize {
    address / PAGE_BYTES % SHARDS
}

fn shard_of_stack(key: u64) -> usize {
    (key % SHARDS as u64) as usize
}

/// The tables are whole between two statements, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_its_like() {
        let check = |bytes: usize, objects: f64| {
            let amount = Amount::of_sample(bytes);
            assert!((amount.objects / objects - 1.0).abs() < 1e-3, "{bytes}: {amount:?}");
            assert!((amount.bytes / bytes as f64 / objects - 1.0).abs() < 1e-3, "{bytes}: {amount:?}");
        };
        check(64, 8192.5);
        check(MEAN_BYTES, 1.582);
        check(MEAN_BYTES * 100, 1.0);
    }
}
