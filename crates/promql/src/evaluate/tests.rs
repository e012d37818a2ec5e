use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use norn_base::clock::{ManualClock, SharedClock};
use norn_base::memory::MemoryBudget;
use norn_base::{ErrorKind, Result};
use norn_model::Labels;
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesSource, SeriesStore};

use super::*;
use crate::memory_store::MemoryStore;
use crate::partial::{evaluate_fragment, merge};
use crate::plan::{EngineOptions, QueryTime};
use crate::value::{Point, Value};

pub(super) fn context() -> QueryContext {
    QueryContext {
        budget: MemoryBudget::new("query", u64::MAX),
        canceled: Arc::default(),
        deadline: None,
        clock: ManualClock::at(0),
    }
}

/// Polls until the end; the sources of these tests are never pending, so that pending means to let others run.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

pub(super) fn ask(query: &Query, store: &Arc<MemoryStore>) -> Result<QueryResult> {
    wait(evaluate(query, Arc::clone(store) as _, context()))
}

/// The answer from parts, merged in another order than they were made; `None` where the query has none.
pub(super) fn ask_in_parts(query: &Query, store: &Arc<MemoryStore>, count: u32) -> Option<Result<QueryResult>> {
    let mut fragments = query.fragments(count)?;
    fragments.reverse();
    let context = context();
    let partials: Result<Vec<_>> = fragments
        .into_iter()
        .map(|fragment| wait(evaluate_fragment(fragment, Arc::clone(store) as _, context.clone())))
        .collect();
    Some(partials.and_then(|partials| wait(merge(query, partials, context.clone()))))
}

/// Twenty counters in two jobs with a sample every 15 seconds for 20 minutes.
fn store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    for index in 0..20 {
        let (job, instance) = (format!("job-{}", index % 2), format!("{index:02}"));
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("instance", &instance), ("job", &job)]);
        for sample in 0..=80 {
            store.push_float(&labels, sample * 15_000, f64::from(index) * sample as f64, 0);
        }
    }
    store
}

fn query(text: &str, time: QueryTime) -> Query {
    Query::new(text, time, EngineOptions::default()).unwrap()
}

fn instant(text: &str) -> Query {
    query(text, QueryTime::Instant { time_ms: 1_200_000 })
}

fn range(text: &str) -> Query {
    query(text, QueryTime::Range { start_ms: 0, end_ms: 1_200_000, step_ms: 60_000 })
}

fn floats(result: &QueryResult) -> Vec<f64> {
    match &result.value {
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| match sample.point {
                Point::Float(value) => value,
                Point::Histogram(_) => panic!("the store has no histograms"),
            })
            .collect(),
        Value::Scalar(sample) => vec![sample.value],
        Value::Matrix(series) => series.iter().flat_map(|series| &series.floats).map(|sample| sample.value).collect(),
        Value::String { .. } => Vec::new(),
    }
}

#[test]
fn instant_queries() {
    let store = store();
    let check = |text: &str, expected: &[f64]| {
        let result = ask(&instant(text), &store).unwrap();
        assert_eq!(floats(&result), expected, "{text}");
    };
    check("1 + 2 * 3", &[7.0]);
    check("sum(requests_total)", &[190.0 * 80.0]);
    check("count by (job) (requests_total)", &[10.0, 10.0]);
    check("sum(rate(requests_total[5m]))", &[190.0 / 15.0]);
    check("topk(2, requests_total)", &[1520.0, 1440.0]);
    check("sort(bottomk(2, requests_total))", &[0.0, 80.0]);
    check("requests_total{instance=\"03\"} * on (instance) requests_total", &[240.0 * 240.0]);
    check("max_over_time(sum(requests_total)[5m:1m])", &[190.0 * 80.0]);
    // Below a subquery series may come in parts, and have to be known by all their labels.
    check("count(rate((requests_total + 0)[5m:1m]))", &[20.0]);
    check("count(max_over_time((requests_total or requests_total)[5m:1m]))", &[20.0]);
    check("scalar(requests_total{instance=\"01\"}) + 1", &[81.0]);
    check("absent(nothing)", &[1.0]);
    check("count(requests_total offset 1h)", &[]);
    check("requests_total{instance=\"02\"} @ 30", &[4.0]);
}

