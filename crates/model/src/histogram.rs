//! Native histograms: their layout, arithmetic on them, and what makes one invalid.
//!
//! Exponential buckets lie on both sides of a zero bucket; the bucket with index i covers `(b^(i-1), b^i]` with
//! `b = 2^(2^-schema)`. Custom buckets are listed by their upper bounds and lie all on the positive side, index 0 first.
//! Clients send [`Histogram`]s with integer counts; the language computes with [`FloatHistogram`]s only.
//!
//! Source: Prometheus `model/histogram`.

use std::sync::Arc;

/// Additions, multiples, running sums.
pub mod arithmetic;
mod bounds;
/// Buckets with their bounds, for quantiles and answers.
pub mod buckets;
/// Sums that keep their rounding errors.
pub mod compensated;
/// Compaction and lower resolutions.
pub mod layout;
mod parts;
mod reset;
mod side;
/// Parts of a histogram.
pub mod trim;
/// What is invalid.
pub mod validate;

pub use arithmetic::{Combination, HistogramSum, IncompatibleSchemas};
pub use buckets::Bucket;

use crate::sample::{is_stale, stale_nan};

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The gap to the end of the span before; the first span's offset is its start index.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What is known about a reset between this histogram and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHint {
    /// Compare the two to know.
    #[default]
    Unknown = 0,
    /// There was one.
    CounterReset = 1,
    /// There was none.
    NotCounterReset = 2,
    /// A gauge: resets have no meaning.
    Gauge = 3,
}

/// The schema of histograms whose bucket bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The lowest resolution of exponential buckets.
pub const SCHEMA_MIN: i32 = -4;

/// The highest resolution of exponential buckets.
pub const SCHEMA_MAX: i32 = 8;

/// A histogram with float counts, buckets absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatHistogram {
    /// What is known about a reset before this histogram.
    pub reset_hint: ResetHint,
    /// Resolution: -4 to 8, a bucket's bounds grow by `2^(2^-schema)`; or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket, at least 0.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; a stale marker's has the bits of the stale NaN.
    pub sum: f64,
    /// Where `positive_buckets` lie.
    pub positive_spans: Vec<Span>,
    /// Where `negative_buckets` lie.
    pub negative_spans: Vec<Span>,
    /// Absolute counts.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts.
    pub negative_buckets: Vec<f64>,
    /// Ascending upper bounds without `+Inf`, for [`CUSTOM_BUCKETS_SCHEMA`]; else empty.
    pub custom_values: Arc<[f64]>,
}

/// A histogram with integer counts, as clients send it: buckets are deltas to the bucket before.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// What is known about a reset before this histogram.
    pub reset_hint: ResetHint,
    /// See [`FloatHistogram::schema`].
    pub schema: i32,
    /// Width of the zero bucket, at least 0.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations; a stale marker's has the bits of the stale NaN.
    pub sum: f64,
    /// Where `positive_deltas` lie.
    pub positive_spans: Vec<Span>,
    /// Where `negative_deltas` lie.
    pub negative_spans: Vec<Span>,
    /// The first bucket's count, then each one's difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// The first bucket's count, then each one's difference to the one before.
    pub negative_deltas: Vec<i64>,
    /// See [`FloatHistogram::custom_values`].
    pub custom_values: Arc<[f64]>,
}

impl FloatHistogram {
    /// A histogram without observations.
    pub fn empty(schema: i32, custom_values: Arc<[f64]>) -> Self {
        Self {
            reset_hint: ResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            positive_buckets: Vec::new(),
            negative_buckets: Vec::new(),
            custom_values,
        }
    }

    /// The stale marker of a series of histograms.
    pub fn stale_marker() -> Self {
        Self { sum: stale_nan(), ..Self::empty(0, Arc::default()) }
    }

    /// Whether this is the stale marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether the bounds of its buckets are listed.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether all but the reset hint is the same: every float bit by bit (so NaN equals itself), buckets by their index,
    /// however spans cut them. An empty bucket that is listed differs from one that is not: compact both before.
    pub fn is_identical(&self, other: &Self) -> bool {
        let is_same = |left: f64, right: f64| left.to_bits() == right.to_bits();
        let counts = |side: side::SideRef<'_, f64>, other: side::SideRef<'_, f64>| {
            side.counts.len() == other.counts.len()
                && side.iter().zip(other.iter()).all(|(left, right)| left.0 == right.0 && is_same(left.1, right.1))
        };
        self.schema == other.schema
            && is_same(self.count, other.count)
            && is_same(self.sum, other.sum)
            && (!self.has_custom_buckets() || same_bounds(&self.custom_values, &other.custom_values))
            && self.zero_threshold == other.zero_threshold
            && is_same(self.zero_count, other.zero_count)
            && counts(self.negative(), other.negative())
            && counts(self.positive(), other.positive())
    }
}

impl Histogram {
    /// Whether this is the stale marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether the bounds of its buckets are listed.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// Whether two lists of custom bounds are equal. Histograms of one series nearly always share theirs.
fn same_bounds(left: &Arc<[f64]>, right: &Arc<[f64]>) -> bool {
    Arc::ptr_eq(left, right) || left == right
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod test_histograms;
