//! How much memory the process may take, and who gets which part of it.

use std::sync::Arc;

use norn_base::memory::MemoryBudget;

/// Files in which the kernel says how much memory this process's group may take: of version 2 and version 1.
const CGROUP_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// A limit above this is the kernel's way to say that there is none.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Budgets that the parts of the process draw from.
pub(crate) struct Budgets {
    /// All queries together.
    pub(crate) queries: Arc<MemoryBudget>,
    /// Bodies of requests while they are received.
    pub(crate) receive: Arc<MemoryBudget>,
}

impl Budgets {
    /// Shares of what the process's group may take; without a limit there, none here.
    pub(crate) fn of_process() -> Self {
        let limit_bytes = cgroup_limit_bytes();
        if let Some(limit_bytes) = limit_bytes {
            tracing::info!(limit_bytes, "memory is limited");
        }
        // The rest is for heads and blocks, whose size follows the series that tenants may have.
        let share = |part: u64| limit_bytes.map_or(u64::MAX, |limit_bytes| limit_bytes / part);
        let process = MemoryBudget::new("process", u64::MAX);
        Self { queries: process.child("queries", share(3)), receive: process.child("receive", share(10)) }
    }
}

fn cgroup_limit_bytes() -> Option<u64> {
    let limits = CGROUP_FILES.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    limits.filter_map(|text| text.trim().parse().ok()).find(|limit_bytes| *limit_bytes < UNLIMITED_BYTES)
}
