//! Recorded answers of a real server to queries, held against this engine over the same samples.
//!
//! The folder that `NORN_CONFORMANCE` names holds `golden/metrics`: samples in a readable form, and cases with request and
//! answer. Only cases that ask for one tenant's samples are run; the server around the engine has its own checks.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use norn_base::clock::ManualClock;
use norn_base::memory::MemoryBudget;
use norn_base::{Error, Result};
use norn_gotext::number::parse_float;
use norn_gotext::time::{parse_duration, parse_time};
use norn_model::histogram::{ResetHint, Span};
use norn_model::sample::stale_nan;
use norn_model::{FloatHistogram, Labels};
use serde_json::Value as Json;

use crate::evaluate::{QueryContext, evaluate};
use crate::memory_store::MemoryStore;
use crate::parser::ParseOptions;
use crate::plan::{EngineOptions, Query, QueryTime};
use crate::value::{Point, QueryResult, Value};

fn folder() -> PathBuf {
    let root = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder that holds golden/");
    Path::new(&root).join("golden/metrics")
}

#[test]
#[ignore = "needs recorded answers: NORN_CONFORMANCE names the folder that holds golden/"]
fn recorded_answers() {
    let store = Arc::new(load());
    let only = std::env::var("NORN_CONFORMANCE_FILE").unwrap_or_default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut failed) = (0, 0);
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let case: Json = serde_json::from_str(line).unwrap();
            match check_case(&case, &store) {
                None => {}
                Some(Ok(())) => passed += 1,
                Some(Err(problem)) => {
                    failed += 1;
                    println!("{} {}\n  {}\n", case["name"], case["params"], problem);
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    assert!(passed > 0 && failed == 0, "{passed} passed, {failed} failed");
}

/// `None` where a case is about more than the engine.
fn check_case(case: &Json, store: &Arc<MemoryStore>) -> Option<Result<(), String>> {
    let range = match case["path"].as_str()? {
        "/prometheus/api/v1/query" => false,
        "/prometheus/api/v1/query_range" => true,
        _ => return None,
    };
    let compare = case["compare"].as_str()?;
    let about_more = !case["headers"].is_null()
        || !case["tenant"].is_null()
        || case["group"].as_str().is_some_and(|group| group.starts_with("otlp") || group.starts_with("errors-params"))
        || case["status"].is_array();
    if about_more || !matches!(compare, "prom-annotated" | "prom-vector-set" | "prom-error") {
        return None;
    }
    let params = &case["params"];
    let text = params["query"].as_str()?;
    let time = query_time(params, range)?;
    let options = EngineOptions {
        warnings_max: 0,
        infos_max: 0,
        parse: ParseOptions { fill_modifiers: false, ..ParseOptions::all() },
        ..EngineOptions::default()
    };
    let result = ask(text, time, options, store);
    if compare == "prom-error" {
        let expected =
            case["error_contains"].as_str().unwrap_or("").trim_start_matches("invalid parameter \"query\": ");
        return Some(match result {
            Ok(_) => Err(format!("succeeded instead of: {expected}")),
            Err(error) if error.message().contains(expected) => Ok(()),
            Err(error) => Err(format!("failed with: {}\n  instead of: {expected}", error.message())),
        });
    }
    Some(match result {
        Err(error) => Err(format!("failed with: {}", error.message())),
        Ok(result) => check_answer(case, &result, compare == "prom-annotated"),
    })
}

fn query_time(params: &Json, range: bool) -> Option<QueryTime> {
    let text = |name: &str| match &params[name] {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let time = |name: &str| parse_time(&text(name)?).ok();
    if !range {
        return Some(QueryTime::Instant { time_ms: time("time")? });
    }
    let step_ms = parse_duration(&text("step")?).ok()?;
    Some(QueryTime::Range { start_ms: time("start")?, end_ms: time("end")?, step_ms })
}

fn ask(text: &str, time: QueryTime, options: EngineOptions, store: &Arc<MemoryStore>) -> Result<QueryResult> {
    let query = Query::new(text, time, options)?;
    let context = QueryContext {
        budget: MemoryBudget::new("query", u64::MAX),
        canceled: Arc::default(),
        deadline: None,
        clock: ManualClock::at(0),
    };
    let mut evaluation = pin!(evaluate(&query, Arc::clone(store) as _, context));
    loop {
        if let Poll::Ready(result) = evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result.map_err(|error| Error::new(error.kind(), error.message()));
        }
    }
}

fn check_answer(case: &Json, result: &QueryResult, annotated: bool) -> Result<(), String> {
    let expect = &case["expect"];
    if annotated {
        for (kind, found) in [("warnings", &result.warnings), ("infos", &result.infos)] {
            let mut expected: Vec<&str> =
                expect[kind].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
            expected.sort_unstable();
            found.sort_unstable();
            if expected != found {
                return Err(format!("{kind} {found:?} instead of {expected:?}"));
            }
        }
    }
    let tolerance = case["rtol"].as_f64().unwrap_or(1e-9);
    let found = flatten(&result.value);
    let mut expected = Vec::new();
    let data = &expect["data"];
    match data["resultType"].as_str().unwrap_or("") {
        "scalar" => expected.push((Labels::empty(), vec![point(&data["result"])])),
        "string" => return Ok(()),
        _ => {
            for series in data["result"].as_array().into_iter().flatten() {
                let labels = labels(&series["metric"]);
                let mut points: Vec<_> =
                    ["value", "histogram"].iter().filter_map(|key| series.get(key)).map(point).collect();
                for key in ["values", "histograms"] {
                    points.extend(series[key].as_array().into_iter().flatten().map(point));
                }
                points.sort_by_key(|point| point.0);
                expected.push((labels, points));
            }
        }
    }
    expected.sort_by(|left, right| left.0.cmp(&right.0));
    if expected.len() != found.len() {
        return Err(format!("{} series instead of {}: {found:?}\n  {expected:?}", found.len(), expected.len()));
    }
    for (found, expected) in found.iter().zip(&expected) {
        let same = found.0 == expected.0
            && found.1.len() == expected.1.len()
            && found.1.iter().zip(&expected.1).all(|(found, expected)| same_point(found, expected, tolerance));
        if !same {
            return Err(format!("found    {found:?}\n  expected {expected:?}"));
        }
    }
    Ok(())
}

/// A time in milliseconds and the numbers that are shown for it: a value; or count, sum, and four for each bucket.
type ShownPoint = (i64, Vec<f64>);

fn same_point(found: &ShownPoint, expected: &ShownPoint, tolerance: f64) -> bool {
    let same = |left: &f64, right: &f64| {
        left == right
            || (left.is_nan() && right.is_nan())
            || (left - right).abs() <= tolerance * left.abs().max(right.abs())
    };
    found.0 == expected.0
        && found.1.len() == expected.1.len()
        && found.1.iter().zip(&expected.1).all(|(left, right)| same(left, right))
}

fn flatten(value: &Value) -> Vec<(Labels, Vec<ShownPoint>)> {
    let mut series: Vec<(Labels, Vec<ShownPoint>)> = match value {
        Value::Scalar(sample) => vec![(Labels::empty(), vec![(sample.timestamp_ms, vec![sample.value])])],
        Value::String { .. } => Vec::new(),
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| {
                let numbers = match &sample.point {
                    Point::Float(value) => vec![*value],
                    Point::Histogram(histogram) => shown(histogram),
                };
                (sample.labels.clone(), vec![(sample.timestamp_ms, numbers)])
            })
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|series| {
                let floats = series.floats.iter().map(|sample| (sample.timestamp_ms, vec![sample.value]));
                let histograms = series.histograms.iter().map(|point| (point.timestamp_ms, shown(&point.histogram)));
                let mut points: Vec<ShownPoint> = floats.chain(histograms).collect();
                points.sort_by_key(|point| point.0);
                (series.labels.clone(), points)
            })
            .collect(),
    };
    series.sort_by(|left, right| left.0.cmp(&right.0));
    series
}

