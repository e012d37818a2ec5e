//! CPU and heap profiles of this process, taken from inside, in the format that pprof's tools read.
//!
//! Both profiles stand on one walk of the stack ([`stack`]) that neither allocates nor locks nor trusts what it reads,
//! so that it can run in a signal handler and inside of the allocator. Names are found afterwards, when a profile is
//! written. Nothing is needed of the build: no frame pointers, no debug information; with line tables, inlined
//! functions and lines are told, too.
//!
//! Rejected:
//! - the crate `pprof`: it unwinds in the signal handler with the compiler's runtime, which ends the process on tables
//!   that it does not understand; it brings some forty crates, among them a second prost and a second nix; and it has
//!   no heap profiles.
//! - a walk over frame pointers: all of norn, its C libraries and libc would have to be built with them, and where one
//!   is not, callers are missing without a sign.
//! - `perf_event_open`: containers forbid it by default.
//! - the allocator jemalloc, which has heap profiles: building it costs more than building all that is here, twenty
//!   times over, and the choice of the allocator should not hang on them.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "stacks are walked on Linux on x86-64 and aarch64; elsewhere, build norn without its feature `profiles`"
);

mod modules;
mod registers;
mod stack;
mod symbols;

pub mod cpu;
pub mod heap;
pub mod pprof;
