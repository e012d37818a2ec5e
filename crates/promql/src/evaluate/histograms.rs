//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: the series of a classic histogram are put
//! together; native histograms are taken one by one.
//!
//! Source: Prometheus `promql/functions.go`, and `promql/engine.go`, `resetHistograms`.

use norn_base::Result;
use norn_gotext::number::{FloatFormat, format_float, parse_float};
use norn_model::Labels;
use norn_model::labels::LabelsBuilder;

use super::column::{Column, StepHistogram, Steps, has_bit};
use super::names::pass;
use super::run::Run;
use super::scalar::{ScalarColumn, scalar};
use super::table::{LabelsIndex, Table};
use super::{Series, Sink, stream as stream_vector};
use crate::annotations::Annotation;
use crate::kernels::classic_histogram::{self, ClassicBucket};
use crate::kernels::{CallContext, native_histogram, quantile};
use crate::plan::node::{HistogramCall, HistogramKind};
use crate::tree::Position;

/// What to compute of each histogram.
enum Question {
    Quantile(ScalarColumn),
    Fraction { lower: ScalarColumn, upper: ScalarColumn },
}

pub(super) async fn stream(run: &mut Run<'_>, call: &HistogramCall, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let questions = questions(run, &call.kind, steps).await?;
    let mut collected = Collected {
        table: Table::new(run, steps),
        groups: LabelsIndex::default(),
        members: Vec::new(),
        steps,
        position: call.position,
        shows_name: run.options.delayed_name_removal,
    };
    stream_vector(run, &call.input, steps, &mut collected).await?;
    for (question, extra_label) in &questions {
        collected.answer(run, call, question, extra_label.as_ref(), sink)?;
    }
    Ok(())
}

/// A label that is added to results: name, and value at each step.
struct ExtraLabel {
    name: String,
    values: ScalarColumn,
}

async fn questions(
    run: &mut Run<'_>,
    kind: &HistogramKind,
    steps: Steps,
) -> Result<Vec<(Question, Option<ExtraLabel>)>> {
    match kind {
        HistogramKind::Quantile { quantile, quantile_position } => {
            let values = scalar(run, quantile, steps).await?;
            check_quantiles(run, &values, *quantile_position);
            Ok(vec![(Question::Quantile(values), None)])
        }
        HistogramKind::Fraction { lower, upper } => {
            let lower = scalar(run, lower, steps).await?;
            let upper = scalar(run, upper, steps).await?;
            Ok(vec![(Question::Fraction { lower, upper }, None)])
        }
        HistogramKind::Quantiles { label, quantiles } => {
            let mut questions = Vec::with_capacity(quantiles.len());
            for (quantile, position) in quantiles {
                let values = scalar(run, quantile, steps).await?;
                check_quantiles(run, &values, *position);
                let extra = ExtraLabel { name: label.clone(), values: values.clone() };
                questions.push((Question::Quantile(values), Some(extra)));
            }
            Ok(questions)
        }
    }
}

fn check_quantiles(run: &mut Run<'_>, values: &ScalarColumn, position: Position) {
    for value in values.values().iter().filter(|value| quantile::is_invalid(**value)) {
        run.annotations.add(Annotation::InvalidQuantile { quantile: (*value).into() }, position);
    }
}

/// All series of the input, those with a bucket's bound by the labels of their histogram.
struct Collected {
    table: Table,
    groups: LabelsIndex,
    members: Vec<Members>,
    steps: Steps,
    position: Position,
    shows_name: bool,
}

/// The rows of a histogram.
#[derive(Default)]
struct Members {
    /// Upper bound and row of each bucket's series.
    buckets: Vec<(f64, usize)>,
    /// The row with native histograms of the same labels.
    native: Option<usize>,
}

impl Sink for Collected {
    fn series(&mut self, run: &mut Run<'_>, mut series: Series<'_>) -> Result<()> {
        let histograms = std::mem::take(&mut series.column.histograms);
        if series.column.has_floats() {
            self.add_bucket(run, &mut series)?;
        }
        if !histograms.is_empty() {
            self.add_native(run, series, histograms)?;
        }
        run.work(self.steps.count)
    }
}

impl Collected {
    fn members(&mut self, labels: &Labels) -> &mut Members {
        let (group, is_new) = self.groups.insert(labels.encoded(), || labels.clone());
        if is_new {
            self.members.push(Members::default());
        }
        &mut self.members[group]
    }

    fn add_bucket(&mut self, run: &mut Run<'_>, series: &mut Series<'_>) -> Result<()> {
        let label = series.labels.get("le").unwrap_or("");
        let Some(bound) = parse_float(label).ok().filter(|bound| !bound.is_nan()) else {
            let metric = if self.shows_name { series.metric_name } else { "" };
            run.annotations.add(Annotation::BadBucketLabel { metric, label }, self.position);
            return Ok(());
        };
        let labels = series.labels.without(&["le"]);
        let row = self.table.push(run, labels.clone(), series.drop_name, series.column)?;
        self.members(&labels).buckets.push((bound, row));
        Ok(())
    }

    fn add_native(&mut self, run: &mut Run<'_>, series: Series<'_>, histograms: Vec<StepHistogram>) -> Result<()> {
        series.column.present.fill(0);
        series.column.histograms = histograms;
        let row = self.table.push(run, series.labels.clone(), series.drop_name, series.column)?;
        self.members(series.labels).native = Some(row);
        Ok(())
    }

