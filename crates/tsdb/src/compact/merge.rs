//! Puts blocks together, series by series.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::Path;

use norn_base::clock::Clock;
use norn_base::random::Random;
use norn_model::Labels;
use norn_model::select::TimeRange;

use crate::block::meta::{COMPACTOR_SHARD_LABEL, Compaction as Origin, Parent};
use crate::block::writer::{BlockDescription, ChunkToWrite};
use crate::block::{BlockMeta, BlockReader, BlockWriter, FileError};
use crate::chunk::samples::{EncodedChunk, decode_samples, encode_samples, merge_samples};
use crate::chunk::segment::RawChunk;
use crate::index::{ChunkMeta, SeriesEntry};
use crate::ulid::Ulid;

/// How many series one step puts together: a millisecond or a few, unless chunks overlap.
const STEP_SERIES: usize = 256;

/// What a compaction gives.
#[derive(Debug, Clone, Default)]
pub struct CompactionOptions {
    /// Into how many shards the series are split by their hash; 0 for one block.
    pub shards: u32,
    /// External labels of the result; the shard is added where there is one.
    pub external_labels: BTreeMap<String, String>,
    /// Who does it.
    pub source: String,
}

/// A compaction, done in steps.
pub struct Compaction {
    blocks: Vec<BlockReader>,
    options: CompactionOptions,
    /// One for each shard.
    writers: Vec<BlockWriter>,
    /// Blocks that have series left, by the labels of their next one.
    heads: BinaryHeap<Reverse<(Labels, usize)>>,
    cursors: Vec<Cursor>,
}

/// Where a block's series are read.
struct Cursor {
    ids: std::vec::IntoIter<u32>,
    /// The series that stands in `heads`.
    id: u32,
    entry: SeriesEntry,
}

/// A chunk of one of the blocks.
struct SourceChunk {
    range: TimeRange,
    raw: RawChunk,
    block: usize,
    /// What tombstones leave of it; `None` for all.
    kept: Option<Vec<TimeRange>>,
    meta: ChunkMeta,
}

/// A chunk of the result.
enum ResultChunk {
    Copied(TimeRange, RawChunk),
    Encoded(EncodedChunk),
}

