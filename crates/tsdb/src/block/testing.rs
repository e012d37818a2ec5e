//! Small blocks for tests, written and read as text.

use std::path::Path;
use std::task::{Context, Poll, Waker};

use norn_model::Labels;
use norn_model::sample::{is_stale, stale_nan};
use norn_model::select::{SeriesBatch, SeriesRequest, SeriesSource, SeriesStore};

use super::meta::Compaction;
use super::writer::{BlockDescription, BlockWriter, ChunkToWrite};
use super::{BlockMeta, BlockReader};
use crate::chunk::samples::{EncodedChunk, TimedValue, Value, encode_samples};
use crate::ulid::Ulid;

/// The ULID of a small number.
pub(crate) fn ulid(number: u32) -> Ulid {
    format!("{number:026}").parse().unwrap()
}

/// Labels from `a=1 b=2`.
pub(crate) fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split_whitespace().map(|pair| pair.split_once('=').unwrap()))
}

/// Chunks from `10:1.5 20:stale | 30:2`: times in milliseconds and floats; a bar ends a chunk.
pub(crate) fn chunks(text: &str) -> Vec<EncodedChunk> {
    let sample = |word: &str| {
        let (time, value) = word.split_once(':').unwrap();
        let value = if value == "stale" { stale_nan() } else { value.parse().unwrap() };
        TimedValue { timestamp_ms: time.parse().unwrap(), value: Value::Float(value) }
    };
    let chunk = |part: &str| encode_samples(&part.split_whitespace().map(sample).collect::<Vec<_>>());
    text.split('|').flat_map(chunk).collect()
}

/// Writes a block of level 1 over 0 to 1000 ms; series as `(labels, chunks)` in any order.
pub(crate) fn write_block(parent: &Path, number: u32, series: &[(&str, &str)]) -> BlockMeta {
    write_block_over(parent, number, 0..1000, series)
}

/// Writes a block of level 1 over some milliseconds.
pub(crate) fn write_block_over(
    parent: &Path,
    number: u32,
    times: std::ops::Range<i64>,
    series: &[(&str, &str)],
) -> BlockMeta {
    let mut series: Vec<_> = series.iter().map(|(pairs, samples)| (labels(pairs), chunks(samples))).collect();
    series.sort_by(|left, right| left.0.cmp(&right.0));
    let mut symbols: Vec<String> = Vec::new();
    for (labels, _) in &series {
        symbols.extend(labels.iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
    }
    symbols.sort();
    symbols.dedup();
    let mut writer = BlockWriter::create(parent, ulid(number), symbols).unwrap();
    for (labels, chunks) in &series {
        writer.add_series(labels.as_ref(), chunks.iter().map(to_write)).unwrap();
    }
    let description = BlockDescription {
        min_time: times.start,
        max_time: times.end,
        compaction: Compaction::of_head(ulid(number)),
        source: "receive".to_owned(),
        ..BlockDescription::default()
    };
    writer.finish(description).unwrap().unwrap()
}

pub(crate) fn to_write(chunk: &EncodedChunk) -> ChunkToWrite<'_> {
    ChunkToWrite { range: chunk.range, encoding: chunk.encoding, data: &chunk.data }
}

/// Opens a block that [`write_block`] wrote.
pub(crate) fn open(parent: &Path, number: u32) -> BlockReader {
    BlockReader::open(&parent.join(ulid(number).to_string())).unwrap()
}

/// The answer to a request: `a=1 b=2: 10:1.5 20:stale` for each series, in the order of the answer.
pub(crate) fn answer(block: &BlockReader, request: SeriesRequest) -> Result<Vec<String>, norn_base::Error> {
    read_lines(block.select(request))
}

/// What a source yields, as [`answer`] shows it.
pub(crate) fn read_lines(mut source: Box<dyn SeriesSource>) -> Result<Vec<String>, norn_base::Error> {
    let mut context = Context::from_waker(Waker::noop());
    let mut batch = SeriesBatch::default();
    let mut lines = Vec::new();
    loop {
        match source.poll_batch(&mut context, &mut batch) {
            Poll::Pending => {}
            Poll::Ready(Ok(true)) => lines.extend((0..batch.len()).map(|index| line(&batch, index))),
            Poll::Ready(Ok(false)) => return Ok(lines),
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
}

fn line(batch: &SeriesBatch, index: usize) -> String {
    let series = batch.series(index);
    let pairs: Vec<String> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let value = |value: &f64| if is_stale(*value) { "stale".to_owned() } else { value.to_string() };
    let samples: Vec<String> = series
        .timestamps_ms
        .iter()
        .zip(series.values)
        .map(|(time, sample)| format!("{time}:{}", value(sample)))
        .collect();
    format!("{}: {}", pairs.join(" "), samples.join(" "))
}
