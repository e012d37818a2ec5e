//! How much memory the process may take, and who gets which part of it.
//!
//! The kernel says it in files of the process's control group and of those above it; the least counts. In a container
//! the path that the kernel names may lie outside of what can be seen, and its own group is the root of what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use norn_base::memory::MemoryBudget;

/// Which groups the process belongs to: `hierarchy:controllers:path` in each line.
const GROUPS_FILE: &str = "/proc/self/cgroup";

/// Where the hierarchies of version 2 and of version 1 are, and the file that says a group's limit.
const VERSION_2: (&str, &str) = ("/sys/fs/cgroup", "memory.max");
const VERSION_1: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");

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
