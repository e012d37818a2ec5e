//! `rate`, `increase`, `delta` and `irate`, `idelta`: how much a series grew in a window.
//!
//! Samples rarely lie on a window's edges. The first family extrapolates what grew between the first and the last sample
//! to the edges, unless a sample is missing there, or a counter would have been negative. Where a sample tells when its
//! counter started, the start counts as a sample of zero, and nothing is extrapolated over it.
//!
//! Source: Prometheus `promql/functions.go`, `extrapolatedRate`, `histogramRate` and `instantValue`.

use norn_model::FloatHistogram;
use norn_model::histogram::{IncompatibleSchemas, ResetHint};
use norn_model::select::HistogramPoint;

use super::{CallContext, PointValue, Window, extended, seconds};
use crate::annotations::{Annotation, HistogramOperation};
use crate::tree::RangeExtension;

/// Which of the three a kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Per second, of a counter.
    Rate,
    /// In the whole window, of a counter.
    Increase,
    /// In the whole window, of a gauge.
    Delta,
}

impl Growth {
    /// Whether a value that goes down is a reset.
    pub(super) fn is_counter(self) -> bool {
        self != Self::Delta
    }

    /// What the growth in the whole window is divided by.
    pub(super) fn divisor(self, window: &Window<'_>) -> f64 {
        if self == Self::Rate { window.range_seconds() } else { 1.0 }
    }
}

pub(super) fn rate(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    growth(window, Growth::Rate, context)
}

pub(super) fn increase(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    growth(window, Growth::Increase, context)
}

pub(super) fn delta(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    growth(window, Growth::Delta, context)
}

fn growth(window: &Window<'_>, growth: Growth, context: &mut CallContext<'_>) -> Option<PointValue> {
    if window.is_mixed() {
        context.annotate(Annotation::MixedFloatsHistograms { metric: context.metric_name });
        return None;
    }
    match (window.extension, window.histograms.is_empty()) {
        (RangeExtension::None, true) => float_growth(window, growth, context).map(PointValue::Float),
        (RangeExtension::None, false) => histogram_growth(window, growth, context).map(PointValue::from),
        (_, true) => extended::float_growth(window, growth, context.newer_rules).map(PointValue::Float),
        (_, false) => extended::histogram_growth(window, growth, context).map(PointValue::from),
    }
}

/// Where a window's samples begin and end, for the extrapolation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    pub(super) range_start_ms: i64,
    pub(super) range_end_ms: i64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) samples: usize,
}

impl Edges {
    fn of(
        window: &Window<'_>,
        times: impl ExactSizeIterator<Item = i64> + DoubleEndedIterator + Clone,
    ) -> Option<Self> {
        Some(Self {
            range_start_ms: window.range_start_ms,
            range_end_ms: window.range_end_ms,
            first_ms: times.clone().next()?,
            last_ms: times.clone().next_back()?,
            samples: times.len(),
        })
    }

    /// What growth between the first and the last sample is multiplied with to be the growth in the whole window.
    ///
    /// - `to_zero`: the first value and the growth of a counter, both known not to be negative.
    /// - There are at least two samples.
    pub(super) fn factor(&self, to_zero: Option<(f64, f64)>) -> f64 {
        let (sampled, mut to_start) = self.sampled_and_to_start();
        let spacing = sampled / (self.samples - 1) as f64;
        if let Some((first, growth)) = to_zero {
            to_start = to_start.min(sampled * (first / growth));
        }
        self.with_end(sampled, to_start, spacing * 1.1, spacing)
    }

    /// How many seconds lie between the samples, and how many more before them the series is taken to have been there,
    /// if it was not at zero later.
    pub(super) fn sampled_and_to_start(&self) -> (f64, f64) {
        let sampled = seconds(self.last_ms - self.first_ms);
        let spacing = sampled / (self.samples - 1) as f64;
        let to_start = seconds(self.first_ms - self.range_start_ms);
        // A sample that is more than a tenth late is missing: the series starts, or ends, half a spacing away.
        (sampled, if to_start >= spacing * 1.1 { spacing / 2.0 } else { to_start })
    }