fn shown(histogram: &FloatHistogram) -> Vec<f64> {
    let mut numbers = vec![histogram.count, histogram.sum];
    for bucket in histogram.filled_buckets() {
        numbers.extend([f64::from(bucket.boundary_rule()), bucket.lower, bucket.upper, bucket.count]);
    }
    numbers
}

fn number(json: &Json) -> f64 {
    match json {
        Json::String(text) if text == "StaleNaN" => stale_nan(),
        Json::String(text) => parse_float(text).unwrap(),
        json => json.as_f64().unwrap(),
    }
}

fn point(json: &Json) -> ShownPoint {
    let time_ms = (number(&json[0]) * 1000.0).round() as i64;
    let Json::Object(histogram) = &json[1] else { return (time_ms, vec![number(&json[1])]) };
    let mut numbers = vec![number(&histogram["count"]), number(&histogram["sum"])];
    for bucket in histogram.get("buckets").and_then(Json::as_array).into_iter().flatten() {
        numbers.extend(bucket.as_array().unwrap().iter().map(number));
    }
    (time_ms, numbers)
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))))
}

fn load() -> MemoryStore {
    let store = MemoryStore::default();
    for line in std::fs::read_to_string(folder().join("series.jsonl")).unwrap().lines() {
        let series: Json = serde_json::from_str(line).unwrap();
        if series["tenant"] != "golden" {
            continue;
        }
        let labels = labels(&series["labels"]);
        for sample in series["samples"].as_array().into_iter().flatten() {
            store.push_float(&labels, sample[0].as_i64().unwrap(), number(&sample[1]), 0);
        }
        for sample in series["histograms"].as_array().into_iter().flatten() {
            let timestamp_ms = sample[0].as_i64().unwrap();
            if !comes_too_late(&series["samples"], timestamp_ms) {
                store.push_histogram(&labels, timestamp_ms, histogram(&sample[1]), 0);
            }
        }
    }
    store
}

