//! `norn-head.json`: what of the log a tenant's blocks have, so that a replay leaves it out.
//!
//! Samples that are not late are told by their time: blocks have all before `floor_ms`. Late ones are told by the place of
//! their record: blocks have all before `(late_segment, late_offset)`.

use std::io::{self, Write};
use std::path::Path;

use norn_wal::Position;
use serde::{Deserialize, Serialize};

use super::local_blocks::QUARANTINE_SUFFIX;

const FILE: &str = "norn-head.json";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HeadState {
    version: u32,
    pub(super) floor_ms: Option<i64>,
    late_segment: u64,
    late_offset: u64,
}

impl HeadState {
    /// Late samples whose records lie before this are in blocks.
    pub(super) fn late_position(&self) -> Position {
        Position { segment: self.late_segment, offset: self.late_offset }
    }

    pub(super) fn set_late_position(&mut self, position: Position) {
        self.late_segment = position.segment;
        self.late_offset = position.offset;
    }

    /// Reads the state of a tenant; the default where there is none yet.
    ///
    /// A damaged file is put aside and named. Without it a replay leaves out what local blocks have, and may bring back late
    /// samples that blocks have as well: readers and compaction keep one of them.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&bytes) {
            Ok(state) => Ok(state),
            Err(error) => {
                let aside = directory.join(format!("{FILE}{QUARANTINE_SUFFIX}"));
                std::fs::rename(&path, &aside)?;
                tracing::error!(path = %path.display(), aside = %aside.display(), %error, "put a damaged file aside");
                Ok(Self::default())
            }
        }
    }

    /// Replaces the state of a tenant; it is on the device when this returns.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let state = Self { version: 1, ..*self };
        replace_file(&directory.join(FILE), &serde_json::to_vec(&state).map_err(io::Error::other)?)
    }
}

/// Replaces a file by way of another name.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
