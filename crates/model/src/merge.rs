//! One stream of series from several: ingesters' replicas, blocks, a head beside its blocks.
//!
//! The inputs yield their series by `(hash, labels)`. A series that several of them hold comes out once, its samples
//! merged by time; which of two samples of one time stays is the caller's choice. Two label sets that differ, but neither
//! in their hash nor in what the projection leaves of them, would be mistaken for one; with 64 bits that does not happen by
//! chance.

use std::cmp::Ordering;
use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;
use smallvec::SmallVec;

use crate::FloatHistogram;
use crate::histogram::ResetHint;
use crate::sample::is_stale;
use crate::select::{HistogramPoint, SeriesBatch, SeriesSource, SeriesView};

/// Samples in a batch of merged series, about 128 KiB.
const BATCH_SAMPLES: usize = 8192;

/// Series of one batch; a poll then stays well below a millisecond.
const BATCH_SERIES: usize = 512;

/// Which of two samples of one time stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// That of the earlier input: for parts of what one process took in, where the first stays.
    First,
    /// A histogram before a float, a value before a stale marker, then the larger by `total_cmp`: for replicas and blocks,
    /// so that the answer does not depend on who was asked first.
    Greatest,
}

/// Merges sources that yield [`crate::select::SeriesOrder::ByHash`]. One source passes through as it is, in any order.
pub fn merge_sources(mut sources: Vec<Box<dyn SeriesSource>>, precedence: Precedence) -> Box<dyn SeriesSource> {
    if sources.len() == 1 {
        return sources.remove(0);
    }
    let inputs = sources.into_iter().map(Input::new).collect();
    Box::new(MergedSource { inputs, precedence, merged: MergedSamples::default() })
}

struct MergedSource {
    inputs: Vec<Input>,
    precedence: Precedence,
    merged: MergedSamples,
}

struct Input {
    source: Box<dyn SeriesSource>,
    batch: SeriesBatch,
    /// The series of `batch` that comes next.
    next: usize,
    ended: bool,
}

impl Input {
    fn new(source: Box<dyn SeriesSource>) -> Self {
        Self { source, batch: SeriesBatch::default(), next: 0, ended: false }
    }

    fn head(&self) -> Option<SeriesView<'_>> {
        (self.next < self.batch.len()).then(|| self.batch.series(self.next))
    }

    /// Makes sure that the next series is at hand, or that there is none.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.ended && self.next >= self.batch.len() {
            self.next = 0;
            match self.source.poll_batch(context, &mut self.batch) {
                Poll::Ready(Ok(more)) => self.ended = !more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.batch.clear();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl SeriesSource for MergedSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        while batch.sample_count() < BATCH_SAMPLES && batch.len() < BATCH_SERIES {
            let mut pending = false;
            for input in &mut self.inputs {
                match input.poll_fill(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => pending = true,
                }
            }
            if pending && batch.is_empty() {
                return Poll::Pending;
            }
            if pending {
                // The waker is registered; what is merged so far can go on meanwhile.
                return Poll::Ready(Ok(true));
            }
            if !self.push_next(batch) {
                break;
            }
        }
        Poll::Ready(Ok(!batch.is_empty()))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self.inputs.iter().flat_map(|input| input.source.warnings()).collect();
        warnings.sort();
        warnings.dedup();
        warnings
    }
}

impl MergedSource {
    /// Moves the least series of all inputs to `batch`; `false` where no input has one.
    fn push_next(&mut self, batch: &mut SeriesBatch) -> bool {
        let heads = self.inputs.iter().enumerate().filter_map(|(index, input)| Some((index, input.head()?)));
        let Some((least, _)) = heads.min_by(|left, right| compare(&left.1, &right.1)) else { return false };
        let series = self.inputs[least].batch.series(self.inputs[least].next);
        let (labels, hash) = (series.labels.clone(), series.hash);
        batch.push_series(labels.clone(), hash);

        let is_same = |view: &SeriesView<'_>| view.hash == hash && *view.labels == labels;
        let parts: Parts<'_> = self.inputs.iter().filter_map(Input::head).filter(is_same).collect();
        let mut by_time = parts.clone();
        by_time.sort_by_key(|part| bounds(part).map_or(i64::MIN, |(first_ms, _)| first_ms));
        if follow_each_other(&by_time) {
            by_time.iter().for_each(|part| append(part, batch));
        } else {
            self.merged.clear();
            parts.iter().for_each(|part| self.merged.add(part));
            self.merged.write_to(batch, self.precedence);
        }
        drop((parts, by_time));
        for input in &mut self.inputs {
            if input.head().is_some_and(|head| is_same(&head)) {
                input.next += 1;
            }
        }
        true
    }
}

