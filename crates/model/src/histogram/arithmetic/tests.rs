use super::super::test_histograms::{custom, exponential};
use super::*;

fn sum(left: &FloatHistogram, right: &FloatHistogram) -> FloatHistogram {
    let mut sum = left.clone();
    sum.add(right).unwrap();
    // A running sum and partial sums give the same.
    let mut running = HistogramSum::new(left);
    running.add(right).unwrap();
    let mut merged = HistogramSum::new(left);
    merged.merge(&HistogramSum::new(right)).unwrap();
    assert!(running.into_histogram().is_identical(&sum), "{left:?} + {right:?}");
    assert!(merged.into_histogram().is_identical(&sum), "{left:?} + {right:?}");
    sum
}

#[test]
fn buckets_are_added_by_index() {
    let left = exponential(0, 0.0, 1.0, &[(0, 1.0), (1, 2.0), (5, 3.0)], &[(2, 1.0)]);
    let right = exponential(0, 0.0, 2.0, &[(-1, 10.0), (1, 20.0), (3, 30.0), (6, 40.0)], &[]);
    let expected =
        exponential(0, 0.0, 3.0, &[(-1, 10.0), (0, 1.0), (1, 22.0), (3, 30.0), (5, 3.0), (6, 40.0)], &[(2, 1.0)]);
    assert!(sum(&left, &right).is_identical(&expected));
    assert!(sum(&right, &left).is_identical(&expected));
    let mut back = expected;
    back.subtract(&right).unwrap();
    back.compact(0);
    assert!(back.is_identical(&left));
}

#[test]
fn the_lower_resolution_wins() {
    let fine = exponential(1, 0.0, 0.0, &[(1, 1.0), (2, 2.0), (3, 3.0)], &[(4, 1.0)]);
    let coarse = exponential(0, 0.0, 0.0, &[(1, 10.0)], &[(7, 1.0)]);
    let expected = exponential(0, 0.0, 0.0, &[(1, 13.0), (2, 3.0)], &[(2, 1.0), (7, 1.0)]);
    assert!(sum(&fine, &coarse).is_identical(&expected));
    assert!(sum(&coarse, &fine).is_identical(&expected));
}

#[test]
fn the_wider_zero_bucket_wins_and_cuts_no_bucket() {
    let narrow = exponential(0, 0.25, 1.0, &[(-1, 2.0), (0, 4.0), (1, 8.0)], &[(0, 16.0), (3, 32.0)]);
    let wide = exponential(0, 0.75, 64.0, &[(0, 128.0), (2, 1.0)], &[]);
    // 0.75 cuts the bucket up to 1, so the zero bucket reaches to 1.
    let expected = exponential(0, 1.0, 1.0 + 2.0 + 4.0 + 16.0 + 64.0 + 128.0, &[(1, 8.0), (2, 1.0)], &[(3, 32.0)]);
    assert!(sum(&narrow, &wide).is_identical(&expected), "{:?}", sum(&narrow, &wide));
    assert!(sum(&wide, &narrow).is_identical(&expected));
}

#[test]
fn custom_bounds_are_reconciled() {
    let left = custom(&[1.0, 2.0, 4.0], &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]);
    let right = custom(&[2.0, 3.0], &[(0, 10.0), (2, 20.0)]);
    let mut reconciled = left.clone();
    let combination = reconciled.add(&right).unwrap();
    assert_eq!(combination, Combination { reset_collision: false, bounds_reconciled: true });
    assert!(reconciled.is_identical(&custom(&[2.0], &[(0, 13.0), (1, 27.0)])), "{reconciled:?}");
    assert!(sum(&left, &left).is_identical(&custom(&[1.0, 2.0, 4.0], &[(0, 2.0), (1, 4.0), (2, 6.0), (3, 8.0)])));
    let mut difference = left.clone();
    difference.subtract(&right).unwrap();
    assert!(difference.is_identical(&custom(&[2.0], &[(0, -7.0), (1, -13.0)])), "{difference:?}");
    assert_eq!(reconciled.add(&exponential(0, 0.0, 0.0, &[], &[])), Err(IncompatibleSchemas));
}

#[test]
fn reset_hints_combine() {
    use ResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
    let check = |left: ResetHint, right: ResetHint, expected: ResetHint, collision: bool| {
        let mut hint = left;
        assert_eq!((hint.combine(right), hint), (collision, expected), "{left:?} {right:?}");
    };
    check(Gauge, CounterReset, Gauge, false);
    check(NotCounterReset, Gauge, Gauge, false);
    check(Unknown, CounterReset, Unknown, false);
    check(CounterReset, CounterReset, CounterReset, false);
    check(CounterReset, NotCounterReset, Unknown, true);
    check(NotCounterReset, CounterReset, Unknown, true);
}

#[test]
fn factors_reach_every_count() {
    let mut histogram = exponential(0, 0.5, 2.0, &[(1, 4.0)], &[(1, 6.0)]);
    histogram.sum = 10.0;
    histogram.multiply(-0.5);
    assert_eq!((histogram.zero_count, histogram.count, histogram.sum), (-1.0, -6.0, -5.0));
    assert_eq!((&histogram.positive_buckets[..], &histogram.negative_buckets[..]), (&[-2.0][..], &[-3.0][..]));
    assert_eq!(histogram.reset_hint, ResetHint::Gauge);
    histogram.divide(0.0);
    assert_eq!((histogram.count, histogram.zero_count), (f64::NEG_INFINITY, f64::NEG_INFINITY));
    assert!(histogram.positive_spans.is_empty() && histogram.positive_buckets.is_empty());
}

#[test]
fn running_sums_keep_small_counts() {
    let small = exponential(0, 0.0, 0.0, &[(1, 1.0)], &[]);
    let large = exponential(0, 0.0, 0.0, &[(1, 1e100)], &[]);
    let mut minus = large.clone();
    minus.multiply(-1.0);
    let mut running = HistogramSum::new(&small);
    for histogram in [&large, &small, &minus] {
        running.add(histogram).unwrap();
    }
    assert!(!running.has_overflow());
    assert_eq!(running.into_histogram().positive_buckets, [2.0]);
    let mut overflowing = HistogramSum::new(&exponential(0, 0.0, 0.0, &[(1, f64::MAX)], &[]));
    overflowing.merge(&overflowing.clone()).unwrap();
    assert!(overflowing.has_overflow());
}
