//! Heap profiles: what is allocated now and where it was allocated, from a sample of all allocations.
//!
//! [`SampledAllocator`] wraps the allocator of the program. Each thread counts down the bytes that it allocates; where
//! the count ends, that allocation is a sample: its stack is walked and kept until it is freed. Counts are drawn from
//! an exponential distribution, so that each byte has the same chance, whatever allocates in whatever rhythm, and the
//! sums are scaled by that chance. 512 KiB between samples give 2,000 samples for a gigabyte.
//!
//! The cost is in what is *not* sampled. An allocation pays for a subtraction in a thread's own memory. A free has to
//! know whether its allocation was a sample: samples are placed at addresses that are multiples of a page, which few
//! others are, and among those a small table of counts tells apart most of the rest. So a free pays for one comparison.
//!
//! Rejected: keeping a mark in front of every allocation (eight bytes for each, and alignment lost); a filter over all
//! addresses (it is either wrong too often or not in the nearest cache); a region of addresses for samples alone (an
//! allocator of its own, for large blocks too).
//!
//! What is allocated before [`start`] is not told, nor is what C libraries allocate on their own.
//!
//! Source of scaling and distribution: Go `runtime/mprof.go` and gperftools `src/sampler.h`.

mod countdown;
mod samples;

use std::alloc::{GlobalAlloc, Layout};

use norn_base::clock::SharedClock;
use norn_base::random::Random;
use norn_base::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use self::countdown::Inside;
use self::samples::{Heap, MEAN_BYTES, StackUse};
use crate::pprof::Builder;
use crate::registers::Registers;
use crate::stack::Unwinder;
use crate::symbols::Symbols;

/// Where samples are placed: at multiples of this.
const PAGE_BYTES: usize = 4096;

/// An allocator that samples what another one, `A`, allocates. Free of cost but for the counting until [`start`].
#[derive(Debug)]
pub struct SampledAllocator<A> {
    inner: A,
}

impl<A> SampledAllocator<A> {
    /// Samples what `inner` allocates.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

/// Begins to sample, in a program whose allocator is a [`SampledAllocator`]; a second call does nothing.
///
/// Fails where stacks cannot be walked. Cost: some hundred KiB of memory, and reads the headers of the program's files.
pub fn start(random: &dyn Random) -> Result<()> {
    samples::start(Heap::new(Unwinder::of_process()?, random.next_u64()));
    Ok(())
}

/// What is allocated now, and what was allocated since [`start`].
///
/// - Result: a [`crate::pprof::Profile`] as gzip, with the values `alloc_objects`, `alloc_space`, `inuse_objects` and
///   `inuse_space`, scaled to all allocations.
/// - Fails with [`ErrorKind::Unimplemented`] if sampling was not started.
/// - Cost: up to a second on a thread of its own, for names.
pub async fn profile(clock: SharedClock) -> Result<Vec<u8>> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("norn-profile".to_owned())
        .spawn(move || answer.send(encode(&clock)).ok())
        .map_err(|error| Error::unavailable("no thread can be started for the profile").with_source(error))?;
    answered.await.map_err(|error| Error::internal("the thread of the profile ended early").with_source(error))?
}

fn encode(clock: &SharedClock) -> Result<Vec<u8>> {
    let heap = samples::heap().ok_or_else(|| {
        Error::new(ErrorKind::Unimplemented, "allocations are not sampled here; `heaptrack -p` does it from outside")
    })?;
    let uses = heap.uses();
    let symbols = Symbols::of(uses.iter().flat_map(|stack| stack.addresses.iter().copied()))?;
    let bytes = "bytes";
    let types =
        [("alloc_objects", "count"), ("alloc_space", bytes), ("inuse_objects", "count"), ("inuse_space", bytes)];
    let mut builder = Builder::new(&symbols, &types);
    builder.period("space", bytes, MEAN_BYTES as i64, "inuse_space");
    for StackUse { addresses, allocated, in_use } in &uses {
        let values = [allocated.objects, allocated.bytes, in_use.objects, in_use.bytes];
        let values = values.map(|value| value.round() as i64).to_vec();
        builder.sample(without_profiler(&symbols, addresses), values, &[]);
    }
    builder.finish(clock.now_ms().saturating_mul(1_000_000), 0)
}

/// A stack from the function on that asked for memory: without this module and the entries of Rust's allocator.
fn without_profiler<'a>(symbols: &Symbols, addresses: &'a [u64]) -> &'a [u64] {
    let is_allocator = |address: &u64| {
        let outermost = symbols.functions(*address).last().map_or("", |function| function.name.as_str());
        outermost.contains("norn_profile::heap::")
            || ["__rust_", "__rustc", "__rg_"].iter().any(|prefix| outermost.starts_with(prefix))
    };
    let first = addresses.iter().position(|address| !is_allocator(address));
    &addresses[first.unwrap_or(0)..]
}

