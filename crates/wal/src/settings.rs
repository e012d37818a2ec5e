//! Where and how a log is kept, what it refuses, what it counts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::reader::ReadError;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::segment::{MachineFiles, SegmentFiles};

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the operating system has it: it survives the end of the process, and that of the machine after the next
    /// [`Log::sync`], which the owner calls on a timer.
    #[default]
    Written,
    /// When the device has it.
    Synced,
}

/// Where and how a log is kept.
#[derive(Clone)]
pub struct LogSettings {
    /// The directory of the segments; created where it is missing.
    pub directory: PathBuf,
    /// A segment is cut after the write that brings it here. Small in tests.
    pub segment_bytes: u64,
    /// When an append returns.
    pub durability: Durability,
    /// Where files come from.
    pub files: Arc<dyn SegmentFiles>,
}

impl LogSettings {
    /// Segments of 128 MiB on the machine's file system, synced by the owner's timer.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let files = Arc::new(MachineFiles);
        Self { directory: directory.into(), segment_bytes: 128 << 20, durability: Durability::default(), files }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory, or a file in it, cannot be used.
    #[error("open the write-ahead log in {directory}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file in it is not to be touched.
    #[error("open the write-ahead log")]
    Read(#[source] ReadError),
}

/// Why a record is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Another segment has begun: the record has to be made for that one.
    #[error("the write-ahead log has gone on to segment {current}")]
    SegmentChanged {
        /// The segment that is written now.
        current: u64,
    },
    /// The record does not fit its length fields.
    #[error("a record with {payload_bytes} bytes is larger than the {PAYLOAD_BYTES_MAX} that the log takes")]
    TooLarge {
        /// The payload's length.
        payload_bytes: usize,
    },
    /// The disk is full. Nothing was written; the log goes on when there is room.
    #[error("no space left for the write-ahead log {path}: free some, or move the data to a larger disk")]
    DiskFull {
        /// The segment's file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The operating system refused for another reason. Nothing was written.
    #[error("write to the write-ahead log {path}")]
    Write {
        /// The segment's file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

/// Counts since the log was opened, and what is on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// The oldest segment.
    pub first_segment: u64,
    /// The segment that is written.
    pub last_segment: u64,
    /// Bytes of the segment that is written.
    pub last_segment_bytes: u64,
    /// Records appended.
    pub records: u64,
    /// Bytes appended.
    pub bytes: u64,
    /// Writes, each of one group of records.
    pub writes: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Segments removed.
    pub removed_segments: u64,
}

impl AppendError {
    /// What the operating system said about the file at `path`.
    pub(crate) fn of_write(path: PathBuf, source: io::Error) -> Self {
        let source = Arc::new(source);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Write { path, source },
        }
    }
}
