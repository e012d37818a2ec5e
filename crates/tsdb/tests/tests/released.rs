//! A block as the first release wrote it. Every later release must read it, and as long as the format stays the same,
//! write the same bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use norn_model::Labels;
use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use norn_model::sample::stale_nan;
use norn_model::select::{SeriesRequest, TimeRange};
use norn_tsdb::block::meta::Compaction;
use norn_tsdb::block::tombstones::Tombstones;
use norn_tsdb::block::writer::{BlockDescription, ChunkToWrite};
use norn_tsdb::block::{BlockReader, BlockWriter};
use norn_tsdb::chunk::samples::{TimedValue, Value, encode_samples};
use norn_tsdb::ulid::Ulid;

use super::readable::{Answer, add_answer};

const ULID: &str = "01M7XS5Z9XV1SC9Z7W07273SYP";
const START_MS: i64 = 1_793_491_200_000;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/block-1").join(ULID)
}

fn integer(step: i64) -> Value {
    let deltas = if step < 3 { vec![step, 1, -1] } else { vec![step, 1, -1, 5] };
    let length = deltas.len() as u32;
    Value::Histogram(Arc::new(Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 2,
        zero_threshold: 2f64.powi(-128),
        zero_count: step as u64,
        count: 100 * step as u64,
        sum: 0.25 * step as f64,
        positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 4, length: length - 1 }],
        negative_spans: vec![],
        positive_deltas: deltas,
        negative_deltas: vec![],
        custom_values: [].into(),
    }))
}

fn with_bounds(step: i64) -> Value {
    Value::FloatHistogram(Arc::new(FloatHistogram {
        reset_hint: ResetHint::Gauge,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 10.5,
        sum: -1.5 * step as f64,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        positive_buckets: vec![step as f64, 0.5],
        negative_buckets: vec![],
        custom_values: [0.005, 2.5, 1e9].into(),
    }))
}

/// What is in the block: floats with a stale marker and NaNs, both kinds of histograms, a series that changes its kind.
fn content() -> Vec<(Labels, Vec<TimedValue>)> {
    let series = |pairs: &[(&str, &str)], value: &dyn Fn(i64) -> Value, steps: i64| {
        let sample = |step| TimedValue { timestamp_ms: START_MS + 15_000 * step + step % 2, value: value(step) };
        (Labels::from_pairs(pairs.iter().copied()), (0..steps).map(sample).collect::<Vec<_>>())
    };
    let float = |step: i64| match step {
        7 => Value::Float(stale_nan()),
        8 => Value::Float(f64::NAN),
        9 => Value::Float(-0.0),
        _ => Value::Float(step as f64 * 1.1),
    };
    vec![
        series(&[("__name__", "bounds"), ("ümlaut", "wert")], &with_bounds, 4),
        series(&[("__name__", "floats"), ("job", "a")], &float, 130),
        series(&[("__name__", "floats"), ("job", "b")], &|step| Value::Float((step / 50) as f64), 100),
        series(&[("__name__", "integers"), ("job", "a")], &integer, 6),
        series(&[("__name__", "mixed")], &|step| if step < 3 { float(step) } else { integer(step) }, 5),
    ]
}

fn write(target: &Path) -> PathBuf {
    let content = content();
    let mut symbols: Vec<&str> = Vec::new();
    for (labels, _) in &content {
        symbols.extend(labels.iter().flat_map(|(name, value)| [name, value]));
    }
    symbols.sort_unstable();
    symbols.dedup();
    let ulid: Ulid = ULID.parse().unwrap();
    let mut writer = BlockWriter::create(target, ulid, symbols).unwrap();
    for (labels, samples) in &content {
        let chunks = encode_samples(samples);
        let to_write =
            chunks.iter().map(|chunk| ChunkToWrite { range: chunk.range, encoding: chunk.encoding, data: &chunk.data });
        writer.add_series(labels.as_ref(), to_write).unwrap();
    }
    let description = BlockDescription {
        min_time: START_MS,
        max_time: START_MS + 7_200_000,
        compaction: Compaction::of_head(ulid),
        external_labels: [("replica".to_owned(), "1".to_owned())].into(),
        source: "receive".to_owned(),
    };
    writer.finish(description).unwrap();
    target.join(ULID)
}

/// The second sample of `bounds` and all samples of `mixed` but one.
fn tombstones(block: &BlockReader) -> Tombstones {
    let mut tombstones = Tombstones::default();
    let id = |name: &str| u64::from(block.index().postings("__name__", name).unwrap()[0]);
    tombstones.add(id("bounds"), TimeRange { start_ms: START_MS + 15_000, end_ms: START_MS + 29_999 });
    tombstones.add(id("mixed"), TimeRange { start_ms: START_MS + 1, end_ms: i64::MAX });
    tombstones
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    for (labels, samples) in answer {
        text.push_str(labels);
        text.push('\n');
        for (time, value) in samples {
            text.push_str(&format!("    {time} {value}\n"));
        }
    }
    text
}

fn answer_of(block: &BlockReader) -> Answer {
    let mut answer = Answer::new();
    add_answer(block, SeriesRequest::new(vec![], TimeRange::ALL), &mut answer);
    answer
}

#[test]
fn the_released_block_is_read() {
    let block = BlockReader::open(&fixture()).unwrap();
    let expected = std::fs::read_to_string(fixture().join("../expected.txt")).unwrap();
    assert_eq!(text(&answer_of(&block)), expected);
    assert_eq!(block.meta().stats.num_samples, 245);
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let target = tempfile::tempdir().unwrap();
    let written = write(target.path());
    let block = BlockReader::open(&written).unwrap();
    std::fs::write(written.join("tombstones"), tombstones(&block).to_bytes()).unwrap();
    for file in ["meta.json", "index", "chunks/000001", "tombstones"] {
        let same = std::fs::read(written.join(file)).unwrap() == std::fs::read(fixture().join(file)).unwrap();
        assert!(same, "{file}");
    }
}
