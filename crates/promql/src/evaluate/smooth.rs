//! What `anchored` and `smoothed` make of samples where no function takes them: a selector of its own, or a range vector
//! as the answer.
//!
//! Source: Prometheus `promql/engine.go`, `smoothSeries` and `extendFloats`.

use norn_model::FloatHistogram;
use norn_model::Sample;
use norn_model::histogram::ResetHint;
use norn_model::select::HistogramPoint;

use crate::annotations::{Annotation, Annotations};
use crate::kernels::extended::{interpolate, interpolate_histograms};
use crate::kernels::rates::Growth;
use crate::kernels::{CallContext, Window};
use crate::tree::{Position, RangeExtension};

/// The value of a series at a time: a sample's, or what lies on the line between two, or the last one's.
///
/// - `timestamps_ms`: ascending, one for each value; no further from `time_ms` than the lookback.
/// - Result: `None` before the first sample.
pub(crate) fn float_at(timestamps_ms: &[i64], values: &[f64], time_ms: i64) -> Option<f64> {
    let next = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms < time_ms);
    if timestamps_ms.get(next) == Some(&time_ms) {
        return Some(values[next]);
    }
    let before = next.checked_sub(1)?;
    if next == timestamps_ms.len() {
        return Some(values[before]);
    }
    let sample = |index: usize| (timestamps_ms[index], values[index]);
    Some(interpolate(sample(before), sample(next), time_ms, false))
}

/// [`float_at`] for histograms; also `None` where two cannot be interpolated, with an annotation.
pub(crate) fn histogram_at(
    points: &[HistogramPoint],
    time_ms: i64,
    metric: &str,
    position: Position,
    annotations: &mut Annotations,
) -> Option<FloatHistogram> {
    let next = points.partition_point(|point| point.timestamp_ms < time_ms);
    if let Some(point) = points.get(next).filter(|point| point.timestamp_ms == time_ms) {
        return Some(FloatHistogram::clone(&point.histogram));
    }
    let before = &points[next.checked_sub(1)?];
    let Some(after) = points.get(next) else {
        let mut carried = FloatHistogram::clone(&before.histogram);
        carried.reset_hint = ResetHint::Unknown;
        return Some(carried);
    };
    if before.histogram.has_custom_buckets() != after.histogram.has_custom_buckets() {
        annotations.add(Annotation::MixedExponentialCustomHistograms { metric }, position);
        return None;
    }
    let is_gauge = |point: &HistogramPoint| point.histogram.reset_hint == ResetHint::Gauge;
    let growth = if is_gauge(before) && is_gauge(after) { Growth::Delta } else { Growth::Increase };
    let mut context =
        CallContext { parameters: &[], position, metric_name: metric, annotations, newer_rules: false, failure: None };
    interpolate_histograms(before, after, time_ms, growth, &mut context)
}

/// The floats of an extended window as samples of a range vector: one at each edge, and those between.
///
/// - Result: empty where no sample says anything about the window.
pub(crate) fn extended(window: &Window<'_>) -> Vec<Sample> {
    let (times, values) = (window.timestamps_ms, window.values);
    let (start_ms, end_ms) = (window.range_start_ms, window.range_end_ms);
    if times.last().is_none_or(|last_ms| *last_ms <= start_ms) {
        return Vec::new();
    }
    let smoothed = window.extension == RangeExtension::Smoothed;
    let (first, last) = (0, times.len() - 1);
    let sample = |index: usize| (times[index], values[index]);
    let left = if smoothed && times[first] < start_ms && last > first {
        interpolate(sample(first), sample(first + 1), start_ms, false)
    } else {
        values[first]
    };
    let right = if smoothed && times[last] > end_ms && last > 0 {
        interpolate(sample(last - 1), sample(last), end_ms, false)
    } else {
        values[last]
    };
    let between = times.iter().zip(values).filter(|(time_ms, _)| start_ms < **time_ms && **time_ms < end_ms);
    let mut samples = vec![Sample { timestamp_ms: start_ms, value: left }];
    samples.extend(between.map(|(time_ms, value)| Sample { timestamp_ms: *time_ms, value: *value }));
    samples.push(Sample { timestamp_ms: end_ms, value: right });
    samples
}
