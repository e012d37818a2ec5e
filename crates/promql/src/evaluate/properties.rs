//! Random queries over random samples: the streaming engine answers as the naive one does, in one piece and in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use norn_model::Labels;
use norn_model::sample::stale_nan;
use proptest::prelude::*;

use super::naive::{Data, Naive};
use super::tests::{ask, ask_in_parts};
use crate::memory_store::MemoryStore;
use crate::parser::{ParseOptions, parse};
use crate::plan::{EngineOptions, Query, QueryTime};
use crate::value::{MatrixSeries, Value};

/// One point of an answer: series, time and value.
type Points = BTreeMap<(Labels, i64), f64>;

fn selector() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("{__name__=~\"a|b\"}"), Just("a{x=\"1\"}"), Just("b{x!=\"0\"}")];
    let modifier = prop_oneof![
        6 => Just(""),
        1 => Just(" offset 1m"),
        1 => Just(" offset -2m"),
        1 => Just(" @ 600"),
        1 => Just(" @ end()"),
    ];
    (name, modifier).prop_map(|(name, modifier)| format!("{name}{modifier}"))
}

fn range_call(vector: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let function = prop_oneof![
        Just("rate"),
        Just("increase"),
        Just("delta"),
        Just("sum_over_time"),
        Just("max_over_time"),
        Just("count_over_time"),
        Just("last_over_time"),
        Just("changes"),
        Just("irate"),
        Just("avg_over_time"),
    ];
    let name = prop_oneof![Just("a"), Just("b"), Just("{__name__=~\"a|b\"}")];
    let plain = (name, prop_oneof![Just("[1m]"), Just("[5m]"), Just("[7m] offset 90s"), Just("[5m] @ 500")])
        .prop_map(|(name, range)| format!("{name}{range}"));
    let subquery = (vector, prop_oneof![Just("[5m:1m]"), Just("[4m:30s] offset 1m"), Just("[3m:]")])
        .prop_map(|(vector, range)| format!("({vector}){range}"));
    (function, prop_oneof![3 => plain, 1 => subquery]).prop_map(|(function, range)| format!("{function}({range})"))
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = selector();
    leaf.prop_recursive(4, 12, 2, |inner| {
        let grouping = prop_oneof![Just(""), Just("by (x) "), Just("by (x, y) "), Just("without (x) ")];
        let aggregation = prop_oneof![
            Just("sum"),
            Just("count"),
            Just("avg"),
            Just("min"),
            Just("max"),
            Just("stddev"),
            Just("topk"),
            Just("bottomk"),
        ];
        let operator = prop_oneof![
            Just("+"),
            Just("*"),
            Just("/"),
            Just(">"),
            Just("== bool"),
            Just("<="),
            Just("and"),
            Just("or"),
            Just("unless"),
        ];
        let matching =
            prop_oneof![2 => Just(""), 1 => Just("on (x, y) "), 1 => Just("ignoring (y) "), 1 => Just("on (x) ")];
        let scalar_operator = prop_oneof![Just("+"), Just("-"), Just("*"), Just(">"), Just("< bool")];
        prop_oneof![
            (aggregation, grouping, inner.clone()).prop_map(|(op, grouping, inner)| {
                let parameter = if op.ends_with('k') { "2, " } else { "" };
                format!("{op} {grouping}({parameter}{inner})")
            }),
            (inner.clone(), operator, matching, inner.clone())
                .prop_map(|(left, operator, matching, right)| format!("({left}) {operator} {matching}({right})")),
            (inner.clone(), scalar_operator, 0..50).prop_map(|(inner, op, number)| format!("({inner}) {op} {number}")),
            (0..50, scalar_operator_left(), inner.clone())
                .prop_map(|(number, op, inner)| format!("{number} {op} ({inner})")),
            inner.clone().prop_map(|inner| format!("-({inner})")),
            inner.clone().prop_map(|inner| format!("abs({inner})")),
            range_call(inner),
        ]
    })
}

