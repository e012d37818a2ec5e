use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use norn_base::clock::{Clock, ManualClock};
use norn_base::random::SeededRandom;
use norn_model::Labels;
use norn_model::estimate::SeriesEstimate;
use norn_model::matcher::Matcher;
use norn_model::select::{SeriesRequest, SeriesStore, TimeRange};
use norn_model::write::{Exemplar, HistogramSample, WriteBatch};
use norn_wal::segment::{MachineFiles, SegmentFile, SegmentFiles};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::head::tests::{Answer, HOUR_MS, floats, histogram, read_source, series};
use crate::head::{HeadLimits, Reason};

const IDLE: Duration = Duration::from_secs(3600);
const LIMITS: HeadLimits = HeadLimits { late_window_ms: 10 * HOUR_MS, exemplars: 10, ..HeadLimits::NONE };

fn settings(directory: &Path) -> DatabaseSettings {
    DatabaseSettings { segment_bytes: 600, segments_behind_max: 4, ..DatabaseSettings::new(directory) }
}

fn open_at(directory: &Path, now_ms: i64) -> (Database, OpenReport) {
    // The clock stands still, so blocks of two lives differ in their random bits alone.
    static LIVES: AtomicU64 = AtomicU64::new(0);
    let seed = LIVES.fetch_add(1, Ordering::Relaxed);
    let clock = ManualClock::at(now_ms);
    Database::open(settings(directory), clock, SeededRandom::shared(seed), &mut |_| {}).unwrap()
}

fn open(directory: &Path) -> Database {
    let (database, report) = open_at(directory, 100 * HOUR_MS);
    assert_eq!((report.damages, report.without_series), (Vec::<String>::new(), 0));
    database
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn append(database: &Database, name: &str, batch: &WriteBatch) -> u64 {
    let outcome = database.append(&tenant(name), batch, &LIMITS).unwrap();
    assert_eq!(outcome.rejections.total(), 0, "{:?}", outcome.rejections);
    outcome.floats + outcome.histograms
}

fn all(database: &Database, name: &str) -> Vec<(Labels, Answer)> {
    let Some(tenant) = database.tenant(&tenant(name)) else { return Vec::new() };
    let mut answer = read_source(tenant.select(SeriesRequest::new(vec![], TimeRange::ALL)));
    answer.sort_by(|left, right| left.0.cmp(&right.0));
    answer
}

fn hours(hours: f64) -> i64 {
    (hours * HOUR_MS as f64) as i64
}

/// Two series with a sample a minute, in batches of both, for some hours; every seventh batch has a histogram.
fn fill(database: &Database, name: &str, from_hour: f64, to_hour: f64) {
    let (mut now_ms, end_ms) = (hours(from_hour), hours(to_hour));
    while now_ms < end_ms {
        let mut batch = floats(&[("a", now_ms, now_ms as f64), ("b", now_ms, 1.0)]);
        if (now_ms / 60_000) % 7 == 0 {
            let mut writer = batch.push_series(series("h").as_ref(), 0);
            writer.histogram(HistogramSample { timestamp_ms: now_ms, histogram: histogram(now_ms as u64 / 1000) });
        }
        append(database, name, &batch);
        now_ms += 60_000;
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 11.0);
    fill(&database, "team-b", 10.0, 10.5);
    append(&database, "team-a", &floats(&[("a", hours(9.5), -1.0)]));
    let mut batch = WriteBatch::default();
    let exemplar = Exemplar { timestamp_ms: 5, value: 1.0, labels: Labels::from_pairs([("trace_id", "x")]) };
    batch.push_series(series("a").as_ref(), 0).exemplar(exemplar);
    append(&database, "team-a", &batch);
    let before = (all(&database, "team-a"), all(&database, "team-b"));
    assert_eq!(before.0.len(), 3);
    std::mem::forget(database);
    let database = open(directory.path());
    assert_eq!((all(&database, "team-a"), all(&database, "team-b")), before);
    let head = database.tenant(&tenant("team-a")).unwrap().head().clone();
    assert_eq!(head.exemplars(&[vec![]], TimeRange::ALL).len(), 1);
    // Appends go on where they were.
    fill(&database, "team-a", 11.0, 11.5);
    let before = all(&database, "team-a");
    drop(database);
    assert_eq!(all(&open(directory.path()), "team-a"), before);
}

#[test]
fn heads_are_cut_to_blocks_and_the_answer_stays_the_same() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.2, 13.3);
    append(&database, "team-a", &floats(&[("a", hours(10.4) + 7, -1.0), ("b", hours(13.0) + 7, -1.0)]));
    let before = all(&database, "team-a");
    let team = database.tenant(&tenant("team-a")).unwrap();
    assert_eq!(team.due(0, IDLE), Some(CutReason::Due));
    let segments_before = database.log_stats().first_segment;
    assert_eq!(database.compact_due(IDLE), 3);
    let bounds: Vec<_> = team
        .blocks()
        .iter()
        .map(|block| {
            let meta = block.reader.meta();
            (meta.min_time, meta.max_time, meta.compaction.is_out_of_order(), meta.stats.num_samples)
        })
        .collect();
    // Fifteen of the 108 minutes have a histogram.
    let samples = 108 * 2 + 15;
    assert_eq!(bounds[0], (hours(10.2), hours(12.0), false, samples));
    assert_eq!(bounds[1..], [(hours(10.0), hours(12.0), true, 1), (hours(12.0), hours(14.0), true, 1)]);
    assert_eq!(team.due(0, IDLE), None);
    assert_eq!(team.head().min_ms(), Some(hours(12.0)));
    assert_eq!(all(&database, "team-a"), before);
    assert!(database.truncate_log().unwrap() > 0);
    assert!(database.log_stats().first_segment > segments_before);
    drop(database);
    let database = open(directory.path());
    assert_eq!(all(&database, "team-a"), before);
    let team = database.tenant(&tenant("team-a")).unwrap();
    assert_eq!(team.head().min_ms(), Some(hours(12.0)), "what blocks have is not replayed");
    assert_eq!(team.label_names(&[], TimeRange::ALL).unwrap(), ["__name__", "job"]);
    let old = TimeRange { start_ms: 0, end_ms: hours(11.0) };
    assert_eq!(team.label_values("__name__", &[], old).unwrap(), ["a", "b", "h"]);
}

