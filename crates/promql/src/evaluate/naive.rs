//! A second evaluator that is as simple as possible: each step on its own, each series as a pair of labels and value,
//! nothing kept from one step to the next. Floats only. What the streaming engine answers has to be the same.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use norn_model::Labels;
use norn_model::sample::is_stale;

use crate::annotations::Annotations;
use crate::kernels::binary::scalar_operation;
use crate::kernels::{CallContext, PointRef, PointValue, Window, instant_kernel, range_kernel};
use crate::plan::invariant::{drops_name, value_type, without_parens};
use crate::tree::{
    AggregateOp, AtModifier, Binary, BinaryOp, DurationValue, Expr, ExprKind, ValueType, VectorSelector,
};

/// Series with their samples.
pub(super) type Data = Vec<(Labels, Vec<(i64, f64)>)>;

type Vector = Vec<(Labels, f64)>;

/// The query's data, and `None` wherever a query fails.
pub(super) struct Naive<'a> {
    pub(super) data: &'a Data,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

const LOOKBACK_MS: i64 = 300_000;

fn duration(value: &DurationValue) -> i64 {
    match value {
        DurationValue::Literal(milliseconds) => *milliseconds,
        DurationValue::Expr(_) => panic!("the generator makes none"),
    }
}

fn nameless(labels: &Labels) -> Labels {
    labels.without(&["__name__"])
}

fn distinct(vector: Vector) -> Option<Vector> {
    let unique: BTreeMap<Labels, f64> = vector.iter().cloned().collect();
    (unique.len() == vector.len()).then_some(vector)
}

