//! Appending: many threads, one write.
//!
//! An appender puts its record behind those that wait already. If nobody is writing it becomes the *leader*: it takes
//! everything that waits, its own record included, and writes it with one call, while the records of whoever comes in
//! the meantime gather for the next leader. Everyone else sleeps until the group that holds its record is settled.
//! There is no thread that belongs to the log, so a process that is idle costs nothing, and a caller on its own pays
//! for one write and no switch of threads. Callers block; they belong on a thread that may.
//!
//! A write that fails is cut off again, and all records that were queued behind it fail with it, because their heads
//! are bound to the offsets at which they would have been. The next append starts afresh.
//!
//! A record of the metrics signal refers to series that were defined earlier in its segment. Its writer therefore names
//! the segment that it wrote the record for, and gets [`AppendError::SegmentChanged`] where another one has begun.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use norn_base::random::SharedRandom;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::begin::{begin_segment, repair_tail};
use crate::position::Position;
use crate::reader::{Damage, LogReader};
use crate::record::{Place, Record};
use crate::segment::{FIRST_RECORD, SegmentFile, SegmentFiles, list_segments, segment_path, sync_directory};
use crate::settings::{AppendError, Durability, LogSettings, LogStats, OpenError};

/// The buffer of a group is kept for the next one unless it has grown beyond this.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// The log of one signal. Shared by reference; see the module.
pub struct Log {
    settings: LogSettings,
    random: SharedRandom,
    queue: Mutex<Queue>,
    /// Signalled whenever a group is settled or a segment has begun.
    settled: Condvar,
}

struct Queue {
    /// Encoded records that wait for a leader; they belong at `written` and after it, or after the group that a leader
    /// is writing.
    pending: Vec<u8>,
    /// How many there are.
    pending_records: usize,
    /// The number of the group that `pending` will be.
    group: u64,
    /// Groups below this one are settled: written, or in `failed`.
    settled: u64,
    /// Groups that failed and whose members have not all been told.
    failed: VecDeque<FailedGroup>,
    leading: bool,
    /// Bytes that the leader is writing.
    in_flight: u64,
    /// Where the log ends: what was acknowledged, and nothing else.
    written: Position,
    salt: u64,
    file: Arc<dyn SegmentFile>,
    /// Bytes behind `written` may be in the file, because a failed write could not be cut off.
    overhang: bool,
    /// Files with bytes that the device may not have.
    unsynced: Vec<Arc<dyn SegmentFile>>,
    spare: Vec<u8>,
    segments: VecDeque<u64>,
    stats: LogStats,
}

struct FailedGroup {
    group: u64,
    untold: usize,
    error: AppendError,
}

impl Log {
    /// Opens the log of a directory and begins a new segment.
    ///
    /// Returns the log, a reader over what was there, and what had to be cut off the end of it.
    pub fn open(settings: LogSettings, random: SharedRandom) -> Result<(Self, LogReader, Option<Damage>), OpenError> {
        let directory = settings.directory.clone();
        let failed = |source| OpenError::Directory { directory: directory.clone(), source };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let mut segments = list_segments(&directory).map_err(failed)?;
        let torn = match segments.last() {
            Some(last) => repair_tail(&segment_path(&directory, *last)).map_err(OpenError::Read)?,
            None => None,
        };
        let first = segments.last().map_or(1, |last| last + 1);
        segments.retain(|segment| segment_path(&directory, *segment).exists());
        let reader = LogReader::new(directory.clone(), segments.clone());
        let (file, salt) = begin_segment(&settings, &random, first).map_err(failed)?;
        segments.push(first);
        let queue = Queue {
            pending: Vec::new(),
            pending_records: 0,
            group: 0,
            settled: 0,
            failed: VecDeque::new(),
            leading: false,
            in_flight: 0,
            written: Position { segment: first, offset: FIRST_RECORD as u64 },
            salt,
            file,
            overhang: false,
            unsynced: Vec::new(),
            spare: Vec::new(),
            segments: segments.into(),
            stats: LogStats::default(),
        };
        let log = Self { settings, random, queue: Mutex::new(queue), settled: Condvar::new() };
        Ok((log, reader, torn))
    }