#[test]
fn a_flush_leaves_nothing_in_the_head() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 11.5, 12.5);
    let before = all(&database, "team-a");
    let team = database.tenant(&tenant("team-a")).unwrap();
    let made = database.compact(&team, CutReason::Forced).unwrap();
    let bounds: Vec<_> =
        made.iter().map(|block| (block.reader.meta().min_time, block.reader.meta().max_time)).collect();
    assert_eq!(bounds, [(hours(11.5), hours(12.0)), (hours(12.0), hours(12.5) - 60_000 + 1)]);
    assert_eq!((team.head().series_count(), team.state()), (0, TenantState::Active));
    assert_eq!(all(&database, "team-a"), before);
    database.truncate_log().unwrap();
    assert_eq!(database.log_stats().first_segment, database.log_stats().last_segment);
    // The head goes on behind the block.
    fill(&database, "team-a", 12.5, 12.75);
    let refused = database.append(&tenant("team-a"), &floats(&[("a", hours(12.1), 0.0)]), &HeadLimits::NONE).unwrap();
    assert_eq!(refused.rejections.count(&Reason::TooOld), 1);
    let before = all(&database, "team-a");
    drop(database);
    assert_eq!(all(&open(directory.path()), "team-a"), before);
}

#[test]
fn an_early_cut_takes_what_is_old_and_refuses_what_overlaps() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    append(&database, "team-a", &floats(&[("gone", hours(11.0), 1.0)]));
    fill(&database, "team-a", 11.5, 12.6);
    let before = all(&database, "team-a");
    let team = database.tenant(&tenant("team-a")).unwrap();
    let until_ms = hours(12.4) + 1;
    database.compact(&team, CutReason::Early { until_ms }).unwrap();
    let bounds: Vec<_> =
        team.blocks().iter().map(|block| (block.reader.meta().min_time, block.reader.meta().max_time)).collect();
    assert_eq!(bounds, [(hours(11.0), hours(12.0)), (hours(12.0), until_ms)]);
    assert_eq!(team.head().series_count(), 3, "one series has no samples any more");
    assert_eq!(all(&database, "team-a"), before);
    assert!(team.enter(TenantState::EarlyCompacting { until_ms }));
    let refused = database.append(&tenant("team-a"), &floats(&[("a", until_ms - 1, 1.0)]), &LIMITS).unwrap_err();
    let text = "TSDB Head early compaction in progress and the write request contains samples overlapping with it";
    assert_eq!(refused.to_string(), text);
    append(&database, "team-a", &floats(&[("c", until_ms, 1.0)]));
    team.leave(TenantState::EarlyCompacting { until_ms });
    let before = all(&database, "team-a");
    database.compact(&team, CutReason::Forced).unwrap();
    assert_eq!(all(&database, "team-a"), before, "the rest of a chunk that was cut in two");
    drop((team, database));
    assert_eq!(all(&open(directory.path()), "team-a"), before);
}