#[test]
fn equal_aggregations_are_evaluated_once() {
    let query = instant("sum(requests_total) / (sum(requests_total) + count(requests_total))");
    let result = ask(&query, &store()).unwrap();
    assert_eq!(result.stats.series, 40);
    let parts = ask_in_parts(&query, &store(), 2).unwrap().unwrap();
    assert_eq!((parts.stats.series, &parts.value), (40, &result.value));
}

#[test]
fn parts_give_the_whole() {
    let store = store();
    let check = |text: &str, is_shardable: bool| {
        for query in [instant(text), range(text)] {
            let parts = ask_in_parts(&query, &store, 3);
            assert_eq!(parts.is_some(), is_shardable, "{text}");
            let Some(parts) = parts else { continue };
            let (parts, whole) = (parts.unwrap(), ask(&query, &store).unwrap());
            let (mut parts_floats, mut whole_floats) = (floats(&parts), floats(&whole));
            parts_floats.sort_by(f64::total_cmp);
            whole_floats.sort_by(f64::total_cmp);
            assert_eq!(parts_floats.len(), whole_floats.len(), "{text}");
            for (part, whole) in parts_floats.iter().zip(&whole_floats) {
                let same = part.to_bits() == whole.to_bits() || (part - whole).abs() <= 1e-12 * whole.abs();
                assert!(same, "{text}: {part} is not {whole}");
            }
            assert_eq!((parts.warnings, parts.infos), (whole.warnings, whole.infos), "{text}");
            assert_eq!((parts.stats.series, parts.stats.samples), (whole.stats.series, whole.stats.samples), "{text}");
        }
    };
    check("sum by (job) (rate(requests_total[5m]))", true);
    check("rate(requests_total[5m]) > 1", true);
    check("avg(requests_total) / max(requests_total)", true);
    check("topk(3, requests_total)", true);
    check("quantile(0.9, requests_total)", true);
    check("stddev by (job) (requests_total) + 1", true);
    check("max_over_time(sum(rate(requests_total[1m]))[5m:1m])", true);
    check("sum(requests_total @ 600)", true);
    check("absent(sum(requests_total))", true);
    check("scalar(sum(requests_total)) * 2", true);
    check("count by (job) (requests_total) * on (job) sum by (job) (requests_total)", true);
    // Series have to meet, or to be told apart.
    check("sum(requests_total * on (instance) requests_total)", false);
    check("sum(rate({__name__=~\"requests.*\"}[5m]))", false);
    check("absent(requests_total)", false);
    check("1 + 1", false);
}

#[test]
fn equal_queries_in_parts_have_equal_bytes() {
    let store = store();
    let query = range("sum(rate(requests_total[5m])) / 3");
    let first = format!("{:?}", ask_in_parts(&query, &store, 4).unwrap().unwrap().value);
    let second = format!("{:?}", ask_in_parts(&query, &store, 4).unwrap().unwrap().value);
    assert_eq!(first, second);
}

#[test]
fn a_fragment_of_another_version_is_refused() {
    let mut fragment = instant("sum(requests_total)").fragments(2).unwrap().remove(0);
    fragment.version += 1;
    let error = wait(evaluate_fragment(fragment, store() as _, context())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unimplemented);
    let query = instant("sum(requests_total)");
    assert!(wait(merge(&query, Vec::new(), context())).is_err());
}

#[test]
fn a_query_dies_at_its_budget_and_gives_everything_back() {
    let budget = MemoryBudget::new("query", 20_000);
    let context = QueryContext { budget: budget.clone(), ..context() };
    let query = range("requests_total * on (instance) requests_total");
    let error = wait(evaluate(&query, store() as _, context)).unwrap_err();
    assert_eq!(error.id(), Some("err-mimir-max-estimated-memory-consumption-per-query"));
    assert!(error.message().contains("(limit: 20000 bytes)"), "{error}");
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_query_dies_at_its_samples() {
    let options = EngineOptions { samples_max: 100, ..EngineOptions::default() };
    let time = QueryTime::Range { start_ms: 0, end_ms: 1_200_000, step_ms: 60_000 };
    let query = Query::new("requests_total", time, options).unwrap();
    let error = ask(&query, &store()).unwrap_err();
    assert_eq!(error.message(), "query processing would load too many samples into memory in query execution");
}

#[test]
fn a_subquery_of_too_many_steps_is_refused() {
    let options = EngineOptions { samples_max: 0, ..EngineOptions::default() };
    let query = Query::new("max_over_time(vector(1)[10y:1ms])", QueryTime::Instant { time_ms: 0 }, options).unwrap();
    assert_eq!(ask(&query, &store()).unwrap_err().kind(), ErrorKind::Unprocessable);
}

#[test]
fn times_at_the_end_of_time_do_not_overflow() {
    let text = "requests_total + sum(changes(requests_total[5m] offset -1y)) + max_over_time(requests_total[5m:1m])";
    for time_ms in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        let query = query(text, QueryTime::Instant { time_ms });
        assert_eq!(floats(&ask(&query, &store()).unwrap()), Vec::<f64>::new());
    }
}

