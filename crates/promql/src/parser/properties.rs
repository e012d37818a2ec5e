//! What holds for all texts: nothing panics, and what was printed parses to the same tree.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::tree::{DurationExpr, DurationExprKind, DurationValue, VectorSelector};

/// Instant vectors and scalars, as text. Infinity is in parentheses: it is printed with a sign, as by Prometheus, and
/// `+Inf ^ 2` is read as `+(Inf ^ 2)`.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => selector(),
        1 => prop::sample::select(vec!["1", "-2.5", "1e30", "0x1F", "(Inf)", "NaN", "5m", "90s", "time()", "step()"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let labels = prop::sample::select(vec!["", "a", "a, sum", "'l.x'"]);
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "atan2", "== bool", "> bool", "and", "or", "unless", "</", ">/",
            "+ on (a)", "* on (a) group_left (b)", "/ ignoring (a) group_right", "== bool on ()", "- fill (1)",
            "+ on (a) fill_left (-1e9) fill_right (2)",
        ]);
        let function = prop::sample::select(vec!["abs(", "sum by () (", "scalar(", "vector(", "sort(", "("]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(left, op, right)| format!("{left} {op} {right}")),
            2 => (function, inner.clone()).prop_map(|(function, inner)| format!("{function}{inner})")),
            1 => (prop::sample::select(vec!["-", "+", "- -"]), inner.clone()).prop_map(|(sign, inner)| sign.to_owned() + &inner),
            1 => (inner.clone(), labels.clone()).prop_map(|(inner, labels)| format!("sum without ({labels}) ({inner})")),
            1 => (inner.clone(), labels).prop_map(|(inner, labels)| format!("topk(3, {inner}) by ({labels})")),
            1 => (inner, duration(), modifiers()).prop_map(|(inner, range, modifiers)| {
                format!("max_over_time(({inner})[{range}:]{modifiers})")
            }),
            2 => (selector_name(), duration(), modifiers()).prop_map(|(name, range, modifiers)| {
                format!("rate({name}[{range}]{modifiers})")
            }),
        ]
    })
}

fn selector_name() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["up", "a:b", "sum", "offset", "{a='1',}", "up{b=~\"x|y\", 'l.x'!~'\\n'}"]);
    name.prop_map(str::to_owned)
}

fn selector() -> impl Strategy<Value = String> {
    (selector_name(), modifiers()).prop_map(|(name, modifiers)| name + &modifiers)
}

fn modifiers() -> impl Strategy<Value = String> {
    let at = prop::sample::select(vec!["", " @ 1.5", " @ -5m", " @ start()", " @ end()"]);
    let offset = prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![" offset 5m", " offset -90s", " offset step()", " offset -range()"])
            .prop_map(str::to_owned),
        duration().prop_map(|duration| format!(" offset ({duration})")),
    ];
    (at, offset).prop_map(|(at, offset)| at.to_owned() + &offset)
}

fn duration() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["5m", "1h30m", "90", "1.5", "step()", "range()"]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "^"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(left, op, right)| format!("{left} {op} {right}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("-({inner})")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("max_of({left}, {right})")),
        ]
    })
}

/// The tree as text that says everything but the positions. NaN is not equal to itself, its text is.
fn shape(mut expr: Expr) -> String {
    strip(&mut expr);
    format!("{expr:?}")
}

fn strip(expr: &mut Expr) {
    expr.position = Position::default();
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Duration(duration) => strip_duration(duration),
        ExprKind::Vector(selector) => strip_selector(selector),
        ExprKind::Matrix(matrix) => {
            matrix.selector_position = Position::default();
            strip_value(&mut matrix.range);
            strip_selector(&mut matrix.selector);
        }
        ExprKind::Subquery(subquery) => {
            strip(&mut subquery.expr);
            strip_value(&mut subquery.range);
            strip_value(&mut subquery.offset);
            subquery.step.iter_mut().for_each(strip_value);
        }
        ExprKind::Call(call) => call.arguments.iter_mut().for_each(strip),
        ExprKind::Aggregate(aggregate) => {
            aggregate.parameter.iter_mut().for_each(strip);
            strip(&mut aggregate.expr);
        }
        ExprKind::Binary(binary) => {
            binary.op_position = Position::default();
            strip(&mut binary.left);
            strip(&mut binary.right);
        }
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => strip(expr),
    }
}

fn strip_selector(selector: &mut VectorSelector) {
    // The canonical form sorts them.
    selector.matchers.sort_by_key(|matcher| format!("{matcher:?}"));
    strip_value(&mut selector.offset);
}

fn strip_value(value: &mut DurationValue) {
    if let DurationValue::Expr(expr) = value {
        strip_duration(expr);
    }
}

fn strip_duration(expr: &mut DurationExpr) {
    expr.position = Position::default();
    match &mut expr.kind {
        DurationExprKind::Negate(inner) | DurationExprKind::Plus(inner) => strip_duration(inner),
        DurationExprKind::Binary { left, right, .. }
        | DurationExprKind::MinOf(left, right)
        | DurationExprKind::MaxOf(left, right) => {
            strip_duration(left);
            strip_duration(right);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_tree(text in expression()) {
        let Ok(expr) = parse(&text, &ParseOptions::all()) else { return Ok(()) };
        let printed = expr.to_string();
        for printed in [printed, crate::printer::pretty(&expr)] {
            let again = parse(&printed, &ParseOptions::all());
            prop_assert!(again.is_ok(), "{text}\n{printed}\n{:?}", again);
            prop_assert_eq!(shape(again.unwrap()), shape(expr.clone()), "{}\n{}", &text, printed);
        }
        crate::tree_json::tree_json(&expr);
    }

    #[test]
    fn positions_lie_in_the_text(text in expression()) {
        if let Ok(expr) = parse(&text, &ParseOptions::all()) {
            prop_assert_eq!(&text[expr.position.start..expr.position.end], text.trim());
        }
    }

    #[test]
    fn no_text_panics(text in r#"([a-z_:]{1,4}|[0-9.eE_x]{1,5}|[\[\](){},:@=~!<>+*/%^#'"`\\ -]|sum|rate|offset|by|on|group_left|5m|é|\PC|\n){0,20}"#) {
        let result = parse(&text, &ParseOptions::all());
        if let Err(error) = &result {
            prop_assert!(error.position().start <= text.len());
        }
        let _ = parse(&text, &ParseOptions::default());
        let _ = parse_metric_selector(&text, &ParseOptions::all());
        let _ = crate::series_description::parse_series_description(&text);
        let _ = crate::series_description::parse_series_description(&format!("m {text}"));
        let _ = crate::series_description::parse_series_description(&format!("m {{{{{text}}}}}"));
    }
}

#[test]
fn most_generated_expressions_are_correct() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut correct = 0;
    for _ in 0..200 {
        let text = expression().new_tree(&mut runner).unwrap().current();
        correct += usize::from(parse(&text, &ParseOptions::all()).is_ok());
    }
    assert!(correct > 60, "only {correct} of 200");
}
