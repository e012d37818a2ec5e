//! Quantiles and fractions of classic histograms: series whose label `le` is the upper bound of a cumulative bucket.
//!
//! Source: Prometheus `promql/quantile.go`.

use super::quantile::first_where;
use crate::annotations::Monotonicity;

/// A cumulative bucket: observations at or below a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// The value of `le`; not NaN.
    pub upper_bound: f64,
    /// Observations at or below it.
    pub count: f64,
}

/// Counts that differ relatively by less come from rounding, not from observations.
const SMALL_DIFFERENCE: f64 = 1e-12;

/// The `q`-quantile, observations spread evenly over each bucket.
///
/// The lowest bucket starts at zero if it ends above. A quantile in the highest bucket is the bound of the one before it,
/// one in a lowest bucket that ends at or below zero is its bound. Counts that fall with rising bounds are raised; the
/// second part of the result tells how far, unless it can only have been rounding.
///
/// - `buckets`: any order, which is changed; equal bounds are joined.
/// - `evaluation_ms`: the time for which the histogram stands.
/// - Result: NaN for fewer than two buckets, a highest bound that is not infinite, no observations, or a `q` that is NaN;
///   minus infinity for `q` below 0, infinity above 1.
pub fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>, evaluation_ms: i64) -> (f64, Option<Monotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if !(0.0..=1.0).contains(&q) {
        return (if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, None);
    }
    if !arrange(buckets) {
        return (f64::NAN, None);
    }
    let forced = force_monotonic(buckets, evaluation_ms);
    (quantile_of_arranged(q, buckets), forced)
}

fn quantile_of_arranged(q: f64, buckets: &[ClassicBucket]) -> f64 {
    let [finite @ .., highest] = buckets else { return f64::NAN };
    let Some(highest_finite) = finite.last() else { return f64::NAN };
    if highest.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * highest.count;
    let index = first_where(finite.len(), |index| finite[index].count >= rank);
    let Some(bucket) = finite.get(index) else { return highest_finite.upper_bound };
    if index == 0 {
        if bucket.upper_bound <= 0.0 {
            return bucket.upper_bound;
        }
        return bucket.upper_bound * (rank / bucket.count);
    }
    let before = finite[index - 1];
    let fraction = (rank - before.count) / (bucket.count - before.count);
    before.upper_bound + (bucket.upper_bound - before.upper_bound) * fraction
}

/// Which part of the observations lies between two values.
///
/// - `buckets`: any order, which is changed; equal bounds are joined.
/// - Result: NaN for a highest bound that is not infinite, no observations, or a limit that is NaN; 0 where `lower` is not
///   below `upper`.
pub fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !arrange(buckets) {
        return f64::NAN;
    }
    let total = buckets.last().map_or(0.0, |bucket| bucket.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| rank_of(value, buckets).filter(|rank| *rank <= total).unwrap_or(total);
    (rank(upper) - rank(lower)) / total
}

/// How many observations lie below a value; `None` above all buckets.
fn rank_of(value: f64, buckets: &[ClassicBucket]) -> Option<f64> {
    let starts_at_zero = buckets.first()?.upper_bound > 0.0;
    let mut before = ClassicBucket { upper_bound: if starts_at_zero { 0.0 } else { f64::NEG_INFINITY }, count: 0.0 };
    for bucket in buckets {
        if before.upper_bound >= value {
            return Some(before.count);
        }
        if bucket.upper_bound > value {
            // Nothing is known of the inside of a bucket without end: above, it counts as empty; below, as full.
            if before.upper_bound == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            let width = bucket.upper_bound - before.upper_bound;
            return Some(before.count + (bucket.count - before.count) * (value - before.upper_bound) / width);
        }
        before = *bucket;
    }
    None
}

/// Sorts buckets by bound and joins equal bounds. Returns whether the highest bound is infinite.
fn arrange(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|left, right| left.upper_bound.total_cmp(&right.upper_bound));
    buckets.dedup_by(|bucket, before| {
        let is_same = bucket.upper_bound == before.upper_bound;
        if is_same {
            before.count += bucket.count;
        }
        is_same
    });
    buckets.last().is_some_and(|bucket| bucket.upper_bound == f64::INFINITY)
}

