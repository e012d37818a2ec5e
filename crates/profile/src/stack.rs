//! Walking the stack of a thread, from any instruction on.
//!
//! The tables that the compiler writes for panics (`.eh_frame`) say for each instruction where the caller's registers
//! are. They are read here instead of by the compiler's runtime, because this reader
//! - never allocates and never takes a lock: what it works with is made beforehand, and a walk that finds all of it in
//!   use gives up;
//! - reads the stack through the kernel ([`StackMemory`]): where tables are wrong, and addresses with them, a system
//!   call fails instead of the process.
//!
//! So a walk may happen in a signal handler, whatever it interrupted, and inside of the allocator.

use std::cell::UnsafeCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind, Unwinder as _, UnwinderNative,
};
use norn_base::{Error, Result};

use crate::modules::{self, Module, Section};
use crate::registers::Registers;

/// Calls that are told of one stack; the outermost of deeper ones are cut off. Asynchronous code of norn is some 60
/// calls deep.
pub(crate) const DEPTH_MAX: usize = 128;

/// Walks that can happen at once; 30 KiB each. A walk takes some 20 microseconds, of ten thousand between samples.
const WALKS_MAX: usize = 8;

/// Bytes that are read from a stack at once: a whole stack of usual depth with one or two system calls.
const WINDOW_BYTES: usize = 8192;

/// The addresses of calls, innermost first. Each lies within the instruction that was executed.
pub(crate) struct Stack {
    len: usize,
    addresses: [u64; DEPTH_MAX],
}

impl Stack {
    pub(crate) const fn empty() -> Self {
        Self { len: 0, addresses: [0; DEPTH_MAX] }
    }

    pub(crate) fn addresses(&self) -> &[u64] {
        &self.addresses[..self.len]
    }
}

/// Walks the stacks of this process.
pub(crate) struct Unwinder {
    tables: UnwinderNative<Section, MustNotAllocateDuringUnwind>,
    scratch: Vec<Scratch>,
    process: libc::pid_t,
}

/// What one walk at a time works with.
struct Scratch {
    is_taken: AtomicBool,
    // Whoever turned `is_taken` from false to true; nobody else.
    cache: UnsafeCell<CacheNative<MustNotAllocateDuringUnwind>>,
}

// SAFETY: `is_taken` gives the cache to one thread at a time.
#[expect(unsafe_code, reason = "a lock that is never waited for")]
unsafe impl Sync for Scratch {}

impl Unwinder {
    /// The unwinder of this process, with the code that was loaded when this was called first. Libraries that are
    /// loaded later end a walk.
    ///
    /// Allocates and reads files when it is called first.
    pub(crate) fn of_process() -> Result<&'static Self> {
        static UNWINDER: OnceLock<Option<Unwinder>> = OnceLock::new();
        let unwinder = UNWINDER.get_or_init(|| Self::new().ok());
        unwinder.as_ref().ok_or_else(|| {
            Error::new(
                norn_base::ErrorKind::Unimplemented,
                "profiles need /proc and the system call process_vm_readv, which this system forbids; \
                 `perf record -g` takes profiles from outside",
            )
        })
    }

    fn new() -> Result<Self> {
        let mut tables = UnwinderNative::new();
        for module in modules::loaded()? {
            tables.add_module(unwind_tables(&module));
        }
        let scratch = (0..WALKS_MAX)
            .map(|_| Scratch { is_taken: AtomicBool::new(false), cache: UnsafeCell::new(CacheNative::new_in()) });
        let process = libc::pid_t::try_from(std::process::id())
            .map_err(|error| Error::internal("the process id does not fit").with_source(error))?;
        let unwinder = Self { tables, scratch: scratch.collect(), process };
        // Where the kernel does not let us read, no walk gets beyond its first call.
        let probe = 7_u64;
        match StackMemory::new(process).read((&raw const probe).addr() as u64) {
            Ok(7) => Ok(unwinder),
            _ => Err(Error::internal("process_vm_readv is not permitted")),
        }
    }

    /// Walks from `registers` outwards into `stack`. False if too many walks happen at once.
    ///
    /// Safe in a signal handler: no allocation, no lock, bounded by [`DEPTH_MAX`]. Cost: 50 to 200 ns a call.
    pub(crate) fn walk(&self, registers: Registers, stack: &mut Stack) -> bool {
        let is_free = |scratch: &&Scratch| {
            scratch.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let Some(scratch) = self.scratch.iter().find(is_free) else { return false };
        // SAFETY: `is_taken` was false and is ours now, until it is false again.
        #[expect(unsafe_code, reason = "a lock that is never waited for")]
        let cache = unsafe { &mut *scratch.cache.get() };
        let mut memory = StackMemory::new(self.process);
        let mut read = |address| memory.read(address);
        let mut frames = self.tables.iter_frames(registers.program_counter, registers.unwind, cache, &mut read);
        stack.len = 0;
        while stack.len < DEPTH_MAX {
            let Ok(Some(frame)) = frames.next() else { break };
            stack.addresses[stack.len] = lookup_address(frame);
            stack.len += 1;
        }
        scratch.is_taken.store(false, Ordering::Release);
        true
    }
}