/// Whether the server took a float of the same request first that was newer. The samples were sent in slices of 20
/// minutes, floats before histograms.
fn comes_too_late(floats: &Json, timestamp_ms: i64) -> bool {
    let slice = |timestamp_ms: i64| timestamp_ms / 1_200_000;
    let newer = |float: &Json| {
        let float_ms = float[0].as_i64().unwrap();
        float_ms > timestamp_ms && slice(float_ms - 1_793_491_200_000) == slice(timestamp_ms - 1_793_491_200_000)
    };
    floats.as_array().into_iter().flatten().any(newer)
}

fn histogram(json: &Json) -> FloatHistogram {
    let numbers = |name: &str| json[name].as_array().into_iter().flatten().map(number).collect::<Vec<f64>>();
    let spans = |name: &str| {
        let spans = json[name].as_array().into_iter().flatten();
        let span = |span: &Json| Span {
            offset: i32::try_from(span[0].as_i64().unwrap()).unwrap(),
            length: u32::try_from(span[1].as_u64().unwrap()).unwrap(),
        };
        spans.map(span).collect::<Vec<Span>>()
    };
    let of = |name: &str| if json[name].is_null() { 0.0 } else { number(&json[name]) };
    FloatHistogram {
        reset_hint: if json["reset_hint"] == "gauge" { ResetHint::Gauge } else { ResetHint::Unknown },
        schema: i32::try_from(json["schema"].as_i64().unwrap_or(0)).unwrap(),
        zero_threshold: of("zero_threshold"),
        zero_count: of("zero_count"),
        count: of("count"),
        sum: of("sum"),
        positive_spans: spans("positive_spans"),
        negative_spans: spans("negative_spans"),
        positive_buckets: numbers("positive_buckets"),
        negative_buckets: numbers("negative_buckets"),
        custom_values: numbers("custom_values").into(),
    }
}
