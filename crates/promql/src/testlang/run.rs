//! Asks a query, and asks it again in forms that have to answer alike.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use norn_base::clock::ManualClock;
use norn_base::memory::MemoryBudget;
use norn_base::{Error, Result as QueryOutcome};

use super::fixed_time::fix_time;
use super::script::Eval;
use super::{Settings, annotations, compare};
use crate::evaluate::{QueryContext, evaluate};
use crate::memory_store::MemoryStore;
use crate::parser::parse;
use crate::plan::{Query, QueryTime};
use crate::tree::Expr;
use crate::value::{MatrixSeries, Point, QueryResult, Value, VectorSample};

/// Runs one `eval`. Fails with what was expected and what came.
pub(super) fn run(eval: &Eval, store: &Arc<MemoryStore>, settings: &Settings) -> Result<(), String> {
    let asked = |outcome: &QueryOutcome<QueryResult>| check(eval, outcome);
    let outcome = Query::new(&eval.query, eval.time, settings.engine.clone()).and_then(|query| ask(&query, store));
    asked(&outcome)?;
    if let Ok(result) = &outcome {
        annotations::check(&eval.annotations, result)?;
    }
    let (QueryTime::Instant { time_ms }, true) = (eval.time, settings.repeats) else { return Ok(()) };
    // A query that cannot be parsed was expected not to be.
    let Ok(expr) = parse(&eval.query, &settings.engine.parse) else { return Ok(()) };
    for (name, expr, time_ms) in fixed_forms(&expr, time_ms) {
        let time = QueryTime::Instant { time_ms };
        let outcome =
            Query::from_expr(&expr, &eval.query, time, settings.engine.clone()).and_then(|query| ask(&query, store));
        asked(&outcome).map_err(|problem| format!("{name}: {problem}"))?;
    }
    match outcome {
        Ok(result) if has_range_form(eval, &result) => range_form(eval, time_ms, &result, store, settings)
            .map_err(|problem| format!("as a range query, at its time: {problem}")),
        _ => Ok(()),
    }
}

/// Evaluates a query on this thread.
fn ask(query: &Query, store: &Arc<MemoryStore>) -> QueryOutcome<QueryResult> {
    let context = QueryContext {
        budget: MemoryBudget::new("test script", u64::MAX),
        canceled: Arc::new(AtomicBool::new(false)),
        deadline: None,
        clock: ManualClock::at(0),
    };
    let mut evaluation = pin!(evaluate(query, Arc::clone(store) as _, context));
    // The store is never pending; the evaluation is where it lets others compute.
    loop {
        if let Poll::Ready(outcome) = evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return outcome;
        }
    }
}

fn check(eval: &Eval, outcome: &QueryOutcome<QueryResult>) -> Result<(), String> {
    match (&eval.fails, outcome) {
        (None, Ok(result)) => compare::check(eval, &result.value),
        (None, Err(error)) => Err(format!("failed: {}", error.message())),
        (Some(rule), Err(error)) if rule.accepts(message(error)) => Ok(()),
        (Some(rule), Err(error)) => {
            Err(format!("expected to fail with {}\nfailed with {:?}", rule.describe(), message(error)))
        }
        (Some(rule), Ok(result)) => {
            Err(format!("expected to fail with {}\ngot {}", rule.describe(), compare::show(&result.value)))
        }
    }
}

fn message(error: &Error) -> &str {
    error.message()
}

/// The query with `@`, at its time and at others.
fn fixed_forms(expr: &Expr, time_ms: i64) -> Vec<(String, Expr, i64)> {
    let Some(fixed) = fix_time(expr, time_ms) else { return Vec::new() };
    let times = match time_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![time_ms.saturating_mul(-10), 0, time_ms / 5, time_ms, time_ms.saturating_mul(10)],
    };
    let named = |at_ms| (format!("with @ {time_ms} ms, at {at_ms} ms"), fixed.clone(), at_ms);
    times.into_iter().map(named).collect()
}

fn has_range_form(eval: &Eval, result: &QueryResult) -> bool {
    let looks_at_range = ["start()", "end()", "step()", "range()"].iter().any(|call| eval.query.contains(call));
    !eval.ordered && !looks_at_range && matches!(result.value, Value::Scalar(_) | Value::Vector(_))
}

/// Asks from a minute before to a minute after, and looks at the step between.
fn range_form(
    eval: &Eval,
    time_ms: i64,
    instant: &QueryResult,
    store: &Arc<MemoryStore>,
    settings: &Settings,
) -> Result<(), String> {
    let time = QueryTime::Range { start_ms: time_ms - 60_000, end_ms: time_ms + 60_000, step_ms: 60_000 };
    let result = Query::new(&eval.query, time, settings.engine.clone())
        .and_then(|query| ask(&query, store))
        .map_err(|error| format!("failed: {}", error.message()))?;
    let Value::Matrix(matrix) = &result.value else {
        return Err(format!("expected a matrix, got {}", compare::show(&result.value)));
    };
    compare::check_sorted(matrix)?;
    let vector: Vec<VectorSample> = matrix.iter().filter_map(|series| at(series, time_ms)).collect();
    let value = match (&instant.value, vector.first()) {
        (Value::Scalar(scalar), Some(VectorSample { point: Point::Float(value), .. })) => {
            Value::Scalar(norn_model::Sample { value: *value, ..*scalar })
        }
        _ => Value::Vector(vector),
    };
    compare::check(eval, &value)
}

/// What a series has at a time.
fn at(series: &MatrixSeries, timestamp_ms: i64) -> Option<VectorSample> {
    let float = series.floats.iter().find(|sample| sample.timestamp_ms == timestamp_ms);
    let histogram = series.histograms.iter().find(|point| point.timestamp_ms == timestamp_ms);
    let point = match (float, histogram) {
        (Some(sample), _) => Point::Float(sample.value),
        (None, Some(point)) => Point::Histogram(Arc::clone(&point.histogram)),
        (None, None) => return None,
    };
    Some(VectorSample { labels: series.labels.clone(), timestamp_ms, point })
}
