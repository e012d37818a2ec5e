//! `rate`, `increase` and `delta` over `anchored` and `smoothed` ranges.
//!
//! Both know what the series was at the window's edges, so nothing is extrapolated: an anchored range counts from the
//! last sample at or before its start, a smoothed one interpolates between the samples around each edge.
//!
//! Source: Prometheus `promql/functions.go`, `extendedRate` and `extendedHistogramRate`.

use norn_model::FloatHistogram;
use norn_model::histogram::ResetHint;
use norn_model::select::HistogramPoint;

use super::quantile::first_where;
use super::rates::{Growth, add_annotated, subtract_annotated};
use super::{CallContext, Window};
use crate::annotations::Annotation;
use crate::tree::RangeExtension;

/// Which samples count: `first` and `last` are indexes into a column.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: usize,
    last: usize,
    is_smoothed: bool,
}

impl Part {
    /// `None` where no sample says anything about the window.
    fn of(window: &Window<'_>, len: usize, time: impl Fn(usize) -> i64, newer_rules: bool) -> Option<Self> {
        let is_smoothed = window.extension == RangeExtension::Smoothed;
        let mut last = len.checked_sub(1)?;
        // The last sample is never before the first one, even if both lie before the window.
        let first = first_where(last, |index| time(index) > window.range_start_ms).saturating_sub(1);
        if is_smoothed {
            last = first_where(last, |index| time(index) >= window.range_end_ms);
        }
        // Without the newer rule a series grows by nothing in a window that ends before it starts.
        let is_before = newer_rules && is_smoothed && time(first) > window.range_end_ms;
        let is_outside = is_before || time(last) <= window.range_start_ms;
        (!is_outside).then_some(Self { first, last, is_smoothed })
    }
}

/// The value of a series between two samples. After a counter's reset it grew from zero.
pub(crate) fn interpolate(before: (i64, f64), after: (i64, f64), at_ms: i64, is_counter: bool) -> f64 {
    let from = if is_counter && after.1 < before.1 { 0.0 } else { before.1 };
    from + (after.1 - from) * (at_ms - before.0) as f64 / (after.0 - before.0) as f64
}

pub(super) fn float_growth(window: &Window<'_>, growth: Growth, newer_rules: bool) -> Option<f64> {
    let times = window.timestamps_ms;
    let Part { mut first, mut last, is_smoothed } = Part::of(window, times.len(), |index| times[index], newer_rules)?;
    let sample = |index: usize| (times[index], window.values[index]);
    let left = if is_smoothed && times[first] < window.range_start_ms && first + 1 < times.len() {
        interpolate(sample(first), sample(first + 1), window.range_start_ms, growth.is_counter())
    } else {
        window.values[first]
    };
    let right = if is_smoothed && last > 0 && times[last] > window.range_end_ms {
        interpolate(sample(last - 1), sample(last), window.range_end_ms, growth.is_counter())
    } else {
        window.values[last]
    };
    let mut grown = right - left;
    if growth.is_counter() {
        // Resets at the edges are in the interpolated values already.
        first += usize::from(times[first] <= window.range_start_ms);
        let end = last + usize::from(times[last] < window.range_end_ms);
        last = end.max(first);
        grown += resets_between(left, right, &window.values[first..last]);
    }
    Some(grown / growth.divisor(window))
}

/// The sum of what a counter had counted before each of its resets.
fn resets_between(left: f64, right: f64, values: &[f64]) -> f64 {
    let mut lost = 0.0;
    let mut before = left;
    for value in values.iter().chain([&right]) {
        if *value < before {
            lost += before;
        }
        before = *value;
    }
    lost
}

pub(super) fn histogram_growth(
    window: &Window<'_>,
    growth: Growth,
    context: &mut CallContext<'_>,
) -> Option<FloatHistogram> {
    let points = window.histograms;
    let part = Part::of(window, points.len(), |index| points[index].timestamp_ms, context.newer_rules)?;
    check_kinds(&points[part.first..=part.last], growth, context)?;
    let left = left_edge(window, part, growth, context)?;
    let right = right_edge(window, part, growth, context)?;
    let are_gauges = left.reset_hint == ResetHint::Gauge && right.reset_hint == ResetHint::Gauge;
    if !growth.is_counter() && !are_gauges {
        context.annotate(Annotation::NativeHistogramNotGauge { metric: context.metric_name });
    }
    let mut grown = right.clone();
    subtract_annotated(&mut grown, &left, context)?;
    if growth.is_counter()
        && let Some(lost) = lost_by_resets(window, part, &left, &right, context)?
    {
        add_annotated(&mut grown, &lost, context)?;
    }
    if growth == Growth::Rate {
        grown.divide(window.range_seconds());
    }
    grown.reset_hint = ResetHint::Gauge;
    grown.compact(0);
    Some(grown)
}

/// Annotates gauges where counters are expected; fails where exponential and custom buckets are mixed.
fn check_kinds(points: &[HistogramPoint], growth: Growth, context: &mut CallContext<'_>) -> Option<()> {
    let is_custom = points.first()?.histogram.has_custom_buckets();
    for point in points {
        if point.histogram.has_custom_buckets() != is_custom {
            context.annotate(Annotation::MixedExponentialCustomHistograms { metric: context.metric_name });
            return None;
        }
        if growth.is_counter() && point.histogram.reset_hint == ResetHint::Gauge {
            context.annotate(Annotation::NativeHistogramNotCounter { metric: context.metric_name });
        }
    }
    Some(())
}

