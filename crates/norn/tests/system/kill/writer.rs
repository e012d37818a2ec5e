//! A client that writes as fast as it is answered, and knows what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use norn_model::Labels;
use norn_model::write::WriteBatch;
use norn_rpc::{remote_write, snappy, wire};

use crate::client::Client;

/// A request has one sample of each series of a part.
pub(super) const PARTS: usize = 10;
pub(super) const SERIES_PER_PART: usize = 1_000;
/// Milliseconds between samples.
pub(super) const STEP_MS: i64 = 15_000;

/// See the module.
pub(super) struct Writer {
    pub(super) tenant: &'static str,
    /// When the first samples are, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
    pub(super) parts: Vec<Part>,
    next_part: usize,
    /// Requests that were answered with a failure that passes.
    pub(super) refused: u64,
}

/// Series that are written together.
pub(super) struct Part {
    /// The encoded labels of each series.
    labels: Vec<Vec<u8>>,
    /// All steps below this one are acknowledged.
    pub(super) acknowledged: i64,
}

/// Deterministic, so that each sample can be checked by value. Exact in a double.
pub(super) fn value(part: usize, series: usize, step: i64) -> f64 {
    let number = i64::try_from(part * SERIES_PER_PART + series).unwrap() * 1_000_003 + step * 7_919;
    (number % 1_000_000) as f64 / 8.0
}

impl Writer {
    pub(super) fn new(tenant: &'static str, start_ms: i64) -> Self {
        let parts = (0..PARTS).map(|part| Part {
            labels: (0..SERIES_PER_PART).map(|series| labels(part, series)).collect(),
            acknowledged: 0,
        });
        Self { tenant, start_ms, parts: parts.collect(), next_part: 0, refused: 0 }
    }

    pub(super) fn acknowledged_samples(&self) -> u64 {
        let steps: i64 = self.parts.iter().map(|part| part.acknowledged).sum();
        u64::try_from(steps).unwrap() * SERIES_PER_PART as u64
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn time_ms(&self, step: i64) -> i64 {
        self.start_ms + step * STEP_MS
    }

    /// Writes until told to stop.
    #[expect(clippy::disallowed_methods, reason = "a client waits for a moment before it tries again")]
    pub(super) fn run(&mut self, address: &str, stop: &AtomicBool) {
        let mut client = Client::new(address);
        while !stop.load(Ordering::Relaxed) {
            let step = self.parts[self.next_part].acknowledged;
            let body = self.body(self.next_part, step);
            let answer = client.request("POST", "/api/v1/push", &[("X-Scope-OrgID", self.tenant)], &body);
            match answer {
                Some(answer) if answer.status == 200 => {
                    self.parts[self.next_part].acknowledged += 1;
                    self.next_part = (self.next_part + 1) % PARTS;
                }
                Some(answer) => {
                    assert!(answer.status >= 500, "part {}, step {step}: {}", self.next_part, answer.text());
                    self.refused += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// A sample of each series of a part, and an exemplar of the first one.
    fn body(&self, part: usize, step: i64) -> Vec<u8> {
        let mut body = Vec::with_capacity(SERIES_PER_PART * 100);
        let timestamp_ms = self.time_ms(step).cast_unsigned();
        for (series, labels) in self.parts[part].labels.iter().enumerate() {
            let value = value(part, series, step);
            wire::put_message(&mut body, 1, |message| {
                message.extend_from_slice(labels);
                wire::put_message(message, 2, |sample| {
                    wire::put_double(sample, 1, value);
                    wire::put_uint(sample, 2, timestamp_ms);
                });
                if series == 0 {
                    wire::put_message(message, 3, |exemplar| {
                        wire::put_message(exemplar, 1, |label| {
                            wire::put_text(label, 1, "trace_id");
                            wire::put_text(label, 2, &trace_id(part, step));
                        });
                        wire::put_double(exemplar, 2, value);
                        wire::put_uint(exemplar, 3, timestamp_ms);
                    });
                }
            });
        }
        snappy::encode(&body)
    }
}

/// What an exemplar's only label says.
pub(super) fn trace_id(part: usize, step: i64) -> String {
    format!("{part}-{step}")
}

/// The labels of a series as fields of a `TimeSeries`.
fn labels(part: usize, series: usize) -> Vec<u8> {
    let mut batch = WriteBatch::default();
    let (part, series) = (part.to_string(), series.to_string());
    let labels = Labels::from_pairs([
        ("__name__", "kill_total"),
        ("instance", "host.example.org:9100"),
        ("part", &part),
        ("series", &series),
    ]);
    batch.push_series(labels.as_ref(), 0);
    let encoded = remote_write::encode::encode(&batch);
    wire::Reader::new(&encoded).next_field().unwrap().unwrap().bytes().unwrap().to_vec()
}
