//! `topk`, `bottomk`, `limitk`, `limit_ratio`: some series of each group, as they are.
//!
//! Each step of each group keeps a heap of its best candidates, the worst of them on top; a series is kept as long as it
//! is a candidate at any step. Equal values are ordered by labels, so that the choice does not depend on the order in
//! which a store yields series.
//!
//! Source: Prometheus `promql/engine.go`, `aggregationK`.

use std::cmp::Ordering;

use norn_base::{Error, ErrorKind, Result};
use norn_gotext::number::{FloatFormat, format_float};
use norn_model::Labels;

use super::aggregate::Grouper;
use super::column::{Column, Steps, for_each_bit, has_bit};
use super::run::{Held, Run};
use super::scalar::{ScalarColumn, scalar};
use super::signature::labels_from;
use super::sort::compare_values;
use super::table::{LabelsIndex, Table};
use super::{Series, Sink, stream as stream_vector};
use crate::annotations::Annotation;
use crate::plan::node::Choose;
use crate::tree::AggregateOp;

pub(super) async fn stream(run: &mut Run<'_>, choose: &Choose, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parameter = scalar(run, &choose.parameter, steps).await?;
    if choose.op == AggregateOp::LimitRatio {
        let Some(ratios) = ratios(run, choose, parameter)? else { return Ok(()) };
        return stream_vector(run, &choose.input, steps, &mut RatioSink { ratios, sink }).await;
    }
    let Some(limits) = limits(parameter)? else { return Ok(()) };
    let mut best = BestSink {
        choose,
        limits,
        grouper: Grouper::new(&choose.labels),
        groups: LabelsIndex::default(),
        heaps: Vec::new(),
        table: Table::new(run, steps),
        uses: Vec::new(),
        free: Vec::new(),
        steps,
        held: run.held(),
    };
    stream_vector(run, &choose.input, steps, &mut best).await?;
    best.finish(run, sink)
}

/// How many series each step keeps; `None` where no step keeps any.
fn limits(parameter: ScalarColumn) -> Result<Option<Vec<usize>>> {
    let values = parameter.values();
    if values.iter().all(|value| *value < 1.0) {
        return Ok(None);
    }
    let fail = |message: String| Err(Error::new(ErrorKind::Unprocessable, message));
    if values.iter().any(|value| value.is_nan()) {
        return fail("Parameter value is NaN".to_owned());
    }
    let shown = |value: &f64| format_float(*value, FloatFormat::General);
    if let Some(value) = values.iter().find(|value| **value <= i64::MIN as f64) {
        return fail(format!("Scalar value {} underflows int64", shown(value)));
    }
    if let Some(value) = values.iter().find(|value| **value >= i64::MAX as f64) {
        return fail(format!("Scalar value {} overflows int64", shown(value)));
    }
    // Between 0 and 2^63; a float as a `usize` is cut to what fits.
    Ok(Some(values.iter().map(|value| value.max(0.0) as usize).collect()))
}

/// The ratio of each step, cut to what is possible; `None` where all are 0.
fn ratios(run: &mut Run<'_>, choose: &Choose, parameter: ScalarColumn) -> Result<Option<ScalarColumn>> {
    let values = parameter.values();
    if values.iter().all(|value| *value == 0.0) {
        return Ok(None);
    }
    if values.iter().any(|value| value.is_nan()) {
        return Err(Error::new(ErrorKind::Unprocessable, "Ratio value is NaN"));
    }
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    for (ratio, capped_to) in [(max, 1.0), (min, -1.0)] {
        if ratio * capped_to > 1.0 {
            let annotation = Annotation::InvalidRatio { ratio: ratio.into(), capped_to: f64::into(capped_to) };
            run.annotations.add(annotation, choose.parameter_position);
        }
    }
    Ok(Some(match parameter {
        ScalarColumn::Constant(value) => ScalarColumn::Constant(value.clamp(-1.0, 1.0)),
        ScalarColumn::Steps(values) => ScalarColumn::Steps(values.iter().map(|value| value.clamp(-1.0, 1.0)).collect()),
    }))
}

/// Keeps the points of a series at the steps whose ratio its labels fall into.
struct RatioSink<'a> {
    ratios: ScalarColumn,
    sink: &'a mut dyn Sink,
}

