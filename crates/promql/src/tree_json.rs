//! A tree as JSON, for the tree view of Prometheus' user interface (`parse_query`).
//!
//! Source: Prometheus `web/api/v1/translate_ast.go`.

use norn_gotext::number::{FloatFormat, format_float};
use norn_model::Matcher;
use serde_json::{Value, json};

use crate::tree::{
    Aggregate, AtModifier, Binary, Call, DurationExpr, DurationExprKind, DurationValue, Expr, ExprKind, MatrixSelector,
    NumberLiteral, RangeExtension, Subquery, VectorSelector,
};

/// The tree as the API shows it; durations and timestamps are in milliseconds.
pub fn tree_json(expr: &Expr) -> Value {
    // The recursion is here alone: what builds objects has large frames, and gets its children ready-made.
    match &expr.kind {
        ExprKind::Number(number) => number_json(number),
        ExprKind::String(text) => string_json(text),
        ExprKind::Vector(selector) => selector_json("vectorSelector", selector),
        ExprKind::Matrix(matrix) => matrix_json(matrix),
        ExprKind::Subquery(subquery) => subquery_json(subquery, tree_json(&subquery.expr)),
        ExprKind::Call(call) => call_json(call, call.arguments.iter().map(tree_json).collect()),
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_ref().map(tree_json);
            aggregate_json(aggregate, tree_json(&aggregate.expr), parameter)
        }
        ExprKind::Binary(binary) => binary_json(binary, tree_json(&binary.left), tree_json(&binary.right)),
        ExprKind::Unary { negative, expr } => unary_json(*negative, tree_json(expr)),
        ExprKind::Paren(inner) => paren_json(tree_json(inner)),
        ExprKind::Duration(duration) => duration_json(duration),
    }
}

fn number_json(number: &NumberLiteral) -> Value {
    json!({"type": "numberLiteral", "val": shown(number)})
}

fn string_json(text: &str) -> Value {
    json!({"type": "stringLiteral", "val": text})
}

fn unary_json(negative: bool, expr: Value) -> Value {
    json!({"type": "unaryExpr", "op": if negative { "-" } else { "+" }, "expr": expr})
}

fn paren_json(inner: Value) -> Value {
    json!({"type": "parenExpr", "expr": inner})
}

fn matrix_json(matrix: &MatrixSelector) -> Value {
    let mut node = selector_json("matrixSelector", &matrix.selector);
    (node["range"], node["rangeExpr"]) = duration_pair(&matrix.range);
    node
}

fn aggregate_json(aggregate: &Aggregate, expr: Value, parameter: Option<Value>) -> Value {
    json!({
        "type": "aggregation",
        "op": aggregate.op.name(),
        "expr": expr,
        "param": parameter,
        "grouping": aggregate.grouping.labels,
        "without": aggregate.grouping.without,
    })
}

fn shown(number: &NumberLiteral) -> String {
    format_float(number.value, FloatFormat::Fixed)
}

fn selector_json(kind: &str, selector: &VectorSelector) -> Value {
    let (offset, offset_expr) = duration_pair(&selector.offset);
    let (timestamp, start_or_end) = at_pair(selector.at);
    json!({
        "type": kind,
        "name": selector.name,
        "offset": offset,
        "offsetExpr": offset_expr,
        "matchers": selector.matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
        "anchored": selector.extension == RangeExtension::Anchored,
        "smoothed": selector.extension == RangeExtension::Smoothed,
    })
}

fn matcher_json(matcher: &Matcher) -> Value {
    json!({"name": matcher.name(), "value": matcher.value(), "type": matcher.op().symbol()})
}

fn subquery_json(subquery: &Subquery, expr: Value) -> Value {
    let (range, range_expr) = duration_pair(&subquery.range);
    let (offset, offset_expr) = duration_pair(&subquery.offset);
    let (step, step_expr) = subquery.step.as_ref().map_or((json!(0), Value::Null), duration_pair);
    let (timestamp, start_or_end) = at_pair(subquery.at);
    json!({
        "type": "subquery",
        "expr": expr,
        "range": range,
        "rangeExpr": range_expr,
        "offset": offset,
        "offsetExpr": offset_expr,
        "step": step,
        "stepExpr": step_expr,
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
    })
}

fn call_json(call: &Call, arguments: Vec<Value>) -> Value {
    let function = call.function;
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": function.arguments.iter().map(|argument| argument.name()).collect::<Vec<_>>(),
            "variadic": function.variadic,
            "returnType": function.returns.name(),
        },
        "args": arguments,
    })
}

fn binary_json(binary: &Binary, left: Value, right: Value) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": matching.cardinality.name(),
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
        })
    });
    json!({
        "type": "binaryExpr",
        "op": binary.op.symbol(),
        "lhs": left,
        "rhs": right,
        "matching": matching,
        "bool": binary.returns_bool,
    })
}

