//! The `*_over_time` functions: one number, or one histogram, for all samples of a window.
//!
//! Source: Prometheus `promql/functions.go`.

use std::sync::Arc;

use norn_model::FloatHistogram;
use norn_model::histogram::compensated::Compensated;
use norn_model::histogram::{Combination, HistogramSum, IncompatibleSchemas};
use norn_model::select::HistogramPoint;
use smallvec::SmallVec;

use super::averages::{FloatMean, HistogramMean, ResetHints};
use super::quantile::{is_invalid, quantile as quantile_of};
use super::{CallContext, PointValue, Window, seconds};
use crate::annotations::{Annotation, HistogramOperation};

pub(super) fn sum(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    refuse_mixed(window, context)?;
    match window.histograms {
        [] => {
            let mut sum = Compensated::default();
            window.values.iter().for_each(|value| sum.add(*value));
            Some(PointValue::Float(sum.total()))
        }
        [first, rest @ ..] => {
            let mut sum = HistogramSum::new(&first.histogram);
            fold_histograms(window.histograms, rest, |histogram| sum.add(histogram), context)?;
            Some(sum.into_histogram().into())
        }
    }
}

pub(super) fn avg(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    refuse_mixed(window, context)?;
    match window.histograms {
        [] => {
            let mut mean = FloatMean::default();
            window.values.iter().for_each(|value| mean.add(*value));
            Some(PointValue::Float(mean.mean()))
        }
        [first, rest @ ..] => {
            let mut mean = HistogramMean::new(&first.histogram);
            fold_histograms(window.histograms, rest, |histogram| mean.add(histogram), context)?;
            Some(mean.into_mean().into())
        }
    }
}

fn refuse_mixed(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<()> {
    if window.is_mixed() {
        context.annotate(Annotation::MixedFloatsHistograms { metric: context.metric_name });
        return None;
    }
    Some(())
}

/// Adds the rest of a window's histograms to a state that has the first, and annotates what comes of it.
fn fold_histograms(
    all: &[HistogramPoint],
    rest: &[HistogramPoint],
    mut add: impl FnMut(&FloatHistogram) -> Result<Combination, IncompatibleSchemas>,
    context: &mut CallContext<'_>,
) -> Option<()> {
    let mut bounds_reconciled = false;
    for point in rest {
        let Ok(combination) = add(&point.histogram) else {
            context.annotate(Annotation::MixedExponentialCustomHistograms { metric: context.metric_name });
            return None;
        };
        bounds_reconciled |= combination.bounds_reconciled;
    }
    let mut hints = ResetHints::default();
    all.iter().for_each(|point| hints.see(point.histogram.reset_hint));
    let operation = HistogramOperation::Aggregation;
    if hints.collide() {
        context.annotate(Annotation::CounterResetCollision { operation });
    }
    if bounds_reconciled {
        context.annotate(Annotation::MismatchedCustomBuckets { operation });
    }
    Some(())
}

pub(super) fn count(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    Some(PointValue::Float((window.values.len() + window.histograms.len()) as f64))
}

pub(super) fn present(_window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    Some(PointValue::Float(1.0))
}

/// The floats of a window; histograms beside them are ignored, and that is annotated.
fn floats<'a>(window: &Window<'a>, context: &mut CallContext<'_>) -> Option<&'a [f64]> {
    if window.values.is_empty() {
        return None;
    }
    if !window.histograms.is_empty() {
        context.annotate(Annotation::HistogramIgnoredInMixedRange { metric: context.metric_name });
    }
    Some(window.values)
}

pub(super) fn min(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    let (first, rest) = floats(window, context)?.split_first()?;
    Some(PointValue::Float(
        rest.iter().fold(*first, |min, value| if *value < min || min.is_nan() { *value } else { min }),
    ))
}

pub(super) fn max(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    let (first, rest) = floats(window, context)?.split_first()?;
    Some(PointValue::Float(
        rest.iter().fold(*first, |max, value| if *value > max || max.is_nan() { *value } else { max }),
    ))
}

pub(super) fn time_of_min(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    time_of(window, |value, min| value <= min, context)
}

pub(super) fn time_of_max(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    time_of(window, |value, max| value >= max, context)
}

/// The time of the last value that is at least as good as all before it.
fn time_of(
    window: &Window<'_>,
    is_as_good: impl Fn(f64, f64) -> bool,
    context: &mut CallContext<'_>,
) -> Option<PointValue> {
    let values = floats(window, context)?;
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if is_as_good(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    Some(PointValue::Float(seconds(window.timestamps_ms[best])))
}

pub(super) fn stddev(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    Some(PointValue::Float(variance(floats(window, context)?).sqrt()))
}

pub(super) fn stdvar(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    Some(PointValue::Float(variance(floats(window, context)?)))
}

/// The population variance, by Welford's method with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let mut mean = Compensated::default();
    let mut squares = Compensated::default();
    for value in values {
        count += 1.0;
        let difference = value - mean.total();
        mean.add(difference / count);
        squares.add(difference * (value - mean.total()));
    }
    squares.total() / count
}

/// Values of a window, copied to be put in order.
type Scratch = SmallVec<[f64; 64]>;

pub(super) fn quantile(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    let q = context.parameter_or(0, f64::NAN);
    if window.values.is_empty() {
        return None;
    }
    if is_invalid(q) {
        context.annotate(Annotation::InvalidQuantile { quantile: q.into() });
    }
    let mut values = Scratch::from_slice(floats(window, context)?);
    Some(PointValue::Float(quantile_of(q, &mut values)))
}

pub(super) fn mad(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    let mut values = Scratch::from_slice(floats(window, context)?);
    // Without the newer rule a NaN is the lowest of the values, and so may be passed over by both medians.
    if context.newer_rules && values.iter().any(|value| value.is_nan()) {
        return Some(PointValue::Float(f64::NAN));
    }
    let median = quantile_of(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(PointValue::Float(quantile_of(0.5, &mut values)))
}

pub(super) fn first(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    match (window.timestamps_ms.first(), window.histograms.first()) {
        (Some(float_ms), Some(point)) if point.timestamp_ms <= *float_ms => Some(copied(point)),
        (None, Some(point)) => Some(copied(point)),
        _ => window.values.first().copied().map(PointValue::Float),
    }
}

pub(super) fn last(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    match (window.timestamps_ms.last(), window.histograms.last()) {
        (Some(float_ms), Some(point)) if point.timestamp_ms >= *float_ms => Some(copied(point)),
        (None, Some(point)) => Some(copied(point)),
        _ => window.values.last().copied().map(PointValue::Float),
    }
}

fn copied(point: &HistogramPoint) -> PointValue {
    PointValue::Histogram(Box::new(FloatHistogram::clone(Arc::as_ref(&point.histogram))))
}

pub(super) fn time_of_first(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    let histogram_ms = window.histograms.first().map(|point| point.timestamp_ms);
    let first_ms = window.timestamps_ms.first().copied().into_iter().chain(histogram_ms).min()?;
    Some(PointValue::Float(seconds(first_ms)))
}

pub(super) fn time_of_last(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    let histogram_ms = window.histograms.last().map(|point| point.timestamp_ms);
    let last_ms = window.timestamps_ms.last().copied().into_iter().chain(histogram_ms).max()?;
    Some(PointValue::Float(seconds(last_ms)))
}

#[cfg(test)]
mod tests;
