//! From tree to text on several lines.
//!
//! A node that fits a line stays on one; another opens up, and its children are indented by one level more. Whether
//! the parent has broken the line already is what the level says: a node without its own line has level 0.
//!
//! Source: Prometheus `promql/parser/prettier.go`.

use super::{AggregateHead, BinaryHead, SubquerySuffix, sign};
use crate::tree::{Expr, ExprKind};

/// Longer nodes are broken up.
const LINE_BYTES_MAX: usize = 100;

/// Prints an expression over several lines where it is long. Without line breaks it is the canonical form.
pub fn pretty(expr: &Expr) -> String {
    print(expr, 0)
}

fn print(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    if let ExprKind::Unary { negative, expr } = &expr.kind {
        return format!("{indent}{}{}", sign(*negative), print(expr, level).trim());
    }
    let line = expr.to_string();
    let is_short = line.len() <= LINE_BYTES_MAX;
    match &expr.kind {
        // A short subquery loses its indentation, as in Prometheus.
        ExprKind::Subquery(_) if is_short => line,
        ExprKind::Subquery(subquery) => format!("{}{}", print(&subquery.expr, level), SubquerySuffix(subquery)),
        _ if is_short => format!("{indent}{line}"),
        ExprKind::Call(call) => {
            let arguments: Vec<String> = call.arguments.iter().map(|argument| print(argument, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", call.function.name, arguments.join(",\n"))
        }
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_ref();
            let parameter = parameter.map(|parameter| print(parameter, level + 1) + ",\n").unwrap_or_default();
            let inner = print(&aggregate.expr, level + 1);
            format!("{indent}{}(\n{parameter}{inner}\n{indent})", AggregateHead(aggregate))
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (print(&binary.left, level + 1), print(&binary.right, level + 1));
            format!("{left}\n{indent}{}\n{right}", BinaryHead(binary))
        }
        ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", print(inner, level + 1)),
        _ => format!("{indent}{line}"),
    }
}
