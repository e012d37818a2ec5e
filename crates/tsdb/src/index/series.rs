//! One series of an index: references to its labels, and its chunks.
//!
//! ```text
//! length uvarint │ labels uvarint │ (name uvarint, value uvarint)*
//!                │ chunks uvarint │ first: start varint, end - start uvarint, ref uvarint
//!                │                  next:  start - previous end uvarint, end - start uvarint, ref - previous ref varint
//!                │ crc u32, of what follows the length
//! ```

use norn_model::select::TimeRange;

use crate::block::cursor::{Cursor, push_uvarint, push_varint};
use crate::chunk::segment::ChunkRef;

/// Where a chunk of a series lies, and the times of its first and last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Both included, in milliseconds since the Unix epoch.
    pub range: TimeRange,
    /// Where it lies.
    pub place: ChunkRef,
}

/// A series as it stands in an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Places of name and value in the symbols; names ascend.
    pub labels: Vec<(u32, u32)>,
    /// In order of time.
    pub chunks: Vec<ChunkMeta>,
}

impl SeriesEntry {
    /// Replaces the entry by what `bytes` hold; `false` where they are no series.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> bool {
        self.labels.clear();
        self.chunks.clear();
        let mut cursor = Cursor::new(bytes);
        self.decode_from(&mut cursor).is_some() && cursor.is_at_end()
    }

    fn decode_from(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        for _ in 0..cursor.uvarint()? {
            let name = cursor.uvarint32()?;
            self.labels.push((name, cursor.uvarint32()?));
        }
        let chunks = cursor.uvarint()?;
        for index in 0..chunks {
            let (start_ms, before) = match self.chunks.last() {
                None => (cursor.varint()?, 0),
                // Chunks of a series may not overlap, so the step is not negative; where it wraps around, it was.
                Some(last) => (last.range.end_ms.wrapping_add(cursor.uvarint()? as i64), last.place.raw()),
            };
            let end_ms = start_ms.wrapping_add(cursor.uvarint()? as i64);
            let raw = if index == 0 { cursor.uvarint()? } else { before.wrapping_add(cursor.varint()? as u64) };
            let range = TimeRange { start_ms, end_ms };
            self.chunks.push(ChunkMeta { range, place: ChunkRef::from_raw(raw) });
        }
        Some(())
    }

    /// Appends the entry without length and checksum.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        push_uvarint(bytes, self.labels.len() as u64);
        for (name, value) in &self.labels {
            push_uvarint(bytes, u64::from(*name));
            push_uvarint(bytes, u64::from(*value));
        }
        push_uvarint(bytes, self.chunks.len() as u64);
        let mut previous: Option<&ChunkMeta> = None;
        for chunk in &self.chunks {
            let length_ms = chunk.range.end_ms.wrapping_sub(chunk.range.start_ms) as u64;
            match previous {
                None => {
                    push_varint(bytes, chunk.range.start_ms);
                    push_uvarint(bytes, length_ms);
                    push_uvarint(bytes, chunk.place.raw());
                }
                Some(previous) => {
                    push_uvarint(bytes, chunk.range.start_ms.wrapping_sub(previous.range.end_ms) as u64);
                    push_uvarint(bytes, length_ms);
                    push_varint(bytes, chunk.place.raw().wrapping_sub(previous.place.raw()) as i64);
                }
            }
            previous = Some(chunk);
        }
    }
}
