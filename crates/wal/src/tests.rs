use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use norn_base::random::SeededRandom;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::segment::{FIRST_RECORD, HeaderError, MachineFiles, SegmentFile, SegmentFiles, list_segments, segment_path};
use crate::{
    AppendError, BatchName, Checkpoint, CheckpointWriter, Damage, Durability, Entry, Log, LogReader, LogSettings,
    OpenError, Position, ReadError, Record,
};

fn settings(directory: &Path, segment_bytes: u64) -> LogSettings {
    LogSettings { segment_bytes, ..LogSettings::new(directory) }
}

fn open(directory: &Path) -> (Log, LogReader, Option<Damage>) {
    Log::open(settings(directory, 1 << 20), SeededRandom::shared(7)).unwrap()
}

fn record(payload: &[u8]) -> Record<'_> {
    Record { kind: 1, tenant: "team-a", batch: BatchName::default(), payload }
}

/// Payloads read, and stretches of damage met.
fn read_all(reader: &mut LogReader) -> (Vec<Vec<u8>>, Vec<Damage>) {
    let (mut payloads, mut damages) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry {
            Entry::Record(_, record) => payloads.push(record.payload.to_vec()),
            Entry::Damage(damage) => damages.push(damage),
        }
    }
    (payloads, damages)
}

fn reopened(directory: &Path) -> (Vec<Vec<u8>>, Vec<Damage>, Option<Damage>) {
    let (_log, mut reader, torn) = open(directory);
    let (payloads, damages) = read_all(&mut reader);
    (payloads, damages, torn)
}

#[test]
fn records_come_back_in_order_over_segments() {
    let directory = TempDir::new().unwrap();
    let (log, _, _) = Log::open(settings(directory.path(), 300), SeededRandom::shared(7)).unwrap();
    let payloads: Vec<Vec<u8>> = (0..20u8).map(|index| vec![index; 50]).collect();
    let mut positions = Vec::new();
    for payload in &payloads {
        positions.push(log.append(&record(payload), None).unwrap());
    }
    assert!(positions.is_sorted_by(|left, right| left < right));
    assert!(log.segment() > 3);
    assert_eq!(log.stats().records, 20);
    drop(log);
    let (read, damages, torn) = reopened(directory.path());
    assert_eq!((read, damages, torn), (payloads, vec![], None));
}

#[test]
fn a_record_made_for_another_segment_is_refused() {
    let directory = TempDir::new().unwrap();
    let (log, _, _) = open(directory.path());
    log.append(&record(b"a"), Some(1)).unwrap();
    assert_eq!(log.cut_segment().unwrap(), 2);
    assert_eq!(log.cut_segment().unwrap(), 2, "an empty segment is not cut");
    assert!(matches!(log.append(&record(b"b"), Some(1)), Err(AppendError::SegmentChanged { current: 2 })));
    log.append(&record(b"b"), Some(2)).unwrap();
    assert_eq!(log.remove_segments_before(9).unwrap(), 1);
    assert_eq!(list_segments(directory.path()).unwrap(), [2]);
    drop(log);
    assert_eq!(reopened(directory.path()).0, [b"b"]);
}

#[test]
fn many_threads_share_writes_and_lose_nothing() {
    let directory = TempDir::new().unwrap();
    let (log, _, _) = Log::open(settings(directory.path(), 5_000), SeededRandom::shared(7)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let log = &log;
            scope.spawn(move || {
                for index in 0..100u8 {
                    log.append(&record(&[thread, index]), None).unwrap();
                }
            });
        }
    });
    assert!(log.stats().writes <= 800);
    drop(log);
    let (read, damages, torn) = reopened(directory.path());
    assert_eq!((read.len(), damages, torn), (800, vec![], None));
    for thread in 0..8 {
        let own: Vec<u8> = read.iter().filter(|payload| payload[0] == thread).map(|payload| payload[1]).collect();
        assert_eq!(own, (0..100).collect::<Vec<u8>>(), "a thread's records keep their order");
    }
}

/// A disk with so many bytes left; writes beyond write what fits and fail.
struct SmallDisk {
    left: Arc<AtomicU64>,
}

struct SmallFile {
    file: Arc<dyn SegmentFile>,
    left: Arc<AtomicU64>,
}

