//! From series of columns to the answer.

use std::borrow::Cow;
use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use norn_model::select::HistogramPoint;
use norn_model::{Labels, Sample};

use super::column::{Column, StepHistogram, Steps, for_each_bit};
use super::names::without_metadata;
use super::run::{Held, Run};
use super::scalar::scalar;
use super::smooth;
use super::table::{MergedTable, Table};
use super::window::{Cut, Frame, Samples, WindowSink};
use super::{Series, Sink, steps_of, stream, windows};
use crate::plan::QueryTime;
use crate::plan::node::{RangeSource, Root, Vector};
use crate::tree::RangeExtension;
use crate::value::{MatrixSeries, Point, QueryResult, Value, VectorSample};

/// Evaluates a whole query.
pub(crate) async fn value(run: &mut Run<'_>, root: &Root, time: QueryTime) -> Result<Value> {
    let steps = steps_of(time);
    run.check_steps(steps)?;
    match root {
        Root::String(text) => Ok(Value::String { timestamp_ms: time.start_ms(), text: text.clone() }),
        Root::Scalar(node) => {
            let values = scalar(run, node, steps).await?;
            let sample = |step| Sample { timestamp_ms: steps.time_ms(step), value: values.at(step) };
            if time.is_instant() {
                return Ok(Value::Scalar(sample(0)));
            }
            let floats = (0..steps.count).map(sample).collect();
            Ok(Value::Matrix(vec![MatrixSeries { labels: Default::default(), floats, histograms: Vec::new() }]))
        }
        Root::Matrix(source) => matrix(run, source, time.start_ms()).await,
        Root::Vector(node) => {
            // At a single step no series can come in parts; names that go only now may make two of them equal.
            let is_whole = (node.is_whole() || steps.count == 1) && !run.options.delayed_name_removal;
            let mut answer = Answer::new(run, steps, time.is_instant(), is_whole);
            stream(run, node, steps, &mut answer).await?;
            Ok(answer.value(node.has_order()))
        }
    }
}

/// The answer of an evaluation that has come to its end.
pub(crate) fn result(run: Run<'_>, value: Value, text: &str) -> QueryResult {
    let (warnings, infos) = run.annotations.texts(text, run.options.warnings_max, run.options.infos_max);
    QueryResult { value, warnings, infos, stats: run.stats() }
}

/// Collects series, without the names that were to go at the end.
struct Answer {
    steps: Steps,
    is_instant: bool,
    /// Parts of series, to be put together; `None` where series come whole.
    merged: Option<MergedTable>,
    samples: Vec<VectorSample>,
    series: Vec<MatrixSeries>,
    held: Held,
}

impl Answer {
    fn new(run: &Run<'_>, steps: Steps, is_instant: bool, is_whole: bool) -> Self {
        let merged = (!is_whole).then(|| MergedTable::new(run, steps));
        Self { steps, is_instant, merged, samples: Vec::new(), series: Vec::new(), held: run.held() }
    }

    fn take(&mut self, labels: &Labels, values: &[f64], present: &[u64], histograms: &[StepHistogram]) {
        if self.is_instant {
            self.samples.push(vector_sample(labels, values, histograms, self.steps));
        } else {
            self.series.push(matrix_series(labels, values, present, histograms, self.steps));
        }
    }

    /// The answer; sorted by labels unless the order of an instant answer says something.
    fn value(mut self, has_order: bool) -> Value {
        if let Some(merged) = self.merged.take() {
            for row in merged.table.rows() {
                self.take(row.labels, row.values, row.present, row.histograms);
            }
        }
        if self.is_instant {
            if !has_order {
                self.samples.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
            }
            return Value::Vector(self.samples);
        }
        self.series.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
        Value::Matrix(self.series)
    }
}

impl Sink for Answer {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let Series { labels, drop_name, column, .. } = series;
        let labels = if drop_name { without_metadata(labels) } else { Cow::Borrowed(labels) };
        if let Some(merged) = &mut self.merged {
            return merged.add(run, &labels, drop_name, column);
        }
        let points = column.len() as u64;
        run.hold(&mut self.held, points, 16 * points + labels.encoded().len() as u64 + 80)?;
        self.take(&labels, &column.values, &column.present, &column.histograms);
        Ok(())
    }
}

