//! Range vectors and the functions over them. The samples come from a selector, or are the points of a subquery.
//!
//! Stale markers are taken out of the columns before windows are cut, which costs a copy only where there are any.

use std::sync::Arc;

use norn_base::Result;
use norn_model::FloatHistogram;
use norn_model::histogram::ResetHint;
use norn_model::sample::is_stale;
use norn_model::select::{HistogramPoint, SeriesView};

use super::column::{Column, Steps};
use super::names::pass;
use super::run::Run;
use super::scalar::{ScalarColumn, scalars, values_at};
use super::selector::{Reader, metric_name, with_resets};
use super::table::MergedTable;
use super::window::{Cut, Frame, Samples, WindowSink};
use super::{Series, Sink, stream as stream_vector};
use crate::annotations::Annotation;
use crate::kernels::rates::Growth;
use crate::kernels::{CallContext, PointValue, counter};
use crate::plan::node::{RangeCall, RangeSource, Selector, Subquery};
use crate::tree::RangeExtension;

/// Applies a kernel to each window.
struct CallSink<'a> {
    call: &'a RangeCall,
    parameters: Vec<ScalarColumn>,
    values: Vec<f64>,
    output: Column,
    resets: counter::Resets,
    /// Whether a metric's name tells whether it is a counter, and the function asks for one.
    expects_counter: bool,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream(run: &mut Run<'_>, call: &RangeCall, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parameters = scalars(run, &call.parameters, steps).await?;
    let values = vec![0.0; parameters.len()];
    let expects_counter = matches!(call.function.name, "rate" | "increase");
    let (output, resets) = Default::default();
    let mut windows = CallSink { call, parameters, values, output, resets, expects_counter, sink };
    stream_windows(run, &call.source, steps, &mut windows).await
}

/// Hands the samples of each series of a range vector to a sink, with the windows of all steps.
pub(crate) async fn stream_windows(
    run: &mut Run<'_>,
    source: &RangeSource,
    steps: Steps,
    sink: &mut dyn WindowSink,
) -> Result<()> {
    match source {
        RangeSource::Selector { selector, range_ms } => stream_selector(run, selector, *range_ms, steps, sink).await,
        RangeSource::Subquery(subquery) => stream_subquery(run, subquery, steps, sink).await,
    }
}

async fn stream_selector(
    run: &mut Run<'_>,
    selector: &Selector,
    range_ms: i64,
    steps: Steps,
    sink: &mut dyn WindowSink,
) -> Result<()> {
    let frame = Frame::of_selector(selector, range_ms, steps, run.options.lookback_ms);
    let mut reader = Reader::open(run, selector, frame.time_range());
    let mut cleaned = Cleaned::default();
    while reader.next(run).await? {
        let batch = std::mem::take(&mut reader.batch);
        for series in batch.iter() {
            if !reader.is_new(series.hash) {
                continue;
            }
            let resets = selector.finds_resets.then(|| with_resets(series.histograms));
            let series = SeriesView { histograms: resets.as_deref().unwrap_or(series.histograms), ..series };
            let mut samples = cleaned.samples(series);
            samples.metric_name = metric_name(selector, series.labels);
            if !run.options.start_timestamps {
                (samples.starts_ms, samples.histogram_starts_ms) = (&[], &[]);
            }
            if !samples.timestamps_ms.is_empty() || !samples.histograms.is_empty() {
                sink.samples(run, samples, frame)?;
            }
        }
        reader.batch = batch;
    }
    Ok(())
}

/// Copies of columns, where stale markers had to be taken out.
#[derive(Default)]
struct Cleaned {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    starts_ms: Vec<i64>,
    histograms: Vec<HistogramPoint>,
    histogram_starts_ms: Vec<i64>,
}

