//! Reading series out of the head while samples go on coming in.
//!
//! A source first finds the series, then hands them out some at a time. Under a lock it only takes chunks, which are
//! shared, and copies the open one; it decodes afterwards. Between two polls series may go and others may come into
//! their places: those are told by their numbers, which are never given again.
//!
//! What a block has taken over is dropped from the head only when no source from before is left: see [`ReadLease`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use norn_base::{Error, ErrorKind, Result};
use norn_model::Labels;
use norn_model::select::{SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, TimeRange};

use super::Head;
use super::matching::Matching;
use super::merge::ChunkMerge;
use super::open_chunk::HeadChunk;
use super::series::{SeriesRef, State};
use super::shard::shard_of;
use crate::chunk::{ChunkError, decode_into};

/// A poll hands out about so many samples, and at most so many series: well below a millisecond.
const POLL_SAMPLES: usize = 16 << 10;
const POLL_SERIES: usize = 256;
/// How many series are looked at for their hashes in one poll.
const POLL_HASHES: usize = 4096;

/// Someone reads the head: what was there when the lease was taken, from its range's start on, is not dropped.
pub struct ReadLease {
    head: Arc<Head>,
    ticket: u64,
}

impl Drop for ReadLease {
    fn drop(&mut self) {
        self.head.readers.lock().start_ms.remove(&self.ticket);
    }
}

impl Head {
    /// Says that someone reads from `start_ms` on.
    pub fn lease(self: &Arc<Self>, start_ms: i64) -> ReadLease {
        let mut readers = self.readers.lock();
        let ticket = readers.next_ticket;
        readers.next_ticket += 1;
        readers.start_ms.insert(ticket, start_ms);
        ReadLease { head: self.clone(), ticket }
    }

    /// A ticket: readers that come later have a greater one.
    pub fn next_ticket(&self) -> u64 {
        self.readers.lock().next_ticket
    }

    /// Whether a reader from before `ticket` may still need samples before `before_ms`.
    pub fn is_read(&self, ticket: u64, before_ms: i64) -> bool {
        self.readers.lock().start_ms.range(..ticket).any(|(_, start_ms)| *start_ms < before_ms)
    }

    /// Opens a stream of the matching series.
    ///
    /// - `from_ms`: older samples are left out, late ones aside, because the caller reads them in blocks.
    pub fn select(self: &Arc<Self>, request: SeriesRequest, from_ms: i64, lease: ReadLease) -> Box<dyn SeriesSource> {
        Box::new(HeadSource {
            from_ms: from_ms.max(request.range.start_ms),
            newest_id: self.next_id.load(Ordering::Acquire),
            head: self.clone(),
            stage: Stage::Find(Matching::new(&request.matchers)),
            request,
            _lease: lease,
            scratch: Scratch::default(),
        })
    }
}

struct HeadSource {
    head: Arc<Head>,
    request: SeriesRequest,
    from_ms: i64,
    _lease: ReadLease,
    /// Series with this number or a greater one came later.
    newest_id: u64,
    stage: Stage,
    scratch: Scratch,
}

enum Stage {
    Find(Matching),
    /// Hashes of the first so many series are known.
    Hash {
        series: Vec<SeriesRef>,
        hashed: Vec<(u64, SeriesRef)>,
    },
    Read {
        series: std::vec::IntoIter<SeriesRef>,
    },
}

#[derive(Default)]
struct Scratch {
    chunks: Vec<HeadChunk>,
    labels: Vec<u8>,
    merge: ChunkMerge,
}

