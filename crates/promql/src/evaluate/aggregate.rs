//! Aggregations to one series per group. Groups keep an accumulator for each step, and never their series.

use norn_base::Result;
use norn_model::Labels;
use norn_model::labels::push_pair;

use super::column::{Column, Steps};
use super::run::{Held, Run};
use super::scalar::{ScalarColumn, scalar};
use super::signature::labels_from;
use super::table::LabelsIndex;
use super::{Series, Sink, stream as stream_vector};
use crate::annotations::Annotation;
use crate::kernels::aggregate::{
    Accumulator, AggregateContext, Avg, Count, Group, Max, Min, Quantile, Stddev, Stdvar, Sum,
};
use crate::kernels::{PointValue, quantile};
use crate::plan::node::{Aggregate, GroupLabels};
use crate::tree::{AggregateOp, Position};

/// Finds the group of a label set.
#[derive(Debug)]
pub(crate) struct Grouper<'a> {
    labels: &'a GroupLabels,
    scratch: Vec<u8>,
}

impl<'a> Grouper<'a> {
    pub(crate) fn new(labels: &'a GroupLabels) -> Self {
        Self { labels, scratch: Vec::new() }
    }

    /// The labels of the group that a series belongs to, in the canonical encoding.
    pub(crate) fn of(&mut self, labels: &Labels) -> &[u8] {
        self.scratch.clear();
        if self.labels.names.is_empty() && !self.labels.without {
            return &self.scratch;
        }
        for (name, value) in labels.iter() {
            let is_named = self.labels.names.binary_search_by(|candidate| candidate.as_str().cmp(name)).is_ok();
            if is_named != self.labels.without {
                push_pair(&mut self.scratch, name, value);
            }
        }
        &self.scratch
    }
}

/// The groups of an aggregation whose operator is known.
#[derive(Debug)]
pub(crate) struct Groups<A> {
    steps: Steps,
    labels: LabelsIndex,
    /// For each group whether the names of its series go at the end of the query.
    drop_name: Vec<bool>,
    /// `steps.count` for each group.
    states: Vec<A>,
    held: Held,
}

/// The groups of an aggregation.
#[derive(Debug)]
pub(crate) enum AnyGroups {
    Sum(Groups<Sum>),
    Avg(Groups<Avg>),
    Count(Groups<Count>),
    Group(Groups<Group>),
    Min(Groups<Min>),
    Max(Groups<Max>),
    Stddev(Groups<Stddev>),
    Stdvar(Groups<Stdvar>),
    Quantile(Groups<Quantile>),
}

/// Does the same with the groups of each operator.
macro_rules! with_groups {
    ($any:expr, $groups:ident => $body:expr) => {
        match $any {
            AnyGroups::Sum($groups) => $body,
            AnyGroups::Avg($groups) => $body,
            AnyGroups::Count($groups) => $body,
            AnyGroups::Group($groups) => $body,
            AnyGroups::Min($groups) => $body,
            AnyGroups::Max($groups) => $body,
            AnyGroups::Stddev($groups) => $body,
            AnyGroups::Stdvar($groups) => $body,
            AnyGroups::Quantile($groups) => $body,
        }
    };
}

impl AnyGroups {
    pub(crate) fn new(run: &Run<'_>, op: AggregateOp, steps: Steps) -> Self {
        match op {
            AggregateOp::Sum => Self::Sum(Groups::new(run, steps)),
            AggregateOp::Avg => Self::Avg(Groups::new(run, steps)),
            AggregateOp::Count => Self::Count(Groups::new(run, steps)),
            AggregateOp::Min => Self::Min(Groups::new(run, steps)),
            AggregateOp::Max => Self::Max(Groups::new(run, steps)),
            AggregateOp::Stddev => Self::Stddev(Groups::new(run, steps)),
            AggregateOp::Stdvar => Self::Stdvar(Groups::new(run, steps)),
            AggregateOp::Quantile => Self::Quantile(Groups::new(run, steps)),
            AggregateOp::Group => Self::Group(Groups::new(run, steps)),
            AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues => unreachable!("the planner makes nodes of their own of these"),
        }
    }

    /// Takes what the groups of another part of the same query took, as if it had come after.
    pub(crate) fn merge(&mut self, run: &mut Run<'_>, position: Position, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Sum(groups), Self::Sum(other)) => groups.merge(run, position, other),
            (Self::Avg(groups), Self::Avg(other)) => groups.merge(run, position, other),
            (Self::Count(groups), Self::Count(other)) => groups.merge(run, position, other),
            (Self::Group(groups), Self::Group(other)) => groups.merge(run, position, other),
            (Self::Min(groups), Self::Min(other)) => groups.merge(run, position, other),
            (Self::Max(groups), Self::Max(other)) => groups.merge(run, position, other),
            (Self::Stddev(groups), Self::Stddev(other)) => groups.merge(run, position, other),
            (Self::Stdvar(groups), Self::Stdvar(other)) => groups.merge(run, position, other),
            (Self::Quantile(groups), Self::Quantile(other)) => groups.merge(run, position, other),
            _ => Err(norn_base::Error::internal("parts of one aggregation have different operators")),
        }
    }

    /// Hands on the result of each group, in the order in which they came up.
    pub(crate) fn finish(
        self,
        run: &mut Run<'_>,
        position: Position,
        parameter: &ScalarColumn,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        with_groups!(self, groups => groups.finish(run, position, parameter, sink))
    }
}