impl Compaction {
    /// Begins to put `blocks` together into the directory `target`, which exists. The blocks of the result appear there
    /// when [`Compaction::finish`] is done; until then nothing does.
    pub fn start(
        blocks: Vec<BlockReader>,
        target: &Path,
        options: CompactionOptions,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, FileError> {
        let mut writers = Vec::new();
        for _ in 0..options.shards.max(1) {
            writers.push(BlockWriter::create(target, Ulid::new(clock, random), MergedSymbols::new(&blocks))?);
        }
        let mut compaction = Self { blocks, options, writers, heads: BinaryHeap::new(), cursors: Vec::new() };
        for index in 0..compaction.blocks.len() {
            let ids = compaction.blocks[index].index().all_series()?.into_iter();
            compaction.cursors.push(Cursor { ids, id: 0, entry: SeriesEntry::default() });
            compaction.load_next(index)?;
        }
        Ok(compaction)
    }

    /// Puts some series together; `true` when there are no more.
    pub fn step(&mut self) -> Result<bool, FileError> {
        for _ in 0..STEP_SERIES {
            let Some(Reverse((labels, first))) = self.heads.pop() else { return Ok(true) };
            let mut members = vec![first];
            while self.heads.peek().is_some_and(|Reverse((next, _))| *next == labels) {
                members.extend(self.heads.pop().map(|Reverse((_, index))| index));
            }
            self.put_together(&labels, &members)?;
            for index in members {
                self.load_next(index)?;
            }
        }
        Ok(self.heads.is_empty())
    }

    /// Brings the result to disk: for each shard its block, or nothing where it has no series.
    pub fn finish(self) -> Result<Vec<Option<BlockMeta>>, FileError> {
        let Self { blocks, options, writers, .. } = self;
        let metas: Vec<&BlockMeta> = blocks.iter().map(BlockReader::meta).collect();
        let sources: BTreeSet<Ulid> = metas.iter().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
        let parent = |meta: &&BlockMeta| Parent { ulid: meta.ulid, min_time: meta.min_time, max_time: meta.max_time };
        let description = BlockDescription {
            min_time: metas.iter().map(|meta| meta.min_time).min().unwrap_or(0),
            max_time: metas.iter().map(|meta| meta.max_time).max().unwrap_or(0),
            compaction: Origin {
                level: metas.iter().map(|meta| meta.compaction.level).max().unwrap_or(0) + 1,
                sources: sources.into_iter().collect(),
                parents: metas.iter().map(parent).collect(),
                ..Origin::default()
            },
            external_labels: options.external_labels,
            source: options.source,
        };
        let mut results = Vec::with_capacity(writers.len());
        for (index, writer) in writers.into_iter().enumerate() {
            let mut description = description.clone();
            if options.shards > 0 {
                let shard = format!("{}_of_{}", index + 1, options.shards);
                description.external_labels.insert(COMPACTOR_SHARD_LABEL.to_owned(), shard);
            }
            results.push(writer.finish(description)?);
        }
        Ok(results)
    }

    /// Puts the next series of a block among the heads.
    fn load_next(&mut self, index: usize) -> Result<(), FileError> {
        let cursor = &mut self.cursors[index];
        if let Some(id) = cursor.ids.next() {
            let source = self.blocks[index].index();
            source.series(id, &mut cursor.entry)?;
            cursor.id = id;
            self.heads.push(Reverse((source.labels(&cursor.entry)?, index)));
        }
        Ok(())
    }

    fn put_together(&mut self, labels: &Labels, members: &[usize]) -> Result<(), FileError> {
        let mut chunks = Vec::new();
        for index in members {
            self.read_chunks(*index, &mut chunks)?;
        }
        chunks.sort_by_key(|chunk| (chunk.range.start_ms, chunk.range.end_ms));
        let mut results = Vec::with_capacity(chunks.len());
        let mut rest = &chunks[..];
        while let Some(first) = rest.first() {
            let mut end_ms = first.range.end_ms;
            let mut count = 1;
            while let Some(next) = rest.get(count).filter(|next| next.range.start_ms <= end_ms) {
                end_ms = end_ms.max(next.range.end_ms);
                count += 1;
            }
            let (group, later) = rest.split_at(count);
            self.merge_group(group, &mut results)?;
            rest = later;
        }
        let shard = match self.options.shards {
            0 | 1 => 0,
            shards => (shard_hash(labels) % u64::from(shards)) as usize,
        };
        let to_write = results.iter().map(|chunk| match chunk {
            ResultChunk::Copied(range, raw) => ChunkToWrite { range: *range, encoding: raw.encoding, data: &raw.data },
            ResultChunk::Encoded(chunk) => {
                ChunkToWrite { range: chunk.range, encoding: chunk.encoding, data: &chunk.data }
            }
        });
        self.writers[shard].add_series(labels.as_ref(), to_write)
    }

    /// Reads the chunks of the series at a block's cursor, without what is deleted in whole.
    fn read_chunks(&self, index: usize, chunks: &mut Vec<SourceChunk>) -> Result<(), FileError> {
        let (block, cursor) = (&self.blocks[index], &self.cursors[index]);
        for meta in &cursor.entry.chunks {
            let kept = block.tombstones().kept(u64::from(cursor.id), meta.range);
            if kept.is_empty() {
                continue;
            }
            chunks.push(SourceChunk {
                range: meta.range,
                raw: block.segments().read(meta.place)?,
                block: index,
                kept: (kept != [meta.range]).then_some(kept),
                meta: *meta,
            });
        }
        Ok(())
    }

    /// Merges chunks that overlap; a single one is copied.
    fn merge_group(&self, group: &[SourceChunk], results: &mut Vec<ResultChunk>) -> Result<(), FileError> {
        let first = &group[0];
        let same = |chunk: &SourceChunk| chunk.range == first.range && chunk.raw == first.raw;
        if group.iter().all(|chunk| chunk.kept.is_none() && same(chunk)) {
            results.push(ResultChunk::Copied(first.range, first.raw.clone()));
            return Ok(());
        }
        let mut sources = Vec::with_capacity(group.len());
        for chunk in group {
            let mut samples = Vec::new();
            for range in chunk.kept.as_deref().unwrap_or(&[TimeRange::ALL]) {
                let segments = self.blocks[chunk.block].segments();
                decode_samples(chunk.raw.encoding, &chunk.raw.data, *range, &mut samples)
                    .map_err(|error| segments.chunk_error(chunk.meta.place, error))?;
            }
            sources.push(samples);
        }
        results.extend(encode_samples(&merge_samples(sources)).into_iter().map(ResultChunk::Encoded));
        Ok(())
    }
}

impl std::fmt::Debug for Compaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "compaction of {} blocks into {}", self.blocks.len(), self.writers.len())
    }
}

/// The hash that decides in which shard of a split block a series lies: XXH64 over name, 0xff, value, 0xff of each
/// label. It is part of the bucket's format, since others leave out shards that a query cannot need.
pub fn shard_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.encoded().len() + 2);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0xff);
    }
    twox_hash::XxHash64::oneshot(0, &bytes)
}

/// The symbols of several blocks, ascending, each once.
struct MergedSymbols<'a> {
    sources: Vec<Box<dyn Iterator<Item = &'a str> + 'a>>,
    heads: BinaryHeap<Reverse<(&'a str, usize)>>,
}

impl<'a> MergedSymbols<'a> {
    fn new(blocks: &'a [BlockReader]) -> Self {
        let mut merged = Self { sources: Vec::new(), heads: BinaryHeap::new() };
        for (index, block) in blocks.iter().enumerate() {
            merged.sources.push(Box::new(block.index().symbols().iter()));
            merged.load_next(index);
        }
        merged
    }

    fn load_next(&mut self, index: usize) {
        if let Some(symbol) = self.sources[index].next() {
            self.heads.push(Reverse((symbol, index)));
        }
    }
}

impl<'a> Iterator for MergedSymbols<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let Reverse((symbol, index)) = self.heads.pop()?;
        self.load_next(index);
        while let Some(Reverse((next, index))) = self.heads.peek().copied()
            && next == symbol
        {
            self.heads.pop();
            self.load_next(index);
        }
        Some(symbol)
    }
}

/// Runs a compaction to its end.
pub fn compact(
    blocks: Vec<BlockReader>,
    target: &Path,
    options: CompactionOptions,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Vec<Option<BlockMeta>>, FileError> {
    let mut compaction = Compaction::start(blocks, target, options, clock, random)?;
    while !compaction.step()? {}
    compaction.finish()
}

#[cfg(test)]
mod tests;