fn scalar_operator_left() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("-"), Just("/"), Just(">="), Just("time() *")].prop_map(|operator| {
        // A number before `time()` needs an operator of its own.
        if operator == "time() *" { "+ time() *" } else { operator }
    })
}

fn data() -> impl Strategy<Value = Data> {
    let sample = prop_oneof![8 => (0..40i32).prop_map(|value| Some(f64::from(value))), 1 => Just(None), 1 => Just(Some(stale_nan()))];
    let series = proptest::collection::vec((sample, 5_000..60_000i64), 0..40);
    proptest::collection::vec(series, 6).prop_map(|all| {
        let series = |(index, samples): (usize, Vec<(Option<f64>, i64)>)| {
            let name = if index < 4 { "a" } else { "b" };
            let (x, y) = ((index % 2).to_string(), (index / 2 % 2).to_string());
            let labels = Labels::from_pairs([("__name__", name), ("x", x.as_str()), ("y", y.as_str())]);
            let mut time_ms = 0;
            let mut kept = Vec::new();
            for (value, gap_ms) in samples {
                time_ms += gap_ms;
                kept.extend(value.map(|value| (time_ms, value)));
            }
            (labels, kept)
        };
        all.into_iter().enumerate().map(series).collect()
    })
}

fn points(series: &[MatrixSeries]) -> Points {
    let of = |series: &MatrixSeries| {
        let labels = series.labels.clone();
        series
            .floats
            .iter()
            .map(move |sample| ((labels.clone(), sample.timestamp_ms), sample.value))
            .collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

fn same(left: &Points, right: &Points) -> bool {
    let close = |left: f64, right: f64| {
        left == right
            || (left.is_nan() && right.is_nan())
            || (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1e-3)
    };
    left.len() == right.len()
        && left.iter().zip(right).all(|((left, value), (right, other))| left == right && close(*value, *other))
}

fn naive_points(text: &str, data: &Data, (start_ms, end_ms, step_ms): (i64, i64, i64)) -> Option<Points> {
    let expr = parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let naive = Naive { data, start_ms, end_ms };
    let mut found = Points::new();
    let mut time_ms = start_ms;
    while time_ms <= end_ms {
        found.extend(naive.vector(&expr, time_ms)?.into_iter().map(|(labels, value)| ((labels, time_ms), value)));
        time_ms += step_ms;
    }
    Some(found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streaming_is_naive(
        text in expression(),
        data in data(),
        start_ms in 0..900_000i64,
        steps in 0..70i64,
        step_ms in prop_oneof![Just(15_000i64), Just(60_000), Just(400_000)],
    ) {
        let end_ms = start_ms + steps * step_ms;
        let store = Arc::new(MemoryStore::default());
        for (labels, samples) in &data {
            for (time_ms, value) in samples {
                store.push_float(labels, *time_ms, *value, 0);
            }
        }
        let time = QueryTime::Range { start_ms, end_ms, step_ms };
        let query = Query::new(&text, time, EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() }).unwrap();
        let expected = naive_points(&text, &data, (start_ms, end_ms, step_ms));
        let found = ask(&query, &store);
        match (&found, &expected) {
            (Ok(result), Some(expected)) => {
                let Value::Matrix(series) = &result.value else { panic!("a range query answers with a matrix") };
                prop_assert!(same(&points(series), expected), "{text}\n found {:?}\n expected {expected:?}", points(series));
            }
            (Err(_), None) => {}
            (found, expected) => prop_assert!(false, "{text}\n found {found:?}\n expected {expected:?}"),
        }
        if let (Some(parts), Ok(whole)) = (ask_in_parts(&query, &store, 3), found) {
            let parts = parts.unwrap();
            let (Value::Matrix(parts), Value::Matrix(whole)) = (&parts.value, &whole.value) else { panic!("matrices") };
            prop_assert!(same(&points(parts), &points(whole)), "{text} in parts\n found {parts:?}\n expected {whole:?}");
        }
    }
}