/// Raises counts that are lower than that of the bucket below. Differences that only rounding makes are removed in both
/// directions, without a word.
fn force_monotonic(buckets: &mut [ClassicBucket], evaluation_ms: i64) -> Option<Monotonicity> {
    let (first, rest) = buckets.split_first_mut()?;
    let mut before = first.count;
    let mut forced: Option<Monotonicity> = None;
    for bucket in rest {
        let count = bucket.count;
        if nearly_equal(before, count, SMALL_DIFFERENCE) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let bound = bucket.upper_bound;
            let merged = forced.get_or_insert(Monotonicity {
                first_ms: evaluation_ms,
                last_ms: evaluation_ms,
                bucket_min: bound,
                bucket_max: bound,
                difference_max: 0.0,
            });
            merged.bucket_max = bound;
            merged.difference_max = merged.difference_max.max(before - count);
        } else {
            before = count;
        }
    }
    forced
}

/// Whether two floats differ relatively by less than `tolerance`, NaN and infinities equal to themselves. Near zero the
/// difference is compared with the smallest normal float.
///
/// Source: Prometheus `util/almost`.
pub(crate) fn nearly_equal(left: f64, right: f64, tolerance: f64) -> bool {
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let sum = left.abs() + right.abs();
    let difference = (left - right).abs();
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(list: &[(f64, f64)]) -> Vec<ClassicBucket> {
        list.iter().map(|(upper_bound, count)| ClassicBucket { upper_bound: *upper_bound, count: *count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_are_interpolated() {
        let check = |q: f64, list: &[(f64, f64)], expected: f64| {
            let (found, forced) = quantile(q, &mut buckets(list), 0);
            assert!(nearly_equal(found, expected, 1e-14), "{q} of {list:?}: {found}");
            assert_eq!(forced, None);
        };
        let plain = [(INF, 10.0), (1.0, 4.0), (2.0, 8.0)];
        check(0.2, &plain, 0.5);
        check(0.6, &plain, 1.5);
        check(0.9, &plain, 2.0);
        check(0.0, &plain, 0.0);
        check(-1.0, &plain, f64::NEG_INFINITY);
        check(2.0, &plain, INF);
        check(0.1, &[(-1.0, 5.0), (INF, 10.0)], -1.0);
        check(0.5, &[(1.0, 5.0)], f64::NAN);
        check(0.5, &[(INF, 5.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
        check(0.5, &[(1.0, 1.0), (1.0, 3.0), (INF, 4.0)], 0.5);
        check(0.5, &[], f64::NAN);
    }

    #[test]
    fn falling_counts_are_raised() {
        let mut fallen = buckets(&[(1.0, 10.0), (2.0, 5.0), (3.0, 12.0), (4.0, 11.0), (INF, 20.0)]);
        let (found, forced) = quantile(0.5, &mut fallen, 7);
        assert_eq!(found, 1.0);
        let expected = Monotonicity { first_ms: 7, last_ms: 7, bucket_min: 2.0, bucket_max: 4.0, difference_max: 5.0 };
        assert_eq!(forced, Some(expected));
        let mut rounded = buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-14), (INF, 20.0)]);
        assert_eq!(quantile(0.5, &mut rounded, 7), (1.0, None));
    }

    #[test]
    fn fractions_are_interpolated() {
        let check = |lower: f64, upper: f64, expected: f64| {
            let found = fraction(lower, upper, &mut buckets(&[(1.0, 4.0), (2.0, 8.0), (INF, 10.0)]));
            assert!(nearly_equal(found, expected, 1e-14), "{lower} to {upper}: {found}");
        };
        check(0.5, 1.5, 0.4);
        check(f64::NEG_INFINITY, INF, 1.0);
        check(f64::NEG_INFINITY, 5.0, 0.8);
        check(5.0, INF, 0.2);
        check(2.0, 1.0, 0.0);
        check(f64::NAN, 1.0, f64::NAN);
    }
}
