//! Addition of histograms, once for plain floats and once for sums that keep their rounding errors.
//!
//! Two histograms may differ in resolution, in the width of the zero bucket and, with custom buckets, in their bounds.
//! Addition brings both to what they have in common: the lower resolution, the wider zero bucket, the shared bounds.
//! Rejected: inserting buckets into the spans in place, as Prometheus does. Merging two ascending sequences into a new
//! one is a fraction of the code, and histograms of one series nearly always have the same spans, where counts are added
//! in place.

use std::sync::Arc;

use super::bounds::exponential_bound;
use super::compensated::Compensated;
use super::side::{Count, Side, SideRef, reduced};
use super::{CUSTOM_BUCKETS_SCHEMA, Combination, FloatHistogram, IncompatibleSchemas, ResetHint, same_bounds};

/// A count that can take part in additions.
pub(super) trait Cell: Count + Default {
    /// Adds a value and the error that it brings along.
    fn add_parts(&mut self, value: f64, error: f64);
    /// The value and its error.
    fn parts(self) -> (f64, f64);
    /// Whether nothing is in the bucket.
    fn is_empty(self) -> bool {
        self.parts() == (0.0, 0.0)
    }
}

impl Cell for f64 {
    #[inline]
    fn add_parts(&mut self, value: f64, error: f64) {
        *self += value + error;
    }

    #[inline]
    fn parts(self) -> (f64, f64) {
        (self, 0.0)
    }
}

impl Count for Compensated {
    #[inline]
    fn join(&mut self, other: Self) {
        self.merge(other);
    }
}

impl Cell for Compensated {
    #[inline]
    fn add_parts(&mut self, value: f64, error: f64) {
        self.merge(Self { sum: value, error });
    }

    #[inline]
    fn parts(self) -> (f64, f64) {
        (self.sum, self.error)
    }
}

/// Whether the right side is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    #[inline]
    fn apply<C: Cell>(self, to: &mut C, other: impl Cell) {
        let (value, error) = other.parts();
        match self {
            Self::Plus => to.add_parts(value, error),
            Self::Minus => to.add_parts(-value, -error),
        }
    }

    fn applied<C: Cell>(self, other: impl Cell) -> C {
        let mut cell = C::default();
        self.apply(&mut cell, other);
        cell
    }
}

/// A histogram over some kind of count.
#[derive(Debug, Clone)]
pub(super) struct Parts<C> {
    pub(super) reset_hint: ResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: C,
    pub(super) count: C,
    pub(super) sum: C,
    pub(super) positive: Side<C>,
    pub(super) negative: Side<C>,
    pub(super) custom_values: Arc<[f64]>,
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartsRef<'a, C> {
    pub(super) reset_hint: ResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: C,
    pub(super) count: C,
    pub(super) sum: C,
    pub(super) positive: SideRef<'a, C>,
    pub(super) negative: SideRef<'a, C>,
    pub(super) custom_values: &'a Arc<[f64]>,
}

impl<'a> From<&'a FloatHistogram> for PartsRef<'a, f64> {
    fn from(histogram: &'a FloatHistogram) -> Self {
        Self {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            count: histogram.count,
            sum: histogram.sum,
            positive: histogram.positive(),
            negative: histogram.negative(),
            custom_values: &histogram.custom_values,
        }
    }
}

impl Parts<f64> {
    /// Takes a histogram's buckets out of it; [`Parts::put`] gives them back.
    pub(super) fn take(histogram: &mut FloatHistogram) -> Self {
        Self {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            count: histogram.count,
            sum: histogram.sum,
            positive: Side::from_parts(
                std::mem::take(&mut histogram.positive_spans),
                std::mem::take(&mut histogram.positive_buckets),
            ),
            negative: Side::from_parts(
                std::mem::take(&mut histogram.negative_spans),
                std::mem::take(&mut histogram.negative_buckets),
            ),
            custom_values: Arc::clone(&histogram.custom_values),
        }
    }

    /// See [`Parts::take`].
    pub(super) fn put(self, histogram: &mut FloatHistogram) {
        *histogram = FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            positive_buckets: self.positive.counts,
            negative_spans: self.negative.spans,
            negative_buckets: self.negative.counts,
            custom_values: self.custom_values,
        };
    }
}

