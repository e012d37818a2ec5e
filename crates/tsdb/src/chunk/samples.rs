//! Samples one by one: for chunks that overlap in time, and so have to be taken apart, merged and encoded again.
//!
//! This is the slow way, taken where several writers saw one series: replicas, late samples, blocks that were made
//! twice. All else hands on chunks as they are, or decodes them into columns.
//!
//! Of two samples of one time the same one wins everywhere: a histogram over a float, a value over a stale marker, then
//! the larger by the total order of floats (of histograms: by count, sum and buckets).

use std::cmp::Ordering;
use std::sync::Arc;

use norn_model::histogram::{FloatHistogram, Histogram, ResetHint};
use norn_model::sample::is_stale;
use norn_model::select::TimeRange;

use super::{ChunkError, Encoding, HistogramAppender, HistogramDecoder, NativeHistogram, XorAppender, XorDecoder};

/// How many samples a chunk gets that is encoded again. Source: Prometheus `storage/series.go`.
const CHUNK_SAMPLES: u16 = 120;

/// What a series is at one time.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A histogram with integer counts.
    Histogram(Arc<Histogram>),
    /// A histogram with float counts.
    FloatHistogram(Arc<FloatHistogram>),
}

/// A value at a time, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedValue {
    /// When.
    pub timestamp_ms: i64,
    /// What.
    pub value: Value,
}

/// A chunk that was encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    /// The times of its first and last sample.
    pub range: TimeRange,
    /// How it is laid out.
    pub encoding: Encoding,
    /// Its data.
    pub data: Vec<u8>,
}

impl Value {
    fn is_stale(&self) -> bool {
        is_stale(match self {
            Self::Float(value) => *value,
            Self::Histogram(histogram) => histogram.sum,
            Self::FloatHistogram(histogram) => histogram.sum,
        })
    }

    /// The greater of two values of one time is the one that stays.
    fn rank(&self, other: &Self) -> Ordering {
        let is_histogram = |value: &Self| !matches!(value, Self::Float(_));
        let kinds = is_histogram(self).cmp(&is_histogram(other));
        kinds.then_with(|| other.is_stale().cmp(&self.is_stale())).then_with(|| match (self, other) {
            (Self::Float(left), Self::Float(right)) => left.total_cmp(right),
            (Self::Histogram(left), Self::Histogram(right)) => rank_histograms(&**left, &**right),
            (Self::FloatHistogram(left), Self::FloatHistogram(right)) => rank_histograms(&**left, &**right),
            (Self::Histogram(left), Self::FloatHistogram(right)) => {
                (left.count as f64).total_cmp(&right.count).then(Ordering::Greater)
            }
            (Self::FloatHistogram(left), Self::Histogram(right)) => {
                left.count.total_cmp(&(right.count as f64)).then(Ordering::Less)
            }
            (Self::Float(_), _) | (_, Self::Float(_)) => kinds,
        })
    }

    /// Forgets that no counter was reset before this value, where another came in between.
    fn forget_predecessor(&mut self) {
        match self {
            Self::Histogram(histogram) if histogram.reset_hint == ResetHint::NotCounterReset => {
                Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
            }
            Self::FloatHistogram(histogram) if histogram.reset_hint == ResetHint::NotCounterReset => {
                Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
            }
            _ => {}
        }
    }
}

/// Two histograms of one kind, by what they count, then by all else, so that equal ranks mean equal histograms.
fn rank_histograms<H: NativeHistogram>(left: &H, right: &H) -> Ordering {
    let count = left.count().partial_cmp(&right.count()).unwrap_or(Ordering::Equal);
    let buckets = || left.stored_buckets().partial_cmp(&right.stored_buckets()).unwrap_or(Ordering::Equal);
    let spans = |histogram: &H| {
        histogram.spans().map(|spans| spans.iter().map(|span| (span.offset, span.length)).collect::<Vec<_>>())
    };
    count
        .then_with(|| left.sum().total_cmp(&right.sum()))
        .then_with(buckets)
        .then_with(|| (left.schema(), spans(left)).cmp(&(right.schema(), spans(right))))
}

/// Appends the samples of a chunk that lie inside `range`.
pub fn decode_samples(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    samples: &mut Vec<TimedValue>,
) -> Result<(), ChunkError> {
    let mut push = |timestamp_ms: i64, value: &dyn Fn() -> Value| {
        if range.contains(timestamp_ms) {
            samples.push(TimedValue { timestamp_ms, value: value() });
        }
    };
    match encoding {
        Encoding::Xor => {
            let mut decoder = XorDecoder::new(data)?;
            while let Some((timestamp_ms, value)) = decoder.next_sample()? {
                push(timestamp_ms, &|| Value::Float(value));
            }
        }
        Encoding::Histogram => {
            let mut decoder = HistogramDecoder::new(data)?;
            while decoder.advance()? {
                push(decoder.timestamp_ms(), &|| Value::Histogram(Arc::new(decoder.histogram())));
            }
        }
        Encoding::FloatHistogram => {
            let mut decoder = HistogramDecoder::new(data)?;
            while decoder.advance()? {
                push(decoder.timestamp_ms(), &|| Value::FloatHistogram(Arc::new(decoder.histogram())));
            }
        }
    }
    Ok(())
}

