//! How fast queries of dashboards run over 100,000 series of 120 samples, on one core.
//!
//! Ceiling, from a sketch of memory and arithmetic. 12 million samples of 16 bytes are 192 MB: reading them once from
//! memory at 10 GB/s is 20 ms, writing them into batches the same again. `rate` over 120 overlapping windows costs two
//! divisions and a dozen cheap operations a window, about 6 ns, so 12 million windows are 70 ms; adding them to their
//! groups with compensation is 2 ns each, 25 ms. Finding the group of a series costs 50 ns, 5 ms in all. So
//! `sum by (namespace) (rate(…))` cannot be much below 140 ms, 12 ns a sample; and a selector that only counts not much
//! below 50 ms. What stands in for a store here only copies columns: `fill` is its share.
//!
//! Last numbers, 2026-11-21, in milliseconds of one of two cores that other builds shared, so that all of them are too
//! high, `fill` included: fill 28, rate_by_namespace 163, topk_pods 353 (a group for each series: 102 MB), count_by_cluster
//! 78, error_ratio 149, avg_over_time 79, subquery 108, join 152 (50 MB), count_all 66, raw 7. All others hold below 1 MB
//! beside a batch.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use norn_base::Result;
use norn_base::clock::ManualClock;
use norn_base::memory::MemoryBudget;
use norn_model::Labels;
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesSource, SeriesStore};
use norn_promql::evaluate::{QueryContext, evaluate};
use norn_promql::plan::{EngineOptions, Query, QueryTime};

const SERIES: usize = 100_000;
const SAMPLES: usize = 120;
const INTERVAL_MS: i64 = 15_000;
const SERIES_PER_BATCH: usize = 256;

/// A store that makes up its samples: counters that grow evenly, a reset in one of a hundred.
struct MadeUpStore {
    series: Arc<Vec<(Labels, u64)>>,
}

impl MadeUpStore {
    fn new() -> Self {
        let series = |index: usize| {
            let labels = Labels::from_pairs([
                ("__name__", "http_requests_total".to_owned()),
                ("cluster", format!("cluster-{}", index % 3)),
                ("instance", format!("10.0.{}.{}:8080", index / 250 % 250, index % 250)),
                ("job", format!("app-{}", index % 50)),
                ("namespace", format!("team-{}", index % 20)),
                ("pod", format!("app-{}-{:05}-{}", index % 50, index / 10, index % 10)),
                ("status", ["200", "404", "500", "503"][index % 4].to_owned()),
            ]);
            let hash = labels.stable_hash();
            (labels, hash)
        };
        Self { series: Arc::new((0..SERIES).map(series).collect()) }
    }
}

struct MadeUpSource {
    series: Vec<(Labels, u64)>,
    next: usize,
    first: usize,
    last: usize,
}

impl SeriesStore for MadeUpStore {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        let matches = |labels: &Labels| request.matchers.iter().all(|matcher| matcher.matches_labels(labels.as_ref()));
        let selected = self
            .series
            .iter()
            .filter(|(labels, hash)| matches(labels) && request.shard.is_none_or(|shard| shard.owns(*hash)));
        let projected = selected.map(|(labels, hash)| (labels.filtered(|name| request.projection.wants(name)), *hash));
        let index_of = |time_ms: i64| usize::try_from(time_ms.max(0) / INTERVAL_MS).unwrap_or(0);
        Box::new(MadeUpSource {
            series: projected.collect(),
            next: 0,
            first: index_of(request.range.start_ms + INTERVAL_MS - 1),
            last: index_of(request.range.end_ms).min(SAMPLES - 1),
        })
    }
}

impl SeriesSource for MadeUpSource {
    fn poll_batch(&mut self, _context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        let end = (self.next + SERIES_PER_BATCH).min(self.series.len());
        for (labels, hash) in &self.series[self.next..end] {
            batch.push_series(labels.clone(), *hash);
            let rate = (hash % 1000) as f64;
            let reset = if hash % 100 == 0 { SAMPLES / 2 } else { 0 };
            let (timestamps_ms, values) = batch.float_columns();
            timestamps_ms.extend((self.first..=self.last).map(|index| index as i64 * INTERVAL_MS));
            values.extend((self.first..=self.last).map(|index| {
                let since = if index >= reset { index - reset } else { index };
                rate * since as f64
            }));
            batch.finish_floats();
        }
        let any = self.next < end;
        self.next = end;
        Poll::Ready(Ok(any))
    }
}

fn run(store: &Arc<MadeUpStore>, text: &str, step_s: Option<i64>) -> usize {
    let end_ms = (SAMPLES as i64 - 1) * INTERVAL_MS;
    let time = match step_s {
        Some(step_s) => QueryTime::Range { start_ms: 0, end_ms, step_ms: step_s * 1000 },
        None => QueryTime::Instant { time_ms: end_ms },
    };
    let query = Query::new(text, time, EngineOptions::default()).expect("the bench's queries are valid");
    let budget = MemoryBudget::new("query", u64::MAX);
    let context =
        QueryContext { budget: budget.clone(), canceled: Arc::default(), deadline: None, clock: ManualClock::at(0) };
    let mut evaluation = pin!(evaluate(&query, Arc::clone(store) as _, context));
    loop {
        if let Poll::Ready(result) = evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let result = result.expect("the bench's queries do not fail");
            black_box(&result);
            return usize::try_from(result.stats.bytes_peak).unwrap_or(usize::MAX);
        }
    }
}

fn fill(store: &MadeUpStore) {
    let range = norn_model::select::TimeRange { start_ms: 0, end_ms: SAMPLES as i64 * INTERVAL_MS };
    let mut source = store.select(SeriesRequest::new(Vec::new(), range));
    let mut batch = SeriesBatch::default();
    while let Poll::Ready(Ok(true)) = source.poll_batch(&mut Context::from_waker(Waker::noop()), &mut batch) {
        black_box(&batch);
    }
}

fn benches(criterion: &mut Criterion) {
    let store = Arc::new(MadeUpStore::new());
    let mut group = criterion.benchmark_group("100k series x 120 samples");
    group.sample_size(10);
    group.bench_function("fill", |bencher| bencher.iter(|| fill(&store)));
    let queries = [
        ("rate_by_namespace", "sum by (namespace) (rate(http_requests_total[5m]))", Some(15)),
        ("topk_pods", "topk(10, sum by (pod) (rate(http_requests_total[5m])))", Some(60)),
        ("count_by_cluster", "count by (cluster) (http_requests_total)", Some(15)),
        (
            "error_ratio",
            "sum by (job) (rate(http_requests_total{status=\"500\"}[5m])) / sum by (job) (rate(http_requests_total[5m]))",
            Some(15),
        ),
        ("avg_over_time", "avg by (job) (avg_over_time(http_requests_total[20m]))", None),
        ("subquery", "max_over_time(sum by (cluster) (rate(http_requests_total[2m]))[20m:15s])", None),
        ("join", "http_requests_total * on (pod, instance) group_left () http_requests_total", None),
        ("count_all", "count({__name__=~\".+\"})", None),
        ("raw", "http_requests_total{pod=~\"app-1-.*1\"}", Some(15)),
    ];
    for (name, text, step_s) in queries {
        println!("{name}: {} bytes at most", run(&store, text, step_s));
        group.bench_function(name, |bencher| bencher.iter(|| run(&store, text, step_s)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
