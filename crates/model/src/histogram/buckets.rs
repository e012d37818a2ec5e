//! Buckets with their bounds, as quantiles and answers need them.

use super::bounds::exponential_bound;
use super::side::{SideIter, SideRef, SideReversed};
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

/// A bucket: so many observations between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The lower bound, at most the upper one.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Bucket {
    /// Which bounds belong to the bucket, as answers of the HTTP API say it: 0 only the upper one, 1 only the lower one,
    /// 2 none, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    /// Which part of the bucket's observations lies at or below `value`, supposing that they are spread evenly over the
    /// bucket's width, or (not `linear`) over the width of its logarithms.
    ///
    /// - `value` lies strictly between the bounds, which are finite.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (self.lower.abs().log2(), self.upper.abs().log2(), value.abs().log2());
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

/// On which side of zero buckets lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SideOfZero {
    Positive,
    Negative,
}

/// What turns an index into bounds.
#[derive(Debug, Clone, Copy)]
struct Bounds<'a> {
    schema: i32,
    zero_threshold: f64,
    custom_values: &'a [f64],
}

impl Bounds<'_> {
    fn bucket(self, side: SideOfZero, index: i32, count: f64) -> Bucket {
        let before = index.wrapping_sub(1);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let (lower, upper) = (self.custom_bound(before), self.custom_bound(index));
            return Bucket { lower, upper, lower_inclusive: index == 0, upper_inclusive: true, count };
        }
        let (inner, outer) = (exponential_bound(before, self.schema), exponential_bound(index, self.schema));
        match side {
            SideOfZero::Positive => {
                Bucket { lower: inner, upper: outer, lower_inclusive: false, upper_inclusive: true, count }
            }
            SideOfZero::Negative => {
                Bucket { lower: -outer, upper: -inner, lower_inclusive: true, upper_inclusive: false, count }
            }
        }
    }

    /// The bucket without what lies in the zero bucket.
    fn clipped(self, side: SideOfZero, index: i32, count: f64) -> Bucket {
        let mut bucket = self.bucket(side, index, count);
        let threshold = self.zero_threshold;
        if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        } else if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        }
        bucket
    }

    fn custom_bound(self, index: i32) -> f64 {
        match usize::try_from(index) {
            Ok(index) => self.custom_values.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }
}

impl FloatHistogram {
    pub(super) fn positive(&self) -> SideRef<'_, f64> {
        SideRef { spans: &self.positive_spans, counts: &self.positive_buckets }
    }

    pub(super) fn negative(&self) -> SideRef<'_, f64> {
        SideRef { spans: &self.negative_spans, counts: &self.negative_buckets }
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds { schema: self.schema, zero_threshold: self.zero_threshold, custom_values: &self.custom_values }
    }

    /// The buckets of the positive side, empty ones too, ascending. With custom buckets these are all.
    pub fn positive_side(&self) -> impl Iterator<Item = Bucket> {
        let bounds = self.bounds();
        self.positive().iter().map(move |(index, count)| bounds.bucket(SideOfZero::Positive, index, count))
    }

    /// The buckets of the negative side, empty ones too, descending.
    pub fn negative_side(&self) -> impl Iterator<Item = Bucket> {
        let bounds = self.bounds();
        self.negative().iter().map(move |(index, count)| bounds.bucket(SideOfZero::Negative, index, count))
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        let threshold = self.zero_threshold;
        let count = self.zero_count;
        Bucket { lower: -threshold, upper: threshold, lower_inclusive: true, upper_inclusive: true, count }
    }

    /// All buckets that are listed, empty ones too, ascending; the zero bucket if it has observations. Where a bucket
    /// reaches into the zero bucket, it is cut there.
    pub fn buckets(&self) -> AllBuckets<'_> {
        let negative = Walk::Inwards(self.negative().iter_reversed());
        let positive = Walk::Outwards(self.positive().iter());
        self.all(negative, SideOfZero::Negative, positive, SideOfZero::Positive)
    }

    /// [`FloatHistogram::buckets`], descending.
    pub fn buckets_descending(&self) -> AllBuckets<'_> {
        let positive = Walk::Inwards(self.positive().iter_reversed());
        let negative = Walk::Outwards(self.negative().iter());
        self.all(positive, SideOfZero::Positive, negative, SideOfZero::Negative)
    }

    /// What an answer shows: buckets that are not empty, ascending.
    pub fn filled_buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets().filter(|bucket| bucket.count != 0.0)
    }

    fn all<'a>(
        &'a self,
        first: Walk<'a>,
        first_side: SideOfZero,
        last: Walk<'a>,
        last_side: SideOfZero,
    ) -> AllBuckets<'a> {
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        AllBuckets { bounds: self.bounds(), first, first_side, zero, last, last_side }
    }
}

