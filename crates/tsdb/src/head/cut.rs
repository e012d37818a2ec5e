//! From the head into a block.
//!
//! Chunks do not cross the edges between spans of blocks, so those that are not late go over as they are. Late samples go into blocks
//! of their own, one for each span of time that they fall into, as Prometheus does it; their chunks overlap, so they are
//! merged and encoded again.

use std::collections::BTreeSet;

use norn_model::select::Projection;
use parking_lot::Mutex;

use super::Head;
use super::index::Index;
use super::late::{merge_chunks, visit_times};
use super::open_chunk::HeadChunk;
use super::series::{SeriesRef, State};
use super::shard::{Shard, shard_of};
use crate::block::writer::ChunkToWrite;
use crate::block::{BlockWriter, FileError};
use crate::chunk::ChunkError;

/// Times from `start_ms` on and before `end_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutRange {
    /// The first millisecond.
    pub start_ms: i64,
    /// The millisecond behind the last.
    pub end_ms: i64,
}

/// Why a block could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// Writing failed.
    #[error("write a block")]
    Write(#[from] FileError),
    /// A chunk in memory does not decode.
    #[error("merge late samples")]
    Chunk(#[from] ChunkError),
}

/// The late samples that blocks are made of, to be dropped when they are there.
#[derive(Debug, Default)]
pub struct TakenLate {
    series: Vec<TakenSeries>,
}

#[derive(Debug)]
struct TakenSeries {
    reference: SeriesRef,
    id: u64,
    chunks: Vec<HeadChunk>,
}

impl Head {
    /// Writes all samples of a range that are not late. `writer` begins the block once its symbols are known.
    ///
    /// Nothing must come into the range any more, and nobody else removes series meanwhile.
    pub fn cut(
        &self,
        range: CutRange,
        writer: impl FnOnce(Vec<String>) -> Result<BlockWriter, FileError>,
    ) -> Result<BlockWriter, CutError> {
        let wanted = self.series_in(range);
        let (order, symbols) = in_label_order(&self.index.read(), wanted);
        let mut writer = writer(symbols)?;
        let mut chunks = Vec::new();
        let mut buffer = Vec::new();
        for reference in order {
            chunks.clear();
            let labels = {
                let index = self.index.read();
                let shard = self.shards[shard_of(reference)].lock();
                let Some(series) = shard.get(reference) else { continue };
                series.collect_chunks(range.start_ms, range.end_ms - 1, &mut chunks);
                clip(&mut chunks, range)?;
                index.label_set(reference, &Projection::All, &mut buffer)
            };
            writer.add_series(labels.as_ref(), chunks.iter().map(to_write))?;
        }
        Ok(writer)
    }

    /// The first time from `from_ms` on at which a chunk that is not late starts, or `from_ms` where one reaches over it.
    /// Cost: a walk over all series.
    pub fn first_ms_from(&self, from_ms: i64) -> Option<i64> {
        let first_of = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let published = shard.iter(0).filter(|(_, series)| series.state == State::Published);
            published.filter_map(|(_, series)| series.first_ms_from(from_ms)).min()
        };
        self.shards.iter().filter_map(first_of).min()
    }

    fn series_in(&self, range: CutRange) -> Vec<SeriesRef> {
        let mut wanted = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            let published = shard.iter(number).filter(|(_, series)| series.state == State::Published);
            let inside = published.filter(|(_, series)| series.overlaps(range.start_ms, range.end_ms - 1));
            wanted.extend(inside.map(|(reference, _)| reference));
        }
        wanted
    }

    /// Ends the late samples that there are, for blocks to be made of them. They stay until [`Head::drop_late`].
    pub fn take_late(&self) -> TakenLate {
        let mut taken = TakenLate::default();
        for (number, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock();
            shard.for_each(number, |reference, series| {
                if series.late().is_some() {
                    let chunks = series.close_late();
                    taken.series.push(TakenSeries { reference, id: series.id, chunks });
                }
            });
        }
        taken
    }

    /// Writes the late samples of a range.
    pub fn cut_late(
        &self,
        taken: &TakenLate,
        range: CutRange,
        writer: impl FnOnce(Vec<String>) -> Result<BlockWriter, FileError>,
    ) -> Result<BlockWriter, CutError> {
        let inside = |chunk: &HeadChunk| chunk.min_ms < range.end_ms && chunk.max_ms >= range.start_ms;
        let wanted = taken.series.iter().filter(|series| series.chunks.iter().any(inside));
        let mut by_reference: Vec<&TakenSeries> = wanted.collect();
        by_reference.sort_unstable_by_key(|series| series.reference);
        let references = by_reference.iter().map(|series| series.reference).collect();
        let (order, symbols) = in_label_order(&self.index.read(), references);
        let mut writer = writer(symbols)?;
        let mut buffer = Vec::new();
        for reference in order {
            let place = by_reference.binary_search_by_key(&reference, |series| series.reference);
            let series = by_reference[place.expect("the order is one of these series")];
            let chunks = merge_chunks(&series.chunks, range.start_ms, range.end_ms - 1)?;
            let labels = self.index.read().label_set(reference, &Projection::All, &mut buffer);
            writer.add_series(labels.as_ref(), chunks.iter().map(to_write))?;
        }
        Ok(writer)
    }

    /// Drops late samples that blocks have.
    pub fn drop_late(&self, taken: &TakenLate) {
        for taken in &taken.series {
            let mut shard = self.shards[shard_of(taken.reference)].lock();
            let series = shard.series_mut(taken.reference);
            if series.id == taken.id {
                series.drop_late(taken.chunks.len());
            }
        }
    }
}