impl Naive<'_> {
    fn at(&self, at: Option<AtModifier>, time_ms: i64) -> i64 {
        match at {
            None => time_ms,
            Some(AtModifier::Timestamp(timestamp_ms)) => timestamp_ms,
            Some(AtModifier::Start) => self.start_ms,
            Some(AtModifier::End) => self.end_ms,
        }
    }

    fn matching<'a>(&'a self, selector: &'a VectorSelector) -> impl Iterator<Item = &'a (Labels, Vec<(i64, f64)>)> {
        self.data
            .iter()
            .filter(|(labels, _)| selector.matchers.iter().all(|matcher| matcher.matches_labels(labels.as_ref())))
    }

    pub(super) fn scalar(&self, expr: &Expr, time_ms: i64) -> f64 {
        match &expr.kind {
            ExprKind::Number(number) => number.value,
            ExprKind::Paren(inner) => self.scalar(inner, time_ms),
            ExprKind::Unary { negative, expr } => self.scalar(expr, time_ms) * if *negative { -1.0 } else { 1.0 },
            ExprKind::Call(call) if call.function.name == "time" => time_ms as f64 / 1000.0,
            ExprKind::Binary(binary) => {
                scalar_operation(binary.op, self.scalar(&binary.left, time_ms), self.scalar(&binary.right, time_ms))
            }
            other => panic!("the generator makes no such scalar: {other:?}"),
        }
    }

    pub(super) fn vector(&self, expr: &Expr, time_ms: i64) -> Option<Vector> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.vector(inner, time_ms),
            ExprKind::Unary { expr, .. } => {
                let negated =
                    self.vector(expr, time_ms)?.into_iter().map(|(labels, value)| (nameless(&labels), -value));
                distinct(negated.collect())
            }
            ExprKind::Vector(selector) => {
                let until_ms = self.at(selector.at, time_ms) - duration(&selector.offset);
                let current = |samples: &Vec<(i64, f64)>| {
                    let (last_ms, value) = *samples.iter().rev().find(|(sample_ms, _)| *sample_ms <= until_ms)?;
                    (last_ms > until_ms - LOOKBACK_MS && !is_stale(value)).then_some(value)
                };
                Some(
                    self.matching(selector)
                        .filter_map(|(labels, samples)| Some((labels.clone(), current(samples)?)))
                        .collect(),
                )
            }
            ExprKind::Call(call) => self.call(call.function.name, &call.arguments, time_ms),
            ExprKind::Aggregate(aggregate) => {
                let input = self.vector(&aggregate.expr, time_ms)?;
                let grouping = &aggregate.grouping;
                let mut groups: BTreeMap<Labels, Vector> = BTreeMap::new();
                for (labels, value) in input {
                    let is_in = |name: &str| grouping.labels.iter().any(|label| label == name);
                    let key = labels.filtered(|name| {
                        if grouping.without { name != "__name__" && !is_in(name) } else { is_in(name) }
                    });
                    groups.entry(key).or_default().push((labels, value));
                }
                let parameter = aggregate.parameter.as_ref().map(|parameter| self.scalar(parameter, time_ms));
                Some(
                    groups
                        .into_iter()
                        .flat_map(|(key, group)| aggregated(aggregate.op, parameter, key, group))
                        .collect(),
                )
            }
            ExprKind::Binary(binary) => self.binary(binary, time_ms),
            other => panic!("the generator makes no such vector: {other:?}"),
        }
    }

    /// The samples of a range vector in the window of a time, and the window's edges.
    fn range(&self, expr: &Expr, time_ms: i64) -> Option<(Data, i64, i64)> {
        let (mut data, start_ms, end_ms) = match &expr.kind {
            ExprKind::Matrix(matrix) => {
                let end_ms = self.at(matrix.selector.at, time_ms) - duration(&matrix.selector.offset);
                let data: Data = self.matching(&matrix.selector).cloned().collect();
                (data, end_ms - duration(&matrix.range), end_ms)
            }
            ExprKind::Subquery(subquery) => {
                let end_ms = self.at(subquery.at, time_ms) - duration(&subquery.offset);
                let start_ms = end_ms - duration(&subquery.range);
                let step_ms = subquery.step.as_ref().map_or(60_000, duration);
                let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
                for inner_ms in (start_ms + 1..=end_ms).filter(|inner_ms| inner_ms.rem_euclid(step_ms) == 0) {
                    for (labels, value) in self.vector(&subquery.expr, inner_ms)? {
                        series.entry(labels).or_default().push((inner_ms, value));
                    }
                }
                (series.into_iter().collect(), start_ms, end_ms)
            }
            other => panic!("the generator makes no such range vector: {other:?}"),
        };
        for (_, samples) in &mut data {
            samples.retain(|(sample_ms, value)| start_ms < *sample_ms && *sample_ms <= end_ms && !is_stale(*value));
        }
        data.retain(|(_, samples)| !samples.is_empty());
        Some((data, start_ms, end_ms))
    }

    fn call(&self, name: &str, arguments: &[Expr], time_ms: i64) -> Option<Vector> {
        let input = without_parens(&arguments[0]);
        let mut annotations = Annotations::default();
        let mut context = CallContext {
            parameters: &[],
            position: expr_position(input),
            metric_name: "",
            annotations: &mut annotations,
            newer_rules: false,
            failure: None,
        };
        let mut output = Vec::new();
        let mut push = |labels: &Labels, value: Option<PointValue>| {
            if let Some(PointValue::Float(value)) = value {
                let keeps = name == "last_over_time";
                output.push((if keeps { labels.clone() } else { nameless(labels) }, value));
            }
        };
        if let Some(kernel) = range_kernel(name) {
            let (data, range_start_ms, range_end_ms) = self.range(input, time_ms)?;
            for (labels, samples) in &data {
                let (timestamps_ms, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
                let window = Window {
                    timestamps_ms: &timestamps_ms,
                    values: &values,
                    starts_ms: &[],
                    histograms: &[],
                    histogram_starts_ms: &[],
                    range_start_ms,
                    range_end_ms,
                    evaluation_ms: time_ms,
                    extension: Default::default(),
                };
                push(labels, kernel(&window, &mut context));
            }
        } else {
            let kernel = instant_kernel(name).expect("the generator knows the functions");
            for (labels, value) in &self.vector(input, time_ms)? {
                push(labels, kernel(PointRef::Float(*value), &mut context));
            }
        }
        distinct(output)
    }

    fn binary(&self, binary: &Binary, time_ms: i64) -> Option<Vector> {
        let Some(matching) = &binary.matching else { return self.scalar_side(binary, time_ms) };
        let (left, right) = (self.vector(&binary.left, time_ms)?, self.vector(&binary.right, time_ms)?);
        let is_named = |name: &str| matching.labels.iter().any(|label| label == name);
        let signature = |labels: &Labels| {
            labels.filtered(|name| if matching.on { is_named(name) } else { name != "__name__" && !is_named(name) })
        };
        let meets = |side: &Vector, labels: &Labels| {
            side.iter()
                .filter(|(other, _)| signature(other) == signature(labels))
                .map(|(_, value)| *value)
                .collect::<Vec<_>>()
        };
        match binary.op {
            BinaryOp::And => {
                return Some(left.into_iter().filter(|(labels, _)| !meets(&right, labels).is_empty()).collect());
            }
            BinaryOp::Unless => {
                return Some(left.into_iter().filter(|(labels, _)| meets(&right, labels).is_empty()).collect());
            }
            BinaryOp::Or => {
                let added = right.into_iter().filter(|(labels, _)| meets(&left, labels).is_empty());
                return distinct(left.clone().into_iter().chain(added.collect::<Vec<_>>()).collect());
            }
            _ => {}
        }
        if !left.is_empty() && right.iter().any(|(labels, _)| meets(&right, labels).len() > 1) {
            return None;
        }
        let mut output = Vec::new();
        for (labels, value) in &left {
            let Some(other) = meets(&right, labels).first().copied() else { continue };
            if meets(&left, labels).len() > 1 {
                return None;
            }
            let drops = drops_name(binary.op) || binary.returns_bool;
            let labels = labels.filtered(|name| !(drops && name == "__name__") && is_named(name) == matching.on);
            output.extend(combined(binary, *value, other, *value).map(|value| (labels, value)));
        }
        distinct(output)
    }

    fn scalar_side(&self, binary: &Binary, time_ms: i64) -> Option<Vector> {
        let is_left = value_type(&binary.left) == ValueType::Scalar;
        let (vector, scalar) = if is_left { (&binary.right, &binary.left) } else { (&binary.left, &binary.right) };
        let scalar = self.scalar(scalar, time_ms);
        let drops = drops_name(binary.op) || binary.returns_bool;
        let mut output = Vec::new();
        for (labels, value) in self.vector(vector, time_ms)? {
            let (left, right) = if is_left { (scalar, value) } else { (value, scalar) };
            let labels = if drops { nameless(&labels) } else { labels };
            output.extend(combined(binary, left, right, value).map(|value| (labels, value)));
        }
        distinct(output)
    }
}

