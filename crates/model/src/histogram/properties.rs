//! What holds for all histograms, and what no bytes from outside may do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::bounds::exponential_bound;
use super::test_histograms::{custom, exponential};
use super::trim::Keep;
use super::*;

/// Exponential histograms with whole counts, so that sums are exact.
fn exponential_histograms() -> impl Strategy<Value = FloatHistogram> {
    let side = || vec((0i32..4, 0u8..20), 0..12).prop_map(ascending);
    let threshold = prop_oneof![Just(0.0), Just(1e-3), 0.1..3.0f64];
    (SCHEMA_MIN..=SCHEMA_MAX, threshold, 0u8..9, side(), side()).prop_map(
        |(schema, threshold, zero_count, mut positive, mut negative)| {
            // No client fills buckets within the zero bucket.
            let is_beyond = |bucket: &(i32, f64)| exponential_bound(bucket.0 - 1, schema) >= threshold;
            positive.retain(is_beyond);
            negative.retain(is_beyond);
            exponential(schema, threshold, f64::from(zero_count), &positive, &negative)
        },
    )
}

/// Gaps and counts as buckets by index, around index 0.
fn ascending(gaps: Vec<(i32, u8)>) -> Vec<(i32, f64)> {
    let mut index = -8;
    let mut next = |(gap, count): (i32, u8)| {
        index += gap + 1;
        (index, f64::from(count))
    };
    gaps.into_iter().map(&mut next).collect()
}

fn custom_histograms() -> impl Strategy<Value = FloatHistogram> {
    (vec(0u8..3, 0..6), vec(0u8..9, 7)).prop_map(|(steps, counts)| {
        let mut bound = -2.0;
        let bounds: Vec<f64> = steps
            .iter()
            .map(|step| {
                bound += 1.0 + f64::from(*step);
                bound
            })
            .collect();
        let buckets: Vec<(i32, f64)> =
            (0..).zip(counts.iter().map(|count| f64::from(*count))).take(bounds.len() + 1).collect();
        custom(&bounds, &buckets)
    })
}

fn histograms() -> impl Strategy<Value = (FloatHistogram, FloatHistogram)> {
    prop_oneof![(exponential_histograms(), exponential_histograms()), (custom_histograms(), custom_histograms()),]
}

/// Spans, counts, schemas and thresholds that fit nothing.
fn wild_histograms() -> impl Strategy<Value = FloatHistogram> {
    let spans = || vec((any::<i32>(), prop_oneof![0u32..4, any::<u32>()]), 0..4);
    let counts = || vec(any::<f64>(), 0..8);
    let schema = prop_oneof![-9i32..=9, Just(CUSTOM_BUCKETS_SCHEMA), any::<i32>()];
    (schema, any::<f64>(), any::<f64>(), spans(), counts(), spans(), counts(), vec(any::<f64>(), 0..4)).prop_map(
        |(schema, zero_threshold, zero_count, positive, positive_buckets, negative, negative_buckets, bounds)| {
            let spans = |spans: Vec<(i32, u32)>| {
                spans.into_iter().map(|(offset, length)| Span { offset, length }).collect::<Vec<_>>()
            };
            FloatHistogram {
                zero_threshold,
                zero_count,
                count: 1.0,
                positive_spans: spans(positive),
                positive_buckets,
                negative_spans: spans(negative),
                negative_buckets,
                ..FloatHistogram::empty(schema, bounds.into())
            }
        },
    )
}

fn compacted(mut histogram: FloatHistogram) -> FloatHistogram {
    histogram.compact(0);
    histogram
}

fn observations(histogram: &FloatHistogram) -> f64 {
    histogram.zero_count
        + histogram.positive_buckets.iter().sum::<f64>()
        + histogram.negative_buckets.iter().sum::<f64>()
}

proptest! {
    #[test]
    fn addition_commutes_and_loses_nothing((left, right) in histograms()) {
        let (mut sum, mut other) = (left.clone(), right.clone());
        sum.add(&right).unwrap();
        other.add(&left).unwrap();
        prop_assert_eq!(observations(&sum), left.count + right.count);
        prop_assert_eq!(sum.count, left.count + right.count);
        prop_assert!(compacted(sum.clone()).is_identical(&compacted(other)));
        prop_assert_eq!(sum.validate(), Ok(()));
    }

    #[test]
    fn subtraction_undoes_addition((left, right) in histograms()) {
        let mut back = left.clone();
        back.add(&right).unwrap();
        back.subtract(&right).unwrap();
        // What is left is the left side in the layout of the sum: adding nothing brings it there.
        let mut expected = left;
        let mut nothing = right;
        nothing.multiply(0.0);
        nothing.compact(0);
        expected.add(&nothing).unwrap();
        prop_assert_eq!(observations(&back), observations(&expected));
        if back.zero_threshold == expected.zero_threshold {
            prop_assert!(compacted(back).is_identical(&compacted(expected)));
        }
    }

    #[test]
    fn a_counter_that_grows_is_not_reset((left, right) in histograms()) {
        let mut sum = left.clone();
        sum.add(&right).unwrap();
        prop_assert!(!sum.is_reset_after(&left));
        prop_assert!(!left.is_reset_after(&left));
        if right.count > 0.0 {
            prop_assert!(left.is_reset_after(&sum));
        }
    }

    #[test]
    fn compaction_changes_no_bucket(histogram in exponential_histograms(), empty_max in 0u32..5) {
        let mut compact = histogram.clone();
        compact.compact(empty_max);
        let (before, after): (Vec<_>, Vec<_>) =
            (histogram.filled_buckets().collect(), compact.filled_buckets().collect());
        prop_assert_eq!(before, after);
        prop_assert!(compact.positive_spans.len() <= histogram.positive_spans.len() + histogram.positive_buckets.len());
    }

    #[test]
    fn reduction_in_steps_is_reduction_at_once(histogram in exponential_histograms(), schema in SCHEMA_MIN..=SCHEMA_MAX) {
        let mut at_once = histogram.clone();
        at_once.reduce_resolution(schema);
        let mut in_steps = histogram.clone();
        while in_steps.schema > schema {
            in_steps.reduce_resolution(in_steps.schema - 1);
        }
        prop_assert!(at_once.is_identical(&in_steps));
        prop_assert_eq!(observations(&at_once), observations(&histogram));
    }

    #[test]
    fn both_parts_of_a_trim_are_the_whole((histogram, _) in histograms(), value in -20.0..20.0f64) {
        let (mut below, mut above) = (histogram.clone(), histogram.clone());
        below.trim(value, Keep::Below);
        above.trim(value, Keep::Above);
        prop_assert!(below.count >= 0.0 && below.count <= histogram.count + 1e-9);
        if !histogram.has_custom_buckets() {
            prop_assert!((below.count + above.count - histogram.count).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_from_outside_panics(left in wild_histograms(), right in wild_histograms(), value in any::<f64>()) {
        let _ = left.validate();
        let _ = left.is_reset_after(&right);
        prop_assert_eq!(left.buckets().count(), left.buckets_descending().count());
        let mut changed = left.clone();
        let _ = changed.add(&right);
        let _ = changed.subtract(&left);
        changed.trim(value, Keep::Below);
        changed.trim(value, Keep::Above);
        changed.compact(2);
        let _ = changed.reduce_to_buckets(1);
        let mut sum = HistogramSum::new(&left);
        let _ = sum.add(&right);
        let _ = sum.into_histogram();
    }
}