/// Iterator over all buckets of a histogram.
#[derive(Debug, Clone)]
pub struct AllBuckets<'a> {
    bounds: Bounds<'a>,
    first: Walk<'a>,
    first_side: SideOfZero,
    zero: Option<Bucket>,
    last: Walk<'a>,
    last_side: SideOfZero,
}

#[derive(Debug, Clone)]
enum Walk<'a> {
    Outwards(SideIter<'a, f64>),
    Inwards(SideReversed<'a, f64>),
}

impl Walk<'_> {
    fn next(&mut self) -> Option<(i32, f64)> {
        match self {
            Self::Outwards(side) => side.next(),
            Self::Inwards(side) => side.next(),
        }
    }
}

impl Iterator for AllBuckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        if let Some((index, count)) = self.first.next() {
            return Some(self.bounds.clipped(self.first_side, index, count));
        }
        if let Some(zero) = self.zero.take() {
            return Some(zero);
        }
        let (index, count) = self.last.next()?;
        Some(self.bounds.clipped(self.last_side, index, count))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_histograms::{custom, exponential};
    use super::*;

    fn shown(histogram: &FloatHistogram) -> Vec<(u8, f64, f64, f64)> {
        histogram
            .filled_buckets()
            .map(|bucket| (bucket.boundary_rule(), bucket.lower, bucket.upper, bucket.count))
            .collect()
    }

    #[test]
    fn exponential_buckets_ascend_through_zero() {
        let histogram = exponential(0, 0.5, 2.0, &[(0, 1.0), (1, 0.0), (2, 3.0)], &[(0, 4.0), (3, 5.0)]);
        let expected =
            [(1, -8.0, -4.0, 5.0), (1, -1.0, -0.5, 4.0), (3, -0.5, 0.5, 2.0), (0, 0.5, 1.0, 1.0), (0, 2.0, 4.0, 3.0)];
        assert_eq!(shown(&histogram), expected);
        let mut descending: Vec<_> = histogram.buckets_descending().collect();
        descending.reverse();
        assert_eq!(descending, histogram.buckets().collect::<Vec<_>>());
    }

    #[test]
    fn a_bucket_that_reaches_into_the_zero_bucket_is_cut() {
        let histogram = exponential(0, 0.75, 1.0, &[(0, 1.0)], &[(0, 2.0)]);
        assert_eq!(shown(&histogram), [(1, -1.0, -0.75, 2.0), (3, -0.75, 0.75, 1.0), (0, 0.75, 1.0, 1.0)]);
    }

    #[test]
    fn custom_buckets_reach_to_infinity() {
        let histogram = custom(&[1.0, 2.0], &[(0, 1.0), (2, 4.0)]);
        assert_eq!(shown(&histogram), [(3, f64::NEG_INFINITY, 1.0, 1.0), (0, 2.0, f64::INFINITY, 4.0)]);
    }

    #[test]
    fn fractions_follow_the_layout() {
        let bucket =
            |lower: f64, upper: f64| Bucket { lower, upper, lower_inclusive: false, upper_inclusive: true, count: 1.0 };
        assert_eq!(bucket(0.0, 4.0).fraction_below(1.0, true), 0.25);
        assert_eq!(bucket(1.0, 16.0).fraction_below(2.0, false), 0.25);
        assert_eq!(bucket(-16.0, -1.0).fraction_below(-2.0, false), 0.75);
    }
}
