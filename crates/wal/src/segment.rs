//! The files that records lie in: their names and headers, and the seam through which they are written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc_fast::crc32_iscsi;

use crate::position::Position;
use crate::record::{u32_at, u64_at};

/// Bytes of one header.
const HEADER_BYTES: usize = 40;
/// Bytes before the first record: the header, twice.
pub(crate) const FIRST_RECORD: usize = 2 * HEADER_BYTES;
/// The newest version of the format that is read, and the one that is written.
const VERSION: u32 = 1;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Checkpoint,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"NORN-WAL",
            Self::Checkpoint => b"NORN-CKP",
        }
    }
}

/// A file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FileKind,
    /// The segment itself at offset 0, or where a checkpoint reaches to.
    pub(crate) position: Position,
    pub(crate) salt: u64,
}

/// Why the first bytes of a file are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file ends inside its header: it was being created when the process ended.
    #[error("the file ends inside its header")]
    Truncated,
    /// Another program's file.
    #[error("the file is no part of this log: its first bytes are {magic:02x?}")]
    ForeignMagic {
        /// The bytes found.
        magic: [u8; 8],
    },
    /// Written by a later norn.
    #[error("the file has version {version} of the log's format, this norn reads versions up to {VERSION}")]
    UnknownVersion {
        /// The version found.
        version: u32,
    },
    /// The checksum does not fit.
    #[error("the file's header is damaged: checksum {found:#010x}, expected {expected:#010x}")]
    Damaged {
        /// The checksum of the bytes.
        found: u32,
        /// The checksum that is written.
        expected: u32,
    },
}

impl Header {
    /// The bytes before the first record.
    pub(crate) fn encode(&self) -> [u8; FIRST_RECORD] {
        let mut bytes = [0; FIRST_RECORD];
        bytes[..8].copy_from_slice(self.kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.position.segment.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.position.offset.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32_iscsi(&bytes[..36]);
        bytes[36..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        bytes.copy_within(..HEADER_BYTES, HEADER_BYTES);
        bytes
    }

    /// Reads the first bytes of a file of `kind`, [`FIRST_RECORD`] of them where there are so many. One of the two
    /// headers has to be whole.
    pub(crate) fn decode(kind: FileKind, bytes: &[u8]) -> Result<Self, HeaderError> {
        let first = Self::decode_one(kind, bytes);
        match (first, bytes.get(HEADER_BYTES..)) {
            (Err(_), Some(second)) => Self::decode_one(kind, second).or(first),
            _ => first,
        }
    }

    fn decode_one(kind: FileKind, bytes: &[u8]) -> Result<Self, HeaderError> {
        let start = &bytes[..bytes.len().min(8)];
        if !kind.magic().starts_with(start) {
            let mut magic = [0; 8];
            magic[..start.len()].copy_from_slice(start);
            return Err(HeaderError::ForeignMagic { magic });
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Truncated);
        };
        let (found, expected) = (crc32_iscsi(&bytes[..36]), u32_at(bytes, 36));
        if found != expected {
            return Err(HeaderError::Damaged { found, expected });
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::UnknownVersion { version });
        }
        let position = Position { segment: u64_at(bytes, 12), offset: u64_at(bytes, 20) };
        Ok(Self { kind, position, salt: u64_at(bytes, 28) })
    }
}

/// The file of a segment.
pub(crate) fn segment_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:016}.wal"))
}

/// The segments of a directory, ascending; other files are left alone.
pub(crate) fn list_segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".wal")) else {
            continue;
        };
        if number.len() == 16
            && let Ok(segment) = number.parse()
        {
            segments.push(segment);
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Makes creations, renames and removals in a directory outlive the machine.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A file that the log writes. Calls may come from several threads, but never two writes at once.
pub trait SegmentFile: Send + Sync {
    /// Writes all of `bytes` at `offset`; after a failure any part of them may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file off.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Returns when all that was written is on the device.
    fn sync(&self) -> io::Result<()>;
}

/// Where the log's files come from; a simulation hands in its own, with faults.
pub trait SegmentFiles: Send + Sync {
    /// Creates a file that is not there yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy)]
pub struct MachineFiles;

impl SegmentFiles for MachineFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }
}

impl SegmentFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
