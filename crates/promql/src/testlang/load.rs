//! Fills the store.

use std::collections::BTreeMap;

use norn_gotext::number::parse_float;
use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use norn_model::labels::{LabelsBuilder, METRIC_NAME};
use norn_model::{FloatHistogram, Labels};

use super::script::{Load, LoadSeries};
use crate::memory_store::MemoryStore;
use crate::tree::SequenceValue;

/// Adds samples to the store. Fails where classic histograms cannot be stored as native ones.
pub(super) fn load(load: &Load, store: &MemoryStore) -> Result<(), String> {
    for series in &load.series {
        let labels = &series.description.labels;
        for (timestamp_ms, value, start_ms) in samples(series, load.step_ms) {
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(value) => store.push_float(labels, timestamp_ms, *value, start_ms),
                SequenceValue::Histogram(histogram) => {
                    store.push_histogram(labels, timestamp_ms, FloatHistogram::clone(histogram), start_ms);
                }
            }
        }
    }
    if load.with_native { load_native(load, store) } else { Ok(()) }
}

/// The values of a series with their times and starts.
fn samples(series: &LoadSeries, step_ms: i64) -> impl Iterator<Item = (i64, &SequenceValue, i64)> {
    let starts = series.start_offsets_ms.iter().copied().chain(std::iter::repeat(None));
    let times = (0..).map(move |index: i64| index.saturating_mul(step_ms));
    times.zip(&series.description.values).zip(starts).map(|((timestamp_ms, value), offset_ms)| {
        (timestamp_ms, value, offset_ms.map_or(0, |offset_ms| timestamp_ms.saturating_add(offset_ms)))
    })
}

/// One classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Upper bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Stores every classic histogram of a load as a native one with custom buckets.
fn load_native(load: &Load, store: &MemoryStore) -> Result<(), String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for series in &load.series {
        let labels = &series.description.labels;
        let name = labels.metric_name();
        let Some((family, part)) = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix).map(|family| (family, suffix)))
        else {
            continue;
        };
        let bound = match (part, labels.get("le").map(parse_float)) {
            ("_bucket", Some(Ok(bound))) if !bound.is_nan() => bound,
            ("_bucket", _) => continue,
            _ => f64::NAN,
        };
        let mut builder = LabelsBuilder::from(labels);
        let times = histograms.entry(builder.set(METRIC_NAME, family).remove("le").build()).or_default();
        for (timestamp_ms, value, _) in samples(series, load.step_ms) {
            let SequenceValue::Float(value) = value else { continue };
            let classic = times.entry(timestamp_ms).or_default();
            match part {
                "_bucket" => classic.buckets.push((bound, *value)),
                "_count" => classic.count = Some(*value),
                _ => classic.sum = *value,
            }
        }
    }
    for (labels, times) in histograms {
        for (timestamp_ms, classic) in times {
            let histogram = native(classic).map_err(|problem| format!("{labels:?} at {timestamp_ms} ms: {problem}"))?;
            store.push_histogram(&labels, timestamp_ms, histogram, 0);
        }
    }
    Ok(())
}

/// Counts between bounds instead of cumulative ones.
fn native(mut classic: Classic) -> Result<FloatHistogram, String> {
    classic.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
    classic.buckets.dedup_by_key(|bucket| bucket.0);
    let highest = classic.buckets.last().map_or(0.0, |bucket| bucket.1);
    let count = classic.count.unwrap_or(highest);
    if classic.buckets.last().is_none_or(|bucket| bucket.0 != f64::INFINITY) {
        classic.buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let counts: Vec<f64> =
        classic.buckets.iter().map(|bucket| bucket.1 - std::mem::replace(&mut before, bucket.1)).collect();
    if let Some(index) = counts.iter().position(|count| *count < 0.0) {
        return Err(format!("the bucket up to {} has less than the one before it", classic.buckets[index].0));
    }
    let finite = classic.buckets.iter().map(|bucket| bucket.0).filter(|bound| *bound != f64::INFINITY);
    let length = u32::try_from(counts.len()).map_err(|error| error.to_string())?;
    let mut histogram = FloatHistogram {
        count,
        sum: classic.sum,
        positive_spans: vec![Span { offset: 0, length }],
        positive_buckets: counts,
        ..FloatHistogram::empty(CUSTOM_BUCKETS_SCHEMA, finite.collect())
    };
    histogram.validate().map_err(|error| error.to_string())?;
    histogram.compact(2);
    Ok(histogram)
}