#[test]
fn an_idle_head_is_cut_and_an_idle_tenant_goes() {
    let directory = TempDir::new().unwrap();
    let clock = ManualClock::at(hours(100.0));
    let (database, _) =
        Database::open(settings(directory.path()), clock.clone(), SeededRandom::shared(3), &mut |_| {}).unwrap();
    fill(&database, "team-a", 10.0, 10.2);
    assert_eq!(database.compact_due(IDLE), 0);
    clock.advance(IDLE + Duration::from_secs(1));
    assert_eq!(database.compact_due(IDLE), 1);
    let team = database.tenant(&tenant("team-a")).unwrap();
    let now_ms = clock.now_ms();
    assert!(database.close_idle_tenants(now_ms).unwrap().is_empty(), "its block is not shipped");
    let to_ship = team.blocks_to_ship();
    assert_eq!(to_ship.len(), 1);
    team.mark_shipped(to_ship[0].reader.meta().ulid, now_ms).unwrap();
    assert!(team.blocks_to_ship().is_empty());
    let shipped = std::fs::read_to_string(team.directory().join("mimir.shipper.json")).unwrap();
    let shipped: serde_json::Value = serde_json::from_str(&shipped).unwrap();
    assert_eq!(shipped["shipped"][to_ship[0].reader.meta().ulid.to_string()], now_ms as f64 / 1000.0);
    assert_eq!(team.remove_shipped_before(now_ms).unwrap(), 0);
    assert_eq!(database.close_idle_tenants(now_ms).unwrap(), [tenant("team-a")]);
    assert!(!directory.path().join("team-a").exists());
    let refused = database.append(&tenant("team-a"), &floats(&[("a", hours(10.0), 1.0)]), &LIMITS);
    assert!(refused.is_ok(), "a tenant may come again");
    drop(database);
    let database = open(directory.path());
    assert_eq!(all(&database, "team-a"), [(series("a"), (vec![(hours(10.0), 1.0)], vec![]))], "only its new life");
}

#[test]
fn shipped_blocks_are_removed_after_their_time() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 11.9, 12.1);
    let team = database.tenant(&tenant("team-a")).unwrap();
    let made = database.compact(&team, CutReason::Forced).unwrap();
    team.mark_shipped(made[0].reader.meta().ulid, 1000).unwrap();
    assert_eq!(team.remove_shipped_before(2000).unwrap(), 1);
    let left: Vec<_> = team.blocks().iter().map(|block| block.reader.meta().ulid).collect();
    assert_eq!(left, [made[1].reader.meta().ulid]);
    drop((team, database, made));
    assert_eq!(open(directory.path()).tenant(&tenant("team-a")).unwrap().blocks().len(), 1);
}

