//! Checkpoints: what one tenant needs of the log up to a position, in a file of its own.
//!
//! A tenant whose oldest needed record lies far back would keep every segment since alive. Its owner writes what it
//! holds in memory to a checkpoint and forgets the tenant's records before the checkpoint's position. A checkpoint
//! replaces the tenant's earlier one; it appears under its name when it is complete and on the device.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::Log;
use crate::position::Position;
use crate::reader::{Entry, FileReader, ReadError};
use crate::record::{Place, Record};
use crate::segment::{FIRST_RECORD, FileKind, Header, SegmentFile, sync_directory};

/// Records are gathered to writes of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// A checkpoint on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose it is.
    pub tenant: String,
    /// The tenant's records before this place are in the checkpoint.
    pub position: Position,
    path: PathBuf,
}

impl Checkpoint {
    /// All complete checkpoints below a log's directory: of each tenant the newest. Removes what is left of others.
    pub fn list(log_directory: &Path) -> io::Result<Vec<Self>> {
        let directory = checkpoint_directory(log_directory);
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut newest = std::collections::BTreeMap::<String, Self>::new();
        for entry in entries {
            let path = entry?.path();
            let Some(checkpoint) = Self::from_path(&path) else {
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    std::fs::remove_file(&path)?;
                }
                continue;
            };
            match newest.get(&checkpoint.tenant) {
                Some(other) if other.position >= checkpoint.position => std::fs::remove_file(&path)?,
                _ => {
                    if let Some(older) = newest.insert(checkpoint.tenant.clone(), checkpoint) {
                        std::fs::remove_file(&older.path)?;
                    }
                }
            }
        }
        Ok(newest.into_values().collect())
    }

    fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".ckpt")?;
        let (tenant, position) = name.rsplit_once('@')?;
        let (segment, offset) = position.split_once('-')?;
        let position = Position { segment: segment.parse().ok()?, offset: u64::from_str_radix(offset, 16).ok()? };
        Some(Self { tenant: tenant.to_owned(), position, path: path.to_owned() })
    }

    /// A reader over the checkpoint's records.
    pub fn open(&self) -> Result<CheckpointReader, ReadError> {
        Ok(CheckpointReader { file: FileReader::open(&self.path, FileKind::Checkpoint)? })
    }

    /// Removes the checkpoint: the tenant needs nothing of it any more.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads a checkpoint's records in order.
pub struct CheckpointReader {
    file: FileReader,
}

impl CheckpointReader {
    /// The next record or stretch of damage; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        self.file.next()
    }
}

/// Writes a checkpoint. Dropped before [`CheckpointWriter::finish`], it leaves nothing behind.
pub struct CheckpointWriter {
    checkpoint: Checkpoint,
    temporary: PathBuf,
    file: Arc<dyn SegmentFile>,
    salt: u64,
    written: u64,
    pending: Vec<u8>,
    finished: bool,
}

impl CheckpointWriter {
    /// Begins the checkpoint of a tenant, which replaces its records before `position`.
    pub fn create(log: &Log, tenant: &str, position: Position) -> io::Result<Self> {
        let directory = checkpoint_directory(log.directory());
        std::fs::create_dir_all(&directory)?;
        let name = format!("{tenant}@{:016}-{:016x}", position.segment, position.offset);
        let path = directory.join(format!("{name}.ckpt"));
        let temporary = directory.join(format!("{name}.tmp"));
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = log.files().create(&temporary)?;
        let salt = log.salt();
        let header = Header { kind: FileKind::Checkpoint, position, salt };
        let checkpoint = Checkpoint { tenant: tenant.to_owned(), position, path };
        let pending = header.encode().to_vec();
        debug_assert_eq!(pending.len(), FIRST_RECORD);
        Ok(Self { checkpoint, temporary, file, salt, written: 0, pending, finished: false })
    }

    /// Adds a record.
    pub fn append(&mut self, record: &Record<'_>) -> io::Result<()> {
        if !record.fits() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a record is too large for a checkpoint"));
        }
        let place = Place { salt: self.salt, offset: self.written + self.pending.len() as u64 };
        record.encode(&mut self.pending, place, record.body_checksum());
        if self.pending.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Makes the checkpoint valid. From here on the tenant's records before its position are not needed.
    pub fn finish(mut self) -> io::Result<Checkpoint> {
        self.flush()?;
        self.file.sync()?;
        std::fs::rename(&self.temporary, &self.checkpoint.path)?;
        self.finished = true;
        if let Some(directory) = self.checkpoint.path.parent() {
            sync_directory(directory)?;
        }
        Ok(self.checkpoint.clone())
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed when checkpoints are listed at the next start.
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

fn checkpoint_directory(log_directory: &Path) -> PathBuf {
    log_directory.join("checkpoints")
}
