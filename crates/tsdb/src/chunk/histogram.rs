//! Chunks of native histograms, with integer or with float counts.
//!
//! ```text
//! ┌───────────┬──────────┬────────┬──────────┬──────────┬─────┬─────────┐
//! │ count u16 │ flags u8 │ layout │ sample 0 │ sample 1 │ ... │ padding │
//! └───────────┴──────────┴────────┴──────────┴──────────┴─────┴─────────┘
//! flags:   the two highest bits are 11 for gauges, else 00
//! sample:  time, count, zero count, sum, positive buckets, negative buckets
//! ```
//!
//! The first sample's fields stand there as they are: the time as `int` (the widths are those of [`super::varbit`]),
//! integer counts as `uint`, integer buckets as `int`, floats as 8 bytes. In later samples a time or an integer is an
//! `int` that says how much its step changed, and a float its difference to the float before, each field with a
//! window of its own. Integer buckets are differences to the bucket before them in the first place.
//!
//! A stale marker is a sample whose sum is the stale NaN, and has no buckets. Only stale markers can follow it.
//!
//! All samples of a chunk have one layout, and counts do not fall from one to the next, unless they are gauges. What
//! does not keep to this starts a new chunk; a sample with more buckets is joined by writing the chunk again. So a
//! reader knows that no counter was reset inside a chunk. Whether one was reset between two chunks is not written: the
//! chunk before may be gone, or another may have come in between, and real blocks do not say it either.
//!
//! Source: Prometheus `tsdb/chunkenc/histogram.go`, `float_histogram.go`.

// One running number: how it is first written, and how it goes on.
mod fields;
// What the two kinds of histograms have in common.
mod native;

mod appender;
mod decoder;

pub use appender::HistogramAppender;
pub use decoder::{HistogramDecoder, to_float};
pub use native::NativeHistogram;

/// Bytes before the stream of bits.
const HEADER_BYTES: usize = 3;

/// The byte of the header that holds the flags, and the flags of gauges.
const FLAGS_AT: usize = 2;
const GAUGE_FLAGS: u8 = 0b1100_0000;

#[cfg(test)]
mod tests;