#[test]
fn a_tenant_far_behind_is_written_to_a_checkpoint() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "slow", 10.0, 10.5);
    append(&database, "slow", &floats(&[("a", hours(9.5), -1.0)]));
    let before = all(&database, "slow");
    fill(&database, "fast", 10.0, 11.0);
    assert!(database.log_stats().last_segment > 10);
    assert!(database.truncate_log().unwrap() > 4);
    let checkpoints = || std::fs::read_dir(directory.path().join("@wal/checkpoints")).unwrap().count();
    assert_eq!(checkpoints(), 2);
    fill(&database, "slow", 10.5, 10.6);
    let after = all(&database, "slow");
    let fast = all(&database, "fast");
    drop(database);
    let database = open(directory.path());
    assert!(before.len() == after.len() && before != after);
    assert_eq!(all(&database, "slow"), after);
    assert_eq!(all(&database, "fast"), fast);
    // Once blocks have what the checkpoint has, it goes.
    let slow = database.tenant(&tenant("slow")).unwrap();
    database.compact(&slow, CutReason::Forced).unwrap();
    assert_eq!(checkpoints(), 1);
    assert_eq!(all(&database, "slow"), after);
    drop((slow, database));
    assert_eq!(all(&open(directory.path()), "slow"), after);
}

#[test]
fn exemplars_outlive_the_segments_that_they_came_in() {
    let directory = TempDir::new().unwrap();
    let exemplar = |timestamp_ms: i64| {
        let labels = Labels::from_pairs([("trace_id", timestamp_ms.to_string().as_str())]);
        Exemplar { timestamp_ms, value: 1.0, labels }
    };
    let times = |database: &Database| {
        let head = database.tenant(&tenant("team-a")).unwrap().head().clone();
        let found = head.exemplars(&[vec![]], TimeRange::ALL);
        found
            .iter()
            .map(|series| series.exemplars.iter().map(|one| one.timestamp_ms).collect())
            .collect::<Vec<Vec<i64>>>()
    };
    // Each life adds one exemplar, then everything is cut to blocks, and the log with it.
    let mut expected = Vec::new();
    for life in 0..4 {
        let database = open(directory.path());
        fill(&database, "team-a", 10.0 + f64::from(life), 10.5 + f64::from(life));
        let mut batch = WriteBatch::default();
        let timestamp_ms = hours(10.0 + f64::from(life));
        batch.push_series(series("a").as_ref(), 0).exemplar(exemplar(timestamp_ms));
        append(&database, "team-a", &batch);
        expected.push(timestamp_ms);
        assert_eq!(times(&database), [expected.clone()], "life {life}");
        let first_segment = database.log_stats().first_segment;
        database.compact(&database.tenant(&tenant("team-a")).unwrap(), CutReason::Forced).unwrap();
        // Others go on, so that the log could be cut.
        fill(&database, "team-b", 10.0 + f64::from(life), 10.5 + f64::from(life));
        database.compact(&database.tenant(&tenant("team-b")).unwrap(), CutReason::Forced).unwrap();
        database.truncate_log().unwrap();
        assert!(database.log_stats().first_segment > first_segment);
        assert_eq!(times(&database), [expected.clone()], "life {life}");
        std::mem::forget(database);
        assert_eq!(times(&open(directory.path())), [expected.clone()], "after life {life}");
    }
}

#[test]
fn a_reader_from_before_a_cut_sees_all_samples() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 13.5);
    append(&database, "team-a", &floats(&[("a", hours(12.5) + 1, 5.0)]));
    let team = database.tenant(&tenant("team-a")).unwrap();
    let before = all(&database, "team-a");
    let reader = team.select(SeriesRequest::new(vec![], TimeRange::ALL));
    database.compact(&team, CutReason::Forced).unwrap();
    assert!(team.head().series_count() > 0, "the reader keeps the head from dropping what it cut");
    let blocks = team.blocks().len();
    assert_eq!(database.compact_due(IDLE), 0);
    assert_eq!(team.blocks().len(), blocks, "nothing is cut twice");
    assert_eq!(all(&database, "team-a"), before, "new readers read blocks");
    let mut answer = read_source(reader);
    answer.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(answer, before);
    database.compact_due(IDLE);
    assert_eq!(team.head().series_count(), 0);
    assert_eq!(all(&database, "team-a"), before);
}