    /// The factor where the counter started inside the window, at zero.
    fn factor_from_start(&self, start_ms: i64) -> f64 {
        let spacing =
            if self.samples > 1 { seconds(self.last_ms - self.first_ms) / (self.samples - 1) as f64 } else { 0.0 };
        self.with_end(seconds(self.last_ms - start_ms), 0.0, spacing * 1.1, spacing)
    }

    fn with_end(&self, sampled: f64, to_start: f64, threshold: f64, spacing: f64) -> f64 {
        let mut to_end = seconds(self.range_end_ms - self.last_ms);
        if to_end >= threshold {
            to_end = spacing / 2.0;
        }
        if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
    }

    /// The start of the first sample's counter, if it lies in the window before the sample.
    fn start_inside(&self, starts_ms: &[i64]) -> Option<i64> {
        let start_ms = *starts_ms.first()?;
        (start_ms != 0 && start_ms > self.range_start_ms && start_ms < self.first_ms).then_some(start_ms)
    }
}

fn float_growth(window: &Window<'_>, growth: Growth, context: &mut CallContext<'_>) -> Option<f64> {
    let edges = Edges::of(window, window.timestamps_ms.iter().copied())?;
    let (first, last) = (*window.values.first()?, *window.values.last()?);
    let mut grown = last - first;
    if growth.is_counter() {
        for (index, pair) in window.values.windows(2).enumerate() {
            if pair[1] < pair[0] || is_start_reset(window.timestamps_ms, window.starts_ms, index) {
                grown += pair[0];
            }
        }
        annotate_overlap(window.timestamps_ms.iter().copied(), window.starts_ms, context);
    }
    let started = if growth.is_counter() { edges.start_inside(window.starts_ms) } else { None };
    let factor = match started {
        Some(start_ms) => {
            grown += first;
            edges.factor_from_start(start_ms)
        }
        None if edges.samples < 2 => return None,
        None => edges.factor((growth.is_counter() && grown > 0.0 && first >= 0.0).then_some((first, grown))),
    };
    Some(grown * (factor / growth.divisor(window)))
}

fn histogram_growth(window: &Window<'_>, growth: Growth, context: &mut CallContext<'_>) -> Option<FloatHistogram> {
    let points = window.histograms;
    let times = points.iter().map(|point| point.timestamp_ms);
    let edges = Edges::of(window, times.clone())?;
    let first = &points.first()?.histogram;
    let mut grown = if points.len() > 1 { Some(histogram_difference(window, growth, context)?) } else { None };
    let started = if growth.is_counter() { edges.start_inside(window.histogram_starts_ms) } else { None };
    let factor = match started {
        Some(start_ms) => {
            match &mut grown {
                Some(grown) => add_annotated(grown, first, context)?,
                None => grown = Some(FloatHistogram::clone(first)),
            }
            edges.factor_from_start(start_ms)
        }
        None => {
            let count = grown.as_ref()?.count;
            edges.factor((growth.is_counter() && count > 0.0 && first.count >= 0.0).then_some((first.count, count)))
        }
    };
    let mut grown = grown?;
    grown.multiply(factor / growth.divisor(window));
    Some(grown)
}