/// Whether an address may be one of a sample; certainly not, if false.
#[inline(always)]
fn may_be_sample(pointer: *mut u8) -> bool {
    pointer.addr().is_multiple_of(PAGE_BYTES) && samples::page_may_be_sample(pointer.addr())
}

// SAFETY: memory is that of `inner`. A sample is allocated there with a larger alignment than was asked for, which
// `samples` keeps, and freed with that one; all else is handed on as it comes.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl<A: GlobalAlloc> GlobalAlloc for SampledAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if countdown::is_due(layout.size()) {
            // SAFETY: as our caller promises.
            return unsafe { self.alloc_due(layout, A::alloc) };
        }
        // SAFETY: as our caller promises.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if countdown::is_due(layout.size()) {
            // SAFETY: as our caller promises.
            return unsafe { self.alloc_due(layout, A::alloc_zeroed) };
        }
        // SAFETY: as our caller promises.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if may_be_sample(pointer) {
            // SAFETY: as our caller promises.
            return unsafe { self.dealloc_page(pointer, layout) };
        }
        // SAFETY: it is no sample, so it was allocated with this layout.
        unsafe { self.inner.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_due = countdown::is_due(new_size);
        if is_due || may_be_sample(pointer) {
            // SAFETY: as our caller promises.
            return unsafe { self.realloc_page(pointer, layout, new_size, is_due) };
        }
        // SAFETY: it is no sample, so it was allocated with this layout.
        unsafe { self.inner.realloc(pointer, layout, new_size) }
    }
}

#[expect(unsafe_code, reason = "an allocator")]
impl<A: GlobalAlloc> SampledAllocator<A> {
    /// Allocates where a count has ended: a sample, unless nothing is sampled.
    ///
    /// # Safety
    ///
    /// That of `allocate`, which is `alloc` or `alloc_zeroed`.
    #[cold]
    #[inline(never)]
    unsafe fn alloc_due(&self, layout: Layout, allocate: unsafe fn(&A, Layout) -> *mut u8) -> *mut u8 {
        let (Some(heap), Some(_inside)) = (samples::heap(), Inside::enter()) else {
            countdown::postpone();
            // SAFETY: as our caller promises.
            return unsafe { allocate(&self.inner, layout) };
        };
        let Ok(placed) = layout.align_to(PAGE_BYTES) else {
            // SAFETY: as our caller promises.
            return unsafe { allocate(&self.inner, layout) };
        };
        // SAFETY: the size is as our caller promises, and the alignment is valid.
        let pointer = unsafe { allocate(&self.inner, placed) };
        if !pointer.is_null() {
            heap.record(pointer.addr(), placed, Registers::here());
        }
        pointer
    }

    /// Frees what may be a sample.
    ///
    /// # Safety
    ///
    /// That of `dealloc`.
    #[cold]
    unsafe fn dealloc_page(&self, pointer: *mut u8, layout: Layout) {
        let placed = samples::forget(pointer.addr()).unwrap_or(layout);
        // SAFETY: this is the layout with which it was allocated: the kept one of a sample, or else the caller's.
        unsafe { self.inner.dealloc(pointer, placed) }
    }

    /// Changes the size where a count has ended, or of what may be a sample. Samples move: their alignment stays
    /// theirs, and the stack is that of the change.
    ///
    /// # Safety
    ///
    /// That of `realloc`.
    #[cold]
    unsafe fn realloc_page(&self, pointer: *mut u8, layout: Layout, new_size: usize, is_due: bool) -> *mut u8 {
        let is_sample = may_be_sample(pointer) && samples::is_sample(pointer.addr());
        if !is_due && !is_sample {
            // SAFETY: it is no sample, so it was allocated with this layout.
            return unsafe { self.inner.realloc(pointer, layout, new_size) };
        }
        // SAFETY: our caller promises that the new size is valid with the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let new = if is_due {
            // SAFETY: the layout's size is not zero, as our caller promises.
            unsafe { self.alloc_due(new_layout, A::alloc) }
        } else {
            // SAFETY: the layout's size is not zero, as our caller promises.
            unsafe { self.inner.alloc(new_layout) }
        };
        if !new.is_null() {
            // SAFETY: both are allocated, distinct, and at least this large; the old one is not used afterwards.
            unsafe {
                std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
        }
        new
    }
}
