//! Sums, differences and multiples of histograms.
//!
//! Source: Prometheus `model/histogram/float_histogram.go`.

use std::sync::Arc;

use super::compensated::Compensated;
use super::parts::{Parts, PartsRef, Sign};
use super::side::Side;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint};

/// Exponential and custom buckets have no bounds in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
pub struct IncompatibleSchemas;

/// What a user should know about a sum or difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combination {
    /// One side says that there was a reset before it, the other that there was none.
    pub reset_collision: bool,
    /// Custom bounds differed; the result has those that both have.
    pub bounds_reconciled: bool,
}

impl ResetHint {
    /// Takes on the hint of a sum with another histogram. Returns whether the two contradict each other.
    pub(super) fn combine(&mut self, other: Self) -> bool {
        let (combined, collision) = match (*self, other) {
            (left, right) if left == right => (left, false),
            (Self::Gauge, _) | (_, Self::Gauge) => (Self::Gauge, false),
            (Self::Unknown, _) | (_, Self::Unknown) => (Self::Unknown, false),
            _ => (Self::Unknown, true),
        };
        *self = combined;
        collision
    }
}

impl FloatHistogram {
    /// Adds another histogram: the result has the lower of both resolutions, the wider of both zero buckets, the bounds
    /// that both have. Fails, and changes nothing, where one has exponential and the other custom buckets.
    ///
    /// Cost: one pass; allocates only where the spans differ.
    pub fn add(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, Sign::Plus)
    }

    /// Takes another histogram away; see [`FloatHistogram::add`]. The reset hint is that of a sum: who computes a
    /// difference of counters marks it as a gauge.
    pub fn subtract(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, Sign::Minus)
    }

    fn combine(&mut self, other: &Self, sign: Sign) -> Result<Combination, IncompatibleSchemas> {
        let mut parts = Parts::take(self);
        let combination = parts.combine(PartsRef::from(other), sign);
        parts.put(self);
        combination
    }

    /// Multiplies every count and the sum. A negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.for_each_count(|count| *count *= factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides every count and the sum. A negative divisor makes a gauge; after a division by zero no buckets are left,
    /// as infinitely many observations lie in them.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        }
        self.for_each_count(|count| *count /= divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn for_each_count(&mut self, mut change: impl FnMut(&mut f64)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive_buckets.iter_mut().for_each(&mut change);
        self.negative_buckets.iter_mut().for_each(&mut change);
    }
}

/// A running sum of histograms that keeps the rounding errors of every bucket.
///
/// Source: Prometheus `FloatHistogram.KahanAdd`.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    parts: Parts<Compensated>,
}

impl HistogramSum {
    /// Starts with a histogram.
    pub fn new(first: &FloatHistogram) -> Self {
        let side = |spans: &[super::Span], counts: &[f64]| {
            Side::from_parts(spans.to_vec(), counts.iter().copied().map(Compensated::new).collect())
        };
        let has_zero_bucket = first.schema != CUSTOM_BUCKETS_SCHEMA;
        let parts = Parts {
            reset_hint: first.reset_hint,
            schema: first.schema,
            zero_threshold: if has_zero_bucket { first.zero_threshold } else { 0.0 },
            zero_count: Compensated::new(if has_zero_bucket { first.zero_count } else { 0.0 }),
            count: Compensated::new(first.count),
            sum: Compensated::new(first.sum),
            positive: side(&first.positive_spans, &first.positive_buckets),
            negative: side(&first.negative_spans, &first.negative_buckets),
            custom_values: Arc::clone(&first.custom_values),
        };
        Self { parts }
    }

    /// Adds a histogram; see [`FloatHistogram::add`].
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        self.parts.combine(PartsRef::from(other), Sign::Plus)
    }

    /// Adds another running sum.
    pub fn merge(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.parts.combine(other.parts.as_ref(), Sign::Plus)
    }

    /// Multiplies every count and the sum.
    pub fn multiply(&mut self, factor: f64) {
        self.for_each_count(|count| *count = count.scaled(factor));
    }

    /// Divides every count and the sum. `divisor` is not 0.
    pub fn divide(&mut self, divisor: f64) {
        self.for_each_count(|count| *count = count.divided(divisor));
    }

    /// Adding what is no larger than this to what is no larger than this does not overflow, however many buckets fall
    /// together.
    pub const NEAR_OVERFLOW: f64 = f64::MAX / (1u64 << 32) as f64;

    /// Whether a count or the sum has become infinite.
    pub fn has_overflow(&self) -> bool {
        self.any_beyond(f64::MAX)
    }

    /// Whether a count or the sum is larger than [`HistogramSum::NEAR_OVERFLOW`].
    pub fn is_near_overflow(&self) -> bool {
        self.any_beyond(Self::NEAR_OVERFLOW)
    }

    fn any_beyond(&self, limit: f64) -> bool {
        let parts = &self.parts;
        let counts = [parts.zero_count, parts.count, parts.sum];
        let buckets = parts.positive.counts.iter().chain(&parts.negative.counts);
        counts.iter().chain(buckets).any(|count| count.sum.abs() > limit)
    }

    /// The sum with all errors made good.
    pub fn into_histogram(self) -> FloatHistogram {
        let parts = self.parts;
        let totals = |counts: Vec<Compensated>| counts.into_iter().map(Compensated::total).collect();
        FloatHistogram {
            reset_hint: parts.reset_hint,
            schema: parts.schema,
            zero_threshold: parts.zero_threshold,
            zero_count: parts.zero_count.total(),
            count: parts.count.total(),
            sum: parts.sum.total(),
            positive_spans: parts.positive.spans,
            positive_buckets: totals(parts.positive.counts),
            negative_spans: parts.negative.spans,
            negative_buckets: totals(parts.negative.counts),
            custom_values: parts.custom_values,
        }
    }

    fn for_each_count(&mut self, mut change: impl FnMut(&mut Compensated)) {
        let parts = &mut self.parts;
        for count in [&mut parts.zero_count, &mut parts.count, &mut parts.sum] {
            change(count);
        }
        parts.positive.counts.iter_mut().chain(&mut parts.negative.counts).for_each(change);
    }
}

#[cfg(test)]
mod tests;
