//! The signal, and the slots between its handler and the thread that takes the profile.

use std::cell::UnsafeCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use norn_base::{Error, Result};

use super::Counts;
use crate::registers::Registers;
use crate::stack::{Stack, Unwinder};

/// Samples between two emptyings: 64 busy cores for a tenth of a second. A kilobyte each.
const SLOTS: usize = 640;

/// What the handler works with; made once, and kept, because a handler may run at any time after.
static SAMPLER: OnceLock<Sampler> = OnceLock::new();

pub(super) struct Sampler {
    unwinder: &'static Unwinder,
    slots: Vec<Slot>,
    /// Whether signals count; a late one may come after the end.
    is_active: AtomicBool,
    missed: AtomicU64,
}

/// A sample on its way. `EMPTY` → handler: `WRITING` → `FULL` → thread of the profile: `EMPTY`.
struct Slot {
    state: AtomicU8,
    // The handler while `WRITING`, the thread of the profile while `FULL`.
    sample: UnsafeCell<(libc::pid_t, Stack)>,
}

const EMPTY: u8 = 0;
const WRITING: u8 = 1;
const FULL: u8 = 2;

// SAFETY: `state` says who may touch the sample, and its changes are ordered.
#[expect(unsafe_code, reason = "slots are handed from a signal handler to a thread")]
unsafe impl Sync for Slot {}

impl Sampler {
    /// The sampler of this process. Installs the handler, which stays: a signal that comes late would end the process
    /// if it had none.
    pub(super) fn of_process() -> Result<&'static Self> {
        let unwinder = Unwinder::of_process()?;
        let sampler = SAMPLER.get_or_init(|| Self {
            unwinder,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            is_active: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        });
        install_handler()?;
        Ok(sampler)
    }

    /// Lets signals count, until what is returned is dropped.
    pub(super) fn activate(&'static self) -> Result<Active> {
        let active = Active { sampler: self };
        // What came late in the last profile.
        active.empty_into(&mut Counts::new());
        self.missed.store(0, Ordering::Relaxed);
        self.is_active.store(true, Ordering::Release);
        Ok(active)
    }

    /// Runs in the signal handler: no allocation, no lock.
    fn take(&self, registers: Registers) {
        if !self.is_active.load(Ordering::Acquire) {
            return;
        }
        let is_free =
            |slot: &&Slot| slot.state.compare_exchange(EMPTY, WRITING, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let Some(slot) = self.slots.iter().find(is_free) else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // SAFETY: the slot is `WRITING`, by us.
        #[expect(unsafe_code, reason = "slots are handed from a signal handler to a thread")]
        let (thread, stack) = unsafe { &mut *slot.sample.get() };
        *thread = current_thread();
        if self.unwinder.walk(registers, stack) {
            slot.state.store(FULL, Ordering::Release);
        } else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            slot.state.store(EMPTY, Ordering::Release);
        }
    }
}

/// A profile being taken.
pub(super) struct Active {
    sampler: &'static Sampler,
}

impl Active {
    /// Moves all samples that are there into `counts`.
    pub(super) fn empty_into(&self, counts: &mut Counts) {
        for slot in &self.sampler.slots {
            if slot.state.load(Ordering::Acquire) != FULL {
                continue;
            }
            // SAFETY: the slot is `FULL`, and one thread at a time takes a profile.
            #[expect(unsafe_code, reason = "slots are handed from a signal handler to a thread")]
            let (thread, stack) = unsafe { &*slot.sample.get() };
            *counts.entry((*thread, stack.addresses().to_vec())).or_default() += 1;
            slot.state.store(EMPTY, Ordering::Release);
        }
    }

    /// Samples that found no slot, or no room to walk.
    pub(super) fn missed(&self) -> u64 {
        self.sampler.missed.load(Ordering::Relaxed)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.sampler.is_active.store(false, Ordering::Release);
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self { state: AtomicU8::new(EMPTY), sample: UnsafeCell::new((0, Stack::empty())) }
    }
}

#[expect(unsafe_code, reason = "a system call")]
fn install_handler() -> Result<()> {
    // SAFETY: all fields of the structure may be zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
    // The signal interrupts whatever a thread waits for, which then goes on. It runs on the thread's own stack: the
    // alternative one is made for telling of an overflow, and too small to walk.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature that `SA_SIGINFO` asks for, and calls nothing that is unsafe in one.
    let result = unsafe { libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()) };
    if result == 0 {
        return Ok(());
    }
    let cause = std::io::Error::last_os_error();
    Err(Error::internal("the signal of profiles cannot be received").with_source(cause))
}

#[expect(unsafe_code, reason = "a signal handler")]
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: errno belongs to this thread. The code that was interrupted may be about to read it.
    let errno = unsafe { &mut *libc::__errno_location() };
    let saved = *errno;
    // SAFETY: with `SA_SIGINFO`, the kernel hands in the interrupted thread's context.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() };
    if let (Some(sampler), Some(context)) = (SAMPLER.get(), context) {
        sampler.take(Registers::of_interrupted(context));
    }
    *errno = saved;
}

#[expect(unsafe_code, reason = "a system call")]
fn current_thread() -> libc::pid_t {
    // SAFETY: has no arguments and cannot fail.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    libc::pid_t::try_from(thread).unwrap_or(0)
}
