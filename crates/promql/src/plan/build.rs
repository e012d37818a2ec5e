//! The planner: one method per kind of expression. Functions are in [`super::calls`].

use std::sync::Arc;

use norn_base::{Error, Result};
use norn_model::labels::METRIC_NAME;

use super::duration;
use super::invariant::{drops_name, fixed_name, has_one_name, is_invariant, value_type, without_parens};
use super::needs::Needs;
use super::node::{
    Aggregate, Choose, CountValues, GroupLabels, Match, Names, RangeSource, Reading, Root, Scalar, ScalarSide,
    Selector, Set, Subquery, Vector,
};
use super::repeated::Repeated;
use super::{EngineOptions, QueryTime};
use crate::kernels::binary::scalar_operation;
use crate::tree::{
    self, AggregateOp, AtModifier, Binary, BinaryOp, Expr, ExprKind, Grouping, Position, ValueType, VectorMatching,
    VectorSelector,
};

/// Plans a whole query.
pub(crate) fn plan(expr: &Expr, text: &str, time: QueryTime, options: &EngineOptions) -> Result<Root> {
    let mut planner = Planner {
        text,
        time,
        options,
        inside_invariant: false,
        stats_readers: 0,
        bucket_readers: 0,
        repeated: Repeated::of(expr),
    };
    let inner = without_parens(expr);
    let value_type = value_type(inner);
    if !time.is_instant() && matches!(value_type, ValueType::Matrix | ValueType::String) {
        return Err(Error::bad_request(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.documented()
        )));
    }
    Ok(match (value_type, &inner.kind) {
        (ValueType::Scalar, _) => Root::Scalar(planner.scalar(inner)?),
        (ValueType::String, ExprKind::String(text)) => Root::String(text.clone()),
        (ValueType::Matrix, _) => Root::Matrix(planner.range_source(inner, &Needs::All)?),
        (ValueType::Vector, _) => Root::Vector(planner.vector(inner, &Needs::All)?),
        (ValueType::String, _) => return Err(Error::bad_request("only a literal has the type string")),
    })
}

pub(super) struct Planner<'a> {
    /// What positions refer to.
    text: &'a str,
    pub(super) time: QueryTime,
    pub(super) options: &'a EngineOptions,
    repeated: Repeated,
    /// Whether a node further up is evaluated once for all steps.
    inside_invariant: bool,
    /// How many nodes further up look at count or sum of histograms.
    pub(super) stats_readers: usize,
    /// How many nodes further up look at buckets.
    pub(super) bucket_readers: usize,
}

