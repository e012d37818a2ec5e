//! Streams the answer of a block to one request.
//!
//! The work is a chain of stages, each done piece by piece, so that a poll ends after about half a millisecond:
//! search the series; where they are wanted by hash, read their labels for the keys; then decode one series after the
//! other. A poll without an answer wakes its caller at once: nothing here waits for bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::labels::LabelsRef;
use norn_model::select::{Projection, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, TimeRange};
use norn_model::{Labels, Matcher};

use super::file::FileError;
use super::reader::BlockParts;
use crate::chunk::decode_into;
use crate::chunk::samples::{TimedValue, Value, decode_samples, merge_samples};
use crate::index::SeriesEntry;
use crate::index::matching::{MatchingSeries, fulfils};

/// What a poll may spend. A unit is what a float sample costs, some ten nanoseconds; so a batch holds 640 KiB of floats.
pub(super) const POLL_UNITS: usize = 40_000;
/// What reading the labels of a series costs.
pub(super) const SERIES_UNITS: usize = 100;
/// What a histogram costs.
const HISTOGRAM_UNITS: usize = 40;

/// A stream of series out of one block.
pub(super) struct BlockSource {
    block: Arc<BlockParts>,
    request: SeriesRequest,
    stage: Stage,
    scratch: Scratch,
    /// What the answer misses.
    damage: Option<String>,
}

enum Stage {
    Searching(MatchingSeries),
    /// Collects hashes: the series found, and how many of them are done.
    Keying {
        found: Vec<u32>,
        next: usize,
        keys: SortedRuns,
    },
    Reading(Found),
    Ended,
}

/// Series to read, in the order of the answer.
enum Found {
    Ascending(std::vec::IntoIter<u32>),
    ByHash(SortedRuns),
}

/// Memory that is used again for each series.
#[derive(Default)]
pub(super) struct Scratch {
    /// Matchers that the search left to be asked for each series.
    pub(super) put_off: Vec<Matcher>,
    entry: SeriesEntry,
    encoded: Vec<u8>,
}

impl BlockSource {
    pub(super) fn new(block: Arc<BlockParts>, request: SeriesRequest) -> Self {
        let is_asked = block.range().overlaps(request.range);
        let damage = if is_asked { block.damage() } else { None };
        let stage = if is_asked && damage.is_none() {
            Stage::Searching(MatchingSeries::new(&block.index, &request.matchers))
        } else {
            Stage::Ended
        };
        Self { block, request, stage, scratch: Scratch::default(), damage }
    }

    /// Does one piece of work; `true` when `batch` is as full as it becomes.
    fn advance(&mut self, batch: &mut SeriesBatch) -> Result<bool, FileError> {
        match &mut self.stage {
            Stage::Searching(search) => {
                if search.step(&self.block.index)? {
                    self.search_ended();
                }
                Ok(false)
            }
            Stage::Keying { .. } => {
                self.collect_keys()?;
                Ok(false)
            }
            Stage::Reading(_) => self.read(batch),
            Stage::Ended => Ok(true),
        }
    }

    fn search_ended(&mut self) {
        let Stage::Searching(search) = std::mem::replace(&mut self.stage, Stage::Ended) else { return };
        let (found, put_off) = search.into_found();
        self.scratch.put_off = put_off;
        self.stage = match self.request.order {
            SeriesOrder::Any => Stage::Reading(Found::Ascending(found.into_iter())),
            SeriesOrder::ByHash => Stage::Keying { found, next: 0, keys: SortedRuns::default() },
        };
    }

    fn collect_keys(&mut self) -> Result<(), FileError> {
        let Stage::Keying { found, next, keys } = &mut self.stage else { return Ok(()) };
        let end = found.len().min(*next + POLL_UNITS / SERIES_UNITS);
        let mut run = Vec::with_capacity(end - *next);
        for id in &found[*next..end] {
            if let Some((_, hash)) = self.scratch.load(&self.block, &self.request, *id)? {
                run.push((hash, *id));
            }
        }
        keys.push(run);
        *next = end;
        if end == found.len() {
            let keys = std::mem::take(keys);
            self.stage = Stage::Reading(Found::ByHash(keys));
        }
        Ok(())
    }