impl SeriesSource for HeadSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        match &mut self.stage {
            Stage::Find(matching) => {
                let index = self.head.index.read();
                let series = loop {
                    match matching.step(&index) {
                        Some(series) => break series,
                        None if matching.is_long() => return yield_now(context),
                        None => {}
                    }
                };
                drop(index);
                let needs_hashes = self.request.shard.is_some() || self.request.order == SeriesOrder::ByHash;
                self.stage = if needs_hashes {
                    Stage::Hash { hashed: Vec::with_capacity(series.len()), series }
                } else {
                    Stage::Read { series: series.into_iter() }
                };
                if needs_hashes {
                    return yield_now(context);
                }
            }
            Stage::Hash { series, hashed } => {
                let rest = series.len().saturating_sub(POLL_HASHES);
                for reference in series.drain(rest..) {
                    let shard = self.head.shards[shard_of(reference)].lock();
                    let Some(found) = shard.get(reference) else { continue };
                    if self.request.shard.is_none_or(|part| part.owns(found.hash)) {
                        hashed.push((found.hash, reference));
                    }
                }
                if !series.is_empty() {
                    return yield_now(context);
                }
                let mut hashed = std::mem::take(hashed);
                hashed.sort_unstable();
                self.head.order_collisions(&mut hashed);
                let series: Vec<SeriesRef> = hashed.into_iter().map(|row| row.1).collect();
                self.stage = Stage::Read { series: series.into_iter() };
                return yield_now(context);
            }
            Stage::Read { .. } => {}
        }
        let Stage::Read { series } = &mut self.stage else { unreachable!("finding without hashes leads to reading") };
        let reading =
            Reading { head: &self.head, request: &self.request, from_ms: self.from_ms, newest_id: self.newest_id };
        let mut looked_at = 0;
        while looked_at < POLL_SERIES && batch.sample_count() < POLL_SAMPLES {
            let Some(reference) = series.next() else { break };
            looked_at += 1;
            if let Err(error) = reading.read_series(reference, &mut self.scratch, batch) {
                let error = Error::new(ErrorKind::Internal, "a chunk in memory does not decode").with_source(error);
                return Poll::Ready(Err(error));
            }
        }
        if batch.is_empty() && looked_at > 0 {
            return yield_now(context);
        }
        Poll::Ready(Ok(!batch.is_empty()))
    }
}

/// Lets others compute, and asks to be polled again at once.
fn yield_now(context: &mut Context<'_>) -> Poll<Result<bool>> {
    context.waker().wake_by_ref();
    Poll::Pending
}

impl Head {
    /// Series of one hash, which hardly ever happens, are ordered by their labels.
    fn order_collisions(&self, hashed: &mut [(u64, SeriesRef)]) {
        if hashed.windows(2).all(|pair| pair[0].0 != pair[1].0) {
            return;
        }
        let index = self.index.read();
        hashed.sort_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| index.labels_of(left.1).cmp(index.labels_of(right.1)))
        });
    }
}

struct Reading<'a> {
    head: &'a Head,
    request: &'a SeriesRequest,
    from_ms: i64,
    newest_id: u64,
}

impl Reading<'_> {
    /// Adds a series to the batch, if it is still there and has samples in the range.
    fn read_series(
        &self,
        reference: SeriesRef,
        scratch: &mut Scratch,
        batch: &mut SeriesBatch,
    ) -> Result<(), ChunkError> {
        let range = self.request.range;
        scratch.chunks.clear();
        let Some((labels, hash, in_order)) = self.take(reference, scratch) else { return Ok(()) };
        batch.push_series(labels, hash);
        if self.request.labels_only {
            return Ok(());
        }
        let samples_before = batch.sample_count();
        if scratch.chunks.len() == in_order {
            let range = TimeRange { start_ms: self.from_ms, ..range };
            for chunk in &scratch.chunks {
                decode_into(chunk.encoding, &chunk.data, range, batch)?;
            }
        } else {
            scratch.merge.append(
                &scratch.chunks,
                |chunk| {
                    let start_ms = if chunk < in_order { self.from_ms } else { range.start_ms };
                    TimeRange { start_ms, ..range }
                },
                batch,
            )?;
        }
        if batch.sample_count() == samples_before {
            batch.pop_series();
        }
        Ok(())
    }

    /// What a series has, taken under its locks: labels, hash, and how many of the chunks are not late.
    fn take(&self, reference: SeriesRef, scratch: &mut Scratch) -> Option<(Labels, u64, usize)> {
        let range = self.request.range;
        // The index is held until the labels are read, so that they are those of the series that was looked at.
        let index = self.head.index.read();
        let shard = self.head.shards[shard_of(reference)].lock();
        let series = shard.get(reference)?;
        if series.state != State::Published || series.id >= self.newest_id {
            return None;
        }
        let hash = series.hash;
        if self.request.labels_only {
            let late = series.late().is_some_and(|late| late.overlaps(range.start_ms, range.end_ms));
            if !late && !series.overlaps(self.from_ms, range.end_ms) {
                return None;
            }
        } else {
            series.collect_chunks(self.from_ms, range.end_ms, &mut scratch.chunks);
        }
        let in_order = scratch.chunks.len();
        if !self.request.labels_only
            && let Some(late) = series.late()
        {
            late.collect_chunks(range.start_ms, range.end_ms, &mut scratch.chunks);
        }
        drop(shard);
        if !self.request.labels_only && scratch.chunks.is_empty() {
            return None;
        }
        Some((index.label_set(reference, &self.request.projection, &mut scratch.labels), hash, in_order))
    }
}