fn expr_position(expr: &Expr) -> crate::tree::Position {
    expr.position
}

fn combined(binary: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    let value = scalar_operation(binary.op, left, right);
    let is_arithmetic = drops_name(binary.op);
    if is_arithmetic || binary.returns_bool { Some(value) } else { (value == 1.0).then_some(kept) }
}

fn aggregated(op: AggregateOp, parameter: Option<f64>, key: Labels, mut group: Vector) -> Vector {
    let values = || group.iter().map(|(_, value)| *value);
    let one = |value: f64| vec![(key.clone(), value)];
    match op {
        AggregateOp::Sum => one(values().sum()),
        AggregateOp::Count => one(group.len() as f64),
        AggregateOp::Avg => one(values().sum::<f64>() / group.len() as f64),
        AggregateOp::Min => one(values().reduce(f64::min).unwrap_or(f64::NAN)),
        AggregateOp::Max => one(values().reduce(f64::max).unwrap_or(f64::NAN)),
        AggregateOp::Stddev => {
            let mean = values().sum::<f64>() / group.len() as f64;
            one((values().map(|value| (value - mean).powi(2)).sum::<f64>() / group.len() as f64).sqrt())
        }
        AggregateOp::TopK | AggregateOp::BottomK => {
            let sign = if op == AggregateOp::TopK { -1.0 } else { 1.0 };
            group.sort_by(|left, right| {
                let by_value = (sign * left.1).partial_cmp(&(sign * right.1)).unwrap_or(Ordering::Equal);
                let nan_last = left.1.is_nan().cmp(&right.1.is_nan());
                nan_last.then(by_value).then_with(|| left.0.cmp(&right.0))
            });
            group.truncate(parameter.map_or(0, |parameter| parameter as usize));
            group
        }
        other => panic!("the generator makes no {other:?}"),
    }
}
