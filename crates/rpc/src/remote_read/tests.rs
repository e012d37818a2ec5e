use norn_model::Labels;

use super::*;

/// Start, end, and matchers as (type, name, value).
type Query<'q> = (i64, i64, &'q [(u64, &'q str, &'q str)]);

fn request(queries: &[Query<'_>], accepted: &[u64]) -> Vec<u8> {
    let mut body = Vec::new();
    for (start_ms, end_ms, matchers) in queries {
        wire::put_message(&mut body, 1, |message| {
            wire::put_uint(message, 1, start_ms.cast_unsigned());
            wire::put_uint(message, 2, end_ms.cast_unsigned());
            for (kind, name, value) in *matchers {
                wire::put_message(message, 3, |message| {
                    wire::put_uint(message, 1, *kind);
                    wire::put_text(message, 2, name);
                    wire::put_text(message, 3, value);
                });
            }
        });
    }
    wire::put_packed_varints(&mut body, 2, accepted.iter().copied());
    body
}

#[test]
fn requests_are_read() {
    let body = request(&[(-5, 10, &[(0, "__name__", "up"), (3, "job", "a|b")])], &[1, 0]);
    let decoded = decode_request(&body).unwrap();
    assert_eq!(decoded.response_type, ResponseType::StreamedXorChunks);
    let query = &decoded.queries[0];
    assert_eq!((query.start_ms, query.end_ms), (-5, 10));
    let matcher = Matcher::new(MatchOp::NotRegex, "job", "a|b").unwrap();
    assert_eq!(query.matchers, [Matcher::equal("__name__", "up"), matcher]);
}

#[test]
fn the_first_type_that_norn_has_is_taken() {
    let check = |accepted: &[u64], expected| {
        assert_eq!(decode_request(&request(&[], accepted)).ok().map(|request| request.response_type), expected);
    };
    check(&[], Some(ResponseType::Samples));
    check(&[0, 1], Some(ResponseType::Samples));
    check(&[7, 1], Some(ResponseType::StreamedXorChunks));
    check(&[7], None);
}

#[test]
fn bad_matchers_are_refused() {
    let check = |matcher, expected: &str| {
        let error = decode_request(&request(&[(0, 0, &[matcher])], &[])).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    };
    check((4, "job", "x"), "invalid matcher type: 4");
    check((2, "job", "("), "invalid matcher \"job\"");
}

#[test]
fn answers_have_a_result_for_each_query() {
    let mut response = SampledResponse::default();
    let labels = Labels::from_pairs([("a", "b")]);
    response.series(labels.as_ref(), &[Sample { timestamp_ms: 1, value: 2.0 }], &[]);
    response.end_query();
    response.end_query();
    let body = response.finish();
    let mut reader = Reader::new(&body);
    let lengths: Vec<_> =
        std::iter::from_fn(|| reader.next_field().unwrap()).map(|field| field.bytes().unwrap().len()).collect();
    assert_eq!(lengths, [23, 0]);
}

/// The frames as (query, chunks) after their checksums were compared.
fn read_frames(mut bytes: &[u8]) -> Vec<(u64, usize)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let mut reader = Reader::new(bytes);
        let len = reader.varint().unwrap() as usize;
        let (crc, rest) = bytes[reader.offset()..].split_first_chunk::<4>().unwrap();
        let (message, rest) = rest.split_at(len);
        assert_eq!(u32::from_be_bytes(*crc), message.len() as u32);
        assert!(len <= FRAME_BYTES_MAX);
        bytes = rest;
        let (mut query, mut chunks) = (0, 0);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().unwrap() {
            if field.number == 2 {
                query = field.uint64().unwrap();
                continue;
            }
            let mut series = Reader::new(field.bytes().unwrap());
            while let Some(field) = series.next_field().unwrap() {
                chunks += usize::from(field.number == 2);
            }
        }
        frames.push((query, chunks));
    }
    frames
}

#[test]
fn long_series_are_cut_into_frames() {
    let data = vec![7; 400_000];
    let chunk = ReadChunk { min_time_ms: 1, max_time_ms: 2, encoding: ChunkEncoding::Xor, data: &data };
    let labels = Labels::from_pairs([("a", "b")]);
    let mut bytes = Vec::new();
    put_series_frames(&mut bytes, 3, labels.as_ref(), &[chunk; 5], |message| message.len() as u32);
    assert_eq!(read_frames(&bytes), [(3, 2), (3, 2), (3, 1)]);
}
