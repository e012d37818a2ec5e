//! What the language of metrics asks of a store, and the batches that it gets.
//!
//! A store never hands out rows: a source fills batches of whole series, each with its samples as sorted columns
//! without duplicates. Steps, lookback and staleness belong to the language.

use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;

use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::write::{Exemplar, MetricMetadata};

/// Times from `start_ms` to `end_ms`, both included, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first millisecond.
    pub start_ms: i64,
    /// The last millisecond.
    pub end_ms: i64,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// Whether a time lies inside.
    pub fn contains(self, timestamp_ms: i64) -> bool {
        self.start_ms <= timestamp_ms && timestamp_ms <= self.end_ms
    }

    /// Whether the two share a millisecond.
    pub fn overlaps(self, other: Self) -> bool {
        self.start_ms <= other.end_ms && other.start_ms <= self.end_ms
    }
}

/// One of `count` equal parts of all series: those whose [`Labels::stable_hash`] modulo `count` is `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// Whether a series belongs to this shard.
    pub fn owns(self, stable_hash: u64) -> bool {
        stable_hash % u64::from(self.count) == u64::from(self.index)
    }
}

/// In which order a source yields its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeriesOrder {
    /// As is cheapest, but the same for equal requests over equal data.
    #[default]
    Any,
    /// Ascending by `(stable hash, labels)`, so that several sources can be merged without strings.
    ByHash,
}

/// Which labels the language will look at. The hash is always that of the whole set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Projection {
    /// All labels.
    #[default]
    All,
    /// Only these, sorted.
    Only(Arc<[Box<str>]>),
    /// All but these, sorted.
    Without(Arc<[Box<str>]>),
}

impl Projection {
    /// Whether a label of this name has to be in the answer.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.binary_search_by(|candidate| (**candidate).cmp(name)).is_ok(),
            Self::Without(names) => names.binary_search_by(|candidate| (**candidate).cmp(name)).is_err(),
        }
    }
}

/// What a selector needs.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// All of them must hold. At least one of them excludes the empty value, unless the caller asks for everything.
    pub matchers: Vec<Matcher>,
    /// Samples outside may be left out, and usually are.
    pub range: TimeRange,
    /// Labels that may be left out. Two series of one answer may then have equal labels; their hashes differ.
    pub projection: Projection,
    /// Only this part of the series.
    pub shard: Option<Shard>,
    /// The order of the answer.
    pub order: SeriesOrder,
    /// Without samples: only label sets are wanted.
    pub labels_only: bool,
}

impl SeriesRequest {
    /// All samples of matching series in a range, with all labels, in any order.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> Self {
        Self { matchers, range, projection: Projection::All, shard: None, order: SeriesOrder::Any, labels_only: false }
    }
}

/// A histogram at a time, as the language reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The histogram; shared, because answers and lookback hold on to it.
    pub histogram: Arc<FloatHistogram>,
}

/// Some whole series, as columns that lie one after the other.
///
/// Of each series the float timestamps strictly ascend, so do the histogram timestamps, and no time is in both. Stale
/// markers are included.
#[derive(Debug, Clone, Default)]
pub struct SeriesBatch {
    labels: Vec<Labels>,
    hashes: Vec<u64>,
    /// Float timestamps of all series, in milliseconds since the Unix epoch.
    timestamps_ms: Vec<i64>,
    /// As long as `timestamps_ms`.
    values: Vec<f64>,
    /// Start timestamps of the float samples, 0 where unknown: empty, or as long as `timestamps_ms`.
    starts_ms: Vec<i64>,
    histograms: Vec<HistogramPoint>,
    /// Start timestamps of the histograms: empty, or as long as `histograms`.
    histogram_starts_ms: Vec<i64>,
    float_ends: Vec<usize>,
    histogram_ends: Vec<usize>,
}

/// One series of a batch.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a> {
    /// The labels that the projection left.
    pub labels: &'a Labels,
    /// [`Labels::stable_hash`] of the whole label set.
    pub hash: u64,
    /// Milliseconds since the Unix epoch, strictly ascending.
    pub timestamps_ms: &'a [i64],
    /// One for each timestamp.
    pub values: &'a [f64],
    /// One for each timestamp, 0 where unknown; or empty, where none is known.
    pub starts_ms: &'a [i64],
    /// Strictly ascending in time.
    pub histograms: &'a [HistogramPoint],
    /// One for each histogram, 0 where unknown; or empty, where none is known.
    pub histogram_starts_ms: &'a [i64],
}

