//! Files of a block: where their bytes come from, and how damage in them is named.
//!
//! A file is a [`ByteSource`]: mapped from a local directory, held in memory, or read piece by piece from somewhere
//! else. All readers of this crate stand on it, so they are the same for every place where a block can lie.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};

use crate::chunk::ChunkError;

/// Where the bytes of one file come from.
pub trait ByteSource: Send + Sync {
    /// How many bytes the file has.
    fn len(&self) -> u64;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `len` bytes from `offset` on. The range lies inside the file: callers check it against
    /// [`ByteSource::len`] first. Cheap where the file is mapped: the bytes are shared and not copied.
    fn read_range(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

impl ByteSource for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_range(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len)?));
        match range {
            Some(range) if range.end <= self.as_ref().len() => Ok(self.slice(range)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Maps a local file into memory. Its bytes stay valid as long as one slice of them is held.
pub fn map_file(path: &Path) -> Result<Bytes, FileError> {
    let name = || path.display().to_string().into();
    let failed = |action| move |source| FileError::Io { file: name(), action, source };
    let file = File::open(path).map_err(failed("open"))?;
    let empty = file.metadata().map_err(failed("stat"))?.len() == 0;
    if empty {
        // The kernel refuses to map nothing.
        return Ok(Bytes::new());
    }
    #[expect(unsafe_code, reason = "blocks are larger than memory, and the page cache is shared")]
    // SAFETY: the files of a block are written once, under another name, and never changed after their directory got
    // its own; an operator who truncates one from outside takes the process down, as with every mapped database.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed("map"))?;
    Ok(Bytes::from_owner(map))
}

impl FileError {
    /// Whether the file itself is at fault, so that trying again is useless.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// What is wrong with a file of a block.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system or the store refused.
    #[error("{file}: {action}")]
    Io {
        /// The file.
        file: Arc<str>,
        /// What was tried.
        action: &'static str,
        /// The answer.
        source: io::Error,
    },
    /// The file ends too early.
    #[error("{file}, byte {offset}: {what} takes {needed} bytes, {available} are there")]
    Truncated {
        /// The file.
        file: Arc<str>,
        /// Where the part starts.
        offset: u64,
        /// The part.
        what: &'static str,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes up to the end.
        available: u64,
    },
    /// A part of the file has changed since it was written.
    #[error("{file}, byte {offset}: checksum of {what} is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The file.
        file: Arc<str>,
        /// Where the part starts.
        offset: u64,
        /// The part.
        what: &'static str,
        /// Of the bytes that are there.
        found: u32,
        /// As it stands in the file.
        expected: u32,
    },
    /// A number that says what the file is differs: it is another kind of file, or of another version.
    #[error("{file}, byte {offset}: {what} is {found:#x}, expected {expected:#x}")]
    Unexpected {
        /// The file.
        file: Arc<str>,
        /// Where the number stands.
        offset: u64,
        /// What it means.
        what: &'static str,
        /// The number there.
        found: u64,
        /// What norn reads.
        expected: u64,
    },
    /// A part cannot be read.
    #[error("{file}, byte {offset}: {what}")]
    Damaged {
        /// The file.
        file: Arc<str>,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A chunk cannot be read.
    #[error("{file}, byte {offset}: chunk cannot be read")]
    Chunk {
        /// The segment file.
        file: Arc<str>,
        /// Where the chunk starts.
        offset: u64,
        /// Why.
        source: ChunkError,
    },
    /// JSON that is not what it should be.
    #[error("{file}: not the JSON expected")]
    Json {
        /// The file.
        file: Arc<str>,
        /// Where and why.
        source: serde_json::Error,
    },
    /// What is to be written does not fit the format.
    #[error("{file}: {what}: {found}, at most {most}")]
    TooLarge {
        /// The file.
        file: Arc<str>,
        /// The part.
        what: &'static str,
        /// How large it would be.
        found: u64,
        /// How large it can be.
        most: u64,
    },
    /// The caller of a writer did not keep the order that the format has.
    #[error("{file}: {what}")]
    Order {
        /// The file.
        file: Arc<str>,
        /// The rule.
        what: &'static str,
    },
}

impl From<FileError> for norn_base::Error {
    fn from(error: FileError) -> Self {
        let kind = match &error {
            FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => norn_base::ErrorKind::NotFound,
            FileError::Io { .. } => norn_base::ErrorKind::Unavailable,
            FileError::TooLarge { .. } => norn_base::ErrorKind::Unprocessable,
            FileError::Order { .. } => norn_base::ErrorKind::Internal,
            _ => norn_base::ErrorKind::Corrupt,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

/// CRC-32C, the checksum of all of a block's files.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A file with its name.
#[derive(Clone)]
pub struct NamedSource {
    /// For errors.
    pub name: Arc<str>,
    /// Its bytes.
    pub source: Arc<dyn ByteSource>,
}

impl NamedSource {
    /// A file under a name.
    pub fn new(name: impl Into<Arc<str>>, source: impl ByteSource + 'static) -> Self {
        Self { name: name.into(), source: Arc::new(source) }
    }

    /// Maps a local file.
    pub fn map(path: &Path) -> Result<Self, FileError> {
        Ok(Self::new(path.display().to_string(), map_file(path)?))
    }

    /// Some bytes of the file, or an error that names what they should be.
    pub(crate) fn read(&self, offset: u64, len: u64, what: &'static str) -> Result<Bytes, FileError> {
        let available = self.source.len().saturating_sub(offset);
        let wanted = usize::try_from(len).ok().filter(|_| len <= available);
        let Some(wanted) = wanted else {
            return Err(FileError::Truncated { file: self.name.clone(), offset, what, needed: len, available });
        };
        let failed = |source| FileError::Io { file: self.name.clone(), action: "read", source };
        self.source.read_range(offset, wanted).map_err(failed)
    }

    /// Up to `len` bytes from `offset` on, fewer at the end of the file.
    pub(crate) fn read_up_to(&self, offset: u64, len: u64, what: &'static str) -> Result<Bytes, FileError> {
        self.read(offset, len.min(self.source.len().saturating_sub(offset)), what)
    }

    /// The bytes of a part that stands as `length u32, bytes, checksum u32`, without length and checksum.
    pub(crate) fn read_section(&self, offset: u64, what: &'static str) -> Result<Bytes, FileError> {
        let head = self.read(offset, 4, what)?;
        let length = u64::from(be_u32(&head));
        let section = self.read(offset + 4, length + 4, what)?;
        self.check_crc(offset, &section, what)?;
        Ok(section.slice(..section.len() - 4))
    }

    /// Checks that `bytes` ends with the checksum of what stands before it.
    pub(crate) fn check_crc(&self, offset: u64, bytes: &[u8], what: &'static str) -> Result<(), FileError> {
        let (body, tail) = bytes.split_at(bytes.len() - 4);
        let (found, expected) = (crc32c(body), be_u32(tail));
        if found == expected {
            return Ok(());
        }
        Err(FileError::Checksum { file: self.name.clone(), offset, what, found, expected })
    }

    /// Checks a number that stands at the front of a file.
    pub(crate) fn expect(&self, offset: u64, what: &'static str, found: u64, expected: u64) -> Result<(), FileError> {
        if found == expected {
            return Ok(());
        }
        Err(FileError::Unexpected { file: self.name.clone(), offset, what, found, expected })
    }

    /// An error at an offset.
    pub(crate) fn damaged(&self, offset: u64, what: &'static str) -> FileError {
        FileError::Damaged { file: self.name.clone(), offset, what }
    }
}

impl std::fmt::Debug for NamedSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({} bytes)", self.name, self.source.len())
    }
}

/// The big-endian number at the front of `bytes`, of which there are at least four.
pub(crate) fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().expect("the caller read at least four bytes"))
}
