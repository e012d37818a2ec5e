//! How fast queries run over 100,000 series of an hour at 15 seconds, over one pod's series of 30 days, and over native
//! histograms, on one core. The first ten queries are those by which norn is compared with other servers.
//!
//! Ceiling, from a sketch of memory and arithmetic, in nanoseconds for each sample that is read. A sample has 16 bytes;
//! to write them into a batch and to read them once costs 3 ns at 10 GB/s. A window of `rate` costs two cursors, a
//! subtraction and a multiplication, about 4 ns, and with a step of 15 seconds there is one for each sample; adding it to
//! its group without losing what rounding loses is 2 ns. So `sum by (…) (rate(…[5m]))` cannot be much below 9 ns, and with
//! a step of a minute not much below 5. An instant query reads about 20 samples a series, so that the labels, which
//! cost some 200 ns a series, count with 10 ns a sample. Windows over a day with a step of an hour share 23 of 24 samples,
//! which a kernel of compensated sums reads anew in each: 24 times 4 ns. A native histogram of 16 buckets has 400 bytes,
//! and `rate` takes two of them to make a third in each window of a minute, so one in four samples costs an allocation and
//! three passes.
//!
//! Last numbers, 2026-11-21, one of two cores of an AMD EPYC that a dozen builds shared: the wall clock says little, and
//! CPU is too high too, by what shared caches cost. Peak is what the process grew by, without batches and what the
//! allocator had kept.
//!
//! ```text
//!                         million       ms      ms    MiB      ns a   ceiling   million
//! query                   samples     wall     CPU   peak    sample               a s
//! rate_by_namespace          2.00    122.5    17.8    0.7        8.9        9     112.6
//! quantile_by_namespace      2.00    168.3    24.1    3.5       12.1        9      82.9
//! topk_pods                  1.97    193.2    21.3   27.5       10.8        5      92.8
//! count_up                   2.00    121.2     9.9    0.0        4.9        4     202.8
//! regex_raw                  0.18     20.2     3.9    0.0       21.5        4      46.5
//! avg_over_time              0.67     54.8     7.5    0.0       11.2        4      89.1
//! error_ratio                2.67    111.6    24.5    0.0        9.2        9     109.0
//! subquery                   0.73     26.0     7.5    0.0       10.3        9      96.8
//! join                       0.33    130.8    18.8    0.0       56.5       10      17.7
//! all_series_count           2.00    385.9    52.4    0.0       26.2       10      38.2
//! high_cardinality           9.88    510.0    68.5   13.0        6.9        4     144.3
//! many_to_one                3.95    177.7    35.4    0.0        8.9        5     111.7
//! subquery_range             1.98    102.2    17.4    0.0        8.8        9     113.7
//! native_quantile            0.47    190.9    69.0    0.0      145.5       60       6.9
//! native_count               0.47    125.0    42.6    0.0       89.9       40      11.1
//! month_rate                 0.17      0.4     0.2    0.0        1.2        1     818.5
//! month_average              0.17     20.2    17.4    0.0      100.6       97       9.9
//! month_quantile             0.17      5.2     3.5    0.0       20.5       10      48.7
//! month_subquery             0.17      1.2     0.8    0.0        4.6        1     215.4
//! ```

mod store;

use std::fs;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use norn_base::clock::{ManualClock, SystemClock};
use norn_base::memory::MemoryBudget;
use norn_model::Matcher;
use norn_model::labels::METRIC_NAME;
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesStore, TimeRange};
use norn_promql::evaluate::{QueryContext, evaluate};
use norn_promql::plan::{EngineOptions, Query, QueryTime};
use norn_promql::value::QueryStats;

use store::{INTERVAL_MS, MadeUpStore};

const HOUR_SAMPLES: usize = 240;
const MONTH_SAMPLES: usize = 30 * 24 * HOUR_SAMPLES;

/// The scheduler counts time in steps of some milliseconds, so that one run would not do.
const RUNS: u32 = 10;

/// Name, text, and the step in seconds, or 0 for an instant query at the end.
type Case = (&'static str, &'static str, i64);

const POD_QUERIES: &[Case] = &[
    ("rate_by_namespace", "sum by (namespace) (rate(http_requests_total[5m]))", 15),
    (
        "quantile_by_namespace",
        "histogram_quantile(0.99, sum by (le, namespace) (rate(http_request_duration_seconds_bucket[5m])))",
        15,
    ),
    ("topk_pods", "topk(10, sum by (pod) (rate(container_cpu_usage_seconds_total[5m])))", 60),
    ("count_up", "count by (cluster) (up)", 15),
    ("regex_raw", "container_memory_working_set_bytes{pod=~\"app-1-.*0\"}", 15),
    ("avg_over_time", "avg by (job) (avg_over_time(node_filesystem_avail_bytes[20m]))", 0),
    (
        "error_ratio",
        "sum by (job) (rate(http_requests_total{status=\"500\"}[5m])) / sum by (job) (rate(http_requests_total[5m]))",
        15,
    ),
    ("subquery", "max_over_time(sum by (cluster) (rate(http_requests_total[2m]))[20m:15s])", 0),
    ("join", "container_memory_working_set_bytes * on (pod, instance) group_left () kube_pod_status_ready", 0),
    ("all_series_count", "count({__name__=~\".+\"})", 0),
    ("high_cardinality", "sum by (namespace, pod) ({__name__=~\"http_.*|container_cpu_usage_seconds_total\"})", 60),
    (
        "many_to_one",
        "sum by (namespace, pod) (rate(http_requests_total[5m])) / on (namespace) group_left () \
         sum by (namespace) (rate(http_requests_total[5m]))",
        60,
    ),
    ("subquery_range", "max_over_time(sum by (cluster) (rate(http_requests_total[2m]))[20m:15s])", 60),
];

