//! Histograms for tests, by their buckets.

use super::side::Side;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};

/// Exponential buckets by index; the count is that of all buckets, the sum 0.
pub(super) fn exponential(
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    positive: &[(i32, f64)],
    negative: &[(i32, f64)],
) -> FloatHistogram {
    let (positive, negative) = (Side::collect(positive.iter().copied()), Side::collect(negative.iter().copied()));
    FloatHistogram {
        zero_threshold,
        zero_count,
        count: zero_count + positive.counts.iter().sum::<f64>() + negative.counts.iter().sum::<f64>(),
        positive_spans: positive.spans,
        positive_buckets: positive.counts,
        negative_spans: negative.spans,
        negative_buckets: negative.counts,
        ..FloatHistogram::empty(schema, [].into())
    }
}

/// Custom buckets by index.
pub(super) fn custom(bounds: &[f64], buckets: &[(i32, f64)]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.into(),
        ..exponential(0, 0.0, 0.0, buckets, &[])
    }
}

/// Consecutive positive buckets from index -2 on, counts absolute.
pub(super) fn integer(schema: i32, counts: &[i64]) -> Histogram {
    let deltas = counts.iter().scan(0, |before, count| Some(count - std::mem::replace(before, *count)));
    Histogram {
        reset_hint: ResetHint::Unknown,
        schema,
        zero_threshold: 0.0,
        zero_count: 0,
        count: counts.iter().sum::<i64>().unsigned_abs(),
        sum: 1.5,
        positive_spans: vec![Span { offset: -2, length: u32::try_from(counts.len()).unwrap() }],
        negative_spans: Vec::new(),
        positive_deltas: deltas.collect(),
        negative_deltas: Vec::new(),
        custom_values: [].into(),
    }
}