    fn answer(
        &self,
        run: &mut Run<'_>,
        call: &HistogramCall,
        question: &Question,
        extra: Option<&ExtraLabel>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut column = Column::default();
        for (group, members) in self.members.iter().enumerate() {
            let labels = self.groups.labels(group);
            column.reset(self.steps);
            let has_classic = self.answer_classic(run, labels, members, question, &mut column);
            self.answer_native(run, labels, members, question, &has_classic, &mut column);
            run.work(self.steps.count * (1 + members.buckets.len()))?;
            if column.is_empty() {
                continue;
            }
            match extra {
                None => self.hand_on(run, call, labels, &mut column, sink)?,
                Some(extra) => self.hand_on_labeled(run, call, labels, extra, &mut column, sink)?,
            }
        }
        Ok(())
    }

    fn hand_on(
        &self,
        run: &mut Run<'_>,
        call: &HistogramCall,
        labels: &Labels,
        column: &mut Column,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let metric_name = labels.metric_name();
        pass(run, call.names, Series { labels, metric_name, drop_name: false, column }, sink)
    }

    /// Where the quantile changes from step to step, so does its label, and a series becomes several.
    fn hand_on_labeled(
        &self,
        run: &mut Run<'_>,
        call: &HistogramCall,
        labels: &Labels,
        extra: &ExtraLabel,
        column: &mut Column,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut values: Vec<f64> = extra.values.values().to_vec();
        values.sort_by(f64::total_cmp);
        values.dedup_by_key(|value| value.to_bits());
        let mut part = Column::default();
        for value in values {
            part.reset(self.steps);
            column.for_each_float(|step, point| {
                if extra.values.at(step).to_bits() == value.to_bits() {
                    part.set(step, point);
                }
            });
            if !part.is_empty() {
                let mut builder = LabelsBuilder::from(labels);
                let labels = builder.set(&extra.name, &open_metrics_float(value)).build();
                self.hand_on(run, call, &labels, &mut part, sink)?;
            }
        }
        Ok(())
    }

    /// Computes classic histograms and returns the steps that have one.
    fn answer_classic(
        &self,
        run: &mut Run<'_>,
        labels: &Labels,
        members: &Members,
        question: &Question,
        column: &mut Column,
    ) -> Vec<u64> {
        let mut has_classic = vec![0; self.steps.words()];
        let native = members.native.map(|row| self.table.row(row).histograms).unwrap_or(&[]);
        // Sorted once, so that the kernel finds the buckets of each step in order.
        let mut rows: Vec<_> = members.buckets.iter().map(|(bound, row)| (*bound, self.table.row(*row))).collect();
        rows.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut buckets: Vec<ClassicBucket> = Vec::with_capacity(rows.len());
        for step in 0..self.steps.count {
            buckets.clear();
            for (upper_bound, row) in &rows {
                if has_bit(row.present, step) {
                    buckets.push(ClassicBucket { upper_bound: *upper_bound, count: row.values[step] });
                }
            }
            if buckets.is_empty() {
                continue;
            }
            has_classic[step / 64] |= 1 << (step % 64);
            if native.binary_search_by_key(&step, |point| point.step).is_ok() {
                continue;
            }
            column.set(step, self.classic_point(run, labels, question, step, &mut buckets));
        }
        has_classic
    }

    fn classic_point(
        &self,
        run: &mut Run<'_>,
        labels: &Labels,
        question: &Question,
        step: usize,
        buckets: &mut Vec<ClassicBucket>,
    ) -> f64 {
        match question {
            Question::Fraction { lower, upper } => classic_histogram::fraction(lower.at(step), upper.at(step), buckets),
            Question::Quantile(quantile) => {
                let time_ms = self.steps.time_ms(step);
                let (value, forced) = classic_histogram::quantile(quantile.at(step), buckets, time_ms);
                if let Some(monotonicity) = forced {
                    let metric = if self.shows_name { labels.metric_name() } else { "" };
                    run.annotations.add_forced_monotonicity(metric, self.position, monotonicity);
                }
                value
            }
        }
    }

    fn answer_native(
        &self,
        run: &mut Run<'_>,
        labels: &Labels,
        members: &Members,
        question: &Question,
        has_classic: &[u64],
        column: &mut Column,
    ) {
        let Some(row) = members.native else { return };
        let metric_name = if self.shows_name { labels.metric_name() } else { "" };
        for StepHistogram { step, histogram } in self.table.row(row).histograms {
            if has_bit(has_classic, *step) {
                let annotation = Annotation::MixedClassicNativeHistograms { metric: metric_name };
                run.annotations.add(annotation, self.position);
                continue;
            }
            let mut context = CallContext {
                parameters: &[],
                position: self.position,
                metric_name,
                annotations: &mut run.annotations,
                newer_rules: run.options.newer_rules,
                failure: None,
            };
            let value = match question {
                Question::Quantile(quantile) => native_histogram::quantile(quantile.at(*step), histogram, &mut context),
                Question::Fraction { lower, upper } => {
                    native_histogram::fraction(lower.at(*step), upper.at(*step), histogram, &mut context)
                }
            };
            column.set(*step, value);
        }
    }
}

/// A float as OpenMetrics writes it: with a point or an exponent.
///
/// Source: Prometheus `model/labels`, `FormatOpenMetricsFloat`.
fn open_metrics_float(value: f64) -> String {
    let mut text = format_float(value, FloatFormat::General);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
