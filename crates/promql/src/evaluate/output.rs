//! From series of columns to the answer.

use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use norn_model::Sample;
use norn_model::select::HistogramPoint;

use super::column::{Column, Steps, for_each_bit};
use super::names::without_metadata;
use super::range::{Cut, Frame, Samples, WindowSink};
use super::run::{Held, Run};
use super::scalar::scalar;
use super::table::{MergedTable, RowView};
use super::{Series, Sink, steps_of, stream, windows};
use super::smooth;
use crate::plan::QueryTime;
use crate::plan::node::{RangeSource, Root, Vector};
use crate::tree::RangeExtension;
use crate::value::{MatrixSeries, Point, QueryResult, Value, VectorSample};

/// Evaluates a whole query.
pub(crate) async fn value(run: &mut Run<'_>, root: &Root, time: QueryTime) -> Result<Value> {
    let steps = steps_of(time);
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
            let mut answer = Answer { merged: MergedTable::new(run, steps) };
            stream(run, node, steps, &mut answer).await?;
            let rows = answer.merged.table.rows();
            if time.is_instant() {
                let mut samples: Vec<_> = rows.map(|row| vector_sample(row, steps)).collect();
                if !has_order(node) {
                    samples.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
                }
                return Ok(Value::Vector(samples));
            }
            let mut series: Vec<MatrixSeries> = rows.map(|row| matrix_series(row, steps)).collect();
            series.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
            Ok(Value::Matrix(series))
        }
    }
}

/// Whether the order of an instant query's series is the query's own. All others come by their labels, so that equal
/// queries have equal answers whatever the store does.
fn has_order(node: &Vector) -> bool {
    match node {
        Vector::Sort(_) | Vector::Choose(_) => true,
        Vector::Invariant(inner) | Vector::Distinct(inner) => has_order(inner),
        _ => false,
    }
}

/// The answer of an evaluation that has come to its end.
pub(crate) fn result(run: Run<'_>, value: Value, text: &str) -> QueryResult {
    let (warnings, infos) = run.annotations.texts(text, run.options.warnings_max, run.options.infos_max);
    QueryResult { value, warnings, infos, stats: run.stats() }
}

/// Collects series, without the names that were to go at the end.
struct Answer {
    merged: MergedTable,
}

impl Sink for Answer {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        if series.drop_name {
            let labels = without_metadata(series.labels);
            return self.merged.add(run, &labels, true, series.column);
        }
        self.merged.add(run, series.labels, false, series.column)
    }
}

fn vector_sample(row: RowView<'_>, steps: Steps) -> VectorSample {
    let point = match row.histograms.first() {
        Some(point) => Point::Histogram(Arc::clone(&point.histogram)),
        None => Point::Float(row.values[0]),
    };
    VectorSample { labels: row.labels.clone(), timestamp_ms: steps.start_ms, point }
}

fn matrix_series(row: RowView<'_>, steps: Steps) -> MatrixSeries {
    let count = row.present.iter().map(|word| word.count_ones() as usize).sum();
    let mut floats = Vec::with_capacity(count);
    for_each_bit(row.present, |step| {
        floats.push(Sample { timestamp_ms: steps.time_ms(step), value: row.values[step] });
    });
    let histogram = |point: &super::column::StepHistogram| HistogramPoint {
        timestamp_ms: steps.time_ms(point.step),
        histogram: Arc::clone(&point.histogram),
    };
    MatrixSeries { labels: row.labels.clone(), floats, histograms: row.histograms.iter().map(histogram).collect() }
}

/// Hands on the series of a part that was evaluated elsewhere.
pub(super) fn replay(run: &mut Run<'_>, index: usize, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parts = run.parts;
    let table = parts.get(index).ok_or_else(|| Error::internal(format!("part {index} of the query is missing")))?;
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
        let labels = if samples.drop_name {
            without_metadata(samples.labels).into_owned()
        } else {
            samples.labels.clone()
        };
        self.series.push(MatrixSeries { labels, floats, histograms: window.histograms.to_vec() });
        run.work(floats_len(&window))
    }
}

fn floats_len(window: &crate::kernels::Window<'_>) -> usize {
    window.timestamps_ms.len()
}
