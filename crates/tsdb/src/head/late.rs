//! Late samples of one series: those that arrived after newer ones.
//!
//! They gather sorted, up to 32 of them, and then become chunks. Chunks of late samples may overlap each other and the
//! series' other chunks; who reads merges them. Of several samples of one time the one that arrived first counts: any
//! other chunk of the series before late ones, earlier late chunks before later ones.

use norn_model::write::WriteHistogram;
use norn_model::{FloatHistogram, Histogram};

use super::open_chunk::HeadChunk;
use super::series::Value;
use crate::chunk::{ChunkError, Encoding, HistogramAppender, HistogramDecoder, XorAppender, XorDecoder};

/// Samples in a chunk of a block of late samples.
const MERGED_SAMPLES: usize = 120;
/// Late samples that are kept sorted before they become chunks.
const OPEN_MAX: usize = 32;

/// The late samples of one series.
#[derive(Debug, Default)]
pub(crate) struct LateSamples {
    /// Sorted by time, without doubles.
    open: Vec<(i64, LateValue)>,
    /// In the order in which they were closed.
    closed: Vec<HeadChunk>,
}

#[derive(Debug, Clone)]
pub(crate) enum LateValue {
    Float(f64),
    Histogram(Box<WriteHistogram>),
}

impl LateSamples {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    /// Adds a sample; a second one of the same time is dropped, as far as it is still among the open ones.
    pub(crate) fn insert(&mut self, timestamp_ms: i64, value: Value<'_>) {
        let Err(index) = self.open.binary_search_by_key(&timestamp_ms, |sample| sample.0) else {
            return;
        };
        let value = match value {
            Value::Float(value) => LateValue::Float(value),
            Value::Histogram(histogram) => LateValue::Histogram(Box::new(histogram.clone())),
        };
        self.open.insert(index, (timestamp_ms, value));
        if self.open.len() >= OPEN_MAX {
            self.close_open();
        }
    }

    fn close_open(&mut self) {
        encode(&self.open, &mut self.closed);
        self.open = Vec::new();
    }

    /// Ends the open samples and returns all chunks.
    pub(crate) fn close(&mut self) -> Vec<HeadChunk> {
        self.close_open();
        self.closed.clone()
    }

    /// All chunks that overlap `start_ms..=end_ms`; the open samples as chunks behind the others.
    pub(crate) fn collect_chunks(&self, start_ms: i64, end_ms: i64, chunks: &mut Vec<HeadChunk>) {
        let overlaps = |chunk: &HeadChunk| chunk.min_ms <= end_ms && chunk.max_ms >= start_ms;
        chunks.extend(self.closed.iter().filter(|chunk| overlaps(chunk)).cloned());
        encode(&self.open, chunks);
    }

    /// Whether a sample may lie inside `start_ms..=end_ms`, as far as the chunks' bounds tell.
    pub(crate) fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.closed.iter().any(|chunk| chunk.min_ms <= end_ms && chunk.max_ms >= start_ms)
            || self.open.iter().any(|sample| (start_ms..=end_ms).contains(&sample.0))
    }

    /// Drops the first chunks, which a block has.
    pub(crate) fn drop_first(&mut self, count: usize) {
        self.closed.drain(..count.min(self.closed.len()));
        self.closed.shrink_to_fit();
    }

    /// Takes over the chunks of a checkpoint.
    pub(crate) fn restore(&mut self, chunks: Vec<HeadChunk>) {
        self.closed = chunks;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|chunk| size_of::<HeadChunk>() + chunk.data.len()).sum();
        closed + self.open.capacity() * size_of::<(i64, LateValue)>()
    }
}

/// Chunks of one series, in the order in which they arrived, as chunks that ascend without overlap: all samples
/// inside `start_ms..=end_ms`, of each time the first.
///
/// Histograms with integer counts stay such.
pub(crate) fn merge_chunks(chunks: &[HeadChunk], start_ms: i64, end_ms: i64) -> Result<Vec<HeadChunk>, ChunkError> {
    let mut samples: Vec<(i64, LateValue)> = Vec::new();
    for chunk in chunks {
        decode(chunk, |timestamp_ms, value| {
            if (start_ms..=end_ms).contains(&timestamp_ms) {
                samples.push((timestamp_ms, value));
            }
        })?;
    }
    // The sort is stable: of equal times the first arrived stays first.
    samples.sort_by_key(|sample| sample.0);
    samples.dedup_by_key(|sample| sample.0);
    let mut merged = Vec::new();
    for part in samples.chunks(MERGED_SAMPLES) {
        encode(part, &mut merged);
    }
    Ok(merged)
}