/// A return address is the instruction after a call, which may belong to another line or function.
fn lookup_address(frame: FrameAddress) -> u64 {
    frame.address_for_lookup()
}

/// What the unwinder needs of a module. One without tables ends a walk.
fn unwind_tables(module: &Module) -> framehop::Module<Section> {
    let mut info = ExplicitModuleSectionInfo::default();
    if let Some((addresses, section)) = module.section(".eh_frame") {
        (info.eh_frame_svma, info.eh_frame) = (Some(addresses), Some(section));
    }
    if let Some((addresses, section)) = module.section(".eh_frame_hdr") {
        (info.eh_frame_hdr_svma, info.eh_frame_hdr) = (Some(addresses), Some(section));
    }
    // Addresses in a file begin at zero or, in programs that are not relocated, where they will be in memory.
    let base = module.addresses.start;
    info.base_svma = base.wrapping_sub(module.bias);
    framehop::Module::new(module.path.clone(), module.addresses.clone(), base, info)
}

/// The stack of this process as the kernel sees it, read in windows.
struct StackMemory {
    process: libc::pid_t,
    start: u64,
    len: usize,
    window: [u8; WINDOW_BYTES],
}

impl StackMemory {
    fn new(process: libc::pid_t) -> Self {
        Self { process, start: 0, len: 0, window: [0; WINDOW_BYTES] }
    }

    /// The eight bytes at `address`; fails where there is no memory.
    fn read(&mut self, address: u64) -> Result<u64, ()> {
        if let Some(value) = self.in_window(address) {
            return Ok(value);
        }
        self.len = read_memory(self.process, address, &mut self.window);
        self.start = address;
        self.in_window(address).ok_or(())
    }

    fn in_window(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.window[..self.len].get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }
}

/// Reads up to the end of `into`, or to where memory ends; returns how many bytes.
#[expect(unsafe_code, reason = "a system call")]
fn read_memory(process: libc::pid_t, address: u64, into: &mut [u8]) -> usize {
    let Ok(from) = usize::try_from(address) else { return 0 };
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(from), iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, and checks all that it reads.
    let read = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn walk_here(stack: &mut Stack) -> bool {
        let unwinder = Unwinder::of_process().unwrap();
        std::hint::black_box(unwinder.walk(Registers::here(), stack))
    }

    #[test]
    fn a_walk_reaches_the_start_of_the_thread() {
        let mut stack = Stack::empty();
        assert!(walk_here(&mut stack));
        let names = crate::symbols::names_of(stack.addresses());
        let position = |part: &str| names.iter().position(|name| name.contains(part));
        let (inner, outer) = (position("walk_here"), position("a_walk_reaches_the_start_of_the_thread"));
        assert!(inner.is_some() && inner < outer && outer < position("thread_start"), "{names:#?}");
    }

    #[test]
    fn addresses_without_memory_are_refused() {
        let mut memory = StackMemory::new(libc::pid_t::try_from(std::process::id()).unwrap());
        for address in [0, 8, u64::MAX - 3, 1 << 63] {
            assert_eq!(memory.read(address), Err(()), "{address:#x}");
        }
        let value = 0x1234_5678_9abc_def0_u64;
        assert_eq!(memory.read((&raw const value).addr() as u64), Ok(value));
    }
}