impl Sink for RatioSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let offset = sampling_offset(series.labels);
        let is_in = |ratio: f64| if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio };
        match &self.ratios {
            ScalarColumn::Constant(ratio) => {
                if !is_in(*ratio) {
                    return Ok(());
                }
            }
            ScalarColumn::Steps(ratios) => {
                let mut bitmap = vec![0; series.column.present.len()];
                for (step, _) in ratios.iter().enumerate().filter(|(_, ratio)| is_in(**ratio)) {
                    bitmap[step / 64] |= 1 << (step % 64);
                }
                series.column.mask(&bitmap, true);
            }
        }
        run.work(1)?;
        if series.column.is_empty() { Ok(()) } else { self.sink.series(run, series) }
    }
}

/// Where a label set lies between 0 and 1: its hash in Prometheus, by 2^64. The hash is xxHash64 over name and value of
/// each label, each behind its length: a byte, or 255 and three bytes, the lowest first.
///
/// Source: Prometheus `model/labels/labels_stringlabels.go`; `promql/engine.go`, `HashRatioSampler`.
fn sampling_offset(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.encoded().len() + 8);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    twox_hash::XxHash64::oneshot(0, &bytes) as f64 / u64::MAX as f64
}

/// A point of a kept series.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    value: f64,
    row: usize,
}

/// Keeps the best series of each step.
struct BestSink<'a> {
    choose: &'a Choose,
    /// One for all steps, or one for each.
    limits: Vec<usize>,
    grouper: Grouper<'a>,
    groups: LabelsIndex,
    /// `steps.count` for each group, each with its worst candidate on top.
    heaps: Vec<Vec<Candidate>>,
    table: Table,
    /// For each row of the table how many heaps it is in.
    uses: Vec<usize>,
    /// Rows that are in no heap.
    free: Vec<usize>,
    steps: Steps,
    held: Held,
}

impl BestSink<'_> {
    fn limit(&self, step: usize) -> usize {
        self.limits[if self.limits.len() == 1 { 0 } else { step }]
    }

    /// Whether the first of two series is chosen before the second.
    fn compare(&self, left: (f64, &Labels), right: (f64, &Labels)) -> Ordering {
        let by_value = match self.choose.op {
            AggregateOp::TopK => compare_values(left.0, right.0, true),
            AggregateOp::BottomK => compare_values(left.0, right.0, false),
            _ => Ordering::Equal,
        };
        by_value.then_with(|| left.1.cmp(right.1))
    }

    fn is_worse(&self, left: Candidate, right: Candidate) -> bool {
        let of = |candidate: Candidate| (candidate.value, self.table.row(candidate.row).labels);
        self.compare(of(left), of(right)).is_gt()
    }

    /// The steps at which a series is among the best.
    fn entered(&self, first_heap: usize, labels: &Labels, column: &Column) -> Vec<u64> {
        let mut entered = vec![0; self.steps.words()];
        let mut present = entered.clone();
        column.mark(&mut present);
        for_each_bit(&present, |step| {
            let limit = self.limit(step);
            let heap = &self.heaps[first_heap + step];
            let value = column.float(step).unwrap_or(f64::NAN);
            let enters = heap.len() < limit
                || heap.first().filter(|_| limit > 0).is_some_and(|worst| {
                    let known = (worst.value, self.table.row(worst.row).labels);
                    self.compare((value, labels), known).is_lt()
                });
            if enters {
                entered[step / 64] |= 1 << (step % 64);
            }
        });
        entered
    }

    /// Puts a row into the heap of a step, in the place of its worst candidate where it is full.
    fn enter(&mut self, heap: usize, limit: usize, candidate: Candidate) {
        self.uses[candidate.row] += 1;
        let mut entries = std::mem::take(&mut self.heaps[heap]);
        if entries.len() < limit {
            entries.push(candidate);
            self.sift_up(&mut entries);
        } else {
            let replaced = std::mem::replace(&mut entries[0], candidate);
            self.uses[replaced.row] -= 1;
            if self.uses[replaced.row] == 0 {
                self.free.push(replaced.row);
            }
            self.sift_down(&mut entries);
        }
        self.heaps[heap] = entries;
    }

    fn sift_up(&self, entries: &mut [Candidate]) {
        let mut index = entries.len() - 1;
        while index > 0 {
            let parent = (index - 1) / 2;
            if !self.is_worse(entries[index], entries[parent]) {
                return;
            }
            entries.swap(index, parent);
            index = parent;
        }
    }

    fn sift_down(&self, entries: &mut [Candidate]) {
        let mut index = 0;
        loop {
            let children = 2 * index + 1..(2 * index + 3).min(entries.len());
            let Some(worst) =
                children.reduce(|left, right| if self.is_worse(entries[right], entries[left]) { right } else { left })
            else {
                return;
            };
            if !self.is_worse(entries[worst], entries[index]) {
                return;
            }
            entries.swap(index, worst);
            index = worst;
        }
    }

    /// Hands on the chosen series, in an instant query group by group and best first.
    fn finish(mut self, run: &mut Run<'_>, sink: &mut dyn Sink) -> Result<()> {
        let mut rows: Vec<usize> = Vec::new();
        if self.steps.count == 1 {
            for index in 0..self.heaps.len() {
                let mut heap = std::mem::take(&mut self.heaps[index]);
                heap.sort_by(|left, right| {
                    let of = |candidate: &Candidate| (candidate.value, self.table.row(candidate.row).labels);
                    self.compare(of(left), of(right))
                });
                rows.extend(heap.iter().map(|candidate| candidate.row));
            }
        } else {
            rows.extend((0..self.table.len()).filter(|row| self.uses[*row] > 0));
        }
        let mut chosen: Vec<Vec<u64>> = vec![Vec::new(); self.table.len()];
        for (index, heap) in self.heaps.iter().enumerate() {
            let step = index % self.steps.count;
            for candidate in heap {
                let bitmap = &mut chosen[candidate.row];
                bitmap.resize(self.steps.words(), 0);
                bitmap[step / 64] |= 1 << (step % 64);
            }
        }
        let mut column = Column::default();
        for index in rows {
            self.table.load(index, &mut column);
            if self.steps.count > 1 {
                column.mask(&chosen[index], true);
            }
            let row = self.table.row(index);
            let metric_name = row.labels.metric_name();
            let column = &mut column;
            sink.series(run, Series { labels: row.labels, metric_name, drop_name: row.drop_name, column })?;
        }
        Ok(())
    }
}

