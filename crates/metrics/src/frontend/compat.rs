//! Queries that were written for Prometheus 2.
//!
//! There a range included its start, so that `rate(x[1m])` within a subquery `[1m:1m]` found two samples and now finds
//! one. Where a tenant wants it, subqueries whose range is their step get a millisecond more, which brings the second
//! one back.

use norn_promql::tree::{DurationValue, Expr, ExprKind};

/// Widens subqueries whose range is one step.
pub(super) fn widen_ranges(expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Subquery(subquery) => {
            let step = subquery.step.clone();
            if let (DurationValue::Literal(range_ms), Some(DurationValue::Literal(step_ms))) =
                (&mut subquery.range, step)
                && *range_ms == step_ms
            {
                *range_ms += 1;
            }
            widen_ranges(&mut subquery.expr);
        }
        ExprKind::Call(call) => call.arguments.iter_mut().for_each(widen_ranges),
        ExprKind::Aggregate(aggregate) => {
            widen_ranges(&mut aggregate.expr);
            aggregate.parameter.iter_mut().for_each(widen_ranges);
        }
        ExprKind::Binary(binary) => {
            widen_ranges(&mut binary.left);
            widen_ranges(&mut binary.right);
        }
        ExprKind::Unary { expr, .. } => widen_ranges(expr),
        ExprKind::Paren(inner) => widen_ranges(inner),
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_)
        | ExprKind::Duration(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use norn_promql::parser::{ParseOptions, parse};

    use super::*;

    #[test]
    fn subqueries_of_one_step_become_wider() {
        let check = |text: &str, expected: &str| {
            let mut expr = parse(text, &ParseOptions::all()).unwrap();
            widen_ranges(&mut expr);
            assert_eq!(expr.to_string(), expected);
        };
        check("sum(rate(x[1m])) / 2", "sum(rate(x[1m])) / 2");
        check("sum_over_time(x[1m:1m])", "sum_over_time(x[1m1ms:1m])");
        check("-(1 + max(sum_over_time(x[5m:5m])))", "-(1 + max(sum_over_time(x[5m1ms:5m])))");
        check("sum_over_time(x[2m:1m])", "sum_over_time(x[2m:1m])");
    }
}