const HISTOGRAM_QUERIES: &[Case] = &[
    ("native_quantile", "histogram_quantile(0.99, sum by (namespace) (rate(rpc_duration_seconds[5m])))", 60),
    ("native_count", "sum by (namespace) (histogram_count(rate(rpc_duration_seconds[5m])))", 60),
];

const MONTH_QUERIES: &[Case] = &[
    ("month_rate", "rate(http_requests_total[5m])", 300),
    ("month_average", "avg_over_time(queue_depth[1d])", 3600),
    ("month_quantile", "quantile_over_time(0.99, queue_depth[1h])", 600),
    ("month_subquery", "max_over_time(rate(http_requests_total[5m])[1d:5m])", 3600),
];

/// Evaluates a query on this thread.
fn run(store: &Arc<MadeUpStore>, (_, text, step_s): Case) -> QueryStats {
    let end_ms = store.end_ms();
    let time = match step_s {
        0 => QueryTime::Instant { time_ms: end_ms },
        step_s => QueryTime::Range { start_ms: 0, end_ms, step_ms: step_s * 1000 },
    };
    let query = Query::new(text, time, EngineOptions::default()).expect("the bench's queries are valid");
    let budget = MemoryBudget::new("query", u64::MAX);
    let context = QueryContext { budget, canceled: Arc::default(), deadline: None, clock: ManualClock::at(0) };
    let mut evaluation = pin!(evaluate(&query, Arc::clone(store) as _, context));
    loop {
        if let Poll::Ready(result) = evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return black_box(result.expect("the bench's queries do not fail")).stats;
        }
    }
}

/// Reads the samples of one metric, and does nothing with them.
fn fill(store: &MadeUpStore, metric: &str) -> usize {
    let range = TimeRange { start_ms: 0, end_ms: store.end_ms() };
    let mut source = store.select(SeriesRequest::new(vec![Matcher::equal(METRIC_NAME, metric)], range));
    let mut batch = SeriesBatch::default();
    let mut samples = 0;
    while let Poll::Ready(Ok(true)) = source.poll_batch(&mut Context::from_waker(Waker::noop()), &mut batch) {
        samples += black_box(&batch).sample_count();
    }
    samples
}

/// CPU time of this thread, as the scheduler counts it.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// The most memory that the process had since the last call, and has now, in KiB.
fn memory_peak_and_now() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    // Starts the measure of the peak anew.
    drop(fs::write("/proc/self/clear_refs", "5"));
    (field("VmHWM:"), field("VmRSS:"))
}

/// Prints what a run took on average: a line of the table at the top.
fn measure(store: &Arc<MadeUpStore>, case: Case) {
    run(store, case);
    let (_, before_kib) = memory_peak_and_now();
    let clock = SystemClock::shared();
    let (started, cpu_started) = (clock.monotonic(), cpu_time());
    let mut stats = QueryStats::default();
    for _ in 0..RUNS {
        stats = run(store, case);
    }
    let (wall, cpu) = ((clock.monotonic() - started) / RUNS, (cpu_time() - cpu_started) / RUNS);
    let (peak_kib, _) = memory_peak_and_now();
    println!(
        "{:<22} {:>8} samples, ms {:>6.1} wall {:>6.1} CPU, {:>5.1} MiB, {:>5.1} ns a sample, {:>5.1} million a second",
        case.0,
        stats.samples,
        wall.as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3,
        peak_kib.saturating_sub(before_kib) as f64 / 1024.0,
        cpu.as_secs_f64() * 1e9 / stats.samples as f64,
        stats.samples as f64 / 1e6 / cpu.as_secs_f64(),
    );
}

fn benches(criterion: &mut Criterion) {
    let pods = Arc::new(MadeUpStore::pods(100_000, HOUR_SAMPLES));
    let histograms = Arc::new(MadeUpStore::histograms(2000, HOUR_SAMPLES));
    let month = Arc::new(MadeUpStore::one_pod(MONTH_SAMPLES));
    for (name, store, metric, queries) in [
        ("100k series, one hour", pods, "http_requests_total", POD_QUERIES),
        ("2k native histograms, one hour", histograms, "rpc_duration_seconds", HISTOGRAM_QUERIES),
        ("one series, 30 days", month, "queue_depth", MONTH_QUERIES),
    ] {
        println!("{name}: {} samples of {metric}, one each {INTERVAL_MS} ms", fill(&store, metric));
        for case in queries {
            measure(&store, *case);
        }
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
        group.bench_function("fill", |bencher| bencher.iter(|| fill(&store, metric)));
        for case in queries {
            group.bench_function(case.0, |bencher| bencher.iter(|| run(&store, *case)));
        }
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
