use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use norn_model::sample::stale_nan;
use proptest::prelude::*;

use super::super::ChunkError;
use super::fields::{Field, IntField};
use super::*;

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

/// A counter with positive buckets of these absolute counts.
fn counter(pairs: &[(i32, u32)], counts: &[i64]) -> Histogram {
    let total = counts.iter().sum::<i64>();
    Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 1,
        zero_threshold: 2f64.powi(-128),
        zero_count: 2,
        count: total as u64 + 2,
        sum: total as f64 * 1.5,
        positive_spans: spans(pairs),
        negative_spans: vec![],
        positive_deltas: IntField::stored_of(counts.to_vec()),
        negative_deltas: vec![],
        custom_values: [].into(),
    }
}

fn gauge(pairs: &[(i32, u32)], counts: &[i64]) -> Histogram {
    Histogram { reset_hint: ResetHint::Gauge, ..counter(pairs, counts) }
}

fn stale() -> Histogram {
    Histogram { sum: stale_nan(), zero_count: 0, count: 0, zero_threshold: 0.0, schema: 0, ..counter(&[], &[]) }
}

fn float(histogram: &Histogram) -> FloatHistogram {
    to_float(histogram)
}

/// The chunks that the samples give, one minute apart.
fn encode<H: NativeHistogram>(samples: &[H]) -> Vec<Vec<u8>> {
    let mut appender = HistogramAppender::new();
    let mut chunks = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        chunks.extend(appender.append(60_000 * index as i64, sample));
    }
    chunks.push(appender.into_bytes());
    chunks
}

fn decode<H: NativeHistogram>(data: &[u8]) -> Result<Vec<(i64, H)>, ChunkError> {
    let mut decoder = HistogramDecoder::new(data)?;
    let mut samples = Vec::new();
    while decoder.advance()? {
        samples.push((decoder.timestamp_ms(), decoder.histogram()));
    }
    Ok(samples)
}

/// Positive spans, absolute counts and hint of each sample of each chunk.
fn shapes(chunks: &[Vec<u8>]) -> Vec<Vec<String>> {
    let shape = |(_, histogram): (i64, FloatHistogram)| {
        let spans: Vec<_> = histogram.positive_spans.iter().map(|span| (span.offset, span.length)).collect();
        format!("{spans:?} {:?} {:?}", histogram.positive_buckets, histogram.reset_hint)
    };
    chunks.iter().map(|chunk| decode(chunk).unwrap().into_iter().map(shape).collect()).collect()
}

fn check(samples: &[Histogram], expected: &[&[&str]]) {
    // Integer and float chunks follow the same rules.
    let floats: Vec<FloatHistogram> = samples.iter().map(float).collect();
    assert_eq!(shapes(&encode(&floats)), expected);
    let chunks = encode(samples);
    let as_floats: Vec<Vec<_>> = chunks
        .iter()
        .map(|chunk| {
            let samples: Vec<(i64, Histogram)> = decode(chunk).unwrap();
            samples.iter().map(|(time, histogram)| (*time, float(histogram))).collect()
        })
        .collect();
    let recoded: Vec<Vec<_>> = encode(&floats).iter().map(|chunk| decode::<FloatHistogram>(chunk).unwrap()).collect();
    assert_eq!(format!("{as_floats:?}"), format!("{recoded:?}"));
}

#[test]
fn counters_share_a_chunk_until_one_is_reset() {
    check(
        &[
            counter(&[(0, 2)], &[1, 2]),
            counter(&[(0, 2)], &[1, 5]),
            counter(&[(0, 2)], &[2, 4]),
            counter(&[(0, 2)], &[2, 4]),
        ],
        &[
            &["[(0, 2)] [1.0, 2.0] Unknown", "[(0, 2)] [1.0, 5.0] NotCounterReset"],
            &["[(0, 2)] [2.0, 4.0] Unknown", "[(0, 2)] [2.0, 4.0] NotCounterReset"],
        ],
    );
}

#[test]
fn new_buckets_recode_the_chunk() {
    check(
        &[counter(&[(0, 2), (2, 1)], &[1, 2, 3]), counter(&[(0, 3), (1, 2)], &[1, 2, 9, 3, 4])],
        &[&[
            "[(0, 3), (1, 2)] [1.0, 2.0, 0.0, 3.0, 0.0] Unknown",
            "[(0, 3), (1, 2)] [1.0, 2.0, 9.0, 3.0, 4.0] NotCounterReset",
        ]],
    );
}

#[test]
fn unused_buckets_may_disappear_and_used_ones_are_a_reset() {
    check(
        &[counter(&[(0, 3)], &[1, 0, 2]), counter(&[(0, 1), (1, 1)], &[1, 3]), counter(&[(0, 1)], &[90])],
        &[
            &["[(0, 3)] [1.0, 0.0, 2.0] Unknown", "[(0, 3)] [1.0, 0.0, 3.0] NotCounterReset"],
            &["[(0, 1)] [90.0] Unknown"],
        ],
    );
    check(
        &[counter(&[(0, 2)], &[0, 2]), counter(&[(1, 1), (1, 1)], &[2, 1])],
        &[&["[(0, 2), (1, 1)] [0.0, 2.0, 0.0] Unknown", "[(0, 2), (1, 1)] [0.0, 2.0, 1.0] NotCounterReset"]],
    );
}

