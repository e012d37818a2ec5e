use norn_model::histogram::Span;
use norn_model::sample::stale_nan;

use super::*;

fn float(timestamp_ms: i64, value: f64) -> TimedValue {
    TimedValue { timestamp_ms, value: Value::Float(value) }
}

fn integer(timestamp_ms: i64, count: u64, reset_hint: ResetHint) -> TimedValue {
    let histogram = Histogram {
        reset_hint,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0,
        count,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        negative_spans: vec![],
        positive_deltas: vec![count as i64],
        negative_deltas: vec![],
        custom_values: [].into(),
    };
    TimedValue { timestamp_ms, value: Value::Histogram(Arc::new(histogram)) }
}

fn shape(samples: &[TimedValue]) -> Vec<String> {
    let one = |sample: &TimedValue| match &sample.value {
        Value::Float(value) if is_stale(*value) => format!("{} stale", sample.timestamp_ms),
        Value::Float(value) => format!("{} {value}", sample.timestamp_ms),
        Value::Histogram(histogram) => {
            format!("{} h{} {:?}", sample.timestamp_ms, histogram.count, histogram.reset_hint)
        }
        Value::FloatHistogram(histogram) => format!("{} f{}", sample.timestamp_ms, histogram.count),
    };
    samples.iter().map(one).collect()
}

#[test]
fn of_two_samples_of_one_time_one_wins_whatever_the_order() {
    let check = |left: TimedValue, right: TimedValue, expected: &str| {
        for sources in [vec![vec![left.clone()], vec![right.clone()]], vec![vec![right], vec![left]]] {
            assert_eq!(shape(&merge_samples(sources)), [expected]);
        }
    };
    check(float(1, 2.0), float(1, 3.0), "1 3");
    check(float(1, -0.0), float(1, 0.0), "1 0");
    check(float(1, f64::NAN), float(1, f64::INFINITY), "1 NaN");
    check(float(1, stale_nan()), float(1, -5.0), "1 -5");
    check(float(1, 1e9), integer(1, 2, ResetHint::Unknown), "1 h2 Unknown");
    check(integer(1, 3, ResetHint::Unknown), integer(1, 2, ResetHint::Unknown), "1 h3 Unknown");
}

#[test]
fn samples_interleave_and_lose_hints_that_no_longer_hold() {
    let known = ResetHint::NotCounterReset;
    let left = vec![integer(1, 1, ResetHint::Unknown), integer(3, 2, known), integer(4, 3, known)];
    let right = vec![float(2, 0.5), float(3, 7.0), float(9, 1.0)];
    let expected = ["1 h1 Unknown", "2 0.5", "3 h2 Unknown", "4 h3 NotCounterReset", "9 1"];
    assert_eq!(shape(&merge_samples(vec![left, right])), expected);
}

#[test]
fn chunks_are_cut_by_count_kind_and_reset() {
    let mut samples: Vec<_> = (0..250).map(|index| float(index, index as f64)).collect();
    samples.push(integer(300, 5, ResetHint::Unknown));
    samples.push(integer(301, 6, ResetHint::Unknown));
    samples.push(integer(302, 1, ResetHint::Unknown));
    samples.push(float(400, 1.0));
    let chunks = encode_samples(&samples);
    let shapes: Vec<_> = chunks
        .iter()
        .map(|chunk| (chunk.range.start_ms, chunk.range.end_ms, super::super::sample_count(&chunk.data).unwrap()))
        .collect();
    let expected = [(0, 119, 120), (120, 239, 120), (240, 249, 10), (300, 301, 2), (302, 302, 1), (400, 400, 1)];
    assert_eq!(shapes, expected);
    let mut decoded = Vec::new();
    for chunk in &chunks {
        decode_samples(chunk.encoding, &chunk.data, TimeRange { start_ms: 10, end_ms: 350 }, &mut decoded).unwrap();
    }
    assert_eq!(decoded.len(), 243);
    assert_eq!(shape(&decoded[241..]), ["301 h6 NotCounterReset", "302 h1 Unknown"]);
}