/// Merges the samples of several sources, each ascending in time, into one list without doubles.
///
/// Cost: sorts all samples, which run in long ascending stretches.
pub fn merge_samples(sources: Vec<Vec<TimedValue>>) -> Vec<TimedValue> {
    let number = |(source, samples): (usize, Vec<TimedValue>)| samples.into_iter().map(move |sample| (source, sample));
    let mut all: Vec<(usize, TimedValue)> = sources.into_iter().enumerate().flat_map(number).collect();
    // The winner of each time comes first.
    all.sort_by(|(_, left), (_, right)| {
        left.timestamp_ms.cmp(&right.timestamp_ms).then_with(|| right.value.rank(&left.value))
    });
    let mut merged: Vec<TimedValue> = Vec::with_capacity(all.len());
    let mut last_source = None;
    for (source, mut sample) in all {
        if merged.last().is_some_and(|last| last.timestamp_ms == sample.timestamp_ms) {
            continue;
        }
        if last_source.replace(source) != Some(source) {
            sample.value.forget_predecessor();
        }
        merged.push(sample);
    }
    merged
}

/// Encodes samples, strictly ascending in time, into chunks of at most 120 samples and one kind.
pub fn encode_samples(samples: &[TimedValue]) -> Vec<EncodedChunk> {
    let mut chunks = Vec::new();
    let mut open: Option<OpenChunk> = None;
    for sample in samples {
        let fits = open.as_ref().is_some_and(|open| open.takes(&sample.value));
        if !fits {
            chunks.extend(open.take().map(OpenChunk::finish));
        }
        match &mut open {
            Some(open) => chunks.extend(open.append(sample)),
            None => open = Some(OpenChunk::starting_with(sample)),
        }
    }
    chunks.extend(open.map(OpenChunk::finish));
    chunks
}

struct OpenChunk {
    range: TimeRange,
    appender: Appender,
}

enum Appender {
    Float(XorAppender),
    Histogram(HistogramAppender<Histogram>),
    FloatHistogram(HistogramAppender<FloatHistogram>),
}

impl OpenChunk {
    fn starting_with(sample: &TimedValue) -> Self {
        let appender = match &sample.value {
            Value::Float(_) => Appender::Float(XorAppender::new()),
            Value::Histogram(_) => Appender::Histogram(HistogramAppender::new()),
            Value::FloatHistogram(_) => Appender::FloatHistogram(HistogramAppender::new()),
        };
        let range = TimeRange { start_ms: sample.timestamp_ms, end_ms: sample.timestamp_ms };
        let mut open = Self { range, appender };
        let before = open.append(sample);
        debug_assert!(before.is_none(), "an empty chunk takes every sample");
        open
    }

    fn takes(&self, value: &Value) -> bool {
        match (&self.appender, value) {
            (Appender::Float(appender), Value::Float(_)) => appender.count() < CHUNK_SAMPLES,
            (Appender::Histogram(appender), Value::Histogram(_)) => appender.count() < CHUNK_SAMPLES,
            (Appender::FloatHistogram(appender), Value::FloatHistogram(_)) => appender.count() < CHUNK_SAMPLES,
            _ => false,
        }
    }

    /// Appends a sample of the chunk's kind; returns the chunk so far where the sample began a new one.
    fn append(&mut self, sample: &TimedValue) -> Option<EncodedChunk> {
        let (encoding, finished) = match (&mut self.appender, &sample.value) {
            (Appender::Float(appender), Value::Float(value)) => {
                appender.append(sample.timestamp_ms, *value);
                (Encoding::Xor, None)
            }
            (Appender::Histogram(appender), Value::Histogram(histogram)) => {
                (Encoding::Histogram, appender.append(sample.timestamp_ms, histogram))
            }
            (Appender::FloatHistogram(appender), Value::FloatHistogram(histogram)) => {
                (Encoding::FloatHistogram, appender.append(sample.timestamp_ms, histogram))
            }
            _ => unreachable!("a chunk is asked first whether it takes the value"),
        };
        let before = finished.map(|data| EncodedChunk { range: self.range, encoding, data });
        if before.is_some() {
            self.range.start_ms = sample.timestamp_ms;
        }
        self.range.end_ms = sample.timestamp_ms;
        before
    }

    fn finish(self) -> EncodedChunk {
        let (encoding, data) = match self.appender {
            Appender::Float(appender) => (Encoding::Xor, appender.into_bytes()),
            Appender::Histogram(appender) => (Encoding::Histogram, appender.into_bytes()),
            Appender::FloatHistogram(appender) => (Encoding::FloatHistogram, appender.into_bytes()),
        };
        EncodedChunk { range: self.range, encoding, data }
    }
}

#[cfg(test)]
mod tests;