impl SeriesBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.hashes.clear();
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
        self.histograms.clear();
        self.histogram_starts_ms.clear();
        self.float_ends.clear();
        self.histogram_ends.clear();
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Float samples and histograms of all series.
    pub fn sample_count(&self) -> usize {
        self.timestamps_ms.len() + self.histograms.len()
    }

    /// Bytes that the samples take, roughly; histograms count by their buckets.
    pub fn sample_bytes(&self) -> usize {
        let buckets =
            |point: &HistogramPoint| point.histogram.positive_buckets.len() + point.histogram.negative_buckets.len();
        16 * self.timestamps_ms.len() + self.histograms.iter().map(|point| 160 + 8 * buckets(point)).sum::<usize>()
    }

    /// The series at `index`, which is below [`SeriesBatch::len`].
    pub fn series(&self, index: usize) -> SeriesView<'_> {
        let floats = start_of(&self.float_ends, index)..self.float_ends[index];
        let histograms = start_of(&self.histogram_ends, index)..self.histogram_ends[index];
        SeriesView {
            labels: &self.labels[index],
            hash: self.hashes[index],
            timestamps_ms: &self.timestamps_ms[floats.clone()],
            values: &self.values[floats.clone()],
            starts_ms: self.starts_ms.get(floats).unwrap_or(&[]),
            histograms: &self.histograms[histograms.clone()],
            histogram_starts_ms: self.histogram_starts_ms.get(histograms).unwrap_or(&[]),
        }
    }

    /// All series in order.
    pub fn iter(&self) -> impl Iterator<Item = SeriesView<'_>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// Starts a series without samples. `hash` is that of the whole label set, `labels` what the projection leaves of it.
    pub fn push_series(&mut self, labels: Labels, hash: u64) {
        self.labels.push(labels);
        self.hashes.push(hash);
        self.float_ends.push(self.timestamps_ms.len());
        self.histogram_ends.push(self.histograms.len());
    }

    /// Takes the last series back, with its samples.
    pub fn pop_series(&mut self) {
        self.labels.pop();
        self.hashes.pop();
        self.float_ends.pop();
        self.histogram_ends.pop();
        let floats = self.float_ends.last().copied().unwrap_or(0);
        let histograms = self.histogram_ends.last().copied().unwrap_or(0);
        self.timestamps_ms.truncate(floats);
        self.values.truncate(floats);
        self.starts_ms.truncate(floats);
        self.histograms.truncate(histograms);
        self.histogram_starts_ms.truncate(histograms);
    }

    /// Adds a float sample to the last series; its time is later than all before it.
    #[inline]
    pub fn push_float(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
        if !self.starts_ms.is_empty() {
            self.starts_ms.push(0);
        }
        *last(&mut self.float_ends) = self.timestamps_ms.len();
    }

    /// Adds a float sample whose start is known to the last series.
    pub fn push_float_started(&mut self, timestamp_ms: i64, value: f64, start_ms: i64) {
        self.starts_ms.resize(self.timestamps_ms.len(), 0);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
        self.starts_ms.push(start_ms);
        *last(&mut self.float_ends) = self.timestamps_ms.len();
    }

    /// Adds a histogram to the last series; its time is later than those of all histograms before it.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: Arc<FloatHistogram>) {
        self.histograms.push(HistogramPoint { timestamp_ms, histogram });
        if !self.histogram_starts_ms.is_empty() {
            self.histogram_starts_ms.push(0);
        }
        *last(&mut self.histogram_ends) = self.histograms.len();
    }

    /// Adds a histogram whose start is known to the last series.
    pub fn push_histogram_started(&mut self, timestamp_ms: i64, histogram: Arc<FloatHistogram>, start_ms: i64) {
        self.histogram_starts_ms.resize(self.histograms.len(), 0);
        self.histograms.push(HistogramPoint { timestamp_ms, histogram });
        self.histogram_starts_ms.push(start_ms);
        *last(&mut self.histogram_ends) = self.histograms.len();
    }

    /// Replaces the labels of every series, which were all labels, and their hashes with them.
    pub fn relabel(&mut self, mut relabel: impl FnMut(&Labels) -> Labels) {
        for (labels, hash) in self.labels.iter_mut().zip(&mut self.hashes) {
            *labels = relabel(labels);
            *hash = labels.stable_hash();
        }
    }

    /// The float columns, for decoders that append many samples of the last series at once. The two must stay of one
    /// length, and [`SeriesBatch::finish_floats`] has to be called when done.
    pub fn float_columns(&mut self) -> (&mut Vec<i64>, &mut Vec<f64>) {
        (&mut self.timestamps_ms, &mut self.values)
    }

    /// Ends an append through [`SeriesBatch::float_columns`].
    pub fn finish_floats(&mut self) {
        assert_eq!(self.timestamps_ms.len(), self.values.len(), "the columns are of one length");
        if !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.timestamps_ms.len(), 0);
        }
        *last(&mut self.float_ends) = self.timestamps_ms.len();
    }
}

fn start_of(ends: &[usize], index: usize) -> usize {
    if index == 0 { 0 } else { ends[index - 1] }
}

fn last(ends: &mut [usize]) -> &mut usize {
    ends.last_mut().expect("a sample is added after its series was started")
}

/// A stream of batches. Dropping it cancels the work behind it.
pub trait SeriesSource: Send {
    /// Empties `batch` and fills it with the next series: `Ready(Ok(true))`; `Ready(Ok(false))` and an empty batch at the
    /// end; `Pending` while bytes are under way, and `context` is woken when they are there. Never blocks.
    ///
    /// A batch holds about 64 KiB to 1 MiB of samples, at least one series, and always whole series.
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>>;

    /// What went wrong without ending the answer, shown to the client as warnings. Complete when the source has ended.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What can be asked for series: the union of what ingesters and store-gateways hold, or a part of it.
pub trait SeriesStore: Send + Sync {
    /// Opens a stream of the matching series. Failures come out of the stream.
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource>;
}

/// A fault-free source over batches in memory, for tests and for small answers.
#[derive(Debug, Default)]
pub struct BatchSource {
    batches: std::collections::VecDeque<SeriesBatch>,
}

impl BatchSource {
    /// Yields these batches in order.
    pub fn new(batches: impl IntoIterator<Item = SeriesBatch>) -> Self {
        Self { batches: batches.into_iter().collect() }
    }
}

impl SeriesSource for BatchSource {
    fn poll_batch(&mut self, _context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        Poll::Ready(Ok(match self.batches.pop_front() {
            Some(next) => {
                *batch = next;
                true
            }
            None => false,
        }))
    }
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Ascending in time.
    pub exemplars: Vec<Exemplar>,
}

/// The metadata that a store knows: families in ascending order, several entries where writers disagree.
pub type MetadataList = Vec<MetricMetadata>;
