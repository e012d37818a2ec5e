//! Walks over the syntax tree, for those who look at a query without evaluating it.

use norn_model::Matcher;

use crate::tree::{AtModifier, DurationValue, Expr, ExprKind, VectorSelector};

/// Calls `visit` for a node and all nodes below it, parents first. Cost: no recursion, whatever the tree's depth.
pub fn visit<'a>(expr: &'a Expr, mut visit: impl FnMut(&'a Expr)) {
    let mut pending = vec![expr];
    while let Some(node) = pending.pop() {
        visit(node);
        match &node.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix(_)
            | ExprKind::Duration(_) => {}
            ExprKind::Subquery(subquery) => pending.push(&subquery.expr),
            ExprKind::Call(call) => pending.extend(call.arguments.iter().rev()),
            ExprKind::Aggregate(aggregate) => {
                pending.push(&aggregate.expr);
                pending.extend(&aggregate.parameter);
            }
            ExprKind::Binary(binary) => pending.extend([&binary.right, &binary.left]),
            ExprKind::Unary { expr, .. } => pending.push(expr),
            ExprKind::Paren(inner) => pending.push(inner),
        }
    }
}

/// Calls `visit` for a node and all nodes below it, parents first.
fn visit_mut(expr: &mut Expr, mut visit: impl FnMut(&mut Expr)) {
    let mut pending = vec![expr];
    while let Some(node) = pending.pop() {
        visit(node);
        match &mut node.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix(_)
            | ExprKind::Duration(_) => {}
            ExprKind::Subquery(subquery) => pending.push(&mut subquery.expr),
            ExprKind::Call(call) => pending.extend(call.arguments.iter_mut()),
            ExprKind::Aggregate(aggregate) => {
                pending.push(&mut aggregate.expr);
                pending.extend(aggregate.parameter.as_mut());
            }
            ExprKind::Binary(binary) => pending.extend([&mut binary.right, &mut binary.left]),
            ExprKind::Unary { expr, .. } => pending.push(expr),
            ExprKind::Paren(inner) => pending.push(inner),
        }
    }
}

/// Puts times in the place of `@ start()` and `@ end()`, in milliseconds since the Unix epoch, so that the query means
/// the same in a part of its range.
pub fn fix_range_ends(expr: &mut Expr, start_ms: i64, end_ms: i64) {
    visit_mut(expr, |node| {
        let at = match &mut node.kind {
            ExprKind::Subquery(subquery) => &mut subquery.at,
            ExprKind::Vector(selector) => &mut selector.at,
            ExprKind::Matrix(matrix) => &mut matrix.selector.at,
            _ => return,
        };
        match at {
            Some(AtModifier::Start) => *at = Some(AtModifier::Timestamp(start_ms)),
            Some(AtModifier::End) => *at = Some(AtModifier::Timestamp(end_ms)),
            Some(AtModifier::Timestamp(_)) | None => {}
        }
    });
}

/// The selector of a node that is one.
fn selector(node: &Expr) -> Option<&VectorSelector> {
    match &node.kind {
        ExprKind::Vector(selector) => Some(selector),
        ExprKind::Matrix(matrix) => Some(&matrix.selector),
        _ => None,
    }
}

/// The matchers of every selector of a query, alternatives as selectors of their own.
pub fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut found = Vec::new();
    visit(expr, |node| {
        if let Some(selector) = selector(node) {
            if selector.alternatives.is_empty() {
                found.push(selector.matchers.clone());
            } else {
                found.extend(selector.alternatives.iter().cloned());
            }
        }
    });
    found
}

/// Whether the result at a step depends on the range that was asked for: through `@ start()`, `@ end()`, or a duration
/// that is computed from the range.
pub fn depends_on_range(expr: &Expr) -> bool {
    let mut depends = false;
    visit(expr, |node| {
        let at = match &node.kind {
            ExprKind::Subquery(subquery) => subquery.at,
            _ => selector(node).and_then(|selector| selector.at),
        };
        depends |= matches!(at, Some(AtModifier::Start | AtModifier::End)) || has_computed_duration(node);
    });
    depends
}

