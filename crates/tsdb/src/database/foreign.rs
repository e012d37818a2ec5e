//! Logs of Prometheus and Mimir that lie where a tenant's data is.
//!
//! They are not replayed, and must not be ignored: they hold samples that no block has. The blocks beside them are read.

use std::io;
use std::path::{Path, PathBuf};

/// Directories of such logs, below a tenant's directory.
const DIRECTORIES: [&str; 3] = ["wal", "wbl", "chunks_head"];

/// Finds a log with something in it. A server that has cut its head to blocks leaves empty segments, which are fine.
pub(super) fn find_foreign_log(tenant_directory: &Path) -> io::Result<Option<PathBuf>> {
    for name in DIRECTORIES {
        let directory = tenant_directory.join(name);
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_segment = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_digit());
            let is_checkpoint = name.starts_with("checkpoint.");
            if is_checkpoint || (is_segment && entry.metadata()?.len() > 0) {
                return Ok(Some(directory));
            }
        }
    }
    Ok(None)
}
