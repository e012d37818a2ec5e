//! What can be said of an expression without planning it: its type, whether it depends on the step, and whether all of
//! its series have one metric name.

use norn_model::labels::METRIC_NAME;
use norn_model::matcher::MatchOp;

use crate::tree::{AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind, ValueType, VectorSelector};

/// The type of an expression whose parts have fitting types, as the parser makes sure.
pub(crate) fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
        ExprKind::String(_) => ValueType::String,
        ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
        ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
        ExprKind::Call(call) => call.function.returns,
        ExprKind::Binary(binary) => match (value_type(&binary.left), value_type(&binary.right)) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        },
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => value_type(expr),
    }
}

/// The expression inside of all parentheses.
pub(crate) fn without_parens(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// Whether an expression has the same value at every step. Source: Prometheus `preprocessExprHelper`.
pub(crate) fn is_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Duration(_) => true,
        ExprKind::Vector(selector) => selector.at.is_some(),
        ExprKind::Matrix(matrix) => matrix.selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Aggregate(aggregate) => {
            is_invariant(&aggregate.expr) && aggregate.parameter.as_ref().is_none_or(is_invariant)
        }
        ExprKind::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => is_invariant(expr),
        ExprKind::Call(call) => is_invariant_call(call),
    }
}

fn is_invariant_call(call: &Call) -> bool {
    let fixed = match call.function.name {
        "time" | "predict_linear" => false,
        // Without an argument they read the step's time; with one they are as fixed as it is.
        "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year" | "hour" | "minute" | "month" | "year" => {
            !call.arguments.is_empty()
        }
        // The time of a selector's sample is fixed, that of any other expression is the step's.
        "timestamp" => {
            call.arguments.iter().all(|argument| matches!(without_parens(argument).kind, ExprKind::Vector(_)))
        }
        _ => true,
    };
    fixed && call.arguments.iter().all(is_invariant)
}

/// The metric name that the matchers of a selector fix, if they do.
pub(crate) fn fixed_name(selector: &VectorSelector) -> Option<&str> {
    if !selector.alternatives.is_empty() {
        return None;
    }
    let equal = |matcher: &&norn_model::Matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
    };
    selector.matchers.iter().find(equal).map(|matcher| matcher.value())
}

/// Whether no two series of a vector can differ in nothing but their names, so that removing the names makes no two of
/// them equal.
///
/// - `drops`: whether operations remove names at once.
pub(crate) fn has_one_name(expr: &Expr, drops: bool) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Duration(_) => true,
        ExprKind::Vector(selector) => fixed_name(selector).is_some(),
        ExprKind::Matrix(matrix) => fixed_name(&matrix.selector).is_some(),
        ExprKind::Subquery(subquery) => has_one_name(&subquery.expr, drops),
        ExprKind::Unary { negative, expr } => (*negative && drops) || has_one_name(expr, drops),
        ExprKind::Paren(expr) => has_one_name(expr, drops),
        ExprKind::Aggregate(aggregate) => {
            let chooses = matches!(
                aggregate.op,
                AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio
            );
            let groups_by_name =
                !aggregate.grouping.without && aggregate.grouping.labels.iter().any(|label| label == METRIC_NAME);
            if chooses || groups_by_name { has_one_name(&aggregate.expr, drops) } else { true }
        }
        ExprKind::Binary(binary) => binary_has_one_name(binary, drops),
        ExprKind::Call(call) => call_has_one_name(call, drops),
    }
}

fn call_has_one_name(call: &Call, drops: bool) -> bool {
    match call.function.name {
        "label_replace" | "label_join" => false,
        "last_over_time" | "first_over_time" | "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc"
        | "info" => call.arguments.first().is_some_and(|argument| has_one_name(argument, drops)),
        "vector" | "absent" | "absent_over_time" => true,
        _ => drops || call.arguments.iter().all(|argument| has_one_name(argument, drops)),
    }
}

fn binary_has_one_name(binary: &Binary, drops: bool) -> bool {
    let (left, right) = (has_one_name(&binary.left, drops), has_one_name(&binary.right, drops));
    match binary.op {
        BinaryOp::And | BinaryOp::Unless => left,
        BinaryOp::Or => false,
        op if drops && (binary.returns_bool || drops_name(op)) => true,
        _ => left && right,
    }
}

/// Whether an operator gives its result another meaning than its sides have.
pub(crate) fn drops_name(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Modulo
            | BinaryOp::Power
            | BinaryOp::Atan2
    )
}