impl SegmentFiles for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let file = MachineFiles.create(path)?;
        Ok(Arc::new(SmallFile { file, left: self.left.clone() }))
    }
}

impl SegmentFile for SmallFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        let fits = bytes.len().min(usize::try_from(left).unwrap());
        self.file.write_all_at(&bytes[..fits], offset)?;
        self.left.fetch_sub(fits as u64, Ordering::SeqCst);
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        // A disk that is full often refuses this as well; the log tries again before its next write.
        if self.left.load(Ordering::SeqCst) == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn a_full_disk_refuses_and_the_log_goes_on_when_there_is_room() {
    let directory = TempDir::new().unwrap();
    let left = Arc::new(AtomicU64::new(500));
    let files = Arc::new(SmallDisk { left: left.clone() });
    for durability in [Durability::Written, Durability::Synced] {
        left.store(500, Ordering::SeqCst);
        let settings = LogSettings { files: files.clone(), durability, ..settings(directory.path(), 1 << 20) };
        let (log, _, _) = Log::open(settings, SeededRandom::shared(7)).unwrap();
        let mut accepted = 0;
        let refusal = loop {
            match log.append(&record(&[0; 50]), None) {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(accepted, 4);
        assert!(matches!(refusal, AppendError::DiskFull { .. }), "{refusal}");
        assert!(log.append(&record(&[1; 50]), None).is_err(), "still full");
        left.store(1_000, Ordering::SeqCst);
        log.append(&record(&[2; 50]), None).unwrap();
        log.sync().unwrap();
    }
    let (read, damages, torn) = reopened(directory.path());
    let first_bytes: Vec<u8> = read.iter().map(|payload| payload[0]).collect();
    assert_eq!(first_bytes, [0, 0, 0, 0, 2, 0, 0, 0, 0, 2]);
    assert_eq!((damages, torn), (vec![], None));
}

#[test]
fn a_full_disk_fails_the_whole_group_and_nobody_else() {
    let directory = TempDir::new().unwrap();
    let left = Arc::new(AtomicU64::new(3_000));
    let files = Arc::new(SmallDisk { left });
    let settings = LogSettings { files, ..settings(directory.path(), 1 << 20) };
    let (log, _, _) = Log::open(settings, SeededRandom::shared(7)).unwrap();
    let accepted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..30 {
                    if log.append(&record(&[0; 50]), None).is_ok() {
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    drop(log);
    let (read, _, _) = reopened(directory.path());
    assert_eq!(read.len() as u64, accepted.load(Ordering::SeqCst), "what was refused is not there, what was not is");
}

/// A closed log of one segment with these payloads; returns the segment's file.
fn written(directory: &Path, payloads: &[Vec<u8>]) -> PathBuf {
    let (log, _, _) = open(directory);
    for payload in payloads {
        log.append(&record(payload), None).unwrap();
    }
    segment_path(directory, 1)
}

#[test]
fn a_log_torn_at_any_byte_yields_its_whole_records() {
    let payloads = [vec![1; 10], vec![], vec![3; 30]];
    let ends: Vec<usize> = payloads
        .iter()
        .scan(FIRST_RECORD, |end, payload| {
            *end += record(payload).encoded_len();
            Some(*end)
        })
        .collect();
    for torn_at in 0..=ends[2] {
        let directory = TempDir::new().unwrap();
        let path = written(directory.path(), &payloads);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(torn_at as u64).unwrap();
        let whole = ends.iter().filter(|end| **end <= torn_at).count();
        let (read, damages, torn) = reopened(directory.path());
        assert_eq!(read, payloads[..whole], "torn at {torn_at}");
        assert_eq!(damages, [], "torn at {torn_at}: the tail was cut when the log was opened");
        let at_an_edge = torn_at == FIRST_RECORD || ends.contains(&torn_at);
        let header_only = (FIRST_RECORD / 2..FIRST_RECORD).contains(&torn_at);
        assert_eq!(torn.is_none(), at_an_edge || header_only, "torn at {torn_at}");
        let (read, _, torn) = reopened(directory.path());
        assert_eq!((read.len(), torn), (whole, None), "the second open finds nothing to repair");
    }
}

#[test]
fn a_flipped_byte_costs_the_record_that_it_is_in() {
    let payloads = [vec![1; 20], vec![2; 20], vec![3; 20]];
    let record_len = record(&payloads[0]).encoded_len();
    let total = FIRST_RECORD + 3 * record_len;
    for flipped in 0..total {
        let directory = TempDir::new().unwrap();
        let path = written(directory.path(), &payloads);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[flipped] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let (read, damages, torn) = reopened(directory.path());
        let hit = flipped.checked_sub(FIRST_RECORD).map(|offset| offset / record_len);
        let expected: Vec<_> =
            payloads.iter().enumerate().filter(|(index, _)| Some(*index) != hit).map(|(_, bytes)| bytes).collect();
        assert_eq!(read.iter().collect::<Vec<_>>(), expected, "flipped {flipped}");
        assert_eq!(damages.len() + usize::from(torn.is_some()), usize::from(hit.is_some()), "flipped {flipped}");
    }
}

#[test]
fn a_payload_that_holds_a_record_is_not_taken_for_one() {
    let directory = TempDir::new().unwrap();
    let inner = std::fs::read(written(directory.path(), &[vec![9; 9]])).unwrap();
    let forged = inner[FIRST_RECORD..].to_vec();
    let second = TempDir::new().unwrap();
    let path = written(second.path(), &[forged, vec![1; 5]]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[FIRST_RECORD] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (read, damages, _) = reopened(second.path());
    assert_eq!((read, damages.len()), (vec![vec![1; 5]], 1));
}

#[test]
fn foreign_and_newer_files_are_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let path = written(directory.path(), &[vec![1]]);
    let bytes = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match Log::open(settings(directory.path(), 1 << 20), SeededRandom::shared(7)) {
            Err(OpenError::Read(ReadError::Header { source, path })) => {
                assert!(path.ends_with("0000000000000001.wal"));
                source
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("opened"),
        }
    };
    assert!(matches!(refused(&[0; 200]), HeaderError::ForeignMagic { .. }));
    let mut newer = bytes;
    for header in [0, 40] {
        newer[header + 8] = 2;
        let checksum = crc_fast::crc32_iscsi(&newer[header..header + 36]);
        newer[header + 36..header + 40].copy_from_slice(&checksum.to_le_bytes());
    }
    assert_eq!(refused(&newer), HeaderError::UnknownVersion { version: 2 });
}

#[test]
fn a_checkpoint_appears_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let (log, _, _) = open(directory.path());
    let at = |offset| Position { segment: 3, offset };
    for (offset, payload) in [(100, b"old"), (200, b"new")] {
        let mut writer = CheckpointWriter::create(&log, "team-a", at(offset)).unwrap();
        writer.append(&record(payload)).unwrap();
        writer.finish().unwrap();
    }
    let mut unfinished = CheckpointWriter::create(&log, "team-b", at(100)).unwrap();
    unfinished.append(&record(b"never")).unwrap();
    std::mem::forget(unfinished);
    let listed = Checkpoint::list(directory.path()).unwrap();
    let names: Vec<_> = listed.iter().map(|checkpoint| (checkpoint.tenant.as_str(), checkpoint.position)).collect();
    assert_eq!(names, [("team-a", at(200))]);
    let mut reader = listed[0].open().unwrap();
    assert!(matches!(reader.next_entry().unwrap(), Some(Entry::Record(_, view)) if view.payload == b"new"));
    assert_eq!(reader.next_entry().unwrap(), None);
    listed[0].remove().unwrap();
    assert_eq!(std::fs::read_dir(directory.path().join("checkpoints")).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_left_of_a_mangled_log_is_what_was_written(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep_whole in any::<bool>(),
    ) {
        let directory = TempDir::new().unwrap();
        let path = written(directory.path(), &payloads);
        let mut bytes = std::fs::read(&path).unwrap();
        for (index, value) in edits {
            let index = FIRST_RECORD + index.index(bytes.len() - FIRST_RECORD);
            bytes[index] = value;
        }
        if !keep_whole {
            bytes.truncate(FIRST_RECORD + cut.index(bytes.len() - FIRST_RECORD));
        }
        std::fs::write(&path, &bytes).unwrap();
        let (read, _, _) = reopened(directory.path());
        // A subsequence: nothing invented, nothing out of order.
        let mut rest = payloads.iter();
        for payload in &read {
            prop_assert!(rest.any(|written| written == payload));
        }
    }
}
