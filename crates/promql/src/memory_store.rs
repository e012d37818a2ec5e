//! A store of series in memory, for tests and for test scripts.
//!
//! It answers as a real store does: stale markers are samples, series come as whole batches, and histograms of one run
//! tell each other's resets. That last rule is why a histogram's reset hint is not kept as it came: within a run of
//! counter histograms the first is `unknown` and the others are `not reset`, because a store starts a new chunk at every
//! reset and has looked at the others when it appended them. Gauges stay gauges.
//!
//! Source of the rule: Prometheus `tsdb/chunkenc/float_histogram.go`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use norn_model::histogram::ResetHint;
use norn_model::sample::is_stale;
use norn_model::select::{BatchSource, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, SeriesStore};
use norn_model::{FloatHistogram, Labels};

/// Series and their samples, ascending in time.
#[derive(Debug, Default)]
pub struct MemoryStore {
    series: RwLock<Series>,
}

/// Samples by time, by series.
type Series = BTreeMap<Labels, BTreeMap<i64, Stored>>;

/// One sample.
#[derive(Debug, Clone)]
struct Stored {
    value: StoredValue,
    start_ms: i64,
}

#[derive(Debug, Clone)]
enum StoredValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl MemoryStore {
    /// Adds a float sample, or replaces what the series has at its time.
    ///
    /// - `start_ms`: when the counter started, in milliseconds since the Unix epoch; 0 is unknown.
    pub fn push_float(&self, labels: &Labels, timestamp_ms: i64, value: f64, start_ms: i64) {
        let stored = Stored { value: StoredValue::Float(value), start_ms };
        self.write().entry(labels.clone()).or_default().insert(timestamp_ms, stored);
    }

    /// Adds a histogram, or replaces what the series has at its time.
    pub fn push_histogram(&self, labels: &Labels, timestamp_ms: i64, mut histogram: FloatHistogram, start_ms: i64) {
        let mut series = self.write();
        let samples = series.entry(labels.clone()).or_default();
        if histogram.reset_hint != ResetHint::Gauge {
            let continues = match samples.range(..timestamp_ms).next_back() {
                Some((_, Stored { value: StoredValue::Histogram(before), .. })) => continues_run(before, &histogram),
                _ => false,
            };
            histogram.reset_hint = if continues { ResetHint::NotCounterReset } else { ResetHint::Unknown };
        }
        samples.insert(timestamp_ms, Stored { value: StoredValue::Histogram(Arc::new(histogram)), start_ms });
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.write().clear();
    }

