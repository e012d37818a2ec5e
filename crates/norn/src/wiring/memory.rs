//! How much memory the process may take, and who gets which part of it.
//!
//! The kernel says it in files of the process's control group and of those above it; the least counts. In a container
//! the path that the kernel names may lie outside of what can be seen, and its own group is the root of what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use norn_base::memory::MemoryBudget;

/// Which groups the process belongs to: `hierarchy:controllers:path` in each line.
const GROUPS_FILE: &str = "/proc/self/cgroup";

/// Where the hierarchies of version 2 and of version 1 are, and the file that says a group's limit.
const VERSION_2: (&str, &str) = ("/sys/fs/cgroup", "memory.max");
const VERSION_1: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");

/// A limit above this is the kernel's way to say that there is none.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// How often budgets learn what the process really takes. At a gigabyte a second, which is what one core can fill, that is
/// less than the part of the smallest sensible limit that stays free.
const WATCH_INTERVAL: Duration = Duration::from_millis(5);

/// Budgets that the parts of the process draw from.
pub(crate) struct Budgets {
    /// All queries together.
    pub(crate) queries: Arc<MemoryBudget>,
    /// Bodies of requests while they are received.
    pub(crate) receive: Arc<MemoryBudget>,
}

impl Budgets {
    /// Shares of what the process's group may take; without a limit there, none here. To be called within the
    /// asynchronous runtime.
    pub(crate) fn of_process() -> Self {
        let limit_bytes = cgroup_limit_bytes();
        if let Some(limit_bytes) = limit_bytes {
            tracing::info!(limit_bytes, "memory is limited");
        }
        // The rest is for heads and blocks, whose size follows the series that tenants may have.
        let share = |part: u64| limit_bytes.map_or(u64::MAX, |limit_bytes| limit_bytes / part);
        let process = MemoryBudget::new("process", u64::MAX);
        let budgets =
            Self { queries: process.child("queries", share(3)), receive: process.child("receive", share(10)) };
        if let Some(limit_bytes) = limit_bytes {
            tokio::spawn(watch(process, limit_bytes));
        }
        budgets
    }
}

/// Keeps the budget of the process at what is in use of it and what the process may still take, so that queries and
/// requests are refused before the kernel ends the process, whoever holds the memory.
///
/// A third stays free: what finds series is not accounted for before its first answer, and the allocator keeps what was
/// given back for a while. So that small queries go on while it does, a sixteenth is always there for all of them.
async fn watch(process: Arc<MemoryBudget>, limit_bytes: u64) {
    let (allowed_bytes, always_bytes) = (limit_bytes - limit_bytes / 3, limit_bytes / 16);
    let mut turns = tokio::time::interval(WATCH_INTERVAL);
    loop {
        turns.tick().await;
        let Some(resident_bytes) = resident_bytes() else { return };
        let left_bytes = allowed_bytes.saturating_sub(resident_bytes);
        process.set_limit_bytes(process.used_bytes().saturating_add(left_bytes).max(always_bytes));
    }
}

/// Memory that the kernel cannot take back, unlike pages of files.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes << 10)
}

fn cgroup_limit_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string(GROUPS_FILE).unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
    limits.filter_map(|text| text.trim().parse().ok()).filter(|limit_bytes| *limit_bytes < UNLIMITED_BYTES).min()
}

/// The files that may hold a limit, of the process's groups and all above them.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => VERSION_2,
            controllers if controllers.split(',').any(|name| name == "memory") => VERSION_1,
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_all_groups_around_the_process_count() {
        let check = |groups: &str, expected: &[&str]| {
            let files = limit_files(groups);
            let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
            assert_eq!(files, expected, "{groups}");
        };
        check("0::/\n", &["/sys/fs/cgroup/memory.max"]);
        check(
            "0::/a/b\n",
            &["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"],
        );
        check(
            "9:name=systemd:/a\n4:cpu,memory:/a\n",
            &["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
        );
        check("nonsense\n\n", &[]);
    }
}