impl Cleaned {
    fn samples<'a>(&'a mut self, series: SeriesView<'a>) -> Samples<'a> {
        let mut samples = Samples {
            labels: series.labels,
            metric_name: "",
            drop_name: false,
            timestamps_ms: series.timestamps_ms,
            values: series.values,
            starts_ms: series.starts_ms,
            histograms: series.histograms,
            histogram_starts_ms: series.histogram_starts_ms,
        };
        // Without early exit, so that several values are compared at once.
        if series.values.iter().fold(false, |any, value| any | is_stale(*value)) {
            let keep = |index: &usize| !is_stale(series.values[*index]);
            gather(&mut self.timestamps_ms, series.timestamps_ms, keep);
            gather(&mut self.starts_ms, series.starts_ms, keep);
            gather(&mut self.values, series.values, keep);
            (samples.timestamps_ms, samples.values) = (&self.timestamps_ms, &self.values);
            samples.starts_ms = &self.starts_ms;
        }
        if series.histograms.iter().any(|point| is_stale(point.histogram.sum)) {
            let keep = |index: &usize| !is_stale(series.histograms[*index].histogram.sum);
            gather(&mut self.histogram_starts_ms, series.histogram_starts_ms, keep);
            gather(&mut self.histograms, series.histograms, keep);
            samples.histograms = &self.histograms;
            samples.histogram_starts_ms = &self.histogram_starts_ms;
        }
        samples
    }
}

fn gather<T: Clone>(target: &mut Vec<T>, source: &[T], keep: impl Fn(&usize) -> bool) {
    target.clear();
    target.extend((0..source.len()).filter(keep).map(|index| source[index].clone()));
}

async fn stream_subquery(
    run: &mut Run<'_>,
    subquery: &Subquery,
    steps: Steps,
    sink: &mut dyn WindowSink,
) -> Result<()> {
    let frame = Frame::of_subquery(subquery, steps);
    let inner = subquery_steps(subquery, steps);
    if inner.count == 0 {
        return Ok(());
    }
    run.check_steps(inner)?;
    let mut held = run.held();
    run.hold(&mut held, 0, 32 * inner.count as u64)?;
    let mut samples = SubquerySink { frame, inner, columns: Cleaned::default(), sink };
    if subquery.input.is_whole() {
        return stream_vector(run, &subquery.input, inner, &mut samples).await;
    }
    let mut merged = MergedTable::new(run, inner);
    stream_vector(run, &subquery.input, inner, &mut merged).await?;
    let mut column = Column::default();
    for (index, row) in merged.table.rows().enumerate() {
        merged.table.load(index, &mut column);
        let metric_name = row.labels.metric_name();
        let column = &mut column;
        samples.series(run, Series { labels: row.labels, metric_name, drop_name: row.drop_name, column })?;
    }
    Ok(())
}

/// The steps of a subquery: multiples of its step, from the first one after the left edge of the first window to the
/// right edge of the last. `steps` are those of the query around it, at least one.
pub(crate) fn subquery_steps(subquery: &Subquery, steps: Steps) -> Steps {
    let frame = Frame::of_subquery(subquery, steps);
    let after_ms = frame.start_ms(0);
    let start_ms = (after_ms.div_euclid(subquery.step_ms) + 1).saturating_mul(subquery.step_ms);
    Steps::range(start_ms, frame.end_ms(steps.count - 1), subquery.step_ms)
}

/// Makes the points of a series at the steps of a subquery the samples of a range vector.
struct SubquerySink<'a> {
    frame: Frame,
    inner: Steps,
    columns: Cleaned,
    sink: &'a mut dyn WindowSink,
}

impl Sink for SubquerySink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let Self { frame, inner, columns, sink } = self;
        columns.timestamps_ms.clear();
        columns.values.clear();
        columns.histograms.clear();
        series.column.for_each_float(|step, value| {
            columns.timestamps_ms.push(inner.time_ms(step));
            columns.values.push(value);
        });
        for point in &series.column.histograms {
            let timestamp_ms = inner.time_ms(point.step);
            columns.histograms.push(HistogramPoint { timestamp_ms, histogram: without_hint(&point.histogram) });
        }
        let samples = Samples {
            labels: series.labels,
            metric_name: series.metric_name,
            drop_name: series.drop_name,
            timestamps_ms: &columns.timestamps_ms,
            values: &columns.values,
            starts_ms: &[],
            histograms: &columns.histograms,
            histogram_starts_ms: &[],
        };
        sink.samples(run, samples, *frame)
    }
}