/// Takes the series of an aggregation.
pub(crate) struct GroupSink<'a> {
    pub(crate) groups: AnyGroups,
    grouper: Grouper<'a>,
    position: Position,
}

impl<'a> GroupSink<'a> {
    pub(crate) fn new(run: &Run<'_>, aggregate: &'a Aggregate, steps: Steps) -> Self {
        let groups = AnyGroups::new(run, aggregate.op, steps);
        Self { groups, grouper: Grouper::new(&aggregate.labels), position: aggregate.position }
    }
}

impl Sink for GroupSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let encoded = self.grouper.of(series.labels);
        run.work(series.column.values.len())?;
        with_groups!(&mut self.groups, groups => groups.add(run, self.position, encoded, series))
    }
}

impl<A: Accumulator> Groups<A> {
    fn new(run: &Run<'_>, steps: Steps) -> Self {
        let held = run.held();
        Self { steps, labels: LabelsIndex::default(), drop_name: Vec::new(), states: Vec::new(), held }
    }

    /// The index of a group's first state.
    fn group(&mut self, run: &Run<'_>, encoded: &[u8], drop_name: bool) -> Result<usize> {
        let (group, is_new) = self.labels.insert(encoded, || labels_from(encoded));
        let count = self.steps.count;
        if is_new {
            let bytes = count * size_of::<A>() + encoded.len() + 40;
            run.hold(&mut self.held, count as u64, bytes as u64)?;
            self.drop_name.push(false);
            self.states.resize_with(self.states.len() + count, A::default);
        }
        self.drop_name[group] |= drop_name;
        Ok(group * count)
    }

    fn add(&mut self, run: &mut Run<'_>, position: Position, encoded: &[u8], series: Series<'_>) -> Result<()> {
        let start = self.group(run, encoded, series.drop_name)?;
        if A::NAME == Quantile::NAME {
            let points = series.column.len() as u64;
            run.hold(&mut self.held, points, 8 * points)?;
        }
        let states = &mut self.states[start..start + self.steps.count];
        series.column.for_each_float(|step, value| states[step].add_float(value));
        if !series.column.histograms.is_empty() {
            let annotations = &mut run.annotations;
            let mut context =
                AggregateContext { position, metric_name: series.metric_name, parameter: 0.0, annotations };
            for point in &series.column.histograms {
                states[point.step].add_histogram(&point.histogram, &mut context);
            }
        }
        Ok(())
    }

    fn merge(&mut self, run: &mut Run<'_>, position: Position, other: Self) -> Result<()> {
        let count = self.steps.count;
        let mut states = other.states.into_iter();
        for group in 0..other.labels.len() {
            let start = self.group(run, other.labels.labels(group).encoded(), other.drop_name[group])?;
            let annotations = &mut run.annotations;
            let mut context = AggregateContext { position, metric_name: "", parameter: 0.0, annotations };
            for (state, other) in self.states[start..start + count].iter_mut().zip(states.by_ref()) {
                state.merge(other, &mut context);
            }
            run.work(count)?;
        }
        Ok(())
    }

    fn finish(
        self,
        run: &mut Run<'_>,
        position: Position,
        parameter: &ScalarColumn,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut column = Column::default();
        let mut states = self.states.into_iter();
        for group in 0..self.labels.len() {
            column.reset(self.steps);
            for (step, state) in states.by_ref().take(self.steps.count).enumerate() {
                let parameter = parameter.at(step);
                let annotations = &mut run.annotations;
                let mut context = AggregateContext { position, metric_name: "", parameter, annotations };
                match state.finish(&mut context) {
                    Some(PointValue::Float(value)) => column.set(step, value),
                    Some(PointValue::Histogram(histogram)) => column.push_histogram(step, histogram.into()),
                    None => {}
                }
            }
            run.work(self.steps.count)?;
            if !column.is_empty() {
                let labels = self.labels.labels(group);
                let (metric_name, drop_name) = (labels.metric_name(), self.drop_name[group]);
                sink.series(run, Series { labels, metric_name, drop_name, column: &mut column })?;
            }
        }
        Ok(())
    }
}

pub(super) async fn stream(run: &mut Run<'_>, aggregate: &Aggregate, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parameter = parameter(run, aggregate, steps).await?;
    let mut groups = GroupSink::new(run, aggregate, steps);
    stream_vector(run, &aggregate.input, steps, &mut groups).await?;
    groups.groups.finish(run, aggregate.position, &parameter, sink)
}

/// The quantile at each step, with a warning for those that are none; 0 for aggregations without a parameter.
pub(crate) async fn parameter(run: &mut Run<'_>, aggregate: &Aggregate, steps: Steps) -> Result<ScalarColumn> {
    let Some((node, position)) = &aggregate.parameter else { return Ok(ScalarColumn::Constant(0.0)) };
    let values = scalar(run, node, steps).await?;
    // As in the original the extremes are shown, not each value.
    let valid = |value: &&f64| quantile::is_invalid(**value);
    let invalid = || values.values().iter().filter(valid).copied();
    let shown = [
        invalid().find(|value| value.is_nan()),
        invalid().filter(|value| *value > 1.0).reduce(f64::max),
        invalid().filter(|value| *value < 0.0).reduce(f64::min),
    ];
    for quantile in shown.into_iter().flatten() {
        run.annotations.add(Annotation::InvalidQuantile { quantile: quantile.into() }, *position);
    }
    Ok(values)
}
