//! Profiles of this very process. Nothing here waits for a time: each test goes on until it has seen what it looks
//! for, up to a number of rounds.

#![expect(clippy::unwrap_used, reason = "all of this is tests, also what has no such mark")]

#[path = "process/cpu.rs"]
mod cpu;
#[path = "process/heap.rs"]
mod heap;

use std::alloc::System;
use std::future::Future;

use norn_profile::heap::SampledAllocator;

#[global_allocator]
static ALLOCATOR: SampledAllocator<System> = SampledAllocator::new(System);

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
