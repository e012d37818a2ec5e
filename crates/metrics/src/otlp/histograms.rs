//! From OTLP's histograms, whose buckets are dense, to native ones, whose buckets lie in spans.

use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};
use norn_model::sample::STALE_NAN_BITS;
use norn_rpc::otlp::{Buckets, ExplicitPoint, ExponentialPoint, FLAG_NO_RECORDED_VALUE, Temporality};

/// OTLP says how wide the zero bucket is only in newer versions, and servers have agreed on this.
const ZERO_THRESHOLD: f64 = 1e-128;

const SCALE_MIN: i32 = -4;
const SCALE_MAX: i32 = 8;

/// Up to so many empty buckets cost less than the start of another span.
const GAP_MAX: i64 = 2;

/// An exponential histogram; one that is too fine loses resolution, one that is too coarse is an error.
pub(super) fn exponential(point: &ExponentialPoint<'_>, temporality: Temporality) -> Result<Histogram, String> {
    if point.scale < SCALE_MIN {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {SCALE_MIN}, was {}",
            point.scale
        ));
    }
    let mut histogram = empty(temporality, point.scale.min(SCALE_MAX));
    histogram.zero_threshold = ZERO_THRESHOLD;
    if point.flags & FLAG_NO_RECORDED_VALUE != 0 {
        histogram.sum = f64::from_bits(STALE_NAN_BITS);
        return Ok(histogram);
    }
    // All indexes fit 32 bits, so that a larger shift changes nothing.
    let scale_down = point.scale.saturating_sub(SCALE_MAX).clamp(0, 62);
    histogram.count = point.count;
    histogram.sum = point.sum.unwrap_or(0.0);
    histogram.zero_count = point.zero_count;
    (histogram.positive_spans, histogram.positive_deltas) = exponential_side(&point.positive, scale_down)?;
    (histogram.negative_spans, histogram.negative_deltas) = exponential_side(&point.negative, scale_down)?;
    Ok(histogram)
}

/// An explicit histogram as a native one with custom buckets.
pub(super) fn custom(point: &ExplicitPoint<'_>, temporality: Temporality) -> Result<Histogram, String> {
    let mut histogram = empty(temporality, CUSTOM_BUCKETS_SCHEMA);
    histogram.custom_values = point.explicit_bounds.clone().into();
    if point.flags & FLAG_NO_RECORDED_VALUE != 0 {
        histogram.sum = f64::from_bits(STALE_NAN_BITS);
        return Ok(histogram);
    }
    histogram.count = point.count;
    histogram.sum = point.sum.unwrap_or(0.0);
    let buckets = (0..).zip(point.bucket_counts.iter().copied());
    (histogram.positive_spans, histogram.positive_deltas) = lay_out(buckets)?;
    Ok(histogram)
}

fn empty(temporality: Temporality, schema: i32) -> Histogram {
    // Whether a counter was reset cannot be known from one point. A delta is no counter at all.
    let reset_hint = if temporality == Temporality::Delta { ResetHint::Gauge } else { ResetHint::Unknown };
    Histogram {
        reset_hint,
        schema,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 0,
        sum: 0.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        positive_deltas: Vec::new(),
        negative_deltas: Vec::new(),
        custom_values: [].into(),
    }
}

/// OTLP's bucket 0 starts at 1, a native histogram's ends there. `2^scale_down` buckets become one.
fn exponential_side(buckets: &Buckets, scale_down: i32) -> Result<(Vec<Span>, Vec<i64>), String> {
    let first = i64::from(buckets.offset);
    let indexes = (first..).map(|index| (index >> scale_down) + 1);
    lay_out(indexes.zip(buckets.bucket_counts.iter().copied()))
}

