use std::io::Write;

use norn_base::random::SeededRandom;

use super::*;

fn reader(budget_bytes: u64) -> (BodyReader, Arc<MemoryBudget>) {
    let budget = MemoryBudget::new("bodies", budget_bytes);
    (BodyReader::new(budget.clone(), ComputePool::start(1, 8).unwrap()), budget)
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn read(encoding: &str, body: Vec<u8>, limits: BodyLimits) -> Result<Bytes, BodyError> {
    let (reader, budget) = reader(64 << 20);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
    let result = run(reader.read(&headers, Body::from(body), limits));
    if result.is_err() {
        assert_eq!(budget.used_bytes(), 0);
    }
    result
}

fn compress(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), fast);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), fast);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "raw deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), fast);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 1).unwrap(),
        "lz4" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "snappy" => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        _ => plain.to_vec(),
    }
}

const ALL: [&str; 7] = ["identity", "gzip", "deflate", "raw deflate", "zstd", "lz4", "snappy"];

fn header_of(encoding: &str) -> &str {
    encoding.trim_start_matches("raw ")
}

#[test]
fn every_encoding_reads_back_inline_and_on_the_pool() {
    for encoding in ALL {
        for len in [0, 1, 1000, 3_000_000] {
            let plain: Vec<u8> = (0..len).map(|index: u32| (index % 251) as u8).collect();
            let bytes = read(header_of(encoding), compress(encoding, &plain), BodyLimits::both(4_000_000)).unwrap();
            assert!(bytes == plain, "{encoding}, {len} bytes");
        }
    }
}

#[test]
fn a_bomb_is_refused_at_its_limit() {
    let plain = vec![0; 1_000_000];
    for encoding in ALL {
        let fits = read(header_of(encoding), compress(encoding, &plain), BodyLimits::both(plain.len()));
        assert_eq!(fits.unwrap().len(), plain.len());
        let refused = read(header_of(encoding), compress(encoding, &plain), BodyLimits::both(plain.len() - 1));
        assert!(matches!(refused, Err(BodyError::TooLarge { .. })), "{encoding}");
        let unpacked = BodyLimits { compressed_bytes_max: usize::MAX, decompressed_bytes_max: plain.len() - 1 };
        let refused = read(header_of(encoding), compress(encoding, &plain), unpacked);
        assert!(matches!(refused, Err(BodyError::TooLarge { .. })), "{encoding}");
    }
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    let (reader, budget) = reader(64 << 20);
    let check = |body: &[u8], limit: usize| {
        let read = reader.read_as(Encoding::Snappy, Body::from(body.to_vec()), BodyLimits::both(limit));
        let error = run(read).unwrap_err().to_string();
        // Only the received bytes were charged.
        assert!(budget.peak_bytes() <= 32 << 10, "{} bytes", budget.peak_bytes());
        error
    };
    // 4 GiB - 1, and 60 MiB, claimed by a few bytes.
    assert_eq!(
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 100 << 20),
        "the request body of 4294967295 bytes (uncompressed) is larger than the allowed 104857600 bytes"
    );
    assert_eq!(check(&[0x80, 0x80, 0x80, 0x1e, 0], 100 << 20), "decompress snappy: snappy: corrupt input");
    assert_eq!(check(&[0xff; 12], 100 << 20), "decompress snappy: snappy: corrupt input");
    assert_eq!(check(&[], 100 << 20), "decompress snappy: snappy: corrupt input");
}

#[test]
fn damaged_bodies_are_errors() {
    let plain: Vec<u8> = (0..5000u32).flat_map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for encoding in ALL.into_iter().filter(|encoding| *encoding != "identity") {
        let whole = compress(encoding, &plain);
        for keep in [1, whole.len() / 2, whole.len() - 1] {
            let result = read(header_of(encoding), whole[..keep].to_vec(), BodyLimits::both(1 << 20));
            let seen = result.map(|bytes| bytes.len());
            assert!(matches!(seen, Err(BodyError::Corrupt { .. })), "{encoding}, {keep} bytes: {seen:?}");
        }
    }
    let unknown = read("br", vec![1], BodyLimits::both(100)).unwrap_err();
    assert_eq!(Error::from(unknown).http_status(), 415);
}

#[test]
fn bodies_share_a_budget() {
    let (reader, budget) = reader(50_000);
    let body = || Body::from(vec![1; 30_000]);
    let first = run(reader.read(&HeaderMap::new(), body(), BodyLimits::both(40_000))).unwrap();
    let refused = run(reader.read(&HeaderMap::new(), body(), BodyLimits::both(40_000))).unwrap_err();
    assert_eq!(Error::from(refused).http_status(), 503);
    drop(first);
    assert_eq!(budget.used_bytes(), 0);
    run(reader.read(&HeaderMap::new(), body(), BodyLimits::both(40_000))).unwrap();
}

#[test]
fn no_bytes_make_a_decoder_panic_or_exceed_its_limit() {
    let random = SeededRandom::shared(11);
    let below = |bound: usize| (random.next_u64() % bound as u64) as usize;
    let buffers = Buffers::new(MemoryBudget::new("bodies", u64::MAX));
    let plain: Vec<u8> = (0..400u32).flat_map(|index| (index / 3).to_le_bytes()).collect();
    for encoding in ALL {
        let whole = compress(encoding, &plain);
        for _ in 0..300 {
            let mut damaged = whole.clone();
            for _ in 0..=below(4) {
                let index = below(damaged.len());
                damaged[index] = below(256) as u8;
            }
            damaged.truncate(1 + below(whole.len()));
            let noise: Vec<u8> = (0..below(64)).map(|_| below(256) as u8).collect();
            for input in [&damaged, &noise] {
                let mut output = buffers.take();
                let encoding = Encoding::parse(header_of(encoding)).unwrap();
                if encoding != Encoding::Identity && decode::decode(encoding, input, 2000, &mut output).is_ok() {
                    assert!(output.as_ref().len() <= 2000);
                }
            }
        }
    }
}
