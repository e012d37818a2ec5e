//! One stream of series from several that come in the order of their hashes.
//!
//! All sources hold parts of what one process has taken in. Of two samples of one time that of the earlier source counts:
//! blocks come before the head, and those of late samples behind the others, so the first that was taken in stays.
//! Two label sets that differ, but not in their hash nor in what the projection leaves of them, would be mistaken for
//! one; with 64 bits that does not happen by chance.

use std::cmp::Ordering;
use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::FloatHistogram;
use norn_model::histogram::ResetHint;
use norn_model::select::{SeriesBatch, SeriesSource, SeriesView};

/// A batch ends after so many samples: a poll then takes well below a millisecond.
const BATCH_SAMPLES: usize = 16 << 10;
/// Or after so many series.
const BATCH_SERIES: usize = 512;

/// Merges sources in [`norn_model::select::SeriesOrder::ByHash`]; one source alone may have any order.
pub(super) fn merge_sources(mut sources: Vec<Box<dyn SeriesSource>>) -> Box<dyn SeriesSource> {
    match sources.pop() {
        Some(only) if sources.is_empty() => only,
        last => {
            sources.extend(last);
            Box::new(Merged { inputs: sources.into_iter().map(Input::new).collect(), samples: Vec::new() })
        }
    }
}

struct Merged {
    inputs: Vec<Input>,
    /// Scratch space.
    samples: Vec<(i64, usize, Point)>,
}

enum Point {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

struct Input {
    source: Box<dyn SeriesSource>,
    batch: SeriesBatch,
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

impl SeriesSource for Merged {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        while batch.sample_count() < BATCH_SAMPLES && batch.len() < BATCH_SERIES {
            let mut pending = false;
            for input in &mut self.inputs {
                match input.poll_fill(context) {
                    Poll::Ready(outcome) => outcome?,
                    Poll::Pending => pending = true,
                }
            }
            if pending {
                return if batch.is_empty() { Poll::Pending } else { Poll::Ready(Ok(true)) };
            }
            if !self.push_next(batch) {
                break;
            }
        }
        Poll::Ready(Ok(!batch.is_empty()))
    }

    fn warnings(&self) -> Vec<String> {
        self.inputs.iter().flat_map(|input| input.source.warnings()).collect()
    }
}

fn by_hash(left: &SeriesView<'_>, right: &SeriesView<'_>) -> Ordering {
    left.hash.cmp(&right.hash).then_with(|| left.labels.cmp(right.labels))
}

impl Merged {
    /// Adds the next series; `false` at the end. All inputs that have not ended are filled.
    fn push_next(&mut self, batch: &mut SeriesBatch) -> bool {
        let heads = self.inputs.iter().filter_map(Input::head);
        let Some(first) = heads.min_by(by_hash) else { return false };
        let (labels, hash) = (first.labels.clone(), first.hash);
        let is_same = |view: &SeriesView<'_>| view.hash == hash && *view.labels == labels;
        let parts: Vec<SeriesView<'_>> = self.inputs.iter().filter_map(Input::head).filter(is_same).collect();
        batch.push_series(labels.clone(), hash);
        if follow_each_other(&parts) {
            parts.iter().for_each(|part| append(part, batch));
        } else {
            append_merged(&parts, &mut self.samples, batch);
        }
        for input in &mut self.inputs {
            if input.head().is_some_and(|view| view.hash == hash && *view.labels == labels) {
                input.next += 1;
            }
        }
        true
    }
}

/// The first and the last time of a part.
fn bounds(part: &SeriesView<'_>) -> Option<(i64, i64)> {
    let floats = part.timestamps_ms.first().copied().zip(part.timestamps_ms.last().copied());
    let histograms = part.histograms.first().zip(part.histograms.last());
    let histograms = histograms.map(|(first, last)| (first.timestamp_ms, last.timestamp_ms));
    match (floats, histograms) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (left, right) => left.or(right),
    }
}

fn follow_each_other(parts: &[SeriesView<'_>]) -> bool {
    let bounds: Vec<(i64, i64)> = parts.iter().filter_map(bounds).collect();
    bounds.windows(2).all(|pair| pair[0].1 < pair[1].0)
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

fn append_merged(parts: &[SeriesView<'_>], samples: &mut Vec<(i64, usize, Point)>, batch: &mut SeriesBatch) {
    samples.clear();
    for (priority, part) in parts.iter().enumerate() {
        let floats = part.timestamps_ms.iter().zip(part.values);
        samples.extend(floats.map(|(timestamp_ms, value)| (*timestamp_ms, priority, Point::Float(*value))));
        for point in part.histograms {
            samples.push((point.timestamp_ms, priority, Point::Histogram(point.histogram.clone())));
        }
    }
    samples.sort_by_key(|sample| (sample.0, sample.1));
    samples.dedup_by_key(|sample| sample.0);
    for (timestamp_ms, _, point) in samples.drain(..) {
        match point {
            Point::Float(value) => batch.push_float(timestamp_ms, value),
            Point::Histogram(mut histogram) => {
                // What a chunk knows about resets holds between its own samples, not among merged ones.
                if !matches!(histogram.reset_hint, ResetHint::Gauge | ResetHint::Unknown) {
                    Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
                }
                batch.push_histogram(timestamp_ms, histogram);
            }
        }
    }
}