/// Merges neighbours of equal index, leaves out what is empty at the ends and in long gaps.
fn lay_out(buckets: impl Iterator<Item = (i64, u64)>) -> Result<(Vec<Span>, Vec<i64>), String> {
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (index, count) in buckets.filter(|bucket| bucket.1 > 0) {
        match merged.last_mut() {
            Some(last) if last.0 == index => last.1 = last.1.saturating_add(count),
            _ => merged.push((index, count)),
        }
    }
    let mut spans: Vec<Span> = Vec::new();
    let mut deltas = Vec::with_capacity(merged.len());
    // Index behind the last bucket, and its count.
    let (mut end, mut previous) = (0i64, 0i64);
    for (index, count) in merged {
        let gap = index - end;
        if let Some(span) = spans.last_mut().filter(|_| gap <= GAP_MAX) {
            for _ in 0..gap {
                deltas.push(-previous);
                previous = 0;
            }
            span.length += gap as u32 + 1;
        } else {
            let offset = i32::try_from(gap).map_err(|_| "bucket index out of range".to_owned())?;
            spans.push(Span { offset, length: 1 });
        }
        let count = i64::try_from(count).map_err(|_| "bucket count out of range".to_owned())?;
        deltas.push(count - previous);
        (end, previous) = (index + 1, count);
    }
    Ok((spans, deltas))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint<'static> {
        let positive = Buckets { offset, bucket_counts: counts.to_vec() };
        ExponentialPoint { scale, positive, count: counts.iter().sum(), ..ExponentialPoint::default() }
    }

    #[test]
    fn exponential_buckets_are_laid_out_in_spans() {
        let check = |scale, offset, counts: &[u64], spans: &[Span], deltas: &[i64]| {
            let histogram = exponential(&point(scale, offset, counts), Temporality::Cumulative).unwrap();
            assert_eq!((histogram.positive_spans.as_slice(), histogram.positive_deltas.as_slice()), (spans, deltas));
            assert_eq!(histogram.validate(), Ok(()));
        };
        check(1, 1, &[2, 0, 3, 1], &[span(2, 4)], &[2, -2, 3, -2]);
        check(0, -2, &[1, 0, 0, 0, 2], &[span(-1, 1), span(3, 1)], &[1, 1]);
        check(12, 5, &[1, 2], &[span(1, 1)], &[3]);
        check(9, -1, &[1, 2, 4], &[span(0, 2)], &[1, 5]);
        check(0, 0, &[0, 0, 5, 0], &[span(3, 1)], &[5]);
        check(0, i32::MAX - 2, &[1, 1], &[span(i32::MAX - 1, 2)], &[1, 0]);
        check(0, 7, &[], &[], &[]);
        check(i32::MAX, -100, &[1], &[span(0, 1)], &[1]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let check = |point: ExponentialPoint<'_>, expected: &str| {
            assert_eq!(exponential(&point, Temporality::Cumulative).unwrap_err(), expected);
        };
        check(point(-10, 0, &[1]), "cannot convert exponential to native histogram. Scale must be >= -4, was -10");
        check(point(0, i32::MAX, &[1]), "bucket index out of range");
        check(point(0, 0, &[u64::MAX]), "bucket count out of range");
    }

    #[test]
    fn deltas_are_gauges_and_missing_values_stale() {
        let delta = exponential(&point(0, 0, &[1]), Temporality::Delta).unwrap();
        assert_eq!(delta.reset_hint, ResetHint::Gauge);
        let missing = ExponentialPoint { flags: 1, ..point(0, 0, &[1]) };
        let stale = exponential(&missing, Temporality::Cumulative).unwrap();
        assert!(stale.is_stale() && stale.positive_spans.is_empty());
    }

    #[test]
    fn explicit_buckets_keep_their_bounds() {
        let point = ExplicitPoint {
            count: 9,
            sum: Some(2.5),
            bucket_counts: vec![0, 4, 3, 2],
            explicit_bounds: vec![0.1, 1.0, 5.0],
            ..ExplicitPoint::default()
        };
        let histogram = custom(&point, Temporality::Cumulative).unwrap();
        assert_eq!((histogram.schema, &*histogram.custom_values), (CUSTOM_BUCKETS_SCHEMA, &[0.1, 1.0, 5.0][..]));
        assert_eq!((histogram.positive_spans, histogram.positive_deltas), (vec![span(1, 3)], vec![4, -1, -1]));
    }
}