#[test]
fn writes_are_refused_while_everything_is_cut_or_closed() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 10.1);
    let team = database.tenant(&tenant("team-a")).unwrap();
    let check = |state, text: &str| {
        assert!(team.enter(state));
        let refused = database.append(&tenant("team-a"), &floats(&[("a", hours(11.0), 1.0)]), &LIMITS).unwrap_err();
        assert_eq!(refused.to_string(), text);
        assert_eq!(norn_base::Error::from(refused).http_status(), 503);
        assert!(matches!(database.compact(&team, CutReason::Forced), Err(CompactError::Busy { .. })));
        team.leave(state);
    };
    check(
        TenantState::ForceCompacting,
        "TSDB Head forced compaction in progress and no write request is currently allowed",
    );
    check(TenantState::Closing, "TSDB is closing");
    assert_eq!(database.append(&tenant("team-a"), &floats(&[("a", hours(10.5), 1.0)]), &LIMITS).unwrap().floats, 1);
}

#[test]
fn a_deleted_tenant_is_gone_for_good() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 14.0);
    fill(&database, "team-b", 10.0, 10.1);
    database.compact_due(IDLE);
    assert!(database.delete_tenant(&tenant("team-a")).unwrap());
    assert!(!database.delete_tenant(&tenant("team-a")).unwrap());
    assert_eq!(database.tenants(), [tenant("team-b")]);
    drop(database);
    assert_eq!(open(directory.path()).tenants(), [tenant("team-b")]);
}

#[test]
fn logs_of_other_servers_are_refused_with_the_way_out() {
    let check = |file: &str, bytes: &[u8], refused: bool| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let clock = ManualClock::at(0);
        match Database::open(settings(directory.path()), clock, SeededRandom::shared(3), &mut |_| {}) {
            Err(error) => assert!(refused && error.to_string().contains("/ingester/flush"), "{file}: {error}"),
            Ok(_) => assert!(!refused, "{file}"),
        }
    };
    check("team-a/wal/00000000", b"x", true);
    check("team-a/wal/00000000", b"", false);
    check("team-a/wbl/00000003", b"x", true);
    check("team-a/chunks_head/000001", b"x", true);
    check("team-a/wal/checkpoint.00000002/00000000", b"x", true);
    check("wal/00000001", b"x", true);
    check("team-a/notes.txt", b"x", false);
}

#[test]
fn a_damaged_block_is_put_aside() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 11.9, 12.1);
    let team = database.tenant(&tenant("team-a")).unwrap();
    let made = database.compact(&team, CutReason::Forced).unwrap();
    let index = made[0].directory.join("index");
    drop((team, database, made));
    std::fs::write(&index, b"no index").unwrap();
    let database = open(directory.path());
    assert_eq!(database.tenant(&tenant("team-a")).unwrap().blocks().len(), 1);
    assert!(index.parent().unwrap().with_extension("damaged").exists());
}

#[test]
fn a_damaged_record_costs_itself_alone_and_is_named() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 12.0);
    let before = all(&database, "team-a");
    drop(database);
    let path = directory.path().join("@wal/0000000000000003.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (database, report) = open_at(directory.path(), 0);
    assert_eq!(report.damages.len(), 1);
    assert!(report.damages[0].contains("0000000000000003.wal"), "{}", report.damages[0]);
    let after = all(&database, "team-a");
    let lost: usize = before.iter().zip(&after).map(|(before, after)| before.1.0.len() - after.1.0.len()).sum();
    assert_eq!(lost, 2, "one batch of two samples");
}

/// Files that take no more bytes while the switch is on.
struct SwitchedFiles(Arc<AtomicBool>);

struct SwitchedFile(Arc<dyn SegmentFile>, Arc<AtomicBool>);

impl SegmentFiles for SwitchedFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(SwitchedFile(MachineFiles.create(path)?, self.0.clone())))
    }
}

