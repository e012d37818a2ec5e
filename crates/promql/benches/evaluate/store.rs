//! What stands in for a store: label sets as a cluster of Kubernetes has them, and samples made up from the series' hash
//! while they are asked for, so that a bench holds no samples in memory and its numbers are those of the evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::histogram::{ResetHint, Span};
use norn_model::labels::METRIC_NAME;
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesSource, SeriesStore};
use norn_model::{FloatHistogram, Labels};

/// Time between two samples.
pub(crate) const INTERVAL_MS: i64 = 15_000;

const SERIES_PER_BATCH: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    One,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram, One};

/// Twelve metrics of each pod.
const METRICS: [(&str, Kind); 12] = [
    ("http_requests_total", Counter),
    ("http_request_duration_seconds_bucket", Counter),
    ("http_request_duration_seconds_sum", Counter),
    ("http_request_duration_seconds_count", Counter),
    ("container_cpu_usage_seconds_total", Counter),
    ("container_memory_working_set_bytes", Gauge),
    ("node_filesystem_avail_bytes", Gauge),
    ("process_open_fds", Gauge),
    ("kube_pod_status_ready", One),
    ("up", One),
    ("go_goroutines", Gauge),
    ("queue_depth", Gauge),
];

const BOUNDS: [&str; 11] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"];

/// A series without its samples.
#[derive(Debug, Clone)]
struct Series {
    labels: Labels,
    hash: u64,
    kind: Kind,
    /// By how much its samples come later than the others', in milliseconds.
    jitter_ms: i64,
}

/// See the module.
pub(crate) struct MadeUpStore {
    by_name: BTreeMap<String, Vec<Series>>,
    samples: usize,
    /// The histogram of each sample, the same for all series.
    histograms: Arc<[Arc<FloatHistogram>]>,
}

impl MadeUpStore {
    /// `series` series of pods, with `samples` samples each.
    pub(crate) fn pods(series: usize, samples: usize) -> Self {
        Self::new((0..series).map(|index| (index / 12, METRICS[index % 12].0, METRICS[index % 12].1)), samples)
    }

    /// One metric of native histograms.
    pub(crate) fn histograms(series: usize, samples: usize) -> Self {
        Self::new((0..series).map(|pod| (pod, "rpc_duration_seconds", Histogram)), samples)
    }

    /// A counter and a gauge of one pod.
    pub(crate) fn one_pod(samples: usize) -> Self {
        Self::new([(0, "http_requests_total", Counter), (0, "queue_depth", Gauge)].into_iter(), samples)
    }