/// The growth from the first to the last of at least two histograms, resets made good.
fn histogram_difference(window: &Window<'_>, growth: Growth, context: &mut CallContext<'_>) -> Option<FloatHistogram> {
    let points = window.histograms;
    let [first, second, ..] = points else { return None };
    let last = &points.last()?.histogram;
    let is_gauge = |point: &HistogramPoint| point.histogram.reset_hint == ResetHint::Gauge;
    if growth.is_counter() && points.iter().any(is_gauge) {
        context.annotate(Annotation::NativeHistogramNotCounter { metric: context.metric_name });
    }
    let times = points.iter().map(|point| point.timestamp_ms);
    let starts_ms = window.histogram_starts_ms;
    let is_reset = |index: usize, before: &FloatHistogram, now: &FloatHistogram| {
        is_start_reset_at(points[index].timestamp_ms, points[index + 1].timestamp_ms, starts_ms, index)
            || now.is_reset_after(before)
    };
    // Before a reset the layout may have been another one, and the first sample does not count anyway.
    let empty = FloatHistogram::empty(second.histogram.schema, second.histogram.custom_values.clone());
    let starts_over = growth.is_counter() && is_reset(0, &first.histogram, &second.histogram);
    let base: &FloatHistogram = if starts_over { &empty } else { &first.histogram };
    let between = if growth.is_counter() { &points[1..points.len() - 1] } else { &[] };
    let is_custom = base.has_custom_buckets();
    if last.has_custom_buckets() != is_custom
        || between.iter().any(|point| point.histogram.has_custom_buckets() != is_custom)
    {
        context.annotate(Annotation::MixedExponentialCustomHistograms { metric: context.metric_name });
        return None;
    }
    let schemas = between.iter().map(|point| point.histogram.schema).chain([base.schema]);
    let mut grown = FloatHistogram::clone(last);
    grown.reduce_resolution(schemas.min().unwrap_or(grown.schema));
    subtract_annotated(&mut grown, base, context)?;
    if growth.is_counter() {
        annotate_overlap(times, starts_ms, context);
        let mut before = base;
        for (index, point) in points[1..].iter().enumerate() {
            if is_reset(index, before, &point.histogram) {
                add_annotated(&mut grown, before, context)?;
            }
            before = &point.histogram;
        }
    } else if !is_gauge(first) || !points.last().is_some_and(is_gauge) {
        context.annotate(Annotation::NativeHistogramNotGauge { metric: context.metric_name });
    }
    grown.reset_hint = ResetHint::Gauge;
    grown.compact(0);
    Some(grown)
}

/// Adds, or annotates why that is not possible.
pub(super) fn add_annotated(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    context: &mut CallContext<'_>,
) -> Option<()> {
    let combination = sum.add(other);
    annotate_combination(combination, HistogramOperation::Addition, context)
}

/// Subtracts, or annotates why that is not possible.
pub(super) fn subtract_annotated(
    difference: &mut FloatHistogram,
    other: &FloatHistogram,
    context: &mut CallContext<'_>,
) -> Option<()> {
    let combination = difference.subtract(other);
    annotate_combination(combination, HistogramOperation::Subtraction, context)
}

/// Annotates what came of two histograms of one series. Colliding resets are not worth a word: the callers look at
/// resets themselves.
fn annotate_combination(
    combination: Result<norn_model::histogram::Combination, IncompatibleSchemas>,
    operation: HistogramOperation,
    context: &mut CallContext<'_>,
) -> Option<()> {
    match combination {
        Ok(combination) => {
            if combination.bounds_reconciled {
                context.annotate(Annotation::MismatchedCustomBuckets { operation });
            }
            Some(())
        }
        Err(IncompatibleSchemas) => {
            context.annotate(Annotation::MixedExponentialCustomHistograms { metric: context.metric_name });
            None
        }
    }
}

/// Whether the sample after `index` says that its counter started after the sample at `index`.
pub(super) fn is_start_reset(timestamps_ms: &[i64], starts_ms: &[i64], index: usize) -> bool {
    is_start_reset_at(timestamps_ms[index], timestamps_ms[index + 1], starts_ms, index)
}

/// See [`is_start_reset`].
pub(super) fn is_start_reset_at(before_ms: i64, now_ms: i64, starts_ms: &[i64], index: usize) -> bool {
    let (Some(&start_before_ms), Some(&start_ms)) = (starts_ms.get(index), starts_ms.get(index + 1)) else {
        return false;
    };
    is_reset_by_start(start_before_ms, before_ms, start_ms, now_ms)
}

/// Whether a counter was reset between two samples, by what they know about their starts. A start of 0, or at or after
/// its own sample, is unknown. One exactly at the sample before is that of a delta, which starts anew at every sample,
/// but only if that sample knew its start too.
fn is_reset_by_start(start_before_ms: i64, before_ms: i64, start_ms: i64, now_ms: i64) -> bool {
    if start_ms == 0 || start_ms >= now_ms || start_ms < before_ms {
        return false;
    }
    start_ms > before_ms || (start_before_ms != 0 && start_before_ms < before_ms)
}

