//! Series in a form that can be compared: times and values as text, histograms without what encodings may change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, Waker};

use norn_model::histogram::FloatHistogram;
use norn_model::sample::{NORMAL_NAN_BITS, STALE_NAN_BITS, is_stale};
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesStore};
use norn_tsdb::block::BlockReader;
use serde_json::value::RawValue;

/// By label set: by time, what the series was then.
pub(super) type Answer = BTreeMap<String, BTreeMap<i64, String>>;

/// The folder that holds the recorded material.
pub(super) fn material() -> PathBuf {
    let folder = std::env::var("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder that holds golden/");
    let blocks = Path::new(&folder).join("golden/metrics/blocks");
    assert!(blocks.is_dir(), "{} is missing", blocks.display());
    Path::new(&folder).join("golden/metrics")
}

/// The blocks of a tenant, in the order of their names.
pub(super) fn block_directories(tenant: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tenant).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<_> = entries.filter(|path| path.join("meta.json").exists()).collect();
    directories.sort();
    assert!(!directories.is_empty(), "{} has no blocks", tenant.display());
    directories
}

/// Runs a request to its end.
pub(super) fn select(store: &dyn SeriesStore, request: SeriesRequest) -> Vec<SeriesBatch> {
    let mut source = store.select(request);
    let mut context = Context::from_waker(Waker::noop());
    let mut batches = Vec::new();
    loop {
        let mut batch = SeriesBatch::default();
        match source.poll_batch(&mut context, &mut batch) {
            Poll::Ready(Ok(true)) => batches.push(batch),
            Poll::Ready(Ok(false)) => return batches,
            Poll::Ready(Err(error)) => panic!("{error:?}"),
            Poll::Pending => {}
        }
    }
}

/// Adds what a request answers; nothing may be there twice.
pub(super) fn add_answer(block: &BlockReader, request: SeriesRequest, answer: &mut Answer) {
    for batch in select(block, request) {
        for series in batch.iter() {
            let samples = answer.entry(format!("{:?}", series.labels)).or_default();
            assert!(series.timestamps_ms.is_sorted_by(|left, right| left < right));
            for (time, value) in series.timestamps_ms.iter().zip(series.values) {
                assert_eq!(samples.insert(*time, float_text(*value)), None, "{:?} {time}", series.labels);
            }
            for point in series.histograms {
                let text = histogram_text(&point.histogram);
                assert_eq!(samples.insert(point.timestamp_ms, text), None, "{:?}", series.labels);
            }
        }
    }
}

/// A recorded series. Numbers stay text, because the JSON library rounds some of them.
#[derive(serde::Deserialize)]
struct Line {
    tenant: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    samples: Vec<(i64, Box<RawValue>)>,
    #[serde(default)]
    histograms: Vec<(i64, RecordedHistogram)>,
}

#[derive(serde::Deserialize)]
struct RecordedHistogram {
    #[serde(default)]
    schema: i32,
    sum: Box<RawValue>,
    count: Option<Box<RawValue>>,
    zero_count: Option<Box<RawValue>>,
    zero_threshold: Option<Box<RawValue>>,
    #[serde(default)]
    positive_spans: Vec<(i64, i64)>,
    #[serde(default)]
    positive_buckets: Vec<Box<RawValue>>,
    #[serde(default)]
    negative_spans: Vec<(i64, i64)>,
    #[serde(default)]
    negative_buckets: Vec<Box<RawValue>>,
    #[serde(default)]
    custom_values: Vec<Box<RawValue>>,
}

/// The recorded series of a tenant.
pub(super) fn recorded(file: &Path, tenant: &str) -> Answer {
    let mut answer = Answer::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let series: Line = serde_json::from_str(line).unwrap();
        if series.tenant != tenant {
            continue;
        }
        let labels = norn_model::Labels::from_pairs(&series.labels);
        let samples = answer.entry(format!("{labels:?}")).or_default();
        samples.extend(series.samples.iter().map(|(time, value)| (*time, float_text(number(value)))));
        samples.extend(series.histograms.iter().map(|(time, histogram)| (*time, recorded_histogram(histogram))));
    }
    assert!(!answer.is_empty(), "{} has no series of {tenant}", file.display());
    answer
}

fn number(value: &RawValue) -> f64 {
    match value.get().trim_matches('"') {
        "StaleNaN" => f64::from_bits(STALE_NAN_BITS),
        "NaN" => f64::from_bits(NORMAL_NAN_BITS),
        text => text.parse().unwrap(),
    }
}

fn float_text(value: f64) -> String {
    if value.is_nan() { format!("{:x}", value.to_bits()) } else { format!("{value:?}") }
}

/// Some of the protocols over which the series were pushed leave out a zero of either sign.
fn without_sign_of_zero(sum: f64) -> f64 {
    if sum == 0.0 { 0.0 } else { sum }
}

fn histogram_text(histogram: &FloatHistogram) -> String {
    if is_stale(histogram.sum) {
        return "stale".to_owned();
    }
    let buckets = |spans: &[norn_model::histogram::Span], counts: &[f64]| {
        let pairs: Vec<(i64, i64)> =
            spans.iter().map(|span| (i64::from(span.offset), i64::from(span.length))).collect();
        used_buckets(&pairs, counts)
    };
    format!(
        "schema {} count {:?} sum {} zero {:?} within {:?} positive {:?} negative {:?} bounds {:?}",
        histogram.schema,
        histogram.count,
        float_text(without_sign_of_zero(histogram.sum)),
        histogram.zero_count,
        histogram.zero_threshold,
        buckets(&histogram.positive_spans, &histogram.positive_buckets),
        buckets(&histogram.negative_spans, &histogram.negative_buckets),
        histogram.custom_values,
    )
}

fn recorded_histogram(histogram: &RecordedHistogram) -> String {
    let sum = number(&histogram.sum);
    if is_stale(sum) {
        return "stale".to_owned();
    }
    let numbers = |values: &[Box<RawValue>]| values.iter().map(|value| number(value)).collect::<Vec<f64>>();
    let optional = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0.0, |value| number(value));
    format!(
        "schema {} count {:?} sum {} zero {:?} within {:?} positive {:?} negative {:?} bounds {:?}",
        histogram.schema,
        optional(&histogram.count),
        float_text(without_sign_of_zero(sum)),
        optional(&histogram.zero_count),
        optional(&histogram.zero_threshold),
        used_buckets(&histogram.positive_spans, &numbers(&histogram.positive_buckets)),
        used_buckets(&histogram.negative_spans, &numbers(&histogram.negative_buckets)),
        numbers(&histogram.custom_values),
    )
}

/// Index and count of the buckets that are not empty: which empty ones are written is up to the encoder.
fn used_buckets(spans: &[(i64, i64)], counts: &[f64]) -> Vec<(i64, f64)> {
    let mut used = Vec::new();
    let mut counts = counts.iter();
    let mut index = 0;
    for (offset, length) in spans {
        index += offset;
        for _ in 0..*length {
            let count = *counts.next().expect("as many buckets as the spans say");
            if count != 0.0 {
                used.push((index, count));
            }
            index += 1;
        }
    }
    used
}