impl SegmentFile for SwitchedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            self.0.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_full_disk_refuses_whole_batches_and_leaves_nothing_of_them() {
    let directory = TempDir::new().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let settings = DatabaseSettings { log_files: Arc::new(SwitchedFiles(full.clone())), ..settings(directory.path()) };
    let (database, _) = Database::open(settings, ManualClock::at(0), SeededRandom::shared(3), &mut |_| {}).unwrap();
    fill(&database, "team-a", 10.0, 10.1);
    let before = all(&database, "team-a");
    full.store(true, Ordering::SeqCst);
    let batch = floats(&[("a", hours(10.2), 1.0), ("new", hours(10.2), 1.0)]);
    let refused = database.append(&tenant("team-a"), &batch, &LIMITS).unwrap_err();
    let refused = norn_base::Error::from(refused);
    assert_eq!(refused.kind(), norn_base::ErrorKind::Unavailable);
    assert!(refused.message().contains("no space left"), "{}", refused.message());
    assert_eq!(all(&database, "team-a"), before);
    assert_eq!(database.series_count(), 3);
    full.store(false, Ordering::SeqCst);
    assert_eq!(append(&database, "team-a", &batch), 2);
    let before = all(&database, "team-a");
    drop(database);
    assert_eq!(all(&open(directory.path()), "team-a"), before);
}

#[test]
fn one_sample_with_a_wrong_time_does_not_make_a_block_for_each_span_since() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    append(&database, "team-a", &floats(&[("a", 1000, 1.0)]));
    append(&database, "team-a", &floats(&[("a", hours(400_000.0), 2.0), ("b", hours(400_000.0), 2.0)]));
    append(&database, "team-a", &floats(&[("b", hours(400_003.5), 3.0)]));
    let before = all(&database, "team-a");
    let team = database.tenant(&tenant("team-a")).unwrap();
    let made = database.compact(&team, CutReason::Due).unwrap();
    let bounds: Vec<_> =
        made.iter().map(|block| (block.reader.meta().min_time, block.reader.meta().max_time)).collect();
    assert_eq!(bounds, [(1000, hours(2.0)), (hours(400_000.0), hours(400_002.0))]);
    assert_eq!(all(&database, "team-a"), before);
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, i64),
    Compact,
    Flush,
    Early,
    TruncateLog,
    Checkpoint,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..4, -40i64..8).prop_map(|(name, minutes)| Step::Append(name, minutes)),
        2 => Just(Step::Compact),
        1 => Just(Step::Flush),
        1 => Just(Step::Early),
        2 => Just(Step::TruncateLog),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is cut, truncated, checkpointed and killed in between: what was accepted is there, once.
    #[test]
    fn no_order_of_events_loses_or_doubles_a_sample(steps in prop::collection::vec(step(), 1..80)) {
        let directory = TempDir::new().unwrap();
        let mut database = open(directory.path());
        // All values that were accepted for a time: a late sample is not compared with those that blocks have, so which of
        // several is answered is open, and that one of them is, once, is not.
        let mut expected: BTreeMap<Labels, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        let mut now_ms = hours(10.0);
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(name, minutes) => {
                    now_ms += 10 * 60_000;
                    // Values differ, so samples are told from each other.
                    let (name, timestamp_ms) = (format!("s{name}"), now_ms + minutes * 60_000);
                    let batch = floats(&[(&name, timestamp_ms, index as f64)]);
                    let outcome = database.append(&tenant("team-a"), &batch, &LIMITS).unwrap();
                    if outcome.floats == 1 {
                        expected.entry(series(&name)).or_default().entry(timestamp_ms).or_default().push(index as f64);
                    }
                }
                Step::Compact => {
                    database.compact_due(IDLE);
                }
                Step::Flush => {
                    if let Some(team) = database.tenant(&tenant("team-a")) {
                        database.compact(&team, CutReason::Forced).unwrap();
                    }
                }
                Step::Early => {
                    if let Some(team) = database.tenant(&tenant("team-a")) {
                        let until_ms = now_ms - 30 * 60_000;
                        database.compact(&team, CutReason::Early { until_ms }).unwrap();
                    }
                }
                Step::TruncateLog => {
                    database.truncate_log().unwrap();
                }
                Step::Checkpoint => {
                    if let Some(team) = database.tenant(&tenant("team-a")) {
                        database.checkpoint(&team).unwrap();
                    }
                }
                Step::Kill => {
                    drop(database);
                    database = open(directory.path());
                }
            }
            let answer = all(&database, "team-a");
            let answered = |labels: &Labels, timestamp_ms: i64| {
                let (_, (floats, _)) = answer.iter().find(|row| row.0 == *labels)?;
                floats.iter().find(|float| float.0 == timestamp_ms).map(|float| float.1)
            };
            let expected: Vec<(Labels, Answer)> = expected
                .iter()
                .map(|(labels, samples)| {
                    let value = |(timestamp_ms, values): (&i64, &Vec<f64>)| {
                        let known = answered(labels, *timestamp_ms).filter(|value| values.contains(value));
                        (*timestamp_ms, known.unwrap_or(values[0]))
                    };
                    (labels.clone(), (samples.iter().map(value).collect(), vec![]))
                })
                .collect();
            prop_assert_eq!(answer, expected, "after step {}", index);
        }
    }
}