/// Warns where a sample's counter started before the sample in front of it, yet at another time than that one's.
fn annotate_overlap(times: impl Iterator<Item = i64>, starts_ms: &[i64], context: &mut CallContext<'_>) {
    let overlaps = times.zip(starts_ms.windows(2)).any(|(before_ms, starts)| {
        let [start_before_ms, start_ms] = *starts else { return false };
        start_ms != 0 && start_ms < before_ms && start_ms != start_before_ms
    });
    if overlaps {
        context.annotate(Annotation::StartTimeOverlap { metric: context.metric_name });
    }
}

pub(super) fn irate(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    instant_growth(window, Growth::Rate, context)
}

pub(super) fn idelta(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    instant_growth(window, Growth::Delta, context)
}

/// A sample of either column.
#[derive(Debug, Clone, Copy)]
enum Last<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// The last two samples of both columns, older first, with their times and starts.
fn last_two<'a>(window: &Window<'a>) -> Option<[(i64, i64, Last<'a>); 2]> {
    let start = |starts: &[i64], index: usize| starts.get(index).copied().unwrap_or(0);
    let mut floats = (0..window.values.len())
        .rev()
        .map(|index| (window.timestamps_ms[index], start(window.starts_ms, index), Last::Float(window.values[index])));
    let mut histograms = (0..window.histograms.len()).rev().map(|index| {
        let point = &window.histograms[index];
        (point.timestamp_ms, start(window.histogram_starts_ms, index), Last::Histogram(&point.histogram))
    });
    let (mut float, mut histogram) = (floats.next(), histograms.next());
    let mut take = || match (float, histogram) {
        (Some(newer), Some(older)) if newer.0 > older.0 => std::mem::replace(&mut float, floats.next()),
        (Some(_), None) => std::mem::replace(&mut float, floats.next()),
        (_, Some(_)) => std::mem::replace(&mut histogram, histograms.next()),
        (None, None) => None,
    };
    let last = take()?;
    Some([take()?, last])
}

fn instant_growth(window: &Window<'_>, growth: Growth, context: &mut CallContext<'_>) -> Option<PointValue> {
    let [(before_ms, start_before_ms, before), (now_ms, start_ms, now)] = last_two(window)?;
    let interval = seconds(now_ms - before_ms);
    if interval == 0.0 {
        return None;
    }
    let starts_over = growth.is_counter() && is_reset_by_start(start_before_ms, before_ms, start_ms, now_ms);
    let divisor = if growth == Growth::Rate { interval } else { 1.0 };
    match (before, now) {
        (Last::Float(before), Last::Float(now)) => {
            let is_reset = starts_over || (growth.is_counter() && now < before);
            let grown = if is_reset { now } else { now - before };
            Some(PointValue::Float(grown / divisor))
        }
        (Last::Histogram(before), Last::Histogram(now)) => {
            annotate_kind(before, now, growth, context);
            let mut grown = now.clone();
            let is_reset = starts_over || (growth.is_counter() && now.is_reset_after(before));
            if !is_reset {
                subtract_annotated(&mut grown, before, context)?;
            }
            grown.reset_hint = ResetHint::Gauge;
            grown.compact(0);
            grown.divide(divisor);
            Some(grown.into())
        }
        (Last::Float(_), Last::Histogram(_)) | (Last::Histogram(_), Last::Float(_)) => {
            context.annotate(Annotation::MixedFloatsHistograms { metric: context.metric_name });
            None
        }
    }
}

/// Warns where a counter's function meets a gauge, or a gauge's a counter.
fn annotate_kind(before: &FloatHistogram, now: &FloatHistogram, growth: Growth, context: &mut CallContext<'_>) {
    let gauges = [before, now].map(|histogram| histogram.reset_hint == ResetHint::Gauge);
    if growth.is_counter() && gauges.contains(&true) {
        context.annotate(Annotation::NativeHistogramNotCounter { metric: context.metric_name });
    } else if !growth.is_counter() && gauges.contains(&false) {
        context.annotate(Annotation::NativeHistogramNotGauge { metric: context.metric_name });
    }
}

#[cfg(test)]
mod tests;
