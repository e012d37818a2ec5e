//! Exact quantiles of floats.

use std::cmp::Ordering;

use crate::annotations::{Annotation, Annotations};
use crate::tree::Position;

/// The `q`-quantile, interpolated between the two values next to its rank.
///
/// - `values`: any order, which is changed. NaN counts as lower than all others.
/// - Result: NaN for no values or a `q` that is NaN; minus infinity below 0, infinity above 1.
/// - Cost: linear on average; nothing allocated.
/// - Source: Prometheus `promql/quantile.go`, `quantile`.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    // A rank between 0 and the length fits; the minimum guards against rounding up past the end.
    let index = (rank.floor() as usize).min(values.len() - 1);
    let (_, lower, above) = values.select_nth_unstable_by(index, nan_first);
    let lower = *lower;
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

/// Orders floats with NaN below all others.
fn nan_first(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The first of `0..len` for which a condition holds that holds for all after it; `len` where it holds for none.
///
/// NaN breaks the order that a binary search relies on; which element is found then depends on the elements that are
/// looked at. These are the ones that Go's `sort.Search` looks at, and slices' own search does not promise any.
pub(super) fn first_where(len: usize, condition: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if condition(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Whether a quantile is invalid, so that the query's author is to be warned.
pub fn is_invalid(q: f64) -> bool {
    !(0.0..=1.0).contains(&q)
}

/// Warns of an invalid quantile. `position` is that of the argument.
pub fn annotate_invalid(q: f64, position: Position, annotations: &mut Annotations) {
    if is_invalid(q) {
        annotations.add(Annotation::InvalidQuantile { quantile: q.into() }, position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let check = |q: f64, values: &[f64], expected: f64| {
            let found = quantile(q, &mut values.to_vec());
            assert_eq!(found.to_bits(), expected.to_bits(), "{q} of {values:?}: {found}");
        };
        check(0.5, &[3.0, 1.0, 2.0], 2.0);
        check(0.5, &[4.0, 1.0, 2.0, 3.0], 2.5);
        check(0.0, &[2.0, 1.0], 1.0);
        check(1.0, &[2.0, 1.0], 2.0);
        check(0.75, &[f64::NAN, 1.0, 2.0, 3.0, 4.0], 3.0);
        check(-0.1, &[1.0], f64::NEG_INFINITY);
        check(1.1, &[1.0], f64::INFINITY);
        check(0.3, &[7.0], 7.0);
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        assert!(is_invalid(f64::NAN) && is_invalid(1.5) && !is_invalid(1.0));
    }
}
