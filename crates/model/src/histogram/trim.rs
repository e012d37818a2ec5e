//! A histogram without what lies above, or below, a value.
//!
//! Source: Prometheus `FloatHistogram.TrimBuckets`.

use super::buckets::Bucket;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

/// Which side of a value stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What lies at or below it.
    Below,
    /// What lies above it.
    Above,
}

/// What is left of a bucket: so many observations around a value.
#[derive(Debug, Clone, Copy)]
struct Rest {
    count: f64,
    middle: f64,
}

/// How observations are supposed to lie in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    ExponentialPositive,
    ExponentialNegative,
}

impl FloatHistogram {
    /// Removes what does not stay. A bucket that the value cuts keeps its part by interpolation: linear with custom
    /// buckets and in the zero bucket, else exponential. Where anything was removed, the count is that of what is left,
    /// and the sum is estimated from the middles of the buckets.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        let spread_of = |spread| if is_custom { Spread::Linear } else { spread };
        let positive: Vec<Bucket> = self.positive_side().collect();
        let negative: Vec<Bucket> = self.negative_side().collect();
        let mut trimming = Trimming { value, keep, count: 0.0, sum: 0.0, is_changed: false };
        trimming.side(&positive, &mut self.positive_buckets, spread_of(Spread::ExponentialPositive));
        trimming.side(&negative, &mut self.negative_buckets, spread_of(Spread::ExponentialNegative));
        if self.zero_count > 0.0 {
            let is_filled = |side: &[Bucket]| side.iter().any(|bucket| bucket.count != 0.0);
            let mut zero = self.zero_bucket();
            match (is_filled(&negative), is_filled(&positive)) {
                (true, false) => zero.upper = 0.0,
                (false, true) => zero.lower = 0.0,
                _ => {}
            }
            trimming.bucket(zero, &mut self.zero_count, Spread::Linear);
        }
        if trimming.is_changed {
            (self.count, self.sum) = (trimming.count, trimming.sum);
            self.compact(0);
        }
    }
}

struct Trimming {
    value: f64,
    keep: Keep,
    count: f64,
    sum: f64,
    is_changed: bool,
}

impl Trimming {
    fn side(&mut self, buckets: &[Bucket], counts: &mut [f64], spread: Spread) {
        for (bucket, count) in buckets.iter().zip(counts) {
            if bucket.count != 0.0 {
                self.bucket(*bucket, count, spread);
            }
        }
    }

    fn bucket(&mut self, bucket: Bucket, count: &mut f64, spread: Spread) {
        let rest = self.rest_of(bucket, spread);
        self.count += rest.count;
        self.sum += rest.middle * rest.count;
        self.is_changed |= *count != rest.count;
        *count = rest.count;
    }

    fn rest_of(&self, bucket: Bucket, spread: Spread) -> Rest {
        let Bucket { lower, upper, count, .. } = bucket;
        let (is_all, is_cut) = match self.keep {
            // A zero bucket without width at the value goes.
            Keep::Below => (lower < self.value && upper <= self.value, lower < self.value),
            Keep::Above => (lower >= self.value, upper > self.value),
        };
        if is_all {
            return Rest { count, middle: middle(lower, upper, spread) };
        }
        if !is_cut {
            return Rest { count: 0.0, middle: 0.0 };
        }
        if lower == f64::NEG_INFINITY {
            return self.rest_of_lowest(bucket);
        }
        if upper == f64::INFINITY {
            return self.rest_of_highest(bucket);
        }
        let below = count * bucket.fraction_below(self.value, spread == Spread::Linear);
        match self.keep {
            Keep::Below => Rest { count: below, middle: middle(lower, self.value, spread) },
            Keep::Above => Rest { count: count - below, middle: middle(self.value, upper, spread) },
        }
    }