    fn read(&mut self, batch: &mut SeriesBatch) -> Result<bool, FileError> {
        let Stage::Reading(found) = &mut self.stage else { return Ok(false) };
        let mut spent = 0;
        while spent < POLL_UNITS {
            let Some(id) = found.next() else {
                self.stage = Stage::Ended;
                return Ok(true);
            };
            spent += SERIES_UNITS;
            let Some((labels, hash)) = self.scratch.load(&self.block, &self.request, id)? else { continue };
            let labels = match &self.request.projection {
                Projection::All => labels.to_owned(),
                projection => self.scratch.projected(&self.block, projection)?,
            };
            batch.push_series(labels, hash);
            spent += self.scratch.decode(&self.block, &self.request, id, batch)?;
        }
        Ok(!batch.is_empty())
    }
}

impl SeriesSource for BlockSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        match self.advance(batch) {
            Ok(true) => Poll::Ready(Ok(!batch.is_empty())),
            Ok(false) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => {
                batch.clear();
                self.stage = Stage::Ended;
                match self.block.set_aside(error) {
                    Ok(damage) => {
                        self.damage = Some(damage);
                        Poll::Ready(Ok(false))
                    }
                    Err(error) => Poll::Ready(Err(error.into())),
                }
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.damage.iter().cloned().collect()
    }
}

impl Iterator for Found {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::Ascending(ids) => ids.next(),
            Self::ByHash(keys) => keys.next(),
        }
    }
}

impl Scratch {
    /// Reads a series. Returns its labels and their hash, or nothing where it does not belong to the answer.
    pub(super) fn load(
        &mut self,
        block: &BlockParts,
        request: &SeriesRequest,
        id: u32,
    ) -> Result<Option<(LabelsRef<'_>, u64)>, FileError> {
        block.index.series(id, &mut self.entry)?;
        if !self.entry.chunks.iter().any(|chunk| chunk.range.overlaps(request.range)) {
            return Ok(None);
        }
        self.encoded.clear();
        block.index.encode_labels(&self.entry, &mut self.encoded, |_| true)?;
        let labels = LabelsRef::from_encoded(&self.encoded).map_err(|_| block.index.unsorted_labels())?;
        let hash = labels.stable_hash();
        let belongs = request.shard.is_none_or(|shard| shard.owns(hash)) && fulfils(&self.put_off, labels);
        Ok(belongs.then_some((labels, hash)))
    }

    /// Adds the samples of the series that was loaded last to its place in the batch, which it loses again where it has
    /// none. Returns what that cost.
    fn decode(
        &self,
        block: &BlockParts,
        request: &SeriesRequest,
        id: u32,
        batch: &mut SeriesBatch,
    ) -> Result<usize, FileError> {
        if request.labels_only {
            return Ok(0);
        }
        let before = batch.sample_count();
        let cost = self.append_samples(block, request, id, batch)?;
        if batch.sample_count() == before {
            // Its chunks reach over the range, but no sample lies in it.
            batch.pop_series();
        }
        Ok(cost)
    }

    /// Appends the samples of the series that was loaded last to the last series of the batch. Returns what that cost.
    pub(super) fn append_samples(
        &self,
        block: &BlockParts,
        request: &SeriesRequest,
        id: u32,
        batch: &mut SeriesBatch,
    ) -> Result<usize, FileError> {
        if block.tombstones.is_empty() {
            decode_series(block, &self.entry, &[request.range], batch)
        } else {
            decode_series(block, &self.entry, &block.tombstones.kept(u64::from(id), request.range), batch)
        }
    }

