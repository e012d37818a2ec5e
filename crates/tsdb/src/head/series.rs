//! One series in the head: its open chunk, its closed chunks, and its late samples.
//!
//! A head holds one [`Series`] for each active series, so its size is the head's size. What nearly all series have lies
//! inside: who it is, where its open chunk of floats ends. What few have (histograms, late samples) is in a box
//! beside. Labels are elsewhere, in the index, because appends do not look at them.
//!
//! Chunks are cut as Prometheus cuts them: at the edges of block ranges, and else so that the chunks of a range are of
//! equal length and have about 120 samples. A chunk therefore never crosses the edge of a block, and a block takes
//! chunks over as they are.

use norn_model::estimate::{SeriesCount, samples_within};
use norn_model::select::TimeRange;
use norn_model::write::WriteHistogram;

use super::late::LateSamples;
use super::open_chunk::{ChunkRules, HISTOGRAM_SAMPLES_MIN, HeadChunk, OpenHistograms, chunk_end};
use crate::chunk::{Encoding, XorAppender, sample_count};

/// The series of a tenant that a posting list names. Given again once a series is gone.
pub type SeriesRef = u32;

/// A sample's value as it arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Float(f64),
    Histogram(&'a WriteHistogram),
}

/// One series. The shard that owns it guards it with its lock.
#[derive(Debug)]
pub(crate) struct Series {
    /// The stable hash of its labels.
    pub(crate) hash: u64,
    /// Another hash of its labels, with a secret seed: the two together are the series' identity.
    pub(crate) fingerprint: u64,
    /// Its number in the log. Never given again, unlike its place in the shard.
    pub(crate) id: u64,
    /// The newest sample that is not late; `i64::MIN` before the first.
    last_ms: i64,
    /// The open chunk ends before this time.
    next_at_ms: i64,
    /// The lowest bits of the log segment that last defined `id`.
    pub(crate) segment: u32,
    /// Where the batch that is being staged keeps it; see `stage`.
    pub(crate) slot: u32,
    /// When it last got a sample, in seconds since the Unix epoch.
    pub(crate) active_s: u32,
    pub(crate) state: State,
    /// The open chunk, if it is one of floats.
    floats: XorAppender,
    // A boxed vector is one word here instead of three, for a list that is empty in many series.
    #[expect(clippy::box_collection, reason = "one word instead of three in each series")]
    closed: Option<Box<Vec<HeadChunk>>>,
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<Series>() <= 128, "a head holds one per active series");

/// Whether readers know a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The place is free.
    Gone,
    /// A batch that is not in the log yet made it. Readers do not see it.
    Staged,
    /// It is in the index.
    Published,
}

/// What few series have.
#[derive(Debug, Default)]
struct Rare {
    histograms: OpenHistograms,
    /// Whether `next_at_ms` has been computed from the size of the open chunk of histograms.
    end_computed: bool,
    /// First sample of the open chunk of histograms.
    histograms_min_ms: i64,
    /// The newest histogram, to tell a repetition from a contradiction; none where the newest sample is a float.
    last: Option<WriteHistogram>,
    late: LateSamples,
}

impl Series {
    /// A series without samples that no reader sees.
    pub(crate) fn new(hash: u64, fingerprint: u64, id: u64) -> Self {
        Self {
            hash,
            fingerprint,
            id,
            last_ms: i64::MIN,
            next_at_ms: i64::MIN,
            segment: u32::MAX,
            slot: u32::MAX,
            active_s: 0,
            state: State::Staged,
            floats: XorAppender::new(),
            closed: None,
            rare: None,
        }
    }

