//! Aggregations that occur more than once in a query, as in `errors / (errors + successes)`.
//!
//! Only aggregations are worth keeping: their results are small beside what they read. Equal is what prints alike.

use foldhash::{HashMap, HashMapExt};

use crate::tree::{AggregateOp, Expr, ExprKind};

/// A number for each text of an aggregation that occurs more than once.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    numbers: HashMap<String, usize>,
}

impl Repeated {
    /// Finds the repeated aggregations of a query.
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut counts = HashMap::new();
        let mut aggregations = 0;
        count_aggregations(expr, &mut aggregations);
        if aggregations > 1 {
            count_texts(expr, &mut counts);
        }
        let mut repeated: Vec<String> =
            counts.into_iter().filter(|(_, count)| *count > 1).map(|(text, _)| text).collect();
        repeated.sort_unstable();
        Self { numbers: repeated.into_iter().enumerate().map(|(number, text)| (text, number)).collect() }
    }

    /// The number of an aggregation that occurs more than once.
    pub(crate) fn number(&self, expr: &Expr) -> Option<usize> {
        if self.numbers.is_empty() { None } else { self.numbers.get(&expr.to_string()).copied() }
    }
}

fn count_aggregations(expr: &Expr, count: &mut usize) {
    *count += usize::from(is_candidate(expr));
    for_each_child(expr, &mut |child| count_aggregations(child, count));
}

fn count_texts(expr: &Expr, counts: &mut HashMap<String, usize>) {
    if is_candidate(expr) {
        let count = counts.entry(expr.to_string()).or_default();
        *count += 1;
        if *count > 1 {
            // What is inside was counted with the first one.
            return;
        }
    }
    for_each_child(expr, &mut |child| count_texts(child, counts));
}

fn is_candidate(expr: &Expr) -> bool {
    let ExprKind::Aggregate(aggregate) = &expr.kind else { return false };
    !matches!(
        aggregate.op,
        AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues
    )
}

fn for_each_child(expr: &Expr, each: &mut dyn FnMut(&Expr)) {
    match &expr.kind {
        ExprKind::Subquery(subquery) => each(&subquery.expr),
        ExprKind::Call(call) => call.arguments.iter().for_each(each),
        ExprKind::Aggregate(aggregate) => {
            each(&aggregate.expr);
            aggregate.parameter.iter().for_each(each);
        }
        ExprKind::Binary(binary) => {
            each(&binary.left);
            each(&binary.right);
        }
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => each(expr),
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_)
        | ExprKind::Duration(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{ParseOptions, parse};

    #[test]
    fn only_the_outermost_of_equal_aggregations_counts() {
        let check = |text: &str, expected: &[&str]| {
            let repeated = Repeated::of(&parse(text, &ParseOptions::all()).unwrap());
            let mut found: Vec<&str> = repeated.numbers.keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
        };
        check("sum(a) / (sum(a) + sum(b))", &["sum(a)"]);
        check("max(sum(a)) + max(sum(a))", &["max(sum(a))"]);
        check("sum(a) + sum by (x) (a)", &[]);
        check("topk(1, a) + topk(1, a)", &[]);
        check("rate(a[5m]) + rate(a[5m])", &[]);
    }
}