#[test]
fn gauges_fall_and_lose_buckets_within_a_chunk() {
    check(
        &[
            gauge(&[(0, 2)], &[5, 6]),
            gauge(&[(1, 1), (2, 1)], &[1, 2]),
            gauge(&[(0, 1)], &[3]),
            counter(&[(0, 1)], &[4]),
        ],
        &[
            &[
                "[(0, 2), (2, 1)] [5.0, 6.0, 0.0] Gauge",
                "[(0, 2), (2, 1)] [0.0, 1.0, 2.0] Gauge",
                "[(0, 2), (2, 1)] [3.0, 0.0, 0.0] Gauge",
            ],
            &["[(0, 1)] [4.0] Unknown"],
        ],
    );
}

#[test]
fn only_stale_markers_follow_a_stale_marker() {
    check(
        &[counter(&[(0, 1)], &[4]), stale(), stale(), counter(&[(0, 1)], &[5])],
        &[&["[(0, 1)] [4.0] Unknown", "[] [] Unknown", "[] [] Unknown"], &["[(0, 1)] [5.0] Unknown"]],
    );
}

#[test]
fn layouts_are_one_per_chunk() {
    let custom = |bounds: &[f64]| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0,
        custom_values: bounds.into(),
        ..counter(&[(0, 1)], &[4])
    };
    let samples = [
        counter(&[(0, 1)], &[4]),
        Histogram { schema: 2, ..counter(&[(0, 1)], &[4]) },
        Histogram { schema: 2, zero_threshold: 0.5, ..counter(&[(0, 1)], &[4]) },
        custom(&[0.1, 3.0]),
        custom(&[0.1, 3.0]),
        custom(&[0.1, 4.0]),
        Histogram { reset_hint: ResetHint::CounterReset, ..custom(&[0.1, 4.0]) },
    ];
    let chunks = encode(&samples);
    let counts: Vec<usize> = chunks.iter().map(|chunk| decode::<Histogram>(chunk).unwrap().len()).collect();
    assert_eq!(counts, [1, 1, 1, 2, 1, 1]);
    assert_eq!(decode::<Histogram>(&chunks[4]).unwrap()[0].1, custom(&[0.1, 4.0]));
}

#[test]
fn bytes_are_those_of_the_format() {
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sample = |count: u64| Histogram { count, sum: 1.0, ..counter(&[(0, 1)], &[1]) };
    // Count 1, no flags; threshold 2^-128; then as bits: schema 1 `10 001`, one span `10 001`, its length `10 001`, its
    // offset `0`, no negative spans `0`; time 0 `0`, count 3 `10 011`, zero count 2 `10 010`, sum; bucket 1 `10 001`.
    assert_eq!(hex(&encode(&[sample(3)])[0]), "000100748c622723ff0000000000000880");
}

fn histograms() -> impl Strategy<Value = Vec<Histogram>> {
    let counts = prop::collection::vec((0i32..3, 0i64..1000), 0..6);
    let sample = (counts, 0u32..4, prop::bool::weighted(0.05), any::<f64>());
    (any::<bool>(), prop::collection::vec(sample, 0..40)).prop_map(|(is_gauge, samples)| {
        let one = |(counts, grow, is_stale, sum): (Vec<(i32, i64)>, u32, bool, f64)| {
            let pairs: Vec<(i32, u32)> = counts.iter().map(|(offset, _)| (*offset, 1)).collect();
            let counts: Vec<i64> = counts.iter().map(|(_, count)| count << grow).collect();
            let made = if is_gauge { gauge(&pairs, &counts) } else { counter(&pairs, &counts) };
            let negative_spans = if grow == 2 { spans(&[(-1, 1)]) } else { vec![] };
            let negative_deltas = if grow == 2 { vec![7] } else { vec![] };
            if is_stale { stale() } else { Histogram { sum, negative_spans, negative_deltas, ..made } }
        };
        samples.into_iter().map(one).collect()
    })
}

/// A histogram without what chunks may change: buckets of zero, how spans are cut, the hint.
fn essence(histogram: &FloatHistogram) -> String {
    let buckets = |spans: &[Span], counts: &[f64]| -> Vec<(i64, f64)> {
        let indices = super::super::spans::bucket_indices(spans);
        indices.into_iter().zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
    };
    let positive = buckets(&histogram.positive_spans, &histogram.positive_buckets);
    let negative = buckets(&histogram.negative_spans, &histogram.negative_buckets);
    format!("{} {} {:x} {positive:?} {negative:?}", histogram.schema, histogram.count, histogram.sum.to_bits())
}

proptest! {
    #[test]
    fn histograms_read_back(samples in histograms()) {
        let floats: Vec<FloatHistogram> = samples.iter().map(float).collect();
        let written: Vec<_> = floats.iter().map(essence).collect();
        if !samples.is_empty() {
            let from_float: Vec<_> = encode(&floats).iter().flat_map(|chunk| decode(chunk).unwrap()).collect();
            let from_int: Vec<_> = encode(&samples).iter().flat_map(|chunk| decode(chunk).unwrap()).collect();
            prop_assert_eq!(from_float.iter().map(|(_, found)| essence(found)).collect::<Vec<_>>(), written.clone());
            prop_assert_eq!(from_int.iter().map(|(_, found)| essence(&float(found))).collect::<Vec<_>>(), written);
        }
    }

    #[test]
    fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<Histogram>(&data);
        let _ = decode::<FloatHistogram>(&data);
    }

    #[test]
    fn damage_does_not_panic(samples in histograms(), at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        for mut data in encode(&samples) {
            if !data.is_empty() {
                let at = at.index(data.len());
                data[at] ^= 1 << bit;
                data.truncate(if cut { at } else { data.len() });
                let _ = decode::<Histogram>(&data);
                let _ = decode::<FloatHistogram>(&data);
            }
        }
    }
}