    /// The newest sample that is not late; `i64::MIN` before the first.
    #[inline]
    pub(crate) fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// What the newest sample is, if there is one and it is known.
    pub(crate) fn last_value(&self) -> Option<Value<'_>> {
        if let Some(last) = self.rare.as_ref().and_then(|rare| rare.last.as_ref()) {
            return Some(Value::Histogram(last));
        }
        (self.floats.count() > 0).then(|| Value::Float(self.floats.last_value()))
    }

    /// Appends a float. One that is not newer than the newest is kept as a late sample.
    #[inline]
    pub(crate) fn append_float(&mut self, rules: &ChunkRules, timestamp_ms: i64, value: f64) {
        if timestamp_ms <= self.last_ms {
            self.insert_late(timestamp_ms, Value::Float(value));
            return;
        }
        let count = self.floats.count();
        if count == 0 {
            self.open_floats(rules, timestamp_ms);
        } else {
            if count == rules.samples / 4 {
                let start_ms = self.floats_min_ms();
                self.next_at_ms = chunk_end(start_ms, self.last_ms, self.next_at_ms, 4.0);
            }
            if timestamp_ms >= self.next_at_ms || count >= rules.samples * 2 {
                self.close();
                self.open_floats(rules, timestamp_ms);
            }
        }
        self.floats.append(timestamp_ms, value);
        self.last_ms = timestamp_ms;
    }

    #[cold]
    fn open_floats(&mut self, rules: &ChunkRules, timestamp_ms: i64) {
        self.close();
        if let Some(rare) = &mut self.rare {
            rare.last = None;
        }
        self.next_at_ms = rules.range_end(timestamp_ms);
    }

    /// The first sample of the open chunk of floats, which has one.
    fn floats_min_ms(&self) -> i64 {
        crate::chunk::xor::XorDecoder::new(self.floats.bytes())
            .and_then(|mut decoder| decoder.next_sample())
            .ok()
            .flatten()
            .map_or(self.last_ms, |(timestamp_ms, _)| timestamp_ms)
    }

    /// Appends a histogram that was validated. One that is not newer than the newest is kept as a late sample.
    pub(crate) fn append_histogram(&mut self, rules: &ChunkRules, timestamp_ms: i64, histogram: &WriteHistogram) {
        if timestamp_ms <= self.last_ms {
            self.insert_late(timestamp_ms, Value::Histogram(histogram));
            return;
        }
        if self.histograms_must_end(rules, timestamp_ms, histogram) {
            self.close();
        }
        let last_ms = self.last_ms;
        let next_at_ms = self.next_at_ms;
        let rare = self.rare.get_or_insert_default();
        let opens = matches!(rare.histograms, OpenHistograms::None);
        let finished = match histogram {
            WriteHistogram::Integer(histogram) => rare.histograms.integer().append(timestamp_ms, histogram),
            WriteHistogram::Float(histogram) => rare.histograms.float().append(timestamp_ms, histogram),
        };
        let encoding = rare.histograms.encoding();
        rare.last = Some(histogram.clone());
        let min_ms = rare.histograms_min_ms;
        if opens || finished.is_some() {
            rare.histograms_min_ms = timestamp_ms;
            rare.end_computed = false;
            self.next_at_ms = rules.range_end(timestamp_ms);
        } else {
            self.next_at_ms = next_at_ms;
        }
        if let Some(data) = finished {
            self.push_closed(HeadChunk { min_ms, max_ms: last_ms, encoding, data: data.into() });
        }
        self.last_ms = timestamp_ms;
    }

    /// Whether the open chunk ends before this histogram: it holds something else, or is large or long enough.
    fn histograms_must_end(&mut self, rules: &ChunkRules, timestamp_ms: i64, histogram: &WriteHistogram) -> bool {
        if self.floats.count() > 0 {
            return true;
        }
        let Some(rare) = &mut self.rare else { return false };
        let (count, bytes) = match (&rare.histograms, histogram) {
            (OpenHistograms::None, _) => return false,
            (OpenHistograms::Integer(open), WriteHistogram::Integer(_)) => (open.count(), open.bytes().len()),
            (OpenHistograms::Float(open), WriteHistogram::Float(_)) => (open.count(), open.bytes().len()),
            (OpenHistograms::Integer(_), WriteHistogram::Float(_))
            | (OpenHistograms::Float(_), WriteHistogram::Integer(_)) => return true,
        };
        let range_end_ms = rules.range_end(rare.histograms_min_ms);
        if !rare.end_computed && bytes >= rules.histogram_bytes / 4 {
            let ratio = rules.histogram_bytes as f64 / bytes as f64;
            self.next_at_ms = chunk_end(rare.histograms_min_ms, self.last_ms, range_end_ms, ratio);
            rare.end_computed = true;
        }
        let full = timestamp_ms >= self.next_at_ms || bytes >= rules.histogram_bytes * 2;
        full && (count >= HISTOGRAM_SAMPLES_MIN || timestamp_ms >= range_end_ms)
    }

    /// Ends the open chunk, if there is one.
    pub(crate) fn close(&mut self) {
        if self.floats.count() > 0 {
            let min_ms = self.floats_min_ms();
            let data = std::mem::take(&mut self.floats).into_bytes();
            self.push_closed(HeadChunk { min_ms, max_ms: self.last_ms, encoding: Encoding::Xor, data: data.into() });
        }
        if let Some(rare) = &mut self.rare {
            let encoding = rare.histograms.encoding();
            let min_ms = rare.histograms_min_ms;
            if let Some(data) = rare.histograms.take() {
                self.push_closed(HeadChunk { min_ms, max_ms: self.last_ms, encoding, data: data.into() });
            }
        }
    }

    fn push_closed(&mut self, chunk: HeadChunk) {
        let closed = self.closed.get_or_insert_default();
        // Chunks are few and stay for hours: memory counts here, not the copying.
        closed.reserve_exact(1);
        closed.push(chunk);
    }

    /// Keeps a sample that is older than the newest one.
    pub(crate) fn insert_late(&mut self, timestamp_ms: i64, value: Value<'_>) {
        self.rare.get_or_insert_default().late.insert(timestamp_ms, value);
    }

    /// Late samples, if there are any.
    pub(crate) fn late(&self) -> Option<&LateSamples> {
        self.rare.as_ref().map(|rare| &rare.late).filter(|late| !late.is_empty())
    }

    /// Drops the first late chunks, which a block has.
    pub(crate) fn drop_late(&mut self, count: usize) {
        if let Some(rare) = &mut self.rare {
            rare.late.drop_first(count);
        }
    }

    /// Closes the open late samples and returns all late chunks, in the order in which they arrived.
    pub(crate) fn close_late(&mut self) -> Vec<HeadChunk> {
        match &mut self.rare {
            Some(rare) => rare.late.close(),
            None => Vec::new(),
        }
    }

    /// All in-order chunks that overlap `start_ms..=end_ms`, ascending; the open one as a copy of what it holds now.
    pub(crate) fn collect_chunks(&self, start_ms: i64, end_ms: i64, chunks: &mut Vec<HeadChunk>) {
        let overlaps = |min_ms: i64, max_ms: i64| min_ms <= end_ms && max_ms >= start_ms;
        let closed = self.closed.iter().flat_map(|closed| closed.iter());
        chunks.extend(closed.filter(|chunk| overlaps(chunk.min_ms, chunk.max_ms)).cloned());
        if let Some((min_ms, encoding, data)) = self.open()
            && overlaps(min_ms, self.last_ms)
        {
            chunks.push(HeadChunk { min_ms, max_ms: self.last_ms, encoding, data: data.into() });
        }
    }

    /// First time, encoding and bytes of the open chunk.
    pub(crate) fn open(&self) -> Option<(i64, Encoding, &[u8])> {
        if self.floats.count() > 0 {
            return Some((self.floats_min_ms(), Encoding::Xor, self.floats.bytes()));
        }
        let rare = self.rare.as_ref()?;
        rare.histograms.bytes().map(|bytes| (rare.histograms_min_ms, rare.histograms.encoding(), bytes))
    }

    /// Whether the series has a sample, late ones aside, inside `start_ms..=end_ms`, as far as its chunks' bounds tell.
    pub(crate) fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        let overlaps = |min_ms: i64, max_ms: i64| min_ms <= end_ms && max_ms >= start_ms;
        self.closed.iter().flat_map(|closed| closed.iter()).any(|chunk| overlaps(chunk.min_ms, chunk.max_ms))
            || self.open().is_some_and(|(min_ms, _, _)| overlaps(min_ms, self.last_ms))
    }

    /// How much the series has inside `range`, late samples aside. Cost: a look at each chunk's first bytes.
    pub(crate) fn count_within(&self, range: TimeRange) -> SeriesCount {
        let mut count = SeriesCount::default();
        let mut add = |min_ms: i64, max_ms: i64, data: &[u8]| {
            let held = TimeRange { start_ms: min_ms, end_ms: max_ms };
            // Every chunk in the head was written here, and starts with its count.
            let samples = samples_within(u64::from(sample_count(data).unwrap_or(0)), held, range);
            if samples > 0 {
                count = count.beside(SeriesCount { series: 1, samples, bytes: data.len() as u64 });
            }
        };
        for chunk in self.closed.iter().flat_map(|closed| closed.iter()) {
            add(chunk.min_ms, chunk.max_ms, &chunk.data);
        }
        if let Some((min_ms, _, data)) = self.open() {
            add(min_ms, self.last_ms, data);
        }
        count
    }

    /// Where the first chunk starts that does not end before `from_ms`, and no earlier than that; late ones aside.
    pub(crate) fn first_ms_from(&self, from_ms: i64) -> Option<i64> {
        let closed = self.closed.iter().flat_map(|closed| closed.iter()).find(|chunk| chunk.max_ms >= from_ms);
        let open = self.open().filter(|_| self.last_ms >= from_ms).map(|open| open.0);
        closed.map(|chunk| chunk.min_ms).or(open).map(|min_ms| min_ms.max(from_ms))
    }

    /// Whether the newest sample is a histogram, and with how many buckets.
    pub(crate) fn last_buckets(&self) -> Option<usize> {
        let rare = self.rare.as_ref()?;
        rare.last.as_ref().map(|last| match last {
            WriteHistogram::Integer(histogram) => histogram.positive_deltas.len() + histogram.negative_deltas.len(),
            WriteHistogram::Float(histogram) => histogram.positive_buckets.len() + histogram.negative_buckets.len(),
        })
    }

    /// Drops chunks that end before `before_ms`, because a block has them. Returns how many.
    pub(crate) fn drop_before(&mut self, before_ms: i64) -> usize {
        let mut dropped = 0;
        if let Some(closed) = &mut self.closed {
            let before = closed.len();
            closed.retain(|chunk| chunk.max_ms >= before_ms);
            dropped += before - closed.len();
            closed.shrink_to_fit();
            if closed.is_empty() {
                self.closed = None;
            }
        }
        if self.last_ms < before_ms && self.open().is_some() {
            self.floats = XorAppender::new();
            if let Some(rare) = &mut self.rare {
                rare.histograms = OpenHistograms::None;
            }
            dropped += 1;
        }
        dropped
    }

    /// Whether neither chunks nor late samples are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.closed.is_none() && self.open().is_none() && self.late().is_none()
    }

    /// Takes over what a checkpoint had: chunks ascending, the last of which goes on where it ends if it is one of floats.
    pub(crate) fn restore(&mut self, rules: &ChunkRules, chunks: Vec<HeadChunk>, late: Vec<HeadChunk>) {
        let Some(last) = chunks.last() else {
            self.restore_late(late);
            return;
        };
        self.last_ms = last.max_ms;
        let (last_data, last_min_ms, encoding) = (last.data.clone(), last.min_ms, last.encoding);
        let mut chunks = chunks;
        if encoding == Encoding::Xor
            && let Ok(floats) = XorAppender::resume(last_data.to_vec())
        {
            chunks.pop();
            let range_end_ms = rules.range_end(last_min_ms);
            let computed = floats.count() > rules.samples / 4;
            self.next_at_ms =
                if computed { chunk_end(last_min_ms, self.last_ms, range_end_ms, 4.0) } else { range_end_ms };
            self.floats = floats;
        }
        if !chunks.is_empty() {
            self.closed = Some(Box::new(chunks));
        }
        self.restore_late(late);
    }

    fn restore_late(&mut self, late: Vec<HeadChunk>) {
        if !late.is_empty() {
            self.rare.get_or_insert_default().late.restore(late);
        }
    }

    /// Bytes of memory behind the struct, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let closed = self.closed.as_ref().map_or(0, |closed| {
            24 + closed.iter().map(|chunk| size_of::<HeadChunk>() + 16 + chunk.data.len()).sum::<usize>()
        });
        let rare = self.rare.as_ref().map_or(0, |rare| size_of::<Rare>() + rare.late.memory_bytes());
        self.floats.capacity() + closed + rare
    }
}
