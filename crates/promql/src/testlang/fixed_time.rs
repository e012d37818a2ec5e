//! The same query with its time written into it.

use crate::tree::{AtModifier, Expr, ExprKind, MatrixSelector, Subquery, VectorSelector};

/// A query with `@ time` on every selector, and on every subquery that is in no other; the selectors in a subquery follow
/// it. `None` where a function looks at the evaluation time itself.
pub(super) fn fix_time(expr: &Expr, time_ms: i64) -> Option<Expr> {
    let mut fixed = expr.clone();
    fix(&mut fixed, AtModifier::Timestamp(time_ms)).then_some(fixed)
}

/// Functions whose results depend on the evaluation time, or on times of samples relative to it.
const DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Returns whether the query can be fixed.
fn fix(expr: &mut Expr, at: AtModifier) -> bool {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        // Without a selector around it, a duration is a number that depends on the query's range.
        ExprKind::Duration(_) => false,
        ExprKind::Vector(selector) => fix_selector(selector, at),
        ExprKind::Matrix(MatrixSelector { selector, .. }) => fix_selector(selector, at),
        ExprKind::Subquery(subquery) => fix_subquery(subquery, at),
        ExprKind::Call(call) => {
            let is_independent = !DEPENDENT.contains(&call.function.name);
            is_independent && call.arguments.iter_mut().all(|argument| fix(argument, at))
        }
        ExprKind::Aggregate(aggregate) => {
            fix(&mut aggregate.expr, at) && aggregate.parameter.as_mut().is_none_or(|parameter| fix(parameter, at))
        }
        ExprKind::Binary(binary) => fix(&mut binary.left, at) && fix(&mut binary.right, at),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => fix(expr, at),
    }
}

fn fix_selector(selector: &mut VectorSelector, at: AtModifier) -> bool {
    set(&mut selector.at, at);
    true
}

fn fix_subquery(subquery: &mut Subquery, at: AtModifier) -> bool {
    set(&mut subquery.at, at);
    is_independent(&subquery.expr)
}

fn set(modifier: &mut Option<AtModifier>, at: AtModifier) {
    if !matches!(modifier, Some(AtModifier::Timestamp(_))) {
        *modifier = Some(at);
    }
}

/// Whether no function looks at the evaluation time.
fn is_independent(expr: &Expr) -> bool {
    fix(&mut expr.clone(), AtModifier::Timestamp(0))
}