fn vector_sample(labels: &Labels, values: &[f64], histograms: &[StepHistogram], steps: Steps) -> VectorSample {
    let point = match histograms.first() {
        Some(point) => Point::Histogram(Arc::clone(&point.histogram)),
        None => Point::Float(values[0]),
    };
    VectorSample { labels: labels.clone(), timestamp_ms: steps.start_ms, point }
}

fn matrix_series(
    labels: &Labels,
    values: &[f64],
    present: &[u64],
    histograms: &[StepHistogram],
    steps: Steps,
) -> MatrixSeries {
    let count = present.iter().map(|word| word.count_ones() as usize).sum();
    let mut floats = Vec::with_capacity(count);
    for_each_bit(present, |step| floats.push(Sample { timestamp_ms: steps.time_ms(step), value: values[step] }));
    let histogram = |point: &StepHistogram| HistogramPoint {
        timestamp_ms: steps.time_ms(point.step),
        histogram: Arc::clone(&point.histogram),
    };
    MatrixSeries { labels: labels.clone(), floats, histograms: histograms.iter().map(histogram).collect() }
}

/// Hands on the series of a part that was evaluated elsewhere.
pub(super) fn replay_part(run: &mut Run<'_>, index: usize, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parts = run.parts;
    let table = parts.get(index).ok_or_else(|| Error::internal(format!("part {index} of the query is missing")))?;
    replay(run, table, steps, sink)
}

/// Evaluates a vector that occurs more than once, at its first turn, and hands on its series at each.
pub(super) async fn stream_shared(
    run: &mut Run<'_>,
    id: usize,
    input: &Vector,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    let table = match run.shared.get(&(id, steps)) {
        Some(table) => Arc::clone(table),
        None => {
            let mut table = Table::new(run, steps);
            stream(run, input, steps, &mut table).await?;
            let table = Arc::new(table);
            run.shared.insert((id, steps), Arc::clone(&table));
            table
        }
    };
    replay(run, &table, steps, sink)
}

fn replay(run: &mut Run<'_>, table: &Table, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let mut column = Column::default();
    for (index, row) in table.rows().enumerate() {
        table.load(index, &mut column);
        run.work(steps.count)?;
        let metric_name = row.labels.metric_name();
        let column = &mut column;
        sink.series(run, Series { labels: row.labels, metric_name, drop_name: row.drop_name, column })?;
    }
    Ok(())
}

/// Collects the samples of a range vector as they are.
struct MatrixSink {
    series: Vec<MatrixSeries>,
    held: Held,
}

async fn matrix(run: &mut Run<'_>, source: &RangeSource, time_ms: i64) -> Result<Value> {
    let mut sink = MatrixSink { series: Vec::new(), held: run.held() };
    windows(run, source, time_ms, &mut sink).await?;
    let mut series = sink.series;
    series.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
    Ok(Value::Matrix(series))
}

impl WindowSink for MatrixSink {
    fn samples(&mut self, run: &mut Run<'_>, samples: Samples<'_>, frame: Frame) -> Result<()> {
        let window = Cut::default().window(&samples, &frame, 0);
        if window.is_empty() {
            return Ok(());
        }
        let count = (window.timestamps_ms.len() + window.histograms.len()) as u64;
        run.hold(&mut self.held, count, 16 * count + samples.labels.encoded().len() as u64)?;
        let mut floats: Vec<Sample> = window
            .timestamps_ms
            .iter()
            .zip(window.values)
            .map(|(timestamp_ms, value)| Sample { timestamp_ms: *timestamp_ms, value: *value })
            .collect();
        if frame.extension != RangeExtension::None {
            if !window.histograms.is_empty() {
                let modifier = if frame.extension == RangeExtension::Anchored { "anchored" } else { "smoothed" };
                let message = format!("{modifier} modifier is not supported with histograms");
                return Err(Error::new(ErrorKind::Unprocessable, message));
            }
            floats = smooth::extended(&window);
            if floats.is_empty() {
                return Ok(());
            }
        }
        let labels =
            if samples.drop_name { without_metadata(samples.labels).into_owned() } else { samples.labels.clone() };
        self.series.push(MatrixSeries { labels, floats, histograms: window.histograms.to_vec() });
        run.work(window.timestamps_ms.len())
    }
}