    /// A bucket from minus infinity is taken to start at 0 where it ends above; else nothing is known of its inside.
    fn rest_of_lowest(&self, bucket: Bucket) -> Rest {
        let (value, upper, count) = (self.value, bucket.upper, bucket.count);
        let starts_at_zero = upper > 0.0 && upper != f64::INFINITY;
        match self.keep {
            Keep::Below if value > 0.0 && starts_at_zero => Rest { count: count * value / upper, middle: value / 2.0 },
            Keep::Below if upper <= 0.0 => Rest { count, middle: value },
            Keep::Above if value >= 0.0 && starts_at_zero => {
                Rest { count: count * (1.0 - value / upper), middle: (value + upper) / 2.0 }
            }
            Keep::Below | Keep::Above => Rest { count: 0.0, middle: 0.0 },
        }
    }

    /// Of a bucket to infinity nothing is known but that it lies above its lower bound.
    fn rest_of_highest(&self, bucket: Bucket) -> Rest {
        match self.keep {
            Keep::Above if self.value >= bucket.lower => Rest { count: bucket.count, middle: self.value },
            Keep::Above | Keep::Below => Rest { count: 0.0, middle: 0.0 },
        }
    }
}

/// Where observations between two bounds lie on average.
fn middle(lower: f64, upper: f64, spread: Spread) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) => return if upper > 0.0 { upper / 2.0 } else { upper },
        (false, true) => return lower,
        (false, false) => {}
    }
    match spread {
        Spread::Linear => (lower + upper) / 2.0,
        Spread::ExponentialPositive => (lower * upper).abs().sqrt(),
        Spread::ExponentialNegative => -(lower * upper).abs().sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_histograms::{custom, exponential};
    use super::*;

    fn check(histogram: &FloatHistogram, value: f64, keep: Keep, count: f64, sum: f64) {
        let mut trimmed = histogram.clone();
        trimmed.trim(value, keep);
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12 * expected.abs();
        assert!(close(trimmed.count, count) && close(trimmed.sum, sum), "{value} {keep:?}: {trimmed:?}");
    }

    #[test]
    fn exponential_buckets_are_cut_on_a_logarithmic_scale() {
        let histogram = exponential(0, 0.0, 0.0, &[(1, 4.0), (3, 8.0)], &[(1, 2.0)]);
        check(&histogram, 2.0, Keep::Below, 6.0, 4.0 * 2f64.sqrt() - 2.0 * 2f64.sqrt());
        check(&histogram, 2f64.sqrt(), Keep::Below, 4.0, 2.0 * 2f64.powf(0.25) - 2.0 * 2f64.sqrt());
        check(&histogram, 4.0, Keep::Above, 8.0, 8.0 * 32f64.sqrt());
        check(&histogram, -2.0, Keep::Below, 0.0, 0.0);
    }

    #[test]
    fn what_stays_whole_keeps_its_sum() {
        let mut histogram = exponential(0, 0.0, 0.0, &[(1, 4.0)], &[]);
        histogram.sum = 5.0;
        check(&histogram, 2.0, Keep::Below, 4.0, 5.0);
        check(&histogram, 1.0, Keep::Above, 4.0, 5.0);
    }

    #[test]
    fn the_zero_bucket_is_cut_evenly() {
        let both = exponential(0, 1.0, 8.0, &[(2, 1.0)], &[(2, 1.0)]);
        check(&both, 0.0, Keep::Below, 5.0, -0.5 * 4.0 - 8f64.sqrt());
        let positive = exponential(0, 1.0, 8.0, &[(2, 1.0)], &[]);
        check(&positive, 0.5, Keep::Below, 4.0, 1.0);
    }

    #[test]
    fn custom_buckets_are_cut_evenly() {
        let histogram = custom(&[2.0, 4.0], &[(0, 4.0), (1, 2.0), (2, 3.0)]);
        check(&histogram, 3.0, Keep::Below, 5.0, 4.0 + 2.5);
        check(&histogram, 1.0, Keep::Above, 7.0, 2.0 * 1.5 + 2.0 * 3.0 + 3.0 * 4.0);
        check(&histogram, 5.0, Keep::Above, 3.0, 15.0);
    }
}
