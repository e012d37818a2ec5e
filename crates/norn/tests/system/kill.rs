//! `kill -9` at random instants under full load, while heads are cut, blocks shipped and the log truncated: nothing
//! that was acknowledged is lost, nothing is there twice.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use norn_base::random::SeededRandom;

use crate::harness::{Norn, request};
use crate::write_and_query::remote_write;

const SERIES: usize = 10_000;
const SERIES_PER_REQUEST: usize = 2_000;
const STEP_MS: i64 = 15_000;

/// Deterministic, so that a sample that was acknowledged can be checked by value.
fn value(series: usize, step: i64) -> f64 {
    series as f64 * 1000.0 + step as f64
}

/// What a writer knows: each of its parts has been acknowledged for all steps below this.
struct Writer {
    acknowledged: Vec<AtomicI64>,
}

impl Writer {
    fn new() -> Self {
        Self { acknowledged: (0..SERIES / SERIES_PER_REQUEST).map(|_| AtomicI64::new(0)).collect() }
    }

    /// Writes step after step until told to stop or the server is gone.
    fn run(&self, address: &str, start_ms: i64, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            for (part, acknowledged) in self.acknowledged.iter().enumerate() {
                let step = acknowledged.load(Ordering::Relaxed);
                let first = part * SERIES_PER_REQUEST;
                let body = remote_write(first..first + SERIES_PER_REQUEST, start_ms + step * STEP_MS, |series| {
                    value(series, step)
                });
                match request(address, "POST", "/api/v1/push", &[], &body) {
                    Some(answer) if answer.status == 200 => acknowledged.store(step + 1, Ordering::Relaxed),
                    // What was in flight when the server died may be stored or not. It is sent again, as clients do.
                    _ => return,
                }
            }
        }
    }
}

fn kills() -> usize {
    std::env::var("NORN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

#[test]
#[ignore = "takes minutes and both cores; run by .ci/run, with NORN_KILLS=50 by hand"]
#[expect(clippy::disallowed_methods, reason = "the instants of the kills are random in real time")]
fn conformance_kill_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "-blocks-storage.tsdb.head-compaction-interval=2s",
        "-blocks-storage.tsdb.ship-interval=2s",
        "-compactor.compaction-interval=5s",
        "-compactor.cleanup-interval=5s",
    ];
    let random = SeededRandom::from_entropy();
    let start_ms = 1_793_491_200_000;
    let writer = Writer::new();
    let mut peak_kib = 0;
    let mut restarts = Vec::new();
    for _ in 0..kills() {
        let begin = Instant::now();
        let mut norn = Norn::start(folder.path(), &arguments);
        restarts.push(begin.elapsed());
        let stop = AtomicBool::new(false);
        let address = norn.address.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.run(&address, start_ms, &stop));
            std::thread::sleep(Duration::from_millis(500 + random.next_u64() % 3000));
            peak_kib = peak_kib.max(norn.peak_memory_kib());
            norn.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let norn = Norn::start(folder.path(), &arguments);
    let steps: Vec<i64> = writer.acknowledged.iter().map(|steps| steps.load(Ordering::Relaxed)).collect();
    for (part, steps) in steps.iter().enumerate() {
        check_part(&norn, part, start_ms, *steps);
    }
    let slowest = restarts.iter().max().copied().unwrap_or_default();
    println!("{} kills, steps acknowledged {steps:?}, slowest start {slowest:?}, peak {peak_kib} KiB", kills());
}

/// Every acknowledged sample of a few series of each part is there once, with its value.
fn check_part(norn: &Norn, part: usize, start_ms: i64, steps: i64) {
    for series in
        [0, 1, SERIES_PER_REQUEST / 2, SERIES_PER_REQUEST - 1].map(|series| part * SERIES_PER_REQUEST + series)
    {
        let range_s = (steps + 1) * STEP_MS / 1000;
        let time_s = (start_ms + steps * STEP_MS) / 1000;
        let query = format!("system_test_total%7Bnumber%3D%22{series}%22%7D%5B{range_s}s%5D");
        let answer = norn.get(&format!("/prometheus/api/v1/query?query={query}&time={time_s}")).json();
        let found = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        for step in 0..steps {
            let sample = found.get(usize::try_from(step).unwrap());
            let time = sample.and_then(|sample| sample[0].as_i64());
            let stored = sample.and_then(|sample| sample[1].as_str()?.parse::<f64>().ok());
            let expected = (Some(start_ms / 1000 + step * STEP_MS / 1000), Some(value(series, step)));
            assert_eq!((time, stored), expected, "series {series}, step {step} of {steps}");
        }
    }
}