    /// The canonical labels of the series that was loaded last.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// What a projection leaves of the labels of the series that was loaded last.
    pub(super) fn projected(&mut self, block: &BlockParts, projection: &Projection) -> Result<Labels, FileError> {
        self.encoded.clear();
        let wants = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| projection.wants(name));
        block.index.encode_labels(&self.entry, &mut self.encoded, wants)?;
        Labels::from_encoded(&self.encoded).map_err(|_| block.index.unsorted_labels())
    }
}

/// Decodes the samples of a series that lie in `ranges` into the last series of a batch. Returns what that cost.
fn decode_series(
    block: &BlockParts,
    entry: &SeriesEntry,
    ranges: &[TimeRange],
    batch: &mut SeriesBatch,
) -> Result<usize, FileError> {
    let in_order = entry.chunks.windows(2).all(|pair| pair[0].range.end_ms < pair[1].range.start_ms);
    if !in_order {
        return decode_overlapping(block, entry, ranges, batch);
    }
    let mut cost = 0;
    for chunk in &entry.chunks {
        let mut wanted = ranges.iter().filter(|range| range.overlaps(chunk.range)).peekable();
        if wanted.peek().is_none() {
            continue;
        }
        let raw = block.segments.read(chunk.place)?;
        for range in wanted {
            decode_into(raw.encoding, &raw.data, *range, batch)
                .map_err(|error| block.segments.chunk_error(chunk.place, error))?;
        }
        let samples = usize::from(crate::chunk::sample_count(&raw.data).unwrap_or(0));
        cost += samples * if raw.encoding == crate::chunk::Encoding::Xor { 1 } else { HISTOGRAM_UNITS };
    }
    Ok(cost)
}

/// As [`decode_series`], for a series whose chunks overlap, which some writers have left behind.
fn decode_overlapping(
    block: &BlockParts,
    entry: &SeriesEntry,
    ranges: &[TimeRange],
    batch: &mut SeriesBatch,
) -> Result<usize, FileError> {
    let mut sources: Vec<Vec<TimedValue>> = Vec::new();
    for chunk in &entry.chunks {
        let mut samples = Vec::new();
        for range in ranges.iter().filter(|range| range.overlaps(chunk.range)) {
            let raw = block.segments.read(chunk.place)?;
            decode_samples(raw.encoding, &raw.data, *range, &mut samples)
                .map_err(|error| block.segments.chunk_error(chunk.place, error))?;
        }
        sources.push(samples);
    }
    let merged = merge_samples(sources);
    let cost = merged.len() * HISTOGRAM_UNITS;
    for sample in merged {
        match sample.value {
            Value::Float(value) => batch.push_float(sample.timestamp_ms, value),
            Value::Histogram(histogram) => {
                batch.push_histogram(sample.timestamp_ms, Arc::new(crate::chunk::histogram::to_float(&histogram)));
            }
            Value::FloatHistogram(histogram) => batch.push_histogram(sample.timestamp_ms, histogram),
        }
    }
    Ok(cost)
}

/// Keys in sorted runs, which come out merged. Sorting all at once would take longer than a poll may.
///
/// Ids of series ascend with their labels, so `(hash, id)` is the order of `(hash, labels)`.
#[derive(Default)]
struct SortedRuns {
    runs: Vec<std::vec::IntoIter<(u64, u32)>>,
    /// The first key of each run that is left, with the run's place.
    heads: BinaryHeap<Reverse<((u64, u32), usize)>>,
}

impl SortedRuns {
    fn push(&mut self, mut run: Vec<(u64, u32)>) {
        run.sort_unstable();
        let mut run = run.into_iter();
        if let Some(first) = run.next() {
            self.heads.push(Reverse((first, self.runs.len())));
            self.runs.push(run);
        }
    }

    fn next(&mut self) -> Option<u32> {
        let mut head = self.heads.peek_mut()?;
        let Reverse(((_, id), run)) = *head;
        match self.runs[run].next() {
            Some(next) => *head = Reverse((next, run)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        Some(id)
    }
}