impl TakenLate {
    /// Whether there are no late samples.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The ranges of blocks that late samples fall into, ascending.
    pub fn ranges(&self, range_ms: i64) -> Result<Vec<CutRange>, CutError> {
        let mut starts = BTreeSet::new();
        for chunk in self.series.iter().flat_map(|series| &series.chunks) {
            // A chunk may reach over years with nothing in between, so its bounds alone do not tell.
            visit_times(chunk, |timestamp_ms| {
                starts.insert(timestamp_ms.div_euclid(range_ms));
            })?;
        }
        let range = |start: i64| CutRange {
            start_ms: start.saturating_mul(range_ms),
            end_ms: start.saturating_add(1).saturating_mul(range_ms),
        };
        Ok(starts.into_iter().map(range).collect())
    }
}

/// Cuts off what of the first and the last chunk lies outside a range. Only the edges of an early compaction lie inside
/// chunks, so nothing is encoded again as a rule.
fn clip(chunks: &mut Vec<HeadChunk>, range: CutRange) -> Result<(), ChunkError> {
    let is_inside = |chunk: &HeadChunk| chunk.min_ms >= range.start_ms && chunk.max_ms < range.end_ms;
    if chunks.iter().all(is_inside) {
        return Ok(());
    }
    for chunk in std::mem::take(chunks) {
        if is_inside(&chunk) {
            chunks.push(chunk);
        } else {
            chunks.extend(merge_chunks(&[chunk], range.start_ms, range.end_ms - 1)?);
        }
    }
    Ok(())
}

fn to_write(chunk: &HeadChunk) -> ChunkToWrite<'_> {
    let range = norn_model::select::TimeRange { start_ms: chunk.min_ms, end_ms: chunk.max_ms };
    ChunkToWrite { range, encoding: chunk.encoding, data: &chunk.data }
}

/// Sorts series by their labels, and lists the strings in these labels, ascending.
///
/// Pairs are ranked once, so that sorting the series compares numbers.
fn in_label_order(index: &Index, mut references: Vec<SeriesRef>) -> (Vec<SeriesRef>, Vec<String>) {
    let ranks = index.pair_ranks();
    let ranks_of = |reference: SeriesRef| index.pairs_of(reference).iter().map(|pair| ranks[*pair as usize]);
    references.sort_by(|left, right| ranks_of(*left).cmp(ranks_of(*right)));
    let mut used = vec![false; ranks.len()];
    for reference in &references {
        index.pairs_of(*reference).iter().for_each(|pair| used[*pair as usize] = true);
    }
    let mut symbols: Vec<&str> = Vec::new();
    for (pair, _) in used.iter().enumerate().filter(|(_, used)| **used) {
        let (name, value) = index.pair(pair);
        symbols.extend([name, value]);
    }
    symbols.sort_unstable();
    symbols.dedup();
    (references, symbols.into_iter().map(str::to_owned).collect())
}