fn left_edge(window: &Window<'_>, part: Part, growth: Growth, context: &mut CallContext<'_>) -> Option<FloatHistogram> {
    let first = &window.histograms[part.first];
    match window.histograms.get(part.first + 1) {
        Some(second) if part.is_smoothed && first.timestamp_ms < window.range_start_ms => {
            interpolate_histograms(first, second, window.range_start_ms, growth, context)
        }
        _ => Some(FloatHistogram::clone(&first.histogram)),
    }
}

fn right_edge(
    window: &Window<'_>,
    part: Part,
    growth: Growth,
    context: &mut CallContext<'_>,
) -> Option<FloatHistogram> {
    let last = &window.histograms[part.last];
    if part.is_smoothed && part.last > 0 && last.timestamp_ms > window.range_end_ms {
        let before = &window.histograms[part.last - 1];
        return interpolate_histograms(before, last, window.range_end_ms, growth, context);
    }
    Some(FloatHistogram::clone(&last.histogram))
}

/// [`interpolate`] for histograms; `None`, with an annotation, where the two have no buckets in common. The reset hint is
/// that of the later one.
pub(crate) fn interpolate_histograms(
    before: &HistogramPoint,
    after: &HistogramPoint,
    at_ms: i64,
    growth: Growth,
    context: &mut CallContext<'_>,
) -> Option<FloatHistogram> {
    if at_ms == before.timestamp_ms {
        return Some(FloatHistogram::clone(&before.histogram));
    }
    let mut result = FloatHistogram::clone(&after.histogram);
    if at_ms == after.timestamp_ms {
        return Some(result);
    }
    let fraction = (at_ms - before.timestamp_ms) as f64 / (after.timestamp_ms - before.timestamp_ms) as f64;
    if growth.is_counter() && after.histogram.is_reset_after(&before.histogram) {
        result.multiply(fraction);
        return Some(result);
    }
    subtract_annotated(&mut result, &before.histogram, context)?;
    result.multiply(fraction);
    add_annotated(&mut result, &before.histogram, context)?;
    Some(result)
}

/// The sum of what a counter had counted before each of its resets: `Some(None)` where there was none, `None` where two
/// histograms do not add up.
fn lost_by_resets(
    window: &Window<'_>,
    part: Part,
    left: &FloatHistogram,
    right: &FloatHistogram,
    context: &mut CallContext<'_>,
) -> Option<Option<FloatHistogram>> {
    let points = window.histograms;
    let mut first = part.first + 1;
    let mut before = left;
    if let Some(second) = points.get(first)
        && part.is_smoothed
        && points[part.first].timestamp_ms < window.range_start_ms
        && second.histogram.is_reset_after(&points[part.first].histogram)
    {
        // The reset lies before the left edge's value, which was interpolated from zero.
        before = &second.histogram;
        first += 1;
    }
    if first > part.last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    // The last sample stands for itself in `right`, which has its reset hint.
    let between = points[first..part.last].iter().map(|point| &*point.histogram);
    for now in between.chain([right]) {
        if now.is_reset_after(before) {
            match &mut lost {
                Some(lost) => add_annotated(lost, before, context)?,
                None => lost = Some(before.clone()),
            }
        }
        before = now;
    }
    Some(lost)
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::window;
    use super::*;

    fn check(extension: RangeExtension, samples: &[(i64, f64)], growth: Growth, expected: Option<f64>) {
        let columns: (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let window = Window { extension, ..window(&columns, 1000, 2000) };
        assert_eq!(float_growth(&window, growth, true), expected, "{samples:?}");
    }

    #[test]
    fn anchored_ranges_count_from_the_sample_before() {
        use RangeExtension::Anchored;
        check(Anchored, &[(500, 1.0), (1500, 3.0), (2000, 4.0)], Growth::Increase, Some(3.0));
        check(Anchored, &[(500, 5.0), (1500, 3.0), (2000, 4.0)], Growth::Increase, Some(4.0));
        check(Anchored, &[(500, 5.0), (1500, 3.0), (2000, 4.0)], Growth::Delta, Some(-1.0));
        check(Anchored, &[(500, 5.0)], Growth::Increase, None);
        check(Anchored, &[(1500, 5.0)], Growth::Increase, Some(0.0));
    }

    #[test]
    fn smoothed_ranges_interpolate_at_both_edges() {
        use RangeExtension::Smoothed;
        check(Smoothed, &[(500, 0.0), (1500, 10.0), (2500, 30.0)], Growth::Delta, Some(15.0));
        check(Smoothed, &[(500, 0.0), (2500, 20.0)], Growth::Increase, Some(10.0));
        check(Smoothed, &[(500, 0.0), (1500, 10.0), (2500, 4.0)], Growth::Increase, Some(5.0 + 2.0));
        check(Smoothed, &[(2500, 4.0)], Growth::Increase, None);
        let columns = (vec![2500], vec![4.0]);
        let window = Window { extension: Smoothed, ..window(&columns, 1000, 2000) };
        assert_eq!(float_growth(&window, Growth::Increase, false), Some(0.0));
    }
}
