//! Sums and means of floats and of histograms, as states that take values one by one and merge with each other.
//!
//! A mean is the sum by the count as long as the sum is finite, which is the most exact way. Where the sum would become
//! infinite, the state turns to the mean itself and moves it with every value, so that large values have a mean too.
//!
//! Source: Prometheus `promql/functions.go`, `funcAvgOverTime`; `promql/engine.go`, `aggregation`.

use norn_model::FloatHistogram;
use norn_model::histogram::compensated::Compensated;
use norn_model::histogram::{Combination, HistogramSum, IncompatibleSchemas, ResetHint};

/// The mean of floats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FloatMean {
    /// The sum; or the mean, once the sum would be infinite.
    state: Compensated,
    count: f64,
    is_incremental: bool,
}

impl FloatMean {
    /// Takes a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_incremental {
            let mut sum = self.state;
            sum.add(value);
            // The first value is the sum, infinite or not.
            if !sum.sum.is_infinite() || self.count == 1.0 {
                self.state = sum;
                return;
            }
            self.turn_incremental(self.count - 1.0);
        }
        let mut mean = self.state.scaled((self.count - 1.0) / self.count);
        mean.add(value / self.count);
        self.state = mean;
    }

    /// Takes what another state took.
    pub fn merge(&mut self, mut other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.is_incremental && !other.is_incremental {
            let mut sum = self.state;
            sum.merge(other.state);
            if !sum.sum.is_infinite() {
                (self.state, self.count) = (sum, count);
                return;
            }
        }
        self.turn_incremental(self.count);
        other.turn_incremental(other.count);
        let mut mean = self.state.scaled(self.count / count);
        mean.merge(other.state.scaled(other.count / count));
        (self.state, self.count) = (mean, count);
    }

    fn turn_incremental(&mut self, count: f64) {
        if !self.is_incremental {
            self.state = self.state.divided(count);
            self.is_incremental = true;
        }
    }

    /// The mean; NaN of no values.
    pub fn mean(self) -> f64 {
        if self.is_incremental { self.state.total() } else { self.state.divided(self.count).total() }
    }
}

/// What is to be known of histograms that were added up, beside their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResetHints {
    has_reset: bool,
    has_no_reset: bool,
}

impl ResetHints {
    /// Takes a histogram's hint.
    pub fn see(&mut self, hint: ResetHint) {
        self.has_reset |= hint == ResetHint::CounterReset;
        self.has_no_reset |= hint == ResetHint::NotCounterReset;
    }

    /// Takes what another state saw.
    pub fn merge(&mut self, other: Self) {
        self.has_reset |= other.has_reset;
        self.has_no_reset |= other.has_no_reset;
    }

    /// Whether some histogram says that there was a reset, and another that there was none.
    pub fn collide(self) -> bool {
        self.has_reset && self.has_no_reset
    }
}

/// The mean of histograms.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    /// The sum; or the mean, once a count of the sum would be infinite.
    state: HistogramSum,
    count: f64,
    is_incremental: bool,
}

impl HistogramMean {
    /// Starts with a histogram.
    pub fn new(first: &FloatHistogram) -> Self {
        Self { state: HistogramSum::new(first), count: 1.0, is_incremental: false }
    }

    /// Takes a histogram. After a failure the state is of no use.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        self.count += 1.0;
        if !self.is_incremental {
            // Adding what is far from the largest float needs no copy to fall back to.
            let fallback = (self.state.is_near_overflow() || is_near_overflow(histogram)).then(|| self.state.clone());
            let combination = self.state.add(histogram)?;
            match fallback {
                Some(fallback) if self.state.has_overflow() => self.state = fallback,
                _ => return Ok(combination),
            }
            self.turn_incremental(self.count - 1.0);
        }
        self.state.multiply((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        self.state.add(&part)
    }

    /// Takes what another state took.
    pub fn merge(&mut self, mut other: Self) -> Result<Combination, IncompatibleSchemas> {
        let count = self.count + other.count;
        if !self.is_incremental && !other.is_incremental {
            let mut sum = self.state.clone();
            let combination = sum.merge(&other.state)?;
            if !sum.has_overflow() {
                (self.state, self.count) = (sum, count);
                return Ok(combination);
            }
        }
        self.turn_incremental(self.count);
        other.turn_incremental(other.count);
        self.state.multiply(self.count / count);
        other.state.multiply(other.count / count);
        self.count = count;
        self.state.merge(&other.state)
    }

    fn turn_incremental(&mut self, count: f64) {
        if !self.is_incremental {
            self.state.divide(count);
            self.is_incremental = true;
        }
    }

    /// The mean.
    pub fn into_mean(mut self) -> FloatHistogram {
        self.turn_incremental(self.count);
        self.state.into_histogram()
    }
}

fn is_near_overflow(histogram: &FloatHistogram) -> bool {
    let counts = [histogram.zero_count, histogram.count, histogram.sum];
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    counts.iter().chain(buckets).any(|count| count.abs() > HistogramSum::NEAR_OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::histogram;
    use super::*;

    fn mean(values: &[f64]) -> FloatMean {
        let mut mean = FloatMean::default();
        values.iter().for_each(|value| mean.add(*value));
        mean
    }

    #[test]
    fn means_of_large_floats_do_not_overflow() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]).mean(), 3.0);
        let large = mean(&[f64::MAX, f64::MAX, f64::MAX]).mean();
        assert!(large >= f64::MAX * (1.0 - 1e-15) && large.is_finite(), "{large}");
        assert_eq!(mean(&[f64::INFINITY, 1.0]).mean(), f64::INFINITY);
        assert!(mean(&[]).mean().is_nan());
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).mean().is_nan());
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let values = [1.0, f64::MAX, 3.0, 1e300, -7.0, f64::MAX / 2.0];
        for split in 0..=values.len() {
            let mut merged = mean(&values[..split]);
            merged.merge(mean(&values[split..]));
            let (found, expected) = (merged.mean(), mean(&values).mean());
            assert!((found - expected).abs() <= expected.abs() * 1e-14, "{split}: {found} is not {expected}");
        }
    }

    #[test]
    fn histograms_have_means() {
        let histograms = [histogram(1.0, 2.0, 3.0), histogram(3.0, 4.0, 5.0), histogram(f64::MAX, 0.0, 7.0)];
        let of = |histograms: &[FloatHistogram]| {
            let mut mean = HistogramMean::new(&histograms[0]);
            for histogram in &histograms[1..] {
                mean.add(histogram).unwrap();
            }
            mean
        };
        assert_eq!(of(&histograms[..2]).into_mean(), histogram(2.0, 3.0, 4.0));
        let large = [histograms[2].clone(), histograms[2].clone(), histograms[2].clone()];
        let mut merged = of(&large[..2]);
        merged.merge(of(&large[2..])).unwrap();
        for mean in [of(&large).into_mean(), merged.into_mean()] {
            let low = mean.positive_buckets[0];
            assert!(low >= f64::MAX * (1.0 - 1e-15) && low.is_finite(), "{low}");
        }
    }

    #[test]
    fn hints_collide_when_both_were_seen() {
        let mut hints = ResetHints::default();
        hints.see(ResetHint::CounterReset);
        assert!(!hints.collide());
        let mut others = ResetHints::default();
        others.see(ResetHint::NotCounterReset);
        hints.merge(others);
        assert!(hints.collide());
    }
}
