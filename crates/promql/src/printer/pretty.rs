//! From tree to text on several lines.
//!
//! A node that fits a line stays on one; another opens up, and its children are indented by one level more. Whether
//! the parent has broken the line already is what the level says: a node without its own line has level 0.
//!
//! Source: Prometheus `promql/parser/prettier.go`.

use super::{AggregateHead, BinaryHead, SubquerySuffix, sign};
use crate::tree::{Expr, ExprKind};

/// What Prometheus takes for a line.
const LINE_BYTES_MAX: usize = 100;

/// Prints an expression over several lines where it is long. Without line breaks it is the canonical form.
///
/// Cost: the length of the text times the height of the tree.
pub fn pretty(expr: &Expr) -> String {
    pretty_within(expr, LINE_BYTES_MAX)
}

/// [`pretty`] with lines of another length; indentation does not count.
pub fn pretty_within(expr: &Expr, line_bytes_max: usize) -> String {
    print(expr, 0, line_bytes_max)
}

fn print(expr: &Expr, level: usize, width: usize) -> String {
    let indent = "  ".repeat(level);
    if let ExprKind::Unary { negative, expr } = &expr.kind {
        return format!("{indent}{}{}", sign(*negative), print(expr, level, width).trim());
    }
    let line = expr.to_string();
    let is_short = line.len() <= width;
    match &expr.kind {
        // A short subquery loses its indentation, as in Prometheus.
        ExprKind::Subquery(_) if is_short => line,
        ExprKind::Subquery(subquery) => format!("{}{}", print(&subquery.expr, level, width), SubquerySuffix(subquery)),
        _ if is_short => format!("{indent}{line}"),
        ExprKind::Call(call) => {
            let arguments: Vec<String> =
                call.arguments.iter().map(|argument| print(argument, level + 1, width)).collect();
            format!("{indent}{}(\n{}\n{indent})", call.function.name, arguments.join(",\n"))
        }
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_ref();
            let parameter = parameter.map(|parameter| print(parameter, level + 1, width) + ",\n").unwrap_or_default();
            let inner = print(&aggregate.expr, level + 1, width);
            format!("{indent}{}(\n{parameter}{inner}\n{indent})", AggregateHead(aggregate))
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (print(&binary.left, level + 1, width), print(&binary.right, level + 1, width));
            format!("{left}\n{indent}{}\n{right}", BinaryHead(binary))
        }
        ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", print(inner, level + 1, width)),
        _ => format!("{indent}{line}"),
    }
}