#[test]
fn deep_queries_do_not_overflow_the_stack() {
    let nested = format!("{}requests_total{}", "abs(".repeat(190), ")".repeat(190));
    let chained = vec!["requests_total"; 400].join(" or ");
    for text in [nested, chained] {
        // Optimized code needs a quarter of this for the deepest trees that the parser makes.
        let ask = move || assert_eq!(floats(&ask(&instant(&text), &store()).unwrap()).len(), 20);
        std::thread::Builder::new().stack_size(8 << 20).spawn(ask).unwrap().join().unwrap();
    }
}

#[test]
fn canceled_and_late_queries_end() {
    let check = |context: QueryContext, expected: ErrorKind| {
        let error = wait(evaluate(&instant("sum(requests_total)"), store() as _, context)).unwrap_err();
        assert_eq!(error.kind(), expected);
    };
    let canceled = Arc::new(AtomicBool::new(false));
    canceled.store(true, Ordering::Relaxed);
    check(QueryContext { canceled, ..context() }, ErrorKind::Canceled);
    let clock = ManualClock::at(0);
    clock.advance(Duration::from_secs(2));
    let deadline = Some(Duration::from_secs(1));
    check(QueryContext { clock: clock as SharedClock, deadline, ..context() }, ErrorKind::Timeout);
}

/// A store whose sources fail, or warn.
struct OddStore {
    fails: bool,
}

struct OddSource {
    fails: bool,
}

impl SeriesStore for OddStore {
    fn select(&self, _request: SeriesRequest) -> Box<dyn SeriesSource> {
        Box::new(OddSource { fails: self.fails })
    }
}

impl SeriesSource for OddSource {
    fn poll_batch(&mut self, _context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        Poll::Ready(if self.fails { Err(norn_base::Error::unavailable("ingester is gone")) } else { Ok(false) })
    }

    fn warnings(&self) -> Vec<String> {
        vec!["one block is missing".to_owned()]
    }
}

#[test]
fn failures_and_warnings_of_the_store_reach_the_client() {
    let query = instant("sum(requests_total)");
    let error = wait(evaluate(&query, Arc::new(OddStore { fails: true }), context())).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "ingester is gone"));
    let result = wait(evaluate(&query, Arc::new(OddStore { fails: false }), context())).unwrap();
    assert_eq!(result.warnings, ["one block is missing"]);
}

#[test]
fn stores_are_asked_for_what_is_needed() {
    use norn_model::select::{Projection, TimeRange};
    let check = |text: &str, names: Option<&[&str]>, range: (i64, i64)| {
        let seen = Arc::new(AskedStore::default());
        wait(evaluate(&instant(text), Arc::clone(&seen) as _, context())).unwrap();
        let request = seen.requests.lock().unwrap().remove(0);
        let expected = match names {
            None => Projection::All,
            Some(names) => Projection::Only(names.iter().map(|name| Box::from(*name)).collect()),
        };
        assert_eq!(request.projection, expected, "{text}");
        assert_eq!(request.range, TimeRange { start_ms: range.0, end_ms: range.1 }, "{text}");
    };
    check("up", None, (900_001, 1_200_000));
    check("sum by (job) (rate(up[1m]))", Some(&["job"]), (1_140_001, 1_200_000));
    check("count(up offset 1m)", Some(&[]), (840_001, 1_140_000));
    check("sum(rate({job=\"a\"}[1m]))", None, (1_140_001, 1_200_000));
    check("sum by (job) ({job=\"a\"} @ 10)", Some(&["__name__", "job"]), (-289_999, 10_000));
    check("max_over_time(sum by (job) (up)[2m:1m])", Some(&["job"]), (840_001, 1_200_000));
}

/// Remembers what it was asked for.
#[derive(Default)]
struct AskedStore {
    requests: std::sync::Mutex<Vec<SeriesRequest>>,
}

impl SeriesStore for AskedStore {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        self.requests.lock().unwrap().push(request);
        Box::new(norn_model::select::BatchSource::default())
    }
}
