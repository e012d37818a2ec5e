//! `kill -9` at random instants under full load, while heads are cut, blocks shipped and compacted, and the log is cut:
//! nothing that was acknowledged is lost, nothing is there twice.
//!
//! Writers behave as real clients do: each keeps a connection, sends the next request when the last was acknowledged, and
//! sends again what was refused or cut off. What was in flight when the process died may be there or not.

#[path = "kill/check.rs"]
mod check;
#[path = "kill/writer.rs"]
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use norn_base::clock::SystemClock;
use norn_base::random::{SeededRandom, SharedRandom};

use crate::client::Client;
use crate::harness::{Norn, PATIENCE};
use writer::Writer;

/// Whose series are written, each by a writer of its own.
const TENANTS: [&str; 2] = ["one", "two"];

/// Everything that moves data is forced to do so all the time. Segments are small, so that a tenant soon is far enough
/// behind to be written to a checkpoint; local blocks go while the loop still runs, so that the bucket's are asked.
const ARGUMENTS: [&str; 14] = [
    "-auth.multitenancy-enabled=true",
    "-ingester.out-of-order-time-window=24h",
    "-ingester.max-global-exemplars-per-user=100000",
    "-blocks-storage.tsdb.wal-segment-size-bytes=524288",
    "-blocks-storage.tsdb.head-compaction-interval=1s",
    "-blocks-storage.tsdb.ship-interval=1s",
    "-blocks-storage.tsdb.retention-period=30s",
    "-blocks-storage.bucket-store.sync-interval=1s",
    "-compactor.compaction-interval=2s",
    "-compactor.first-level-compaction-wait-period=0s",
    "-compactor.cleanup-interval=1s",
    "-compactor.deletion-delay=20s",
    "-querier.query-ingesters-within=0s",
    "-querier.max-samples=1000000000",
];

fn kills() -> usize {
    std::env::var("NORN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

/// What the processes of a run needed.
#[derive(Debug, Default)]
struct Figures {
    starts: Vec<Duration>,
    /// Most memory of a process when it had just replayed, and before it was killed.
    peak_after_start_kib: u64,
    peak_kib: u64,
    killed_before_ready: usize,
}

#[test]
#[ignore = "takes a minute and both cores; NORN_KILLS=50 takes several"]
fn conformance_kill_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let random = SeededRandom::from_entropy();
    // Older than what queriers leave to ingesters alone, so that the bucket is asked too.
    let start_ms = SystemClock::shared().now_ms() / 15_000 * 15_000 - 10 * 86_400_000;
    let mut writers: Vec<Writer> = TENANTS.iter().map(|tenant| Writer::new(tenant, start_ms)).collect();
    let mut figures = Figures::default();
    for _ in 0..kills() {
        live_and_die(folder.path(), &mut writers, &random, &mut figures);
    }
    let mut norn = Norn::start(folder.path(), &ARGUMENTS);
    for writer in &writers {
        check::all_is_there(&norn, writer).unwrap();
        check::exemplars_are_there(&norn, writer).unwrap();
    }
    report(&writers, &figures);

    assert_eq!(norn.request("POST", "/ingester/flush?wait=true", &[], b"").status, 204);
    norn.kill();
    std::fs::remove_dir_all(folder.path().join("norn-data/tsdb")).unwrap();
    let norn = Norn::start(folder.path(), &ARGUMENTS);
    for writer in &writers {
        patiently(|| check::all_is_there(&norn, writer));
    }
}

/// One life of the process.
#[expect(clippy::disallowed_methods, reason = "the instants of the kills are random in real time")]
fn live_and_die(folder: &Path, writers: &mut [Writer], random: &SharedRandom, figures: &mut Figures) {
    let begin = Instant::now();
    let mut norn = Norn::spawn(folder, &ARGUMENTS);
    if random.next_u64().is_multiple_of(6) {
        std::thread::sleep(Duration::from_millis(random.next_u64() % 300));
        figures.killed_before_ready += 1;
        norn.kill();
        return;
    }
    norn.wait_until_ready();
    figures.starts.push(begin.elapsed());
    figures.peak_after_start_kib = figures.peak_after_start_kib.max(norn.peak_memory_kib());
    let stop = AtomicBool::new(false);
    let address = norn.address.clone();
    std::thread::scope(|scope| {
        for writer in writers {
            scope.spawn(|| writer.run(&address, &stop));
        }
        scope.spawn(|| disturb(&address, random, &stop));
        std::thread::sleep(Duration::from_millis(300 + random.next_u64() % 3500));
        figures.peak_kib = figures.peak_kib.max(norn.peak_memory_kib());
        norn.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Has heads cut whole now and then, of one tenant or of all.
#[expect(clippy::disallowed_methods, reason = "the instants are random in real time")]
fn disturb(address: &str, random: &SharedRandom, stop: &AtomicBool) {
    let paths = ["/ingester/flush", "/ingester/flush?tenant=one", "/ingester/flush?tenant=two&wait=true"];
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100 + random.next_u64() % 1500));
        let path = paths[usize::try_from(random.next_u64() % 3).unwrap()];
        Client::new(address).request("POST", path, &[], b"");
    }
}

/// Readers follow the bucket with some delay.
#[expect(clippy::disallowed_methods, reason = "another process is waited for, with a limit")]
fn patiently(check: impl Fn() -> Result<(), String>) {
    let begin = Instant::now();
    while let Err(problem) = check() {
        assert!(begin.elapsed() < PATIENCE, "{problem}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn report(writers: &[Writer], figures: &Figures) {
    let samples: u64 = writers.iter().map(Writer::acknowledged_samples).sum();
    let refused: u64 = writers.iter().map(|writer| writer.refused).sum();
    let mut starts = figures.starts.clone();
    starts.sort();
    println!(
        "{} kills, {} of them before ready; {samples} samples of {} series acknowledged and found; {refused} requests \
         refused for a moment and sent again; start: median {:?}, slowest {:?}; peak memory: {} KiB after a start, {} KiB",
        kills(),
        figures.killed_before_ready,
        writers.len() * writer::PARTS * writer::SERIES_PER_PART,
        starts.get(starts.len() / 2).copied().unwrap_or_default(),
        starts.last().copied().unwrap_or_default(),
        figures.peak_after_start_kib,
        figures.peak_kib,
    );
}
