//! Chunks in the head: finished ones, open ones of histograms, and when an open one ends.

use std::sync::Arc;

use norn_model::{FloatHistogram, Histogram};

use crate::chunk::{Encoding, HistogramAppender};

/// When open chunks end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkRules {
    /// Length of a block in milliseconds; chunks end at its multiples.
    pub(crate) range_ms: i64,
    /// About as many float samples go into a chunk.
    pub(crate) samples: u16,
    /// About as many bytes of histograms go into a chunk.
    pub(crate) histogram_bytes: usize,
}

impl ChunkRules {
    /// The rules of Prometheus for blocks of this length.
    pub(crate) fn new(range_ms: i64) -> Self {
        Self { range_ms, samples: 120, histogram_bytes: 1024 }
    }

    /// Where the block that holds `timestamp_ms` ends.
    pub(crate) fn range_end(&self, timestamp_ms: i64) -> i64 {
        timestamp_ms.div_euclid(self.range_ms).saturating_add(1).saturating_mul(self.range_ms)
    }
}

/// A chunk of histograms has at least so many, unless a block ends.
pub(super) const HISTOGRAM_SAMPLES_MIN: u16 = 10;

/// A finished chunk.
#[derive(Debug, Clone)]
pub struct HeadChunk {
    /// Time of the first sample, milliseconds since the Unix epoch.
    pub min_ms: i64,
    /// Time of the last sample.
    pub max_ms: i64,
    /// How `data` is laid out.
    pub encoding: Encoding,
    /// As it lies in a block, shared with readers.
    pub data: Arc<[u8]>,
}

/// The open chunk, if it is one of histograms.
#[derive(Debug, Default)]
pub(super) enum OpenHistograms {
    #[default]
    None,
    Integer(HistogramAppender<Histogram>),
    Float(HistogramAppender<FloatHistogram>),
}

impl OpenHistograms {
    pub(super) fn integer(&mut self) -> &mut HistogramAppender<Histogram> {
        if !matches!(self, Self::Integer(_)) {
            *self = Self::Integer(HistogramAppender::new());
        }
        let Self::Integer(open) = self else { unreachable!("made just above") };
        open
    }

    pub(super) fn float(&mut self) -> &mut HistogramAppender<FloatHistogram> {
        if !matches!(self, Self::Float(_)) {
            *self = Self::Float(HistogramAppender::new());
        }
        let Self::Float(open) = self else { unreachable!("made just above") };
        open
    }

    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Float(_) => Encoding::FloatHistogram,
            Self::None | Self::Integer(_) => Encoding::Histogram,
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Integer(open) => Some(open.bytes()),
            Self::Float(open) => Some(open.bytes()),
        }
    }

    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(self) {
            Self::None => None,
            Self::Integer(open) => Some(open.into_bytes()),
            Self::Float(open) => Some(open.into_bytes()),
        }
    }
}

/// When a chunk should end, so that the chunks up to `max_ms` are of equal length.
///
/// - `start_ms`, `last_ms`: its first and its last sample so far.
/// - `ratio_to_full`: how many times as large a full chunk is.
/// - Source: Prometheus `tsdb/head_append.go`, `computeChunkEndTime`.
pub(super) fn chunk_end(start_ms: i64, last_ms: i64, max_ms: i64, ratio_to_full: f64) -> i64 {
    let left = max_ms.saturating_sub(start_ms) as f64;
    let chunks = left / ((last_ms.saturating_sub(start_ms).saturating_add(1)) as f64 * ratio_to_full);
    if chunks <= 1.0 {
        return max_ms;
    }
    (start_ms as f64 + left / chunks.floor()) as i64
}
