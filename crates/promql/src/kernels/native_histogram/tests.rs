use super::super::classic_histogram::nearly_equal;
use super::super::test_windows::with_context;
use super::*;
use norn_model::histogram::Span;

/// Buckets (1, 2], (2, 4], …, and as many mirrored ones.
fn exponential(zero: f64, positive: &[f64], negative: &[f64]) -> FloatHistogram {
    let spans = |counts: &[f64]| match u32::try_from(counts.len()).unwrap() {
        0 => Vec::new(),
        length => vec![Span { offset: 1, length }],
    };
    FloatHistogram {
        zero_threshold: 0.5,
        zero_count: zero,
        count: zero + positive.iter().sum::<f64>() + negative.iter().sum::<f64>(),
        positive_spans: spans(positive),
        positive_buckets: positive.to_vec(),
        negative_spans: spans(negative),
        negative_buckets: negative.to_vec(),
        ..FloatHistogram::empty(0, [].into())
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        count: counts.iter().sum(),
        positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).unwrap() }],
        positive_buckets: counts.to_vec(),
        ..FloatHistogram::empty(-53, bounds.into())
    }
}

fn check_quantile(histogram: &FloatHistogram, q: f64, expected: f64) {
    let (found, texts) = with_context(&[], |context| quantile(q, histogram, context));
    assert!(nearly_equal(found, expected, 1e-14), "{q}: {found} is not {expected}");
    assert_eq!(texts, [""; 0]);
}

#[test]
fn quantiles_are_interpolated_on_a_logarithmic_scale() {
    let histogram = exponential(0.0, &[4.0, 4.0], &[]);
    check_quantile(&histogram, 0.25, 2f64.sqrt());
    check_quantile(&histogram, 0.5, 2.0);
    check_quantile(&histogram, 0.75, 2.0 * 2f64.sqrt());
    check_quantile(&histogram, 1.0, 4.0);
    let mirrored = exponential(0.0, &[], &[4.0, 4.0]);
    check_quantile(&mirrored, 0.25, -2.0 * 2f64.sqrt());
    check_quantile(&mirrored, 0.75, -(2f64.sqrt()));
}

#[test]
fn the_zero_bucket_is_linear_and_ends_at_zero() {
    check_quantile(&exponential(4.0, &[4.0], &[]), 0.25, 0.25);
    check_quantile(&exponential(4.0, &[], &[4.0]), 0.75, -0.25);
    check_quantile(&exponential(4.0, &[2.0], &[2.0]), 0.5, 0.0);
}

#[test]
fn custom_buckets_are_linear() {
    let histogram = custom(&[1.0, 3.0], &[2.0, 2.0, 4.0]);
    check_quantile(&histogram, 0.125, 0.5);
    check_quantile(&histogram, 0.375, 2.0);
    check_quantile(&histogram, 0.9, 3.0);
    check_quantile(&custom(&[-1.0, 3.0], &[2.0, 2.0]), 0.25, -1.0);
}

#[test]
fn quantiles_have_edges() {
    let histogram = exponential(0.0, &[1.0], &[]);
    check_quantile(&histogram, -0.5, f64::NEG_INFINITY);
    check_quantile(&histogram, 1.5, f64::INFINITY);
    check_quantile(&histogram, f64::NAN, f64::NAN);
    check_quantile(&exponential(0.0, &[], &[]), 0.5, f64::NAN);
}

#[test]
fn observations_of_nan_are_annotated() {
    let mut histogram = exponential(0.0, &[4.0, 4.0], &[]);
    (histogram.count, histogram.sum) = (10.0, f64::NAN);
    let found = |q: f64| with_context(&[], |context| quantile(q, &histogram, context));
    let (value, texts) = found(0.4);
    assert!(nearly_equal(value, 2.0, 1e-14), "{value}");
    let skewed =
        "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher for metric name \"m\"";
    assert_eq!(texts, [skewed]);
    let (value, texts) = found(0.9);
    assert!(value.is_nan());
    assert_eq!(
        texts,
        ["PromQL info: input to histogram_quantile has NaN observations, result is NaN for metric name \"m\""]
    );
    let (value, texts) = with_context(&[], |context| fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram, context));
    assert_eq!(value, 0.8);
    assert_eq!(texts.len(), 1);
}

#[test]
fn fractions_invert_quantiles() {
    for histogram in [exponential(3.0, &[4.0, 0.0, 5.0], &[2.0, 1.0]), custom(&[1.0, 3.0], &[2.0, 2.0, 0.0])] {
        for q in [0.05, 0.2, 0.4, 0.6, 0.95] {
            let ((value, part), _) = with_context(&[], |context| {
                let value = quantile(q, &histogram, context);
                (value, fraction(f64::NEG_INFINITY, value, &histogram, context))
            });
            assert!(nearly_equal(part, q, 1e-12) || value == 1.0, "{q}: {value}, {part}");
        }
    }
}

#[test]
fn statistics_come_from_count_sum_and_buckets() {
    let mut histogram = exponential(0.0, &[1.0, 1.0], &[]);
    histogram.sum = 4.0;
    let check = |name: &str, expected: f64| {
        let (found, _) = with_context(&[], |context| kernel(name).unwrap()(PointRef::Histogram(&histogram), context));
        let Some(PointValue::Float(found)) = found else { panic!("{name} gives {found:?}") };
        assert!(nearly_equal(found, expected, 1e-14), "{name}: {found} is not {expected}");
    };
    check("histogram_count", 2.0);
    check("histogram_sum", 4.0);
    check("histogram_avg", 2.0);
    let variance = ((2f64.sqrt() - 2.0).powi(2) + (8f64.sqrt() - 2.0).powi(2)) / 2.0;
    check("histogram_stdvar", variance);
    check("histogram_stddev", variance.sqrt());
}
