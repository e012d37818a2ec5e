//! Appends: decided, written to the log, published; 100,000 series, a sample of each in turn, in batches of 2,000.
//!
//! Ceiling, from a sketch: a sample touches the entry of a hash table, its series (two cache lines), the start and the
//! end of its open chunk: five lines in 30 MB that no cache holds, about 60 ns each with some overlap, say 150 ns;
//! two hashes of 150 bytes of labels, 25 ns; a row in the log, 12 bytes, checksummed and copied twice, 15 ns; the chunk's
//! encoding, 20 ns. So about 210 ns of CPU a sample is what the design can reach, 4.7 million samples a second and core.
//!
//! Memory: 128 bytes for a series, 100 for its labels and posting lists, about 300 for 120 samples of a random walk.
//!
//! Last numbers, on a machine with two shared cores:
//!
//! | date | ns of CPU a sample | ns a new series | bytes resident a series: one sample, 120 samples | ns a sample of replay |
//! | --- | --- | --- | --- | --- |
//! | 2026-11-21 | 218 | 2200 | 715, 883; with `MIMALLOC_ALLOW_THP=0` 382, 774 | 282 |
//!
//! The head's own count is 593 bytes a series with 120 samples. What is resident beyond it are the bench's and the log's
//! buffers, the allocator's rounding, and, unless it is told not to, pages of 2 MiB that are hardly used.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use norn_base::clock::ManualClock;
use norn_base::random::{Random, SeededRandom, SharedRandom};
use norn_model::write::WriteBatch;
use norn_model::{Sample, TenantId};
use norn_tsdb::database::{Database, DatabaseSettings};
use norn_tsdb::head::HeadLimits;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 100_000;
const BATCH_SERIES: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;

/// Fills a batch with one sample of each of its series; labels as a cluster's are.
fn fill(batch: &mut WriteBatch, first: usize, values: &mut [f64], random: &dyn Random, timestamp_ms: i64) {
    batch.clear();
    for (index, value) in values.iter_mut().enumerate().skip(first).take(BATCH_SERIES) {
        let (pod, metric) = (index / 100, index % 100);
        let name = format!("http_server_requests_{metric}_total");
        let pod_name = format!("api-7d4f9c5b6-{pod:05}");
        let instance = format!("10.0.{}.{}:8080", pod / 250, pod % 250);
        let pairs = [
            ("__name__", name.as_str()),
            ("cluster", "production-1"),
            ("container", "api"),
            ("instance", instance.as_str()),
            ("job", "default/api"),
            ("method", ["GET", "POST", "PUT"][metric % 3]),
            ("namespace", ["default", "shop", "search"][pod % 3]),
            ("pod", pod_name.as_str()),
            ("status", ["200", "404", "500"][metric % 3]),
            ("zone", ["a", "b", "c"][pod % 3]),
        ];
        *value += (random.next_u64() % 100) as f64;
        batch.push_pairs(&pairs, 0).sample(Sample { timestamp_ms, value: *value });
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// How long this thread has run. Other jobs of the machine do not count, unlike with a clock.
fn cpu_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

struct Bench {
    database: Database,
    random: SharedRandom,
    tenant: TenantId,
    values: Vec<f64>,
    batch: WriteBatch,
    timestamp_ms: i64,
}

impl Bench {
    /// Appends one sample of each series; returns the CPU time of it.
    fn round(&mut self) -> Duration {
        let mut measured = Duration::ZERO;
        for first in (0..SERIES).step_by(BATCH_SERIES) {
            fill(&mut self.batch, first, &mut self.values, &*self.random, self.timestamp_ms);
            let start = cpu_time();
            let outcome = self.database.append(&self.tenant, &self.batch, &HeadLimits::NONE);
            measured += cpu_time() - start;
            assert_eq!(black_box(outcome).expect("the disk has room").floats, BATCH_SERIES as u64);
        }
        self.timestamp_ms += INTERVAL_MS;
        measured
    }
}

fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory for the log");
    let random = SeededRandom::shared(1);
    let clock = ManualClock::at(1_700_000_000_000);
    let settings = DatabaseSettings::new(directory.path());
    let (database, _) =
        Database::open(settings, clock, random.clone(), &mut |_| {}).expect("an empty directory is a database");
    let mut bench = Bench {
        database,
        random,
        tenant: TenantId::anonymous(),
        values: vec![0.0; SERIES],
        batch: WriteBatch::default(),
        timestamp_ms: 1_700_000_000_000 / 7_200_000 * 7_200_000,
    };
    let before = resident_bytes();
    let resident = || resident_bytes().saturating_sub(before) / SERIES;
    let first = bench.round();
    println!("new series: {} ns each, {} bytes resident each", first.as_nanos() / SERIES as u128, resident());
    let rest: Duration = (1..120).map(|_| bench.round()).sum();
    let nanoseconds = rest.as_nanos() / (119 * SERIES as u128);
    println!("120 samples each: {nanoseconds} ns a sample, {} bytes resident a series", resident());
    let tenant = bench.database.tenant(&bench.tenant).expect("the tenant has samples");
    println!("120 samples each: {} bytes a series by the head's own count", tenant.head().memory_bytes() / SERIES);
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(10);
    group.bench_function("100000_series", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| bench.round()).sum());
    });
    group.finish();
    reopen(bench, directory.path());
}

/// Opens the database again, as after a kill, and says what a sample of the log costs.
fn reopen(bench: Bench, directory: &std::path::Path) {
    let Bench { database, random, .. } = bench;
    drop(database);
    let clock = ManualClock::at(1_700_000_000_000);
    let start = cpu_time();
    let opened = Database::open(DatabaseSettings::new(directory), clock, random, &mut |_| {});
    let (_database, report) = opened.expect("what was written is read");
    let nanoseconds = (cpu_time() - start).as_nanos() / u128::from(report.samples.max(1));
    println!("replay: {nanoseconds} ns a sample, {} samples", report.samples);
}

criterion_group!(benches, append);
criterion_main!(benches);
