//! Chunks: runs of one series' samples, compressed as Prometheus does, bit for bit.
//!
//! A chunk is what the head appends to, what lies in the segment files of a block, and what queries decode. Each
//! encoding has an appender, which owns the bytes of one open chunk, and a decoder, which turns bytes from anywhere
//! into columns; bytes that no appender wrote give a [`ChunkError`] and never a panic.
//!
//! Rules:
//! - What an appender writes is what Prometheus writes for the same samples: real blocks are read, and blocks written
//!   here are read by the others.
//! - Values are kept bit for bit: the payload of a NaN and the sign of zero survive.
//! - Timestamps within a chunk strictly ascend. Appenders rely on their caller for it.
//!
//! Source: Prometheus `tsdb/docs/format/chunks.md` and `tsdb/chunkenc`.

// Bits in, bits out.
pub mod bits;
// Integers and floats of varying width.
pub mod varbit;

// Float samples.
pub mod xor;

// Native histograms.
pub mod histogram;
mod layout;
mod spans;

// Samples one by one, to merge chunks that overlap.
pub mod samples;

// The files of a block that hold its chunks.
pub mod segment;

use std::sync::Arc;

use norn_model::histogram::{FloatHistogram, Histogram};
use norn_model::select::{SeriesBatch, TimeRange};

pub use histogram::{HistogramAppender, HistogramDecoder, NativeHistogram};
pub use xor::{XorAppender, XorDecoder};

/// How a chunk's data is laid out: the byte before the data in a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Float samples.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
}

/// Why bytes are not a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The data ends inside a sample or before the header is complete.
    #[error("chunk of {bytes} bytes ends before its sample {sample} of {samples} is complete")]
    Truncated {
        /// Length of the chunk's data.
        bytes: usize,
        /// The sample that is incomplete, from 0.
        sample: u16,
        /// How many samples the header promises.
        samples: u16,
    },
    /// A field has a value that no encoder writes.
    #[error("chunk is damaged: {what}")]
    Damaged {
        /// The field and what is wrong with it.
        what: &'static str,
    },
    /// The encoding is one that is not read here.
    #[error("chunk encoding {code} ({name}) is not supported; XOR (1), histogram (2) and float histogram (3) are")]
    UnknownEncoding {
        /// The byte found.
        code: u8,
        /// What Prometheus calls it.
        name: &'static str,
    },
}

impl Encoding {
    /// The encoding that belongs to a byte of a segment file.
    pub fn from_code(code: u8) -> Result<Self, ChunkError> {
        let name = match code {
            1 => return Ok(Self::Xor),
            2 => return Ok(Self::Histogram),
            3 => return Ok(Self::FloatHistogram),
            // The newer ones exist in Prometheus behind settings that are off by default.
            4 => "XOR2",
            5 => "histogramST",
            6 => "floathistogramST",
            _ => "unknown",
        };
        Err(ChunkError::UnknownEncoding { code, name })
    }

    /// The byte that stands for this encoding in a segment file.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// How many samples a chunk of any encoding says it holds.
pub fn sample_count(data: &[u8]) -> Result<u16, ChunkError> {
    let Some((count, _)) = data.split_first_chunk() else {
        return Err(ChunkError::Truncated { bytes: data.len(), sample: 0, samples: 0 });
    };
    Ok(u16::from_be_bytes(*count))
}

/// Appends the samples of a chunk that lie inside `range` to the last series of a batch.
///
/// - `data`: a chunk's data, without length, encoding and checksum.
/// - The samples are later than all of the same kind that the series has.
/// - On an error of a histogram chunk, the samples before the damage stay in the batch.
pub fn decode_into(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    batch: &mut SeriesBatch,
) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Xor => {
            let (timestamps_ms, values) = batch.float_columns();
            let outcome = xor::decode_into(data, timestamps_ms, values, range);
            batch.finish_floats();
            outcome
        }
        Encoding::Histogram => {
            let mut decoder = HistogramDecoder::<Histogram>::new(data)?;
            while decoder.advance()? && decoder.timestamp_ms() <= range.end_ms {
                if decoder.timestamp_ms() >= range.start_ms {
                    batch.push_histogram(decoder.timestamp_ms(), Arc::new(decoder.float_histogram()));
                }
            }
            Ok(())
        }
        Encoding::FloatHistogram => {
            let mut decoder = HistogramDecoder::<FloatHistogram>::new(data)?;
            while decoder.advance()? && decoder.timestamp_ms() <= range.end_ms {
                if decoder.timestamp_ms() >= range.start_ms {
                    batch.push_histogram(decoder.timestamp_ms(), Arc::new(decoder.histogram()));
                }
            }
            Ok(())
        }
    }
}