    /// Where the log ends: all records before this place are acknowledged, none after it.
    pub fn position(&self) -> Position {
        self.queue.lock().written
    }

    /// The segment that is written now.
    pub fn segment(&self) -> u64 {
        self.position().segment
    }

    /// Counts since the log was opened.
    pub fn stats(&self) -> LogStats {
        let queue = self.queue.lock();
        LogStats {
            first_segment: queue.segments.front().copied().unwrap_or(queue.written.segment),
            last_segment: queue.written.segment,
            last_segment_bytes: queue.written.offset,
            ..queue.stats
        }
    }

    /// Appends a record and returns where it starts, when it is written as [`Durability`] demands. Blocks.
    ///
    /// - `segment`: the segment that the record was made for; `None` for records that stand on their own.
    /// - On failure nothing of the record is in the log.
    pub fn append(&self, record: &Record<'_>, segment: Option<u64>) -> Result<Position, AppendError> {
        if !record.fits() {
            return Err(AppendError::TooLarge { payload_bytes: record.payload.len() });
        }
        let body_checksum = record.body_checksum();
        let mut queue = self.queue.lock();
        self.wait_for_room(&mut queue)?;
        let current = queue.written.segment;
        if segment.is_some_and(|expected| expected != current) {
            return Err(AppendError::SegmentChanged { current });
        }
        let offset = queue.written.offset + queue.in_flight + queue.pending.len() as u64;
        let place = Place { salt: queue.salt, offset };
        record.encode(&mut queue.pending, place, body_checksum);
        queue.pending_records += 1;
        let group = queue.group;
        while queue.settled <= group {
            if queue.leading {
                self.settled.wait(&mut queue);
            } else {
                self.lead(&mut queue);
            }
        }
        queue.outcome_of(group)?;
        Ok(Position { segment: current, offset })
    }