impl<C: Cell> Parts<C> {
    /// Borrows all.
    pub(super) fn as_ref(&self) -> PartsRef<'_, C> {
        PartsRef {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive: self.positive.as_ref(),
            negative: self.negative.as_ref(),
            custom_values: &self.custom_values,
        }
    }

    /// Adds or takes away another histogram. On failure nothing has changed.
    pub(super) fn combine<D: Cell>(
        &mut self,
        other: PartsRef<'_, D>,
        sign: Sign,
    ) -> Result<Combination, IncompatibleSchemas> {
        if (self.schema == CUSTOM_BUCKETS_SCHEMA) != (other.schema == CUSTOM_BUCKETS_SCHEMA) {
            return Err(IncompatibleSchemas);
        }
        let reset_collision = self.reset_hint.combine(other.reset_hint);
        sign.apply(&mut self.count, other.count);
        sign.apply(&mut self.sum, other.sum);
        if self.schema != CUSTOM_BUCKETS_SCHEMA {
            self.combine_exponential(other, sign);
            return Ok(Combination { reset_collision, bounds_reconciled: false });
        }
        let bounds_reconciled = !same_bounds(&self.custom_values, other.custom_values);
        if bounds_reconciled {
            self.combine_shared_bounds(other, sign);
        } else {
            self.positive.combine(other.positive, self.schema, other.schema, 0.0, sign);
        }
        Ok(Combination { reset_collision, bounds_reconciled })
    }

    fn combine_exponential<D: Cell>(&mut self, other: PartsRef<'_, D>, sign: Sign) {
        let other_zero_count = self.reconcile_zero_bucket(other);
        sign.apply(&mut self.zero_count, other_zero_count);
        if other.schema < self.schema {
            self.reduce(other.schema);
        }
        let (schema, threshold) = (self.schema, self.zero_threshold);
        self.positive.combine(other.positive, schema, other.schema, threshold, sign);
        self.negative.combine(other.negative, schema, other.schema, threshold, sign);
    }

    /// Lowers the resolution.
    pub(super) fn reduce(&mut self, to_schema: i32) {
        self.positive.reduce(self.schema, to_schema);
        self.negative.reduce(self.schema, to_schema);
        self.schema = to_schema;
    }

    /// Widens the zero bucket until it is as wide as `other`'s can be made. Returns what `other` then has in it.
    fn reconcile_zero_bucket<D: Cell>(&mut self, other: PartsRef<'_, D>) -> D {
        let mut other_count = other.zero_count;
        let mut other_threshold = other.zero_threshold;
        // A threshold that is NaN would never be equal to itself.
        while self.zero_threshold < other_threshold || other_threshold < self.zero_threshold {
            if self.zero_threshold > other_threshold {
                (other_count, other_threshold) = other.zero_count_within(self.zero_threshold);
            }
            if other_threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.as_ref().zero_count_within(other_threshold);
                let (schema, threshold) = (self.schema, self.zero_threshold);
                self.positive.cut_within(schema, threshold);
                self.negative.cut_within(schema, threshold);
            }
        }
        other_count
    }

    /// Keeps only the bounds that both have.
    fn combine_shared_bounds<D: Cell>(&mut self, other: PartsRef<'_, D>, sign: Sign) {
        let shared: Arc<[f64]> = shared_bounds(&self.custom_values, other.custom_values).into();
        let mut counts = vec![C::default(); shared.len() + 1];
        for (index, count) in self.positive.as_ref().iter() {
            Sign::Plus.apply(&mut counts[target_bucket(index, &self.custom_values, &shared)], count);
        }
        for (index, count) in other.positive.iter() {
            sign.apply(&mut counts[target_bucket(index, other.custom_values, &shared)], count);
        }
        let kept = (0..).zip(counts).filter(|(_, count)| !count.is_empty());
        self.positive = Side::collect(kept);
        self.custom_values = shared;
    }
}