/// Whether a query may read samples younger than `latest_ms` for a step that is older: through a negative offset, or
/// a fixed evaluation time.
pub fn reads_after(expr: &Expr, latest_ms: i64) -> bool {
    let mut reads = false;
    visit(expr, |node| {
        let (at, offset) = match &node.kind {
            ExprKind::Subquery(subquery) => (subquery.at, Some(&subquery.offset)),
            _ => match selector(node) {
                Some(selector) => (selector.at, Some(&selector.offset)),
                None => (None, None),
            },
        };
        reads |= matches!(at, Some(AtModifier::Timestamp(at_ms)) if at_ms > latest_ms);
        reads |= matches!(offset, Some(DurationValue::Literal(offset_ms)) if *offset_ms < 0);
    });
    reads
}

/// The longest range of samples that a step looks at, as far as the text says it, in milliseconds: nested ranges count
/// once each.
pub fn longest_range_ms(expr: &Expr) -> i64 {
    let mut longest_ms = 0;
    visit(expr, |node| {
        let range = match &node.kind {
            ExprKind::Subquery(subquery) => &subquery.range,
            ExprKind::Matrix(matrix) => &matrix.range,
            _ => return,
        };
        if let DurationValue::Literal(range_ms) = range {
            longest_ms = longest_ms.max(*range_ms);
        }
    });
    longest_ms
}

/// Whether a duration of a query is computed, perhaps from its range.
pub fn computes_durations(expr: &Expr) -> bool {
    let mut computes = false;
    visit(expr, |node| computes |= has_computed_duration(node));
    computes
}

fn has_computed_duration(node: &Expr) -> bool {
    use crate::tree::DurationValue::Expr as Computed;
    match &node.kind {
        ExprKind::Duration(_) => true,
        ExprKind::Vector(selector) => matches!(selector.offset, Computed(_)),
        ExprKind::Matrix(matrix) => {
            matches!(matrix.range, Computed(_)) || matches!(matrix.selector.offset, Computed(_))
        }
        ExprKind::Subquery(subquery) => {
            matches!(subquery.range, Computed(_))
                || matches!(subquery.offset, Computed(_))
                || matches!(subquery.step, Some(Computed(_)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{ParseOptions, parse};

    #[test]
    fn selectors_are_found_everywhere() {
        let check = |text: &str, expected: usize| {
            let expr = parse(text, &ParseOptions::all()).unwrap();
            assert_eq!(selectors(&expr).len(), expected, "{text}");
        };
        check("1 + 2", 0);
        check("sum(rate(a[5m])) / on () -b > (c offset 5m)", 3);
        check("max_over_time(topk(scalar(x), y)[1h:5m])", 2);
    }

    #[test]
    fn queries_that_look_at_their_own_range_are_known() {
        let check = |text: &str, expected: bool| {
            assert_eq!(depends_on_range(&parse(text, &ParseOptions::all()).unwrap()), expected, "{text}");
        };
        check("rate(a[5m] offset 1m)", false);
        check("a @ end()", true);
        check("max_over_time(a[1h:5m] @ start())", true);
        check("rate(a[step()])", true);
    }

    #[test]
    fn queries_that_read_what_may_still_change_are_known() {
        let check = |text: &str, expected: bool| {
            assert_eq!(reads_after(&parse(text, &ParseOptions::all()).unwrap(), 100_000), expected, "{text}");
        };
        check("rate(a[5m] offset 1m)", false);
        check("a @ 100 + a", false);
        check("a @ 101 + a", true);
        check("sum(max_over_time(a[1h:5m] @ 200))", true);
        check("rate(a[5m] offset -1s)", true);
        check("max_over_time(a[1h:5m] offset -1s)", true);
    }

    #[test]
    fn ends_of_the_range_become_times() {
        let mut expr =
            parse("a @ start() + max_over_time(rate(b[1m] @ end())[1h:] @ 5)", &ParseOptions::all()).unwrap();
        fix_range_ends(&mut expr, 1000, 2000);
        assert_eq!(expr.to_string(), "a @ 1.000 + max_over_time(rate(b[1m] @ 2.000)[1h:] @ 5.000)");
    }

    #[test]
    fn the_longest_range_is_found() {
        let check = |text: &str, expected: i64| {
            assert_eq!(longest_range_ms(&parse(text, &ParseOptions::all()).unwrap()), expected, "{text}");
        };
        check("a", 0);
        check("rate(a[5m]) / max_over_time(rate(b[1m])[1h:5m])", 3_600_000);
    }
}
