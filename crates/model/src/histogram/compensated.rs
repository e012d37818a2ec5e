//! Sums that keep their rounding errors.

/// A running sum and the error that its roundings made so far.
///
/// Sums of many floats lose small addends beside large ones; keeping the lost part in a second float makes the result
/// nearly independent of order and number of the addends, so that equal data shards to equal answers.
///
/// Source: Neumaier's variant of Kahan summation, as in Prometheus `util/kahansum`; the error of one addition after Knuth,
/// "The Art of Computer Programming", volume 2, 4.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Compensated {
    /// The sum as floats round it.
    pub sum: f64,
    /// What has to be added for the true sum.
    pub error: f64,
}

impl Compensated {
    /// Starts with a value.
    pub fn new(value: f64) -> Self {
        Self { sum: value, error: 0.0 }
    }

    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        // What of `value` arrived in the total; the rest of it, and what the sum lost, is the rounding error. Exact
        // whichever of the two is larger, so no branch is needed.
        let arrived = total - self.sum;
        let lost = (self.sum - (total - arrived)) + (value - arrived);
        self.error = if total.is_infinite() { 0.0 } else { self.error + lost };
        self.sum = total;
    }

    /// Adds another sum with its error.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        if other.error != 0.0 {
            self.add(other.error);
        }
    }

    /// The sum with its error made good.
    #[inline]
    pub fn total(self) -> f64 {
        self.sum + self.error
    }

    /// Sum and error times a factor.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, error: self.error * factor }
    }

    /// Sum and error divided.
    #[must_use]
    pub fn divided(self, divisor: f64) -> Self {
        Self { sum: self.sum / divisor, error: self.error / divisor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Compensated {
        let mut sum = Compensated::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn small_addends_survive_large_ones() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]).total(), 2.0);
        assert_eq!(sum(&[5e15, 0.1, 0.2, -5e15]).total(), 0.30000000000000004);
    }

    #[test]
    fn infinity_and_nan_stay() {
        assert_eq!(sum(&[f64::MAX, f64::MAX, 1.0]).total(), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).total().is_nan());
        assert!(sum(&[1.0, f64::NAN, 1.0]).total().is_nan());
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let (left, right) = ([1.0, 1e100, 3.5], [1.0, -1e100, 1e-3]);
        let mut merged = sum(&left);
        merged.merge(sum(&right));
        let whole = sum(&[&left[..], &right[..]].concat());
        assert!((merged.total() - whole.total()).abs() < 1e-12, "{merged:?} is not {whole:?}");
    }
}
