//! Selectors: what is asked of the store, and the current point of a series at each step.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};
use norn_base::Result;
use norn_model::histogram::ResetHint;
use norn_model::labels::METRIC_NAME;
use norn_model::sample::is_stale;
use norn_model::select::{
    HistogramPoint, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, SeriesView, TimeRange,
};
use norn_model::{FloatHistogram, Labels};

use super::column::{Column, Steps};
use super::names::pass;
use super::run::{Held, Run};
use super::smooth;
use super::{Series, Sink};
use crate::plan::node::{Reading, Selector};
use crate::tree::RangeExtension;

/// Reads the batches of a selector, one after the other.
pub(crate) struct Reader {
    sources: Vec<Box<dyn SeriesSource>>,
    current: usize,
    pub(crate) batch: SeriesBatch,
    /// Hashes of the series that an earlier alternative of the selector has delivered.
    delivered: Option<HashSet<u64>>,
    held: Held,
}

impl Reader {
    /// Asks the store. `range` is what the consumer needs, offset included.
    pub(crate) fn open(run: &Run<'_>, selector: &Selector, range: TimeRange) -> Self {
        let select = |matchers: &Vec<norn_model::Matcher>| {
            run.store.select(SeriesRequest {
                matchers: matchers.clone(),
                range,
                projection: selector.projection.clone(),
                shard: run.shard,
                order: SeriesOrder::Any,
                labels_only: false,
            })
        };
        Self {
            sources: selector.matchers.iter().map(select).collect(),
            current: 0,
            batch: SeriesBatch::default(),
            delivered: (selector.matchers.len() > 1).then(HashSet::new),
            held: run.held(),
        }
    }

    /// Reads the next batch; false at the end.
    pub(crate) async fn next(&mut self, run: &mut Run<'_>) -> Result<bool> {
        run.breathe().await;
        while let Some(source) = self.sources.get_mut(self.current) {
            if std::future::poll_fn(|context| source.poll_batch(context, &mut self.batch)).await? {
                run.stats.series += self.batch.len() as u64;
                run.stats.samples += self.batch.sample_count() as u64;
                run.hold_instead(&mut self.held, 0, self.batch.sample_bytes() as u64)?;
                return Ok(true);
            }
            for warning in source.warnings() {
                run.annotations.add_store_warning(warning);
            }
            self.current += 1;
        }
        run.check()?;
        Ok(false)
    }

    /// Whether an earlier alternative of the selector has not delivered this series already.
    pub(crate) fn is_new(&mut self, hash: u64) -> bool {
        self.delivered.as_mut().is_none_or(|delivered| delivered.insert(hash))
    }
}

/// The name of a series: fixed by the selector, or read from the labels.
pub(crate) fn metric_name<'a>(selector: &'a Selector, labels: &'a Labels) -> &'a str {
    selector.metric_name.as_deref().unwrap_or_else(|| labels.get(METRIC_NAME).unwrap_or(""))
}

/// The time that a selector looks at for a step.
#[inline]
pub(crate) fn looked_at_ms(selector: &Selector, steps: Steps, step: usize) -> i64 {
    selector.at_ms.unwrap_or_else(|| steps.time_ms(step)).saturating_sub(selector.offset_ms)
}

/// All samples that an instant vector selector looks at; there is at least one step.
pub(crate) fn time_range(selector: &Selector, steps: Steps, lookback_ms: i64) -> TimeRange {
    let after_ms = if selector.extension == RangeExtension::Smoothed { lookback_ms } else { 0 };
    TimeRange {
        start_ms: looked_at_ms(selector, steps, 0).saturating_sub(lookback_ms).saturating_add(1),
        end_ms: looked_at_ms(selector, steps, steps.count - 1).saturating_add(after_ms),
    }
}

