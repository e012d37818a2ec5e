//! Native histograms.
//!
//! Source: Prometheus `model/histogram`.

use std::sync::Arc;

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