    fn write(&self) -> RwLockWriteGuard<'_, Series> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a counter histogram goes into the chunk of the one before it.
fn continues_run(before: &FloatHistogram, now: &FloatHistogram) -> bool {
    let is_same_layout = before.schema == now.schema
        && before.zero_threshold == now.zero_threshold
        && before.custom_values == now.custom_values;
    let counts_on = before.reset_hint != ResetHint::Gauge && now.reset_hint != ResetHint::CounterReset;
    let mut unhinted = now.clone();
    unhinted.reset_hint = ResetHint::Unknown;
    is_same_layout && counts_on && !is_stale(before.sum) && !unhinted.is_reset_after(before)
}

/// Samples after which a batch is closed.
const BATCH_SAMPLES: usize = 10_000;

impl SeriesStore for MemoryStore {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut selected: Vec<_> = series
            .iter()
            .filter(|(labels, _)| request.matchers.iter().all(|matcher| matcher.matches_labels(labels.as_ref())))
            .map(|(labels, samples)| (labels.stable_hash(), labels, samples))
            .filter(|(hash, ..)| request.shard.is_none_or(|shard| shard.owns(*hash)))
            .collect();
        if request.order == SeriesOrder::ByHash {
            selected.sort_by_key(|(hash, labels, _)| (*hash, *labels));
        }
        let (mut batches, mut batch) = (Vec::new(), SeriesBatch::default());
        for (hash, labels, samples) in selected {
            let mut inside = samples.iter().filter(|(time, _)| request.range.contains(**time)).peekable();
            if inside.peek().is_none() {
                continue;
            }
            batch.push_series(labels.filtered(|name| request.projection.wants(name)), hash);
            if !request.labels_only {
                inside.for_each(|(timestamp_ms, stored)| append(&mut batch, *timestamp_ms, stored));
            }
            if batch.sample_count() >= BATCH_SAMPLES {
                batches.push(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        Box::new(BatchSource::new(batches))
    }
}

fn append(batch: &mut SeriesBatch, timestamp_ms: i64, stored: &Stored) {
    match (&stored.value, stored.start_ms) {
        (StoredValue::Float(value), 0) => batch.push_float(timestamp_ms, *value),
        (StoredValue::Float(value), start_ms) => batch.push_float_started(timestamp_ms, *value, start_ms),
        (StoredValue::Histogram(histogram), 0) => batch.push_histogram(timestamp_ms, Arc::clone(histogram)),
        (StoredValue::Histogram(histogram), start_ms) => {
            batch.push_histogram_started(timestamp_ms, Arc::clone(histogram), start_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use norn_model::Matcher;
    use norn_model::select::{Projection, Shard, TimeRange};

    use super::*;

    fn store() -> MemoryStore {
        let store = MemoryStore::default();
        for (name, job) in [("up", "a"), ("up", "b"), ("down", "a")] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
            for minute in 0..5 {
                store.push_float(&labels, minute * 60_000, 1.0, 0);
            }
        }
        store
    }

    fn answer(store: &MemoryStore, request: SeriesRequest) -> Vec<(Labels, usize)> {
        let mut source = store.select(request);
        let mut batch = SeriesBatch::default();
        let mut found = Vec::new();
        while let Poll::Ready(Ok(true)) = source.poll_batch(&mut Context::from_waker(Waker::noop()), &mut batch) {
            found.extend((0..batch.len()).map(|index| {
                let series = batch.series(index);
                (series.labels.clone(), series.timestamps_ms.len() + series.histograms.len())
            }));
        }
        found
    }

    fn up() -> SeriesRequest {
        SeriesRequest::new(vec![Matcher::equal("__name__", "up")], TimeRange { start_ms: 60_000, end_ms: 180_000 })
    }

    #[test]
    fn requests_are_honoured() {
        let store = store();
        let of = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job)]);
        assert_eq!(answer(&store, up()), [(of("a"), 3), (of("b"), 3)]);
        let projected = SeriesRequest { projection: Projection::Only(["job".into()].into()), ..up() };
        assert_eq!(answer(&store, projected)[0].0, Labels::from_pairs([("job", "a")]));
        assert_eq!(answer(&store, SeriesRequest { labels_only: true, ..up() }), [(of("a"), 0), (of("b"), 0)]);
        let shards = (0..3).map(|index| SeriesRequest { shard: Some(Shard { index, count: 3 }), ..up() });
        assert_eq!(shards.map(|request| answer(&store, request).len()).sum::<usize>(), 2);
        let late = SeriesRequest { range: TimeRange { start_ms: 1_000_000, end_ms: 2_000_000 }, ..up() };
        assert_eq!(answer(&store, late), []);
        let sorted = answer(&store, SeriesRequest { order: SeriesOrder::ByHash, ..up() });
        assert!(sorted[0].0.stable_hash() <= sorted[1].0.stable_hash());
        store.clear();
        assert_eq!(answer(&store, up()), []);
    }

    #[test]
    fn hints_are_those_of_a_run() {
        let store = MemoryStore::default();
        let labels = Labels::from_pairs([("__name__", "h")]);
        let histogram = |count: f64, reset_hint| FloatHistogram {
            count,
            zero_count: count,
            reset_hint,
            ..FloatHistogram::empty(0, [].into())
        };
        use ResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
        let pushed =
            [(1.0, Unknown), (2.0, Unknown), (1.0, NotCounterReset), (3.0, CounterReset), (4.0, Gauge), (5.0, Unknown)];
        for (time, (count, hint)) in (0..).zip(pushed) {
            store.push_histogram(&labels, time, histogram(count, hint), 0);
        }
        let mut source = store.select(SeriesRequest::new(vec![], TimeRange::ALL));
        let mut batch = SeriesBatch::default();
        assert!(source.poll_batch(&mut Context::from_waker(Waker::noop()), &mut batch).is_ready());
        let hints: Vec<_> = batch.series(0).histograms.iter().map(|point| point.histogram.reset_hint).collect();
        assert_eq!(hints, [Unknown, NotCounterReset, Unknown, Unknown, Gauge, Unknown]);
    }
}