/// Evaluates an instant vector selector.
pub(super) async fn stream(run: &mut Run<'_>, selector: &Selector, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let lookback_ms = run.options.lookback_ms;
    let smoothed = selector.extension == RangeExtension::Smoothed;
    let mut reader = Reader::open(run, selector, time_range(selector, steps, lookback_ms));
    let mut column = Column::default();
    while reader.next(run).await? {
        let batch = std::mem::take(&mut reader.batch);
        for series in batch.iter() {
            if !reader.is_new(series.hash) {
                continue;
            }
            let resets = selector.finds_resets.then(|| with_resets(series.histograms));
            let series = SeriesView { histograms: resets.as_deref().unwrap_or(series.histograms), ..series };
            column.reset(steps);
            if smoothed {
                smooth_points(run, selector, steps, series, &mut column);
            } else {
                current_points(selector, steps, lookback_ms, series, &mut column);
            }
            run.work(steps.count)?;
            if !column.is_empty() {
                let metric_name = metric_name(selector, series.labels);
                let column = &mut column;
                pass(
                    run,
                    selector.names,
                    Series { labels: series.labels, metric_name, drop_name: false, column },
                    sink,
                )?;
            }
        }
        reader.batch = batch;
    }
    Ok(())
}

/// Sets the current point of each step: the last one that is not older than the lookback, unless it is a stale marker.
fn current_points(selector: &Selector, steps: Steps, lookback_ms: i64, series: SeriesView<'_>, column: &mut Column) {
    if !series.histograms.is_empty() {
        return current_points_mixed(selector, steps, lookback_ms, series, column);
    }
    let timestamps_ms = series.timestamps_ms;
    let mut after = 0;
    for step in 0..steps.count {
        let time_ms = looked_at_ms(selector, steps, step);
        after = advance(timestamps_ms, after, time_ms);
        let Some(index) = after.checked_sub(1) else { continue };
        let value = series.values[index];
        if timestamps_ms[index] > time_ms.saturating_sub(lookback_ms) && !is_stale(value) {
            column.set(step, reading(selector.reading, series, index));
        }
    }
}

/// The number of times that are not later than `time_ms`, of which the first `known` are known to be among them.
#[inline]
pub(crate) fn advance(timestamps_ms: &[i64], known: usize, time_ms: i64) -> usize {
    // Steps are mostly about as dense as samples; where they are not, a few steps decide for a binary search.
    let mut index = known;
    for _ in 0..8 {
        if index >= timestamps_ms.len() || timestamps_ms[index] > time_ms {
            return index;
        }
        index += 1;
    }
    index + timestamps_ms[index..].partition_point(|timestamp_ms| *timestamp_ms <= time_ms)
}

#[inline]
fn reading(reading: Reading, series: SeriesView<'_>, index: usize) -> f64 {
    match reading {
        Reading::Value => series.values[index],
        Reading::Timestamp | Reading::FloatTimestamp => series.timestamps_ms[index] as f64 / 1000.0,
        Reading::StartTimestamp => series.starts_ms.get(index).copied().unwrap_or(0) as f64 / 1000.0,
    }
}

fn current_points_mixed(
    selector: &Selector,
    steps: Steps,
    lookback_ms: i64,
    series: SeriesView<'_>,
    column: &mut Column,
) {
    let (mut floats, mut histograms) = (0, 0);
    for step in 0..steps.count {
        let time_ms = looked_at_ms(selector, steps, step);
        floats = advance(series.timestamps_ms, floats, time_ms);
        while series.histograms.get(histograms).is_some_and(|point| point.timestamp_ms <= time_ms) {
            histograms += 1;
        }
        let float_ms = floats.checked_sub(1).map(|index| series.timestamps_ms[index]);
        let histogram_ms = histograms.checked_sub(1).map(|index| series.histograms[index].timestamp_ms);
        let Some(newest_ms) = float_ms.max(histogram_ms) else { continue };
        if newest_ms <= time_ms.saturating_sub(lookback_ms) {
            continue;
        }
        if float_ms == Some(newest_ms) {
            if !is_stale(series.values[floats - 1]) {
                column.set(step, reading(selector.reading, series, floats - 1));
            }
            continue;
        }
        let point = &series.histograms[histograms - 1];
        if is_stale(point.histogram.sum) {
            continue;
        }
        match selector.reading {
            Reading::Value | Reading::FloatTimestamp => column.push_histogram(step, Arc::clone(&point.histogram)),
            Reading::Timestamp => column.set(step, point.timestamp_ms as f64 / 1000.0),
            Reading::StartTimestamp => {
                let start_ms = series.histogram_starts_ms.get(histograms - 1).copied().unwrap_or(0);
                column.set(step, start_ms as f64 / 1000.0);
            }
        }
    }
}