/// The parts of one series; hardly ever more than an ingester's and a store's.
type Parts<'a> = SmallVec<[SeriesView<'a>; 4]>;

fn compare(left: &SeriesView<'_>, right: &SeriesView<'_>) -> Ordering {
    left.hash.cmp(&right.hash).then_with(|| left.labels.cmp(right.labels))
}

/// The first and the last time of a part; `None` where it has no samples.
fn bounds(part: &SeriesView<'_>) -> Option<(i64, i64)> {
    let floats = part.timestamps_ms.first().copied().zip(part.timestamps_ms.last().copied());
    let histograms = part.histograms.first().zip(part.histograms.last());
    let histograms = histograms.map(|(first, last)| (first.timestamp_ms, last.timestamp_ms));
    match (floats, histograms) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (left, right) => left.or(right),
    }
}

/// Whether each part ends before the next one begins, and starts are not known, so that columns can be copied whole.
fn follow_each_other(parts: &[SeriesView<'_>]) -> bool {
    let plain = parts.iter().all(|part| part.starts_ms.is_empty() && part.histogram_starts_ms.is_empty());
    let mut ends = parts.iter().filter_map(bounds);
    let Some((_, mut last_ms)) = ends.next() else { return plain };
    plain
        && ends.all(|(first_ms, end_ms)| {
            let follows = last_ms < first_ms;
            last_ms = end_ms;
            follows
        })
}

fn append(part: &SeriesView<'_>, batch: &mut SeriesBatch) {
    let (timestamps_ms, values) = batch.float_columns();
    timestamps_ms.extend_from_slice(part.timestamps_ms);
    values.extend_from_slice(part.values);
    batch.finish_floats();
    for point in part.histograms {
        batch.push_histogram(point.timestamp_ms, point.histogram.clone());
    }
}

/// A sample of either kind while it is merged.
#[derive(Debug, Clone)]
enum Merged {
    Float(f64),
    Histogram(HistogramPoint),
}

/// The samples of one series from several inputs.
#[derive(Debug, Default)]
struct MergedSamples {
    /// `(time, start, sample)`, in the order of the inputs.
    samples: Vec<(i64, i64, Merged)>,
    /// Whether `samples` strictly ascend, as they do when blocks follow one another in time.
    ascending: bool,
}

impl MergedSamples {
    fn clear(&mut self) {
        self.samples.clear();
        self.ascending = true;
    }

    fn add(&mut self, series: &SeriesView<'_>) {
        let mut floats = series.timestamps_ms.iter().zip(series.values).enumerate().peekable();
        let mut histograms = series.histograms.iter().enumerate().peekable();
        loop {
            let float_first = match (floats.peek(), histograms.peek()) {
                (None, None) => return,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((_, (float_ms, _))), Some((_, point))) => **float_ms <= point.timestamp_ms,
            };
            if float_first && let Some((index, (timestamp_ms, value))) = floats.next() {
                let start_ms = series.starts_ms.get(index).copied().unwrap_or(0);
                self.push(*timestamp_ms, start_ms, Merged::Float(*value));
            } else if let Some((index, point)) = histograms.next() {
                let start_ms = series.histogram_starts_ms.get(index).copied().unwrap_or(0);
                self.push(point.timestamp_ms, start_ms, Merged::Histogram(point.clone()));
            }
        }
    }

    fn push(&mut self, timestamp_ms: i64, start_ms: i64, sample: Merged) {
        self.ascending &= self.samples.last().is_none_or(|last| last.0 < timestamp_ms);
        self.samples.push((timestamp_ms, start_ms, sample));
    }

    fn write_to(&mut self, batch: &mut SeriesBatch, precedence: Precedence) {
        if !self.ascending {
            // The winner of equal times comes first, and stays. The sort keeps the order of the inputs otherwise.
            self.samples.sort_by(|left, right| match precedence {
                Precedence::First => left.0.cmp(&right.0),
                Precedence::Greatest => left.0.cmp(&right.0).then_with(|| rank(&right.2, &left.2)),
            });
            self.samples.dedup_by_key(|sample| sample.0);
        }
        for (timestamp_ms, start_ms, sample) in self.samples.drain(..) {
            match sample {
                Merged::Float(value) if start_ms == 0 => batch.push_float(timestamp_ms, value),
                Merged::Float(value) => batch.push_float_started(timestamp_ms, value, start_ms),
                Merged::Histogram(point) if start_ms == 0 => {
                    batch.push_histogram(timestamp_ms, without_hint(point.histogram));
                }
                Merged::Histogram(point) => {
                    batch.push_histogram_started(timestamp_ms, without_hint(point.histogram), start_ms);
                }
            }
        }
    }
}

