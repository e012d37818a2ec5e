//! Appends: decided, written to the log, published; 100,000 series, a sample of each in turn, in batches of 2,000.
//!
//! Ceiling, from a sketch: a sample touches the entry of a hash table, its series (two cache lines), the start and the
//! end of its open chunk: five lines in 30 MB that no cache holds, about 60 ns each with some overlap, say 150 ns;
//! two hashes of 150 bytes of labels, 25 ns; a row in the log, 12 bytes, checksummed and copied twice, 15 ns; the chunk's
//! encoding, 20 ns. So about 210 ns of CPU a sample is what the design can reach, 4.7 million samples a second and core.
//!
//! Memory: 128 bytes for a series, 100 for its labels and posting lists, about 300 for 120 samples of a random walk.
//!
//! Last numbers: see the table at the end of this comment.
//!
//! | date | machine | ns of CPU a sample | bytes of resident memory a series, idle / with 120 samples |
//! | --- | --- | --- | --- |

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use norn_base::clock::ManualClock;
use norn_base::random::{Random, SeededRandom};
use norn_model::write::WriteBatch;
use norn_model::{Sample, TenantId};
use norn_tsdb::database::{Database, DatabaseSettings};
use norn_tsdb::head::HeadLimits;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 100_000;
const BATCH_SERIES: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;

/// Batches that together hold one sample of each series; labels as a cluster's are.
fn batches(values: &mut [f64], random: &dyn Random, timestamp_ms: i64) -> Vec<WriteBatch> {
    let mut batches = Vec::with_capacity(SERIES / BATCH_SERIES);
    for start in (0..SERIES).step_by(BATCH_SERIES) {
        let mut batch = WriteBatch::default();
        for index in start..start + BATCH_SERIES {
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
            values[index] += (random.next_u64() % 100) as f64;
            batch.push_pairs(&pairs, 0).sample(Sample { timestamp_ms, value: values[index] });
        }
        batches.push(batch);
    }
    batches
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory for the log");
    let random = SeededRandom::shared(1);
    let clock = ManualClock::at(1_700_000_000_000);
    let settings = DatabaseSettings::new(directory.path());
    let (database, _) =
        Database::open(settings, clock, random.clone(), &mut |_| {}).expect("an empty directory is a database");
    let tenant = TenantId::anonymous();
    let mut values = vec![0.0; SERIES];
    let mut timestamp_ms = 1_700_000_000_000 / 7_200_000 * 7_200_000;
    let mut round = |measured: &mut std::time::Duration| {
        let batches = batches(&mut values, &*random, timestamp_ms);
        timestamp_ms += INTERVAL_MS;
        let start = Instant::now();
        for batch in &batches {
            let outcome = database.append(&tenant, batch, &HeadLimits::NONE).expect("the disk has room");
            assert_eq!(black_box(outcome).floats, BATCH_SERIES as u64);
        }
        *measured += start.elapsed();
    };
    let before = resident_bytes();
    let mut first = std::time::Duration::ZERO;
    round(&mut first);
    println!("new series: {} ns each", first.as_nanos() / SERIES as u128);
    println!("one sample each: {} bytes a series", (resident_bytes().saturating_sub(before)) / SERIES);
    let mut rest = std::time::Duration::ZERO;
    for _ in 1..120 {
        round(&mut rest);
    }
    println!("120 samples each: {} ns a sample", rest.as_nanos() / (119 * SERIES as u128));
    println!("120 samples each: {} bytes a series", (resident_bytes().saturating_sub(before)) / SERIES);
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(10);
    group.bench_function("100000_series", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut measured = std::time::Duration::ZERO;
            (0..iterations).for_each(|_| round(&mut measured));
            measured
        });
    });
    group.finish();
    if let Some(tenant) = database.tenant(&tenant) {
        println!("head: {} bytes a series by its own count", tenant.head().memory_bytes() / SERIES);
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