/// Histograms that say how they relate to the one before them, if that was not known.
///
/// Source: Prometheus `promql/histogram_stats_iterator.go`.
pub(crate) fn with_resets(points: &[HistogramPoint]) -> Vec<HistogramPoint> {
    let mut found: Vec<HistogramPoint> = Vec::with_capacity(points.len());
    let mut before: Option<&FloatHistogram> = None;
    for point in points {
        let mut point_found = point.clone();
        if !is_stale(point.histogram.sum) {
            if let Some(before) = before.filter(|_| point.histogram.reset_hint == ResetHint::Unknown) {
                let is_reset = point.histogram.is_reset_after(before);
                let reset_hint = if is_reset { ResetHint::CounterReset } else { ResetHint::NotCounterReset };
                point_found.histogram =
                    Arc::new(FloatHistogram { reset_hint, ..FloatHistogram::clone(&point.histogram) });
            }
            before = Some(&point.histogram);
        }
        found.push(point_found);
    }
    found
}

/// Sets the value of each step to what lies on the line between the samples around it, each no further than the
/// lookback away; after the last sample to that one. Source: Prometheus `promql/engine.go`, `smoothSeries`.
fn smooth_points(run: &mut Run<'_>, selector: &Selector, steps: Steps, series: SeriesView<'_>, column: &mut Column) {
    let lookback_ms = run.options.lookback_ms;
    let clean = Cleaned::of(series);
    let (timestamps_ms, values) = (&clean.timestamps_ms, &clean.values);
    let times_ms: Vec<i64> = clean.histograms.iter().map(|point| point.timestamp_ms).collect();
    for step in 0..steps.count {
        let time_ms = looked_at_ms(selector, steps, step);
        let floats = within(timestamps_ms, time_ms, lookback_ms);
        let histograms = within(&times_ms, time_ms, lookback_ms);
        if !floats.is_empty() && !histograms.is_empty() {
            let metric = metric_name(selector, series.labels);
            let annotation = crate::annotations::Annotation::MixedFloatsHistograms { metric };
            run.annotations.add(annotation, selector.position);
            continue;
        }
        if !histograms.is_empty() {
            let points = &clean.histograms[histograms];
            let metric = metric_name(selector, series.labels);
            if let Some(histogram) =
                smooth::histogram_at(points, time_ms, metric, selector.position, &mut run.annotations)
            {
                column.push_histogram(step, Arc::new(histogram));
            }
            continue;
        }
        if let Some(value) = smooth::float_at(&timestamps_ms[floats.clone()], &values[floats], time_ms) {
            column.set(step, value);
        }
    }
}

/// The indexes of all times that are later than `time_ms - lookback_ms` and not later than `time_ms + lookback_ms`.
fn within(timestamps_ms: &[i64], time_ms: i64, lookback_ms: i64) -> std::ops::Range<usize> {
    let (after_ms, until_ms) = (time_ms.saturating_sub(lookback_ms), time_ms.saturating_add(lookback_ms));
    let start = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= after_ms);
    let end = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= until_ms);
    start..end.max(start)
}

/// The samples of a series without stale markers.
struct Cleaned {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<HistogramPoint>,
}

impl Cleaned {
    fn of(series: SeriesView<'_>) -> Self {
        let floats = series.timestamps_ms.iter().zip(series.values).filter(|(_, value)| !is_stale(**value));
        let (timestamps_ms, values) = floats.map(|(timestamp_ms, value)| (*timestamp_ms, *value)).unzip();
        let histograms = series.histograms.iter().filter(|point| !is_stale(point.histogram.sum)).cloned().collect();
        Self { timestamps_ms, values, histograms }
    }
}