#[test]
fn many_threads_append_while_heads_are_cut_and_read() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let database = &database;
                scope.spawn(move || {
                    let names = [format!("w{writer}a"), format!("w{writer}b")];
                    for minute in 0..300 {
                        let now_ms = hours(10.0) + minute * 60_000;
                        append(database, "team-a", &floats(&[(&names[0], now_ms, 1.0), (&names[1], now_ms, 2.0)]));
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            database.compact_due(IDLE);
            database.truncate_log().unwrap();
            for (labels, (floats, _)) in all(&database, "team-a") {
                let gapless = floats.windows(2).all(|pair| pair[1].0 - pair[0].0 == 60_000);
                assert!(gapless && floats[0].0 == hours(10.0), "{labels:?}");
            }
        }
    });
    let count = |database: &Database| all(database, "team-a").iter().map(|row| row.1.0.len()).sum::<usize>();
    assert_eq!(count(&database), 3 * 2 * 300);
    drop(database);
    assert_eq!(count(&open(directory.path())), 3 * 2 * 300);
}

#[test]
fn matchers_reach_blocks_and_head_alike() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    fill(&database, "team-a", 10.0, 13.5);
    database.compact_due(IDLE);
    let team = database.tenant(&tenant("team-a")).unwrap();
    let range = TimeRange { start_ms: hours(11.9), end_ms: hours(12.1) };
    let request = SeriesRequest::new(vec![Matcher::equal("__name__", "b")], range);
    let answer = read_source(team.select(request));
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].1.0.len(), 13);
}

#[test]
fn an_estimate_is_near_the_answer_in_head_and_blocks() {
    let directory = TempDir::new().unwrap();
    let database = open(directory.path());
    for minute in 92 * 60..98 * 60 {
        append(&database, "t", &floats(&[("a", minute * 60_000, minute as f64), ("b", minute * 60_000, 1.0)]));
    }
    let check = |matchers: &[Matcher], range: TimeRange, series: u64| {
        let tenant = database.tenant(&tenant("t")).unwrap();
        let request = SeriesRequest::new(matchers.to_vec(), range);
        let answer = read_source(tenant.select(request.clone()));
        let samples: usize = answer.iter().map(|(_, (floats, histograms))| floats.len() + histograms.len()).sum();
        let count = tenant.estimate(&request).unwrap();
        assert_eq!((count.series, answer.len() as u64), (series, series), "{matchers:?} {range:?}");
        let near = samples as f64 * 0.9..=samples as f64 * 1.1;
        assert!(
            near.contains(&(count.samples as f64)),
            "{} is far from {samples}: {matchers:?} {range:?}",
            count.samples
        );
    };
    let hours = |from: f64, to: f64| TimeRange { start_ms: hours(from), end_ms: hours(to) };
    let a = [Matcher::equal("__name__", "a")];
    let check_all = || {
        check(&a, TimeRange::ALL, 1);
        check(&a, hours(93.0, 95.0), 1);
        check(&a, hours(97.5, 99.0), 1);
        check(&a, hours(99.0, 100.0), 0);
        check(&[], TimeRange::ALL, 2);
    };
    check_all();
    assert!(database.compact_due(IDLE) > 0);
    check_all();
}