/// Milliseconds and expression: one of them is there, the other is zero or null.
fn duration_pair(duration: &DurationValue) -> (Value, Value) {
    match duration {
        DurationValue::Literal(ms) => (json!(ms), Value::Null),
        DurationValue::Expr(expr) => (json!(0), duration_json(expr)),
    }
}

fn at_pair(at: Option<AtModifier>) -> (Value, Value) {
    match at {
        None => (Value::Null, Value::Null),
        Some(AtModifier::Timestamp(ms)) => (json!(ms), Value::Null),
        Some(AtModifier::Start) => (Value::Null, json!("start")),
        Some(AtModifier::End) => (Value::Null, json!("end")),
    }
}

fn duration_json(expr: &DurationExpr) -> Value {
    let (op, left, right) = match &expr.kind {
        DurationExprKind::Number(number) => {
            return json!({"type": "numberLiteral", "val": shown(number), "duration": number.is_duration});
        }
        DurationExprKind::Step => ("step", None, None),
        DurationExprKind::Range => ("range", None, None),
        DurationExprKind::Start => ("start", None, None),
        DurationExprKind::End => ("end", None, None),
        DurationExprKind::Negate(inner) => ("-", None, Some(inner)),
        DurationExprKind::Plus(inner) => ("+", None, Some(inner)),
        DurationExprKind::Binary { op, left, right } => (op.symbol(), Some(left), Some(right)),
        DurationExprKind::MinOf(left, right) => ("min_of", Some(left), Some(right)),
        DurationExprKind::MaxOf(left, right) => ("max_of", Some(left), Some(right)),
    };
    json!({
        "type": "durationExpr",
        "op": op,
        "lhs": left.map(|left| duration_json(left)),
        "rhs": right.map(|right| duration_json(right)),
        "wrapped": expr.wrapped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{ParseOptions, parse};

    fn check(text: &str, expected: Value) {
        let expr = parse(text, &ParseOptions::all()).expect("the query is correct");
        assert_eq!(tree_json(&expr), expected, "{text}");
    }

    #[test]
    fn literals_and_operators() {
        check("'a'", json!({"type": "stringLiteral", "val": "a"}));
        check(
            "-(1e6)",
            json!({"type": "unaryExpr", "op": "-", "expr": {
                "type": "parenExpr", "expr": {"type": "numberLiteral", "val": "1000000"}}}),
        );
        let one = json!({"type": "numberLiteral", "val": "1"});
        check(
            "1 == bool 1",
            json!({"type": "binaryExpr", "op": "==", "lhs": one, "rhs": one, "matching": null, "bool": true}),
        );
    }

    #[test]
    fn selectors() {
        let a = json!({"type": "vectorSelector", "name": "a", "offset": 300_000, "offsetExpr": null,
            "matchers": [{"name": "__name__", "value": "a", "type": "="}],
            "timestamp": 1500, "startOrEnd": null, "anchored": false, "smoothed": true});
        check("a offset 5m @ 1.5 smoothed", a);
        check(
            r#"a{b!~"c"}[5m + step()] @ end()"#,
            json!({"type": "matrixSelector", "name": "a", "offset": 0, "offsetExpr": null, "range": 0,
                "rangeExpr": {"type": "durationExpr", "op": "+", "wrapped": false,
                    "lhs": {"type": "numberLiteral", "val": "300", "duration": true},
                    "rhs": {"type": "durationExpr", "op": "step", "lhs": null, "rhs": null, "wrapped": false}},
                "matchers": [{"name": "b", "value": "c", "type": "!~"},
                    {"name": "__name__", "value": "a", "type": "="}],
                "timestamp": null, "startOrEnd": "end", "anchored": false, "smoothed": false}),
        );
    }

    #[test]
    fn calls_and_aggregations() {
        let expr = parse("topk by (x) (2, rate(a[1m:30s]) * on (y) group_left (z) b)", &ParseOptions::all());
        let tree = tree_json(&expr.expect("the query is correct"));
        assert_eq!(
            (&tree["op"], &tree["grouping"], &tree["param"]["val"]),
            (&json!("topk"), &json!(["x"]), &json!("2"))
        );
        let product = &tree["expr"];
        let expected = json!({"card": "many-to-one", "labels": ["y"], "on": true, "include": ["z"],
            "fillValues": {"lhs": null, "rhs": null}});
        assert_eq!(product["matching"], expected);
        let function = json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"});
        assert_eq!(product["lhs"]["func"], function);
        let subquery = &product["lhs"]["args"][0];
        assert_eq!((&subquery["range"], &subquery["step"]), (&json!(60_000), &json!(30_000)));
    }
}