/// In which of the buckets between `shared` bounds the bucket at `index` between `bounds` lies.
fn target_bucket(index: i32, bounds: &[f64], shared: &[f64]) -> usize {
    let upper = usize::try_from(index).ok().and_then(|index| bounds.get(index));
    upper.map_or(shared.len(), |upper| shared.partition_point(|bound| bound < upper))
}

fn shared_bounds(left: &[f64], right: &[f64]) -> Vec<f64> {
    let mut rest = right;
    let mut shared = Vec::new();
    for bound in left {
        rest = &rest[rest.partition_point(|candidate| candidate < bound)..];
        if rest.first() == Some(bound) {
            shared.push(*bound);
        }
    }
    shared
}

impl<C: Cell> PartsRef<'_, C> {
    /// The count of a zero bucket that reaches at least to `threshold`, and how far it has to reach so that it cuts no
    /// bucket in two. `threshold` is larger than the one now.
    pub(super) fn zero_count_within(&self, mut threshold: f64) -> (C, f64) {
        loop {
            let mut count = self.zero_count;
            let positive_end = self.positive.add_within(self.schema, threshold, &mut count);
            let negative_end = self.negative.add_within(self.schema, positive_end, &mut count);
            if negative_end == positive_end {
                return (count, negative_end);
            }
            // The negative side reaches further than the positive side was looked at.
            threshold = negative_end;
        }
    }
}

impl<C: Cell> SideRef<'_, C> {
    /// Adds all buckets that start below `threshold` to `count`, and returns how far the last one of them reaches, or
    /// `threshold` where that is further.
    fn add_within(self, schema: i32, threshold: f64, count: &mut C) -> f64 {
        for (index, bucket) in self.iter() {
            if exponential_bound(index.wrapping_sub(1), schema) >= threshold {
                break;
            }
            let (value, error) = bucket.parts();
            count.add_parts(value, error);
            let upper = exponential_bound(index, schema);
            if upper > threshold {
                return if bucket.is_empty() { threshold } else { upper };
            }
        }
        threshold
    }
}

impl<C: Cell> Side<C> {
    /// Removes what now lies in the zero bucket, and empty buckets.
    fn cut_within(&mut self, schema: i32, threshold: f64) {
        let starts_within = |index: i32| exponential_bound(index.wrapping_sub(1), schema) < threshold;
        let beyond = self.as_ref().iter().skip_while(|(index, _)| starts_within(*index));
        *self = Self::collect(beyond.filter(|(_, count)| !count.is_empty()));
    }

    /// Adds or takes away the other's buckets, whose resolution may be higher, but for those within the zero bucket.
    fn combine<D: Cell>(&mut self, other: SideRef<'_, D>, schema: i32, other_schema: i32, threshold: f64, sign: Sign) {
        if other.counts.is_empty() {
            return;
        }
        let is_same_layout =
            schema == other_schema && self.spans == other.spans && self.counts.len() == other.counts.len();
        let is_beyond = |spans: &[super::Span]| {
            threshold <= 0.0 || spans.first().is_some_and(|span| exponential_bound(span.offset, schema) > threshold)
        };
        if is_same_layout && is_beyond(other.spans) {
            for (count, added) in self.counts.iter_mut().zip(other.counts) {
                sign.apply(count, *added);
            }
        } else if schema == other_schema {
            self.merge(other.iter_beyond(schema, threshold), sign);
        } else {
            self.merge(reduced(other.iter_beyond(other_schema, threshold), other_schema, schema), sign);
        }
    }

    /// Merges an ascending sequence into this side.
    fn merge<D: Cell>(&mut self, other: impl Iterator<Item = (i32, D)>, sign: Sign) {
        let mut merged = Self::with_capacity(self.spans.len() + 1, self.counts.len() + other.size_hint().0);
        let mut left = self.as_ref().iter().peekable();
        for (index, added) in other {
            while let Some((before, count)) = left.next_if(|(left, _)| *left < index) {
                merged.push(before, count);
            }
            match left.next_if(|(left, _)| *left == index) {
                Some((_, mut count)) => {
                    sign.apply(&mut count, added);
                    merged.push(index, count);
                }
                None => merged.push(index, sign.applied(added)),
            }
        }
        for (index, count) in left {
            merged.push(index, count);
        }
        *self = merged;
    }
}