impl Sink for BestSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let by_value = self.choose.op != AggregateOp::LimitK;
        if by_value && !series.column.histograms.is_empty() {
            let aggregation = if self.choose.op == AggregateOp::TopK { "topk" } else { "bottomk" };
            run.annotations.add(Annotation::HistogramIgnoredInAggregation { aggregation }, self.choose.position);
            series.column.histograms.clear();
        }
        run.work(2 * self.steps.count)?;
        let encoded = self.grouper.of(series.labels);
        let (group, is_new) = self.groups.insert(encoded, || labels_from(encoded));
        if is_new {
            run.hold(&mut self.held, 0, (24 * self.steps.count + encoded.len()) as u64)?;
            self.heaps.resize(self.heaps.len() + self.steps.count, Vec::new());
        }
        let first_heap = group * self.steps.count;
        let entered = self.entered(first_heap, series.labels, series.column);
        if entered.iter().all(|word| *word == 0) {
            return Ok(());
        }
        let row = match self.free.pop() {
            Some(row) => {
                self.table.replace(run, row, series.labels.clone(), series.drop_name, series.column)?;
                row
            }
            None => {
                self.uses.push(0);
                self.table.push(run, series.labels.clone(), series.drop_name, series.column)?
            }
        };
        for step in (0..self.steps.count).filter(|step| has_bit(&entered, *step)) {
            let value = series.column.float(step).unwrap_or(f64::NAN);
            self.enter(first_heap + step, self.limit(step), Candidate { value, row });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked() {
        let check = |values: &[f64], expected: Result<Option<Vec<usize>>, &str>| {
            let found = limits(ScalarColumn::Steps(values.to_vec())).map_err(|error| error.message().to_owned());
            assert_eq!(found, expected.map_err(str::to_owned));
        };
        check(&[2.9, -1.0], Ok(Some(vec![2, 0])));
        check(&[0.0, 0.9], Ok(None));
        check(&[f64::NAN], Err("Parameter value is NaN"));
        check(&[f64::INFINITY], Err("Scalar value +Inf overflows int64"));
    }

    #[test]
    fn sampling_is_stable() {
        let offset = sampling_offset(&Labels::from_pairs([("__name__", "up"), ("instance", "0")]));
        assert!((0.0..1.0).contains(&offset));
        assert_ne!(offset, sampling_offset(&Labels::from_pairs([("__name__", "up"), ("instance", "1")])));
    }
}