impl Planner<'_> {
    /// Plans an instant vector of which `needs` are looked at.
    pub(super) fn vector(&mut self, expr: &Expr, needs: &Needs) -> Result<Vector> {
        if !self.inside_invariant && is_invariant(expr) {
            self.inside_invariant = true;
            let planned = self.variant_vector(expr, needs);
            self.inside_invariant = false;
            return Ok(Vector::Invariant(Box::new(planned?)));
        }
        self.variant_vector(expr, needs)
    }

    fn variant_vector(&mut self, expr: &Expr, needs: &Needs) -> Result<Vector> {
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary { negative: false, expr: inner } => self.vector(inner, needs),
            ExprKind::Unary { negative: true, expr: inner } => {
                let (names, needs) = self.name_removal(inner, needs);
                let input = Box::new(self.vector(inner, &needs)?);
                Ok(self.distinct(inner, Vector::Negate { input, names }))
            }
            ExprKind::Vector(selector) => {
                self.selector(selector, expr.position, needs, Reading::Value).map(Vector::Selector)
            }
            ExprKind::Aggregate(aggregate) => {
                let planned = self.aggregate(aggregate, expr.position)?;
                Ok(match self.repeated.number(expr) {
                    Some(id) => Vector::Shared { id, input: Box::new(planned) },
                    None => planned,
                })
            }
            ExprKind::Binary(binary) => self.binary(binary, expr.position, needs),
            ExprKind::Call(call) => self.vector_call(call, expr.position, needs),
            _ => {
                Err(Error::bad_request(format!("expected type instant vector, got {}", value_type(expr).documented())))
            }
        }
    }

    /// What an operation over `input` that removes names does with them, and which labels it needs of its input to give
    /// `needs`.
    pub(super) fn name_removal(&self, input: &Expr, needs: &Needs) -> (Names, Needs) {
        if self.options.delayed_name_removal {
            (Names::DropLater, needs.clone())
        } else if has_one_name(input, true) {
            (Names::Drop, needs.minus_metadata())
        } else {
            // Whether two series become equal can only be seen with all their labels.
            (Names::Drop, Needs::All)
        }
    }

    /// Adds the check for series that removing their names has made equal, where that may have happened.
    pub(super) fn distinct(&self, input: &Expr, vector: Vector) -> Vector {
        if self.options.delayed_name_removal || has_one_name(input, true) {
            vector
        } else {
            Vector::Distinct(Box::new(vector))
        }
    }

    pub(super) fn selector(
        &self,
        selector: &VectorSelector,
        position: Position,
        needs: &Needs,
        reading: Reading,
    ) -> Result<Selector> {
        let mut matchers = vec![selector.matchers.clone()];
        matchers.extend(selector.alternatives.iter().cloned());
        Ok(Selector {
            matchers,
            metric_name: fixed_name(selector).map(Arc::from),
            offset_ms: duration::resolve(&selector.offset, self.time, true)?,
            at_ms: self.at(selector.at),
            extension: selector.extension,
            projection: needs.projection(),
            reading,
            finds_resets: self.stats_readers > 0 && self.bucket_readers == 0,
            names: Names::Keep,
            position,
        })
    }

    /// Whether a string can name a label. The tree holds `\u{fffd}` where the text has bytes that are no UTF-8.
    pub(super) fn is_label_name(&self, name: &str, position: Position) -> bool {
        let invalid = name.contains('\u{fffd}') && !self.written(position).contains('\u{fffd}');
        !name.is_empty() && !invalid
    }

    /// A part of the query as its author wrote it.
    pub(super) fn written(&self, position: Position) -> &str {
        self.text.get(position.start..position.end).unwrap_or("")
    }

    pub(super) fn at(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Timestamp(timestamp_ms) => timestamp_ms,
            AtModifier::Start => self.time.start_ms(),
            AtModifier::End => self.time.end_ms(),
        })
    }

    /// Plans a range vector.
    pub(super) fn range_source(&mut self, expr: &Expr, needs: &Needs) -> Result<RangeSource> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.range_source(inner, needs),
            ExprKind::Matrix(matrix) => Ok(RangeSource::Selector {
                selector: self.selector(&matrix.selector, expr.position, needs, Reading::Value)?,
                range_ms: duration::resolve(&matrix.range, self.time, false)?,
            }),
            ExprKind::Subquery(subquery) => Ok(RangeSource::Subquery(Box::new(self.subquery(subquery, needs)?))),
            _ => Err(Error::bad_request(format!("expected type range vector, got {}", value_type(expr).documented()))),
        }
    }

    fn subquery(&mut self, subquery: &tree::Subquery, needs: &Needs) -> Result<Subquery> {
        let step_ms = match &subquery.step {
            Some(step) => duration::resolve(step, self.time, false)?,
            None => 0,
        };
        // The steps below are the subquery's own: what does not change over those of the query may change over these.
        let outer = std::mem::replace(&mut self.inside_invariant, false);
        self.bucket_readers += 1;
        let input = if value_type(&subquery.expr) == ValueType::Scalar {
            self.scalar(&subquery.expr).map(Vector::FromScalar)
        } else {
            let inner = without_parens(&subquery.expr);
            self.vector(inner, if comes_whole(inner) { needs } else { &Needs::All })
        };
        self.bucket_readers -= 1;
        self.inside_invariant = outer;
        Ok(Subquery {
            input: input?,
            range_ms: duration::resolve(&subquery.range, self.time, false)?,
            step_ms: if step_ms > 0 { step_ms } else { self.options.default_subquery_step_ms },
            offset_ms: duration::resolve(&subquery.offset, self.time, true)?,
            at_ms: self.at(subquery.at),
        })
    }

    /// Plans a scalar.
    pub(super) fn scalar(&mut self, expr: &Expr) -> Result<Scalar> {
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary { negative: false, expr: inner } => self.scalar(inner),
            ExprKind::Unary { negative: true, expr: inner } => Ok(match self.scalar(inner)? {
                Scalar::Constant(value) => Scalar::Constant(-value),
                scalar => Scalar::Negate(Box::new(scalar)),
            }),
            ExprKind::Number(number) => Ok(Scalar::Constant(number.value)),
            ExprKind::Duration(expr) => duration::evaluate(expr, self.context_time()).map(Scalar::Constant),
            ExprKind::Binary(binary) => {
                let (left, right) = (self.scalar(&binary.left)?, self.scalar(&binary.right)?);
                Ok(match (&left, &right) {
                    (Scalar::Constant(left), Scalar::Constant(right)) => {
                        Scalar::Constant(scalar_operation(binary.op, *left, *right))
                    }
                    _ => Scalar::Binary { op: binary.op, left: Box::new(left), right: Box::new(right) },
                })
            }
            ExprKind::Call(call) => self.scalar_call(call),
            _ => Err(Error::bad_request(format!("expected type scalar, got {}", value_type(expr).documented()))),
        }
    }

    /// The time that `step()`, `range()`, `start()` and `end()` read where they are expressions: a range of one time has
    /// no step.
    pub(super) fn context_time(&self) -> QueryTime {
        if self.time.start_ms() == self.time.end_ms() {
            QueryTime::Instant { time_ms: self.time.start_ms() }
        } else {
            self.time
        }
    }

    fn aggregate(&mut self, aggregate: &tree::Aggregate, position: Position) -> Result<Vector> {
        let tree::Aggregate { op, expr, parameter, grouping } = aggregate;
        let labels = group_labels(grouping);
        let parameter = parameter.as_ref();
        let missing = || Error::bad_request("aggregation needs a parameter");
        match op {
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                let parameter = parameter.ok_or_else(missing)?;
                Ok(Vector::Choose(Box::new(Choose {
                    op: *op,
                    // Which of equal values is chosen depends on all labels.
                    input: self.vector(expr, &Needs::All)?,
                    parameter_position: without_parens(parameter).position,
                    parameter: self.scalar(parameter)?,
                    labels,
                    position,
                })))
            }
            AggregateOp::CountValues => {
                let parameter = without_parens(parameter.ok_or_else(missing)?);
                let ExprKind::String(label) = &parameter.kind else { return Err(missing()) };
                if !self.is_label_name(label, parameter.position) {
                    let written = self.written(parameter.position);
                    return Err(super::calls::unprocessable(format!("invalid label name {written}")));
                }
                let input = self.vector(expr, &group_needs(&labels))?;
                Ok(Vector::CountValues(Box::new(CountValues { input, label: label.clone(), labels })))
            }
            _ => {
                let mut needs = group_needs(&labels);
                // Mixed histograms are reported with the metric's name.
                if matches!(op, AggregateOp::Sum | AggregateOp::Avg) && !has_one_name(expr, true) {
                    needs = needs.and([METRIC_NAME]);
                }
                let input = self.vector(expr, &needs)?;
                let parameter = match parameter {
                    Some(parameter) => Some((self.scalar(parameter)?, without_parens(parameter).position)),
                    None => None,
                };
                let position = without_parens(expr).position;
                Ok(Vector::Aggregate(Box::new(Aggregate { op: *op, input, parameter, labels, position })))
            }
        }
    }

    fn binary(&mut self, binary: &Binary, position: Position, needs: &Needs) -> Result<Vector> {
        let trims = usize::from(matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower));
        self.bucket_readers += trims;
        let planned = self.typed_binary(binary, position, needs);
        self.bucket_readers -= trims;
        planned
    }

    fn typed_binary(&mut self, binary: &Binary, position: Position, needs: &Needs) -> Result<Vector> {
        match (value_type(&binary.left), value_type(&binary.right)) {
            (ValueType::Vector, ValueType::Vector) => self.vector_binary(binary, position, needs),
            (ValueType::Vector, _) => self.scalar_side(binary, &binary.left, &binary.right, position, needs),
            (_, ValueType::Vector) => self.scalar_side(binary, &binary.right, &binary.left, position, needs),
            _ => Err(Error::bad_request("expected type instant vector, got scalar")),
        }
    }

    fn scalar_side(
        &mut self,
        binary: &Binary,
        vector: &Expr,
        scalar: &Expr,
        position: Position,
        needs: &Needs,
    ) -> Result<Vector> {
        let drops = drops_name(binary.op) || binary.returns_bool;
        let (names, needs) = if drops { self.name_removal(vector, needs) } else { (Names::Keep, needs.clone()) };
        let planned = Vector::ScalarSide(Box::new(ScalarSide {
            op: binary.op,
            input: self.vector(vector, &needs)?,
            scalar: self.scalar(scalar)?,
            scalar_is_left: std::ptr::eq(scalar, &raw const binary.left),
            returns_bool: binary.returns_bool,
            names,
            position,
        }));
        Ok(if drops { self.distinct(vector, planned) } else { planned })
    }

    fn vector_binary(&mut self, binary: &Binary, position: Position, needs: &Needs) -> Result<Vector> {
        let matching = binary.matching.clone().unwrap_or_else(|| VectorMatching {
            cardinality: tree::Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        });
        let op = binary.op;
        if !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) {
            let one_left = matching.cardinality == tree::Cardinality::OneToMany;
            let many = if one_left { &binary.right } else { &binary.left };
            return Ok(Vector::Match(Box::new(Match {
                op,
                many_has_one_name: has_one_name(many, true),
                left: self.vector(&binary.left, &Needs::All)?,
                right: self.vector(&binary.right, &Needs::All)?,
                matching,
                returns_bool: binary.returns_bool,
                delayed_name_removal: self.options.delayed_name_removal,
                position,
            })));
        }
        let names = || matching.labels.iter().map(String::as_str);
        let signature = if matching.on { Needs::only(names()) } else { Needs::without(names().chain([METRIC_NAME])) };
        let (left, right) = match (op, matching.on) {
            (BinaryOp::Or, _) => (Needs::All, Needs::All),
            (_, true) => (needs.and(names()), signature),
            (_, false) => (Needs::All, signature),
        };
        let (left, right) = (self.vector(&binary.left, &left)?, self.vector(&binary.right, &right)?);
        Ok(Vector::Set(Box::new(Set { op, left, right, matching })))
    }
}

/// Whether each series of a subquery comes in one piece for sure; parts of series are put together by all their labels.
fn comes_whole(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Vector(_) | ExprKind::Aggregate(_) => true,
        ExprKind::Call(call) => match call.arguments.first().map(|first| &without_parens(first).kind) {
            Some(ExprKind::Matrix(matrix)) => fixed_name(&matrix.selector).is_some(),
            _ => false,
        },
        _ => false,
    }
}

fn group_labels(grouping: &Grouping) -> GroupLabels {
    let mut names = grouping.labels.clone();
    if grouping.without {
        names.push(METRIC_NAME.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    GroupLabels { without: grouping.without, names }
}

fn group_needs(labels: &GroupLabels) -> Needs {
    let names = labels.names.iter().map(String::as_str);
    if labels.without { Needs::without(names) } else { Needs::only(names) }
}