/// What is known of the sample before says nothing of the one that the subquery has taken before.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset_hint {
        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(histogram),
        ResetHint::CounterReset | ResetHint::NotCounterReset => {
            Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..(**histogram).clone() })
        }
    }
}

impl WindowSink for CallSink<'_> {
    fn samples(&mut self, run: &mut Run<'_>, samples: Samples<'_>, frame: Frame) -> Result<()> {
        self.output.reset(frame.steps);
        if !self.counter_in_one_pass(&samples, &frame) {
            self.call_each_window(run, &samples, &frame)?;
        }
        run.work(frame.steps.count + samples.timestamps_ms.len())?;
        if self.output.is_empty() {
            return Ok(());
        }
        if self.expects_counter {
            self.check_counter(run, &samples);
        }
        let Samples { labels, metric_name, drop_name, .. } = samples;
        pass(run, self.call.names, Series { labels, metric_name, drop_name, column: &mut self.output }, self.sink)
    }
}

impl CallSink<'_> {
    /// Computes all windows of a counter at once, at a cost that does not depend on how far they overlap. False where
    /// the samples or the function do not allow it.
    fn counter_in_one_pass(&mut self, samples: &Samples<'_>, frame: &Frame) -> bool {
        let growth = match self.call.function.name {
            "rate" => Growth::Rate,
            "increase" => Growth::Increase,
            "delta" => Growth::Delta,
            _ => return false,
        };
        let plain = frame.extension == RangeExtension::None && frame.at_ms.is_none();
        if !plain || !samples.histograms.is_empty() || !samples.starts_ms.is_empty() {
            return false;
        }
        let mut output = self.output.writer();
        let windows = counter::Windows {
            first_end_ms: frame.end_ms(0),
            step_ms: frame.steps.step_ms,
            count: frame.steps.count,
            range_ms: frame.range_ms,
        };
        let resets = &mut self.resets;
        counter::growths(growth, samples.timestamps_ms, samples.values, windows, resets, |step, value| {
            output.set(step, value);
        });
        output.finish();
        true
    }

    fn call_each_window(&mut self, run: &mut Run<'_>, samples: &Samples<'_>, frame: &Frame) -> Result<()> {
        let mut cut = Cut::default();
        for step in 0..frame.steps.count {
            let window = cut.window(samples, frame, step);
            if window.is_empty() {
                continue;
            }
            values_at(&self.parameters, step, &mut self.values);
            let mut context = CallContext {
                parameters: &self.values,
                position: self.call.position,
                metric_name: samples.metric_name,
                annotations: &mut run.annotations,
                newer_rules: run.options.newer_rules,
                failure: None,
            };
            let result = (self.call.kernel)(&window, &mut context);
            if let Some(failure) = context.failure {
                return Err(failure);
            }
            run.work(window.timestamps_ms.len() + 16 * window.histograms.len())?;
            match result {
                Some(PointValue::Float(value)) => self.output.set(step, value),
                Some(PointValue::Histogram(histogram)) => self.output.push_histogram(step, Arc::new(*histogram)),
                None => {}
            }
        }
        Ok(())
    }

    /// Notices floats that do not look like a counter.
    fn check_counter(&self, run: &mut Run<'_>, samples: &Samples<'_>) {
        let metric = samples.metric_name;
        if metric.is_empty() || !self.output.has_floats() {
            return;
        }
        if run.options.type_and_unit_labels {
            let label = samples.labels.get("__type__").unwrap_or("");
            if !matches!(label, "counter" | "histogram") {
                run.annotations.add(Annotation::PossibleNonCounterLabel { metric, label }, self.call.position);
            }
        } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix)) {
            run.annotations.add(Annotation::PossibleNonCounter { metric }, self.call.position);
        }
    }
}
