use proptest::prelude::*;

use super::*;

fn encode(samples: &[(i64, f64)]) -> XorAppender {
    let mut appender = XorAppender::new();
    for (timestamp_ms, value) in samples {
        appender.append(*timestamp_ms, *value);
    }
    appender
}

fn decode(data: &[u8], range: TimeRange) -> Result<Vec<(i64, u64)>, ChunkError> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    decode_into(data, &mut times, &mut values, range)?;
    Ok(times.into_iter().zip(values.into_iter().map(f64::to_bits)).collect())
}

fn bits_of(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|(time, value)| (*time, value.to_bits())).collect()
}

#[test]
fn bytes_are_those_of_the_format() {
    let check = |samples: &[(i64, f64)], expected: &str| {
        let hex: String = encode(samples).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{samples:?}");
    };
    check(&[], "");
    // Count, zigzag 1000, 1.0.
    check(&[(1000, 1.0)], "0001d00f3ff0000000000000");
    // Step 15, then `0`: the same value.
    check(&[(1000, 1.0), (1015, 1.0)], "0002d00f3ff00000000000000f00");
    // 0x3ff0.. ^ 0x4008.. is 0x7ff8..: `11`, `00001` leading zero, `001100` bits, and twelve ones.
    check(&[(1000, 1.0), (1015, 3.0)], "0002d00f3ff00000000000000fc267ff80");
    // Two bits more for a third sample as the second.
    check(&[(1000, 1.0), (1015, 1.0), (1030, 1.0)], "0003d00f3ff00000000000000f00");
    // `10` + 14 bits: the step became 1 ms longer.
    check(&[(0, 0.0), (10, 0.0), (21, 0.0)], "00030000000000000000000a400080");
}

#[test]
fn ranges_cut_at_both_ends() {
    let samples: Vec<_> = (0..10).map(|index| (index * 10, index as f64)).collect();
    let appender = encode(&samples);
    let check = |start_ms, end_ms, expected: std::ops::Range<usize>| {
        let found = decode(appender.bytes(), TimeRange { start_ms, end_ms }).unwrap();
        assert_eq!(found, bits_of(&samples[expected]));
    };
    check(i64::MIN, i64::MAX, 0..10);
    check(20, 40, 2..5);
    check(21, 39, 3..4);
    check(91, 100, 0..0);
}

#[test]
fn short_data_names_the_sample() {
    let appender = encode(&[(1000, 1.0), (1015, 3.5), (1030, 7.25)]);
    let data = appender.bytes();
    for length in 0..data.len() {
        let error = decode(&data[..length], TimeRange::ALL).unwrap_err();
        assert!(matches!(error, ChunkError::Truncated { bytes, .. } if bytes == length), "{length}: {error}");
    }
    assert_eq!(
        decode(&data[..12], TimeRange::ALL).unwrap_err().to_string(),
        "chunk of 12 bytes ends before its sample 1 of 3 is complete"
    );
}

#[test]
fn a_window_wider_than_a_word_is_damage() {
    let mut data = encode(&[(0, 0.0), (10, 1.0)]).into_bytes();
    let at = data.len() - 3;
    // 31 leading zeros and 63 bits.
    data.truncate(at);
    data.extend_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = decode(&data, TimeRange::ALL).unwrap_err();
    assert!(matches!(error, ChunkError::Damaged { .. }), "{error}");
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step = prop_oneof![4 => Just(15_000i64), 2 => 1i64..40_000, 1 => 1i64..(1 << 40)];
    let value = prop_oneof![
        2 => Just(1.5f64),
        2 => (0i32..1000).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
    ];
    (any::<i32>(), prop::collection::vec((step, value), 0..130)).prop_map(|(start, steps)| {
        let mut time = i64::from(start);
        let mut sample = |(step, value)| {
            time += step;
            (time, value)
        };
        steps.into_iter().map(&mut sample).collect()
    })
}

proptest! {
    #[test]
    fn samples_read_back(samples in samples()) {
        let appender = encode(&samples);
        prop_assert_eq!(usize::from(appender.count()), samples.len());
        if !samples.is_empty() {
            prop_assert_eq!(decode(appender.bytes(), TimeRange::ALL), Ok(bits_of(&samples)));
        }
    }

    #[test]
    fn a_resumed_chunk_reads_back(samples in samples(), at in 0usize..130) {
        let at = at.min(samples.len());
        let whole = encode(&samples);
        if at > 0 {
            let mut resumed = XorAppender::resume(encode(&samples[..at]).into_bytes()).unwrap();
            for (timestamp_ms, value) in &samples[at..] {
                resumed.append(*timestamp_ms, *value);
            }
            prop_assert_eq!(resumed.bytes(), whole.bytes());
        }
    }

    #[test]
    fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&data, TimeRange::ALL);
        let _ = XorAppender::resume(data);
    }

    #[test]
    fn flipped_bits_do_not_panic(samples in samples(), byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut data = encode(&samples).into_bytes();
        if !data.is_empty() {
            let at = byte.index(data.len());
            data[at] ^= 1 << bit;
            let _ = decode(&data, TimeRange::ALL);
        }
    }
}