    /// Returns when everything that was acknowledged before the call is on the device. Appends go on meanwhile.
    pub fn sync(&self) -> io::Result<()> {
        let files = std::mem::take(&mut self.queue.lock().unsynced);
        for (index, file) in files.iter().enumerate() {
            if let Err(error) = file.sync() {
                self.queue.lock().unsynced.extend_from_slice(&files[index..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the current segment, unless it is empty, and begins another, whose number is returned.
    pub fn cut_segment(&self) -> Result<u64, AppendError> {
        let mut queue = self.queue.lock();
        while queue.leading || !queue.pending.is_empty() {
            self.settled.wait(&mut queue);
        }
        if queue.written.offset > FIRST_RECORD as u64 {
            self.rotate(&mut queue)?;
        }
        Ok(queue.written.segment)
    }

    /// Removes the segments before `segment`, and never the current one. Returns how many.
    pub fn remove_segments_before(&self, segment: u64) -> io::Result<usize> {
        let mut removed = 0;
        loop {
            let first = {
                let queue = self.queue.lock();
                match queue.segments.front() {
                    Some(first) if *first < segment.min(queue.written.segment) => *first,
                    _ => break,
                }
            };
            match std::fs::remove_file(segment_path(&self.settings.directory, first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => removed += 1,
            }
            let mut queue = self.queue.lock();
            queue.segments.pop_front();
            queue.stats.removed_segments += 1;
        }
        if removed > 0 {
            sync_directory(&self.settings.directory)?;
        }
        Ok(removed)
    }

    /// The directory of the segments.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// A random number for the salt of a file.
    pub(crate) fn salt(&self) -> u64 {
        self.random.next_u64()
    }

    /// Where the log's files come from.
    pub(crate) fn files(&self) -> &dyn SegmentFiles {
        &*self.settings.files
    }

    /// Begins a new segment where the current one is full.
    fn wait_for_room(&self, queue: &mut MutexGuard<'_, Queue>) -> Result<(), AppendError> {
        loop {
            let end = queue.written.offset + queue.in_flight + queue.pending.len() as u64;
            if end < self.settings.segment_bytes {
                return Ok(());
            }
            if queue.leading || !queue.pending.is_empty() {
                // Whoever queued those records leads, or wakes up to lead.
                self.settled.wait(queue);
            } else {
                self.rotate(queue)?;
            }
        }
    }

    /// Writes what is pending, as its leader.
    fn lead(&self, queue: &mut MutexGuard<'_, Queue>) {
        queue.leading = true;
        let spare = std::mem::take(&mut queue.spare);
        let mut bytes = std::mem::replace(&mut queue.pending, spare);
        let records = std::mem::take(&mut queue.pending_records);
        let group = queue.group;
        queue.group += 1;
        queue.in_flight = bytes.len() as u64;
        let (file, offset, overhang) = (queue.file.clone(), queue.written.offset, queue.overhang);
        let durability = self.settings.durability;
        let outcome = MutexGuard::unlocked(queue, || write(&*file, &bytes, offset, overhang, durability));
        queue.leading = false;
        queue.in_flight = 0;
        queue.overhang = false;
        match outcome {
            Ok(()) => queue.acknowledge(bytes.len() as u64, records, durability),
            Err(failure) => {
                queue.overhang = failure.overhang;
                let path = segment_path(&self.settings.directory, queue.written.segment);
                queue.fail(group, records, AppendError::of_write(path, failure.source));
            }
        }
        bytes.clear();
        if bytes.capacity() <= SPARE_BYTES_MAX {
            queue.spare = bytes;
        }
        self.settled.notify_all();
    }

    /// Begins the next segment. Nothing is pending and nobody leads; while the file is made, the caller does.
    fn rotate(&self, queue: &mut MutexGuard<'_, Queue>) -> Result<(), AppendError> {
        queue.leading = true;
        let next = queue.written.segment + 1;
        let begun = MutexGuard::unlocked(queue, || begin_segment(&self.settings, &self.random, next));
        queue.leading = false;
        self.settled.notify_all();
        let path = segment_path(&self.settings.directory, next);
        let (file, salt) = begun.map_err(|source| AppendError::of_write(path, source))?;
        queue.file = file;
        queue.salt = salt;
        queue.overhang = false;
        queue.written = Position { segment: next, offset: FIRST_RECORD as u64 };
        queue.segments.push_back(next);
        Ok(())
    }
}

impl Queue {
    fn acknowledge(&mut self, bytes: u64, records: usize, durability: Durability) {
        self.written.offset += bytes;
        self.settled = self.group;
        self.stats.bytes += bytes;
        self.stats.records += records as u64;
        self.stats.writes += 1;
        if durability == Durability::Written && !self.unsynced.iter().any(|file| Arc::ptr_eq(file, &self.file)) {
            self.unsynced.push(self.file.clone());
        }
    }

    /// Fails a group and what gathered behind it.
    fn fail(&mut self, group: u64, records: usize, error: AppendError) {
        self.stats.failed_writes += 1;
        self.failed.push_back(FailedGroup { group, untold: records, error: error.clone() });
        if self.pending_records > 0 {
            self.failed.push_back(FailedGroup { group: self.group, untold: self.pending_records, error });
            self.pending.clear();
            self.pending_records = 0;
            self.group += 1;
        }
        self.settled = self.group;
    }

    /// What became of a settled group. Each of its members asks once.
    fn outcome_of(&mut self, group: u64) -> Result<(), AppendError> {
        let Some(index) = self.failed.iter().position(|failed| failed.group == group) else {
            return Ok(());
        };
        let failed = &mut self.failed[index];
        failed.untold -= 1;
        let error = failed.error.clone();
        if failed.untold == 0 {
            self.failed.remove(index);
        }
        Err(error)
    }
}

/// A write of which nothing remains, or, where not even that worked, an overhang.
struct WriteFailure {
    source: io::Error,
    overhang: bool,
}

fn write(
    file: &dyn SegmentFile,
    bytes: &[u8],
    offset: u64,
    overhang: bool,
    durability: Durability,
) -> Result<(), WriteFailure> {
    if overhang {
        file.truncate(offset).map_err(|source| WriteFailure { source, overhang: true })?;
    }
    let written = file.write_all_at(bytes, offset).and_then(|()| match durability {
        Durability::Written => Ok(()),
        Durability::Synced => file.sync(),
    });
    written.map_err(|source| WriteFailure { source, overhang: file.truncate(offset).is_err() })
}