    fn new(series: impl Iterator<Item = (usize, &'static str, Kind)>, samples: usize) -> Self {
        let mut by_name = BTreeMap::<String, Vec<Series>>::new();
        for (pod, name, kind) in series {
            let labels = labels(pod, name);
            let jitter_ms = (labels.stable_hash() % 7) as i64;
            let series = Series { hash: labels.stable_hash(), labels, kind, jitter_ms };
            by_name.entry(name.to_owned()).or_default().push(series);
        }
        Self { by_name, samples, histograms: (0..samples).map(|index| Arc::new(histogram(index))).collect() }
    }

    /// How many samples lie before the end.
    pub(crate) fn end_ms(&self) -> i64 {
        (self.samples as i64 - 1) * INTERVAL_MS + 10
    }
}

fn labels(pod: usize, name: &str) -> Labels {
    let namespace = pod % 37;
    let mut pairs = vec![
        (METRIC_NAME, name.to_owned()),
        ("cluster", format!("eu-west-{}", pod % 3)),
        ("container", format!("app-{}", pod % 11)),
        ("instance", format!("10.{}.{}.{}:9100", pod / 65_536, pod / 256 % 256, pod % 256)),
        ("job", format!("kubernetes-pods-{}", namespace % 7)),
        ("namespace", format!("team-{namespace}")),
        ("pod", format!("app-{}-7d9f8c6b5d-{pod:05x}-0", pod % 11)),
    ];
    if name.ends_with("_bucket") {
        pairs.push(("le", BOUNDS[pod % 11].to_owned()));
    }
    if name.starts_with("http_") {
        pairs.push(("status", ["200", "404", "500"][pod % 3].to_owned()));
    }
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// A counter of 16 buckets that grow evenly.
fn histogram(index: usize) -> FloatHistogram {
    let grown = index as f64;
    FloatHistogram {
        reset_hint: if index == 0 { ResetHint::Unknown } else { ResetHint::NotCounterReset },
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 0.0,
        count: grown * 136.0,
        sum: grown * 17.0,
        positive_spans: vec![Span { offset: -20, length: 10 }, Span { offset: 3, length: 6 }],
        negative_spans: Vec::new(),
        positive_buckets: (1..=16).map(|bucket| grown * f64::from(bucket)).collect(),
        negative_buckets: Vec::new(),
        custom_values: Arc::default(),
    }
}

impl SeriesStore for MadeUpStore {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        let (on_name, others): (Vec<_>, Vec<_>) =
            request.matchers.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let named = self.by_name.iter().filter(|(name, _)| on_name.iter().all(|matcher| matcher.matches(name)));
        let matches = |series: &&Series| {
            others.iter().all(|matcher| matcher.matches_labels(series.labels.as_ref()))
                && request.shard.is_none_or(|shard| shard.owns(series.hash))
        };
        let selected = named.flat_map(|(_, series)| series).filter(matches).cloned().collect();
        let last = self.samples - 1;
        let index_of =
            |time_ms: i64| usize::try_from(time_ms.max(0) / INTERVAL_MS).map_or(last, |index| index.min(last));
        Box::new(MadeUpSource {
            series: selected,
            next: 0,
            first: index_of(request.range.start_ms.saturating_add(INTERVAL_MS - 1)),
            last: index_of(request.range.end_ms),
            histograms: Arc::clone(&self.histograms),
            request,
        })
    }
}

struct MadeUpSource {
    series: Vec<Series>,
    next: usize,
    first: usize,
    last: usize,
    histograms: Arc<[Arc<FloatHistogram>]>,
    request: SeriesRequest,
}

impl SeriesSource for MadeUpSource {
    fn poll_batch(&mut self, _context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        let end = (self.next + SERIES_PER_BATCH).min(self.series.len());
        for series in &self.series[self.next..end] {
            let labels = series.labels.filtered(|name| self.request.projection.wants(name));
            batch.push_series(labels, series.hash);
            self.push_samples(series, batch);
        }
        let any = self.next < end;
        self.next = end;
        Poll::Ready(Ok(any))
    }
}

impl MadeUpSource {
    fn push_samples(&self, series: &Series, batch: &mut SeriesBatch) {
        let (first, last, hash) = (self.first, self.last, series.hash);
        let time_ms = |index: usize| index as i64 * INTERVAL_MS + series.jitter_ms;
        if series.kind == Histogram {
            for index in first..=last {
                batch.push_histogram(time_ms(index), Arc::clone(&self.histograms[index]));
            }
            return;
        }
        let (timestamps_ms, values) = batch.float_columns();
        timestamps_ms.extend((first..=last).map(time_ms));
        // Some bits of the hash, others at each sample.
        let noise = |index: usize| (hash >> (index % 56) & 0xff) as f64;
        match series.kind {
            Counter => {
                // One of a hundred restarts in the middle.
                let restart = if hash.is_multiple_of(100) { last / 2 } else { 0 };
                let since = |index: usize| if index >= restart { index - restart } else { index };
                values.extend((first..=last).map(|index| 256.0 * since(index) as f64 + noise(index)));
            }
            Gauge => values.extend((first..=last).map(|index| 65_536.0 + 1024.0 * noise(index))),
            One | Histogram => values.extend((first..=last).map(|_| 1.0)),
        }
        batch.finish_floats();
    }
}
