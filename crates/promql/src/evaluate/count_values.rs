//! `count_values`: how many series of a group have each value.

use std::fmt::Write as _;

use foldhash::{HashMap, HashMapExt};
use norn_base::Result;
use norn_gotext::number::{FloatFormat, format_float};
use norn_model::histogram::buckets::Bucket;
use norn_model::labels::LabelsBuilder;
use norn_model::{FloatHistogram, Labels};

use super::aggregate::Grouper;
use super::column::{Column, Steps};
use super::run::{Held, Run};
use super::signature::labels_from;
use super::table::LabelsIndex;
use super::{Series, Sink, stream as stream_vector};
use crate::plan::node::{CountValues, GroupLabels};

/// Counts for each group and value.
struct CountSink<'a> {
    count: &'a CountValues,
    /// Finds groups by the labels without that of the value.
    grouper: Grouper<'a>,
    groups: LabelsIndex,
    /// The row of a group and the bits of a value.
    rows: HashMap<(usize, u64), usize>,
    results: LabelsIndex,
    /// `steps.count` for each result.
    counts: Vec<f64>,
    steps: Steps,
    held: Held,
}

pub(super) async fn stream(run: &mut Run<'_>, count: &CountValues, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let labels = without_value_label(count);
    let mut counts = CountSink {
        count,
        grouper: Grouper::new(&labels),
        groups: LabelsIndex::default(),
        rows: HashMap::new(),
        results: LabelsIndex::default(),
        counts: Vec::new(),
        steps,
        held: run.held(),
    };
    stream_vector(run, &count.input, steps, &mut counts).await?;
    let CountSink { results, counts, .. } = counts;
    let mut column = Column::default();
    for (index, counts) in counts.chunks(steps.count).enumerate() {
        column.reset(steps);
        for (step, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            column.set(step, *count);
        }
        let labels = results.labels(index);
        let metric_name = labels.metric_name();
        sink.series(run, Series { labels, metric_name, drop_name: false, column: &mut column })?;
    }
    Ok(())
}

/// The grouping that leaves the label out which the value overwrites.
fn without_value_label(count: &CountValues) -> GroupLabels {
    let mut labels = count.labels.clone();
    labels.names.retain(|name| *name != count.label);
    if labels.without {
        labels.names.push(count.label.clone());
        labels.names.sort_unstable();
    }
    labels
}

impl CountSink<'_> {
    /// The row of a value in a group; a new one costs a label set.
    fn row(&mut self, run: &Run<'_>, group: usize, key: u64, text: impl FnOnce() -> String) -> Result<usize> {
        if let Some(row) = self.rows.get(&(group, key)) {
            return Ok(*row);
        }
        let labels = self.result_labels(group, &text());
        let row = self.result(run, labels)?;
        run.hold(&mut self.held, 0, 32)?;
        self.rows.insert((group, key), row);
        Ok(row)
    }

    fn result_labels(&self, group: usize, text: &str) -> Labels {
        let group = self.groups.labels(group);
        let grouping = &self.count.labels;
        if grouping.without && grouping.names.contains(&self.count.label) {
            return group.clone();
        }
        LabelsBuilder::from(group).set(&self.count.label, text).build()
    }

    fn result(&mut self, run: &Run<'_>, labels: Labels) -> Result<usize> {
        let (row, is_new) = self.results.insert(labels.encoded(), || labels.clone());
        if is_new {
            let bytes = labels.encoded().len() + 8 * self.steps.count + 24;
            run.hold(&mut self.held, self.steps.count as u64, bytes as u64)?;
            self.counts.resize(self.counts.len() + self.steps.count, 0.0);
        }
        Ok(row)
    }
}

impl Sink for CountSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let encoded = self.grouper.of(series.labels);
        let (group, _) = self.groups.insert(encoded, || labels_from(encoded));
        for step in 0..self.steps.count {
            let Some(value) = series.column.float(step) else { continue };
            // All NaN have one text.
            let key = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            let row = self.row(run, group, key, || format_float(value, FloatFormat::Fixed))?;
            self.counts[row * self.steps.count + step] += 1.0;
        }
        for point in &series.column.histograms {
            let labels = self.result_labels(group, &histogram_text(&point.histogram));
            let row = self.result(run, labels)?;
            self.counts[row * self.steps.count + point.step] += 1.0;
        }
        run.work(4 * self.steps.count)
    }
}

/// A histogram as `{count:3, sum:1.5, [-0.001,0.001]:1, (1,2]:2}`.
///
/// Source: Prometheus `model/histogram`, `FloatHistogram.String`.
fn histogram_text(histogram: &FloatHistogram) -> String {
    let number = |value: f64| format_float(value, FloatFormat::General);
    let mut text = format!("{{count:{}, sum:{}", number(histogram.count), number(histogram.sum));
    let mut negative: Vec<Bucket> = histogram.negative_side().collect();
    negative.reverse();
    let zero = [histogram.zero_bucket()];
    for bucket in negative.into_iter().chain(zero).chain(histogram.positive_side()) {
        if bucket.count == 0.0 {
            continue;
        }
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let (lower, upper, count) = (number(bucket.lower), number(bucket.upper), number(bucket.count));
        write!(text, ", {open}{lower},{upper}{close}:{count}").expect("writing to a string does not fail");
    }
    text.push('}');
    text
}