/// What a chunk knows about resets holds between its own samples, not among merged ones.
fn without_hint(mut histogram: Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    if !matches!(histogram.reset_hint, ResetHint::Gauge | ResetHint::Unknown) {
        Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
    }
    histogram
}

/// Which of two samples of one time is the one to keep: the greater.
fn rank(left: &Merged, right: &Merged) -> Ordering {
    match (left, right) {
        (Merged::Histogram(_), Merged::Float(_)) => Ordering::Greater,
        (Merged::Float(_), Merged::Histogram(_)) => Ordering::Less,
        (Merged::Float(left), Merged::Float(right)) => {
            (!is_stale(*left)).cmp(&!is_stale(*right)).then_with(|| left.total_cmp(right))
        }
        (Merged::Histogram(left), Merged::Histogram(right)) => histogram_rank(&left.histogram, &right.histogram),
    }
}

fn histogram_rank(left: &FloatHistogram, right: &FloatHistogram) -> Ordering {
    let observations = left.count.total_cmp(&right.count).then_with(|| left.sum.total_cmp(&right.sum));
    (!is_stale(left.sum)).cmp(&!is_stale(right.sum)).then(observations)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::Labels;
    use crate::sample::stale_nan;
    use crate::select::BatchSource;

    fn source(series: &[(&str, &[(i64, f64)])]) -> Box<dyn SeriesSource> {
        let mut sorted: Vec<_> =
            series.iter().map(|(name, samples)| (Labels::from_pairs([("name", *name)]), *samples)).collect();
        sorted.sort_by_key(|(labels, _)| labels.stable_hash());
        // A batch for each series, so that inputs run dry at different times.
        Box::new(BatchSource::new(sorted.into_iter().map(|(labels, samples)| {
            let mut batch = SeriesBatch::default();
            let hash = labels.stable_hash();
            batch.push_series(labels, hash);
            samples.iter().for_each(|(timestamp_ms, value)| batch.push_float(*timestamp_ms, *value));
            batch
        })))
    }

    fn read(mut source: Box<dyn SeriesSource>) -> Vec<(String, Vec<(i64, f64)>)> {
        let mut seen = Vec::new();
        let mut batch = SeriesBatch::default();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(true)) = source.poll_batch(&mut context, &mut batch) {
            for series in batch.iter() {
                let samples = series.timestamps_ms.iter().copied().zip(series.values.iter().copied());
                seen.push((series.labels.get("name").unwrap().to_owned(), samples.collect()));
            }
        }
        seen.sort_by(|left, right| left.0.cmp(&right.0));
        seen
    }

    #[test]
    fn series_come_out_once_and_samples_in_order() {
        let sources = vec![
            source(&[("a", &[(3, 3.0)]), ("c", &[(9, 9.0)])]),
            source(&[("a", &[(1, 1.0), (2, 2.0)]), ("b", &[(1, 5.0)])]),
            source(&[]),
        ];
        let merged = merge_sources(sources, Precedence::First);
        let expected = [
            ("a".to_owned(), vec![(1, 1.0), (2, 2.0), (3, 3.0)]),
            ("b".to_owned(), vec![(1, 5.0)]),
            ("c".to_owned(), vec![(9, 9.0)]),
        ];
        assert_eq!(read(merged), expected);
    }

    #[test]
    fn of_equal_times_the_value_and_then_the_larger_stays() {
        let one: &[(i64, f64)] = &[(1, stale_nan()), (2, 7.0), (4, 4.0)];
        let two: &[(i64, f64)] = &[(1, 1.0), (2, 8.0), (3, 3.0)];
        let expected = [("a".to_owned(), vec![(1, 1.0), (2, 8.0), (3, 3.0), (4, 4.0)])];
        for order in [[one, two], [two, one]] {
            let sources = order.map(|samples| source(&[("a", samples)])).into_iter().collect();
            assert_eq!(read(merge_sources(sources, Precedence::Greatest)), expected);
        }
    }

    #[test]
    fn within_one_process_the_first_stays() {
        let sources = vec![source(&[("a", &[(1, 1.0), (2, 7.0)])]), source(&[("a", &[(2, 8.0), (3, 3.0)])])];
        assert_eq!(
            read(merge_sources(sources, Precedence::First)),
            [("a".to_owned(), vec![(1, 1.0), (2, 7.0), (3, 3.0)])]
        );
    }
}