/// Hands out the times of a chunk's samples.
pub(crate) fn visit_times(chunk: &HeadChunk, mut visit: impl FnMut(i64)) -> Result<(), ChunkError> {
    decode(chunk, |timestamp_ms, _| visit(timestamp_ms))
}

fn decode(chunk: &HeadChunk, mut visit: impl FnMut(i64, LateValue)) -> Result<(), ChunkError> {
    match chunk.encoding {
        Encoding::Xor => {
            let mut decoder = XorDecoder::new(&chunk.data)?;
            while let Some((timestamp_ms, value)) = decoder.next_sample()? {
                visit(timestamp_ms, LateValue::Float(value));
            }
        }
        Encoding::Histogram => {
            let mut decoder = HistogramDecoder::<Histogram>::new(&chunk.data)?;
            while decoder.advance()? {
                let histogram = Box::new(WriteHistogram::Integer(decoder.histogram()));
                visit(decoder.timestamp_ms(), LateValue::Histogram(histogram));
            }
        }
        Encoding::FloatHistogram => {
            let mut decoder = HistogramDecoder::<FloatHistogram>::new(&chunk.data)?;
            while decoder.advance()? {
                let histogram = Box::new(WriteHistogram::Float(decoder.histogram()));
                visit(decoder.timestamp_ms(), LateValue::Histogram(histogram));
            }
        }
    }
    Ok(())
}

/// Encodes sorted samples: neighbours of one kind share a chunk.
fn encode(samples: &[(i64, LateValue)], chunks: &mut Vec<HeadChunk>) {
    for run in samples.chunk_by(|left, right| kind(&left.1) == kind(&right.1)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        match kind(&first.1) {
            Encoding::Xor => {
                let mut appender = XorAppender::new();
                for (timestamp_ms, value) in run {
                    if let LateValue::Float(value) = value {
                        appender.append(*timestamp_ms, *value);
                    }
                }
                let data = appender.into_bytes().into();
                chunks.push(HeadChunk { min_ms: first.0, max_ms: last.0, encoding: Encoding::Xor, data });
            }
            Encoding::Histogram => encode_histograms(run, chunks, Encoding::Histogram, |histogram| match histogram {
                WriteHistogram::Integer(histogram) => Some(histogram),
                WriteHistogram::Float(_) => None,
            }),
            Encoding::FloatHistogram => {
                encode_histograms(run, chunks, Encoding::FloatHistogram, |histogram| match histogram {
                    WriteHistogram::Float(histogram) => Some(histogram),
                    WriteHistogram::Integer(_) => None,
                })
            }
        }
    }
}

fn kind(value: &LateValue) -> Encoding {
    match value {
        LateValue::Float(_) => Encoding::Xor,
        LateValue::Histogram(histogram) => match **histogram {
            WriteHistogram::Integer(_) => Encoding::Histogram,
            WriteHistogram::Float(_) => Encoding::FloatHistogram,
        },
    }
}

fn encode_histograms<H: crate::chunk::histogram::NativeHistogram>(
    run: &[(i64, LateValue)],
    chunks: &mut Vec<HeadChunk>,
    encoding: Encoding,
    of_kind: impl Fn(&WriteHistogram) -> Option<&H>,
) {
    let mut appender = HistogramAppender::<H>::new();
    let (mut min_ms, mut max_ms) = (0, 0);
    for (timestamp_ms, value) in run {
        let LateValue::Histogram(histogram) = value else { continue };
        let Some(histogram) = of_kind(histogram) else { continue };
        let starts = appender.count() == 0;
        let finished = appender.append(*timestamp_ms, histogram);
        if starts || finished.is_some() {
            if let Some(data) = finished {
                chunks.push(HeadChunk { min_ms, max_ms, encoding, data: data.into() });
            }
            min_ms = *timestamp_ms;
        }
        max_ms = *timestamp_ms;
    }
    if appender.count() > 0 {
        chunks.push(HeadChunk { min_ms, max_ms, encoding, data: appender.into_bytes().into() });
    }
}
