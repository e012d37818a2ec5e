//! Appends histograms to an open chunk, and decides which of them can be in one chunk.

use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use norn_model::sample::is_stale;

use super::super::bits::BitEnd;
use super::super::layout::Layout;
use super::super::sample_count;
use super::super::spans::{bucket_indices, scatter, spans_of, union};
use super::super::varbit::push_int;
use super::decoder::HistogramDecoder;
use super::fields::{Field, Fields, IntField};
use super::native::{CountOf, Numbers, layout_of};
use super::{FLAGS_AT, GAUGE_FLAGS, HEADER_BYTES, NativeHistogram};

/// One open chunk of histograms of one kind: its bytes, and what the next sample is compared with.
///
/// The bytes are complete after each append, and can be decoded while the chunk is still open.
#[derive(Debug, Clone)]
pub struct HistogramAppender<H: NativeHistogram> {
    bytes: Vec<u8>,
    end: BitEnd,
    layout: Layout,
    fields: Fields<H::Field>,
}

/// How a sample goes together with the samples of a chunk.
enum Fit {
    /// It does not: it begins a new chunk.
    NewChunk,
    /// It has the chunk's buckets, or is a stale marker.
    AsItIs,
    /// Either has buckets that the other lacks.
    Joined(Joined),
}

/// The buckets of a chunk and of a sample together.
struct Joined {
    /// Positive and negative spans for the sample, and for the chunk where that lacks some.
    spans: [Vec<Span>; 2],
    /// Indices of the chunk's, the sample's and all buckets.
    chunk: [Vec<i64>; 2],
    sample: [Vec<i64>; 2],
    all: [Vec<i64>; 2],
    /// Whether the chunk lacks buckets.
    chunk_grows: bool,
}

impl<H: NativeHistogram> Default for HistogramAppender<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: NativeHistogram> HistogramAppender<H> {
    /// An empty chunk, which has no memory yet.
    pub fn new() -> Self {
        Self { bytes: Vec::new(), end: BitEnd::default(), layout: Layout::default(), fields: Fields::default() }
    }

    /// How many samples the chunk holds.
    pub fn count(&self) -> u16 {
        sample_count(&self.bytes).unwrap_or(0)
    }

    /// The chunk's data so far: empty before the first sample.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the chunk and gives back its data, without spare memory.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    /// Bytes of memory behind the chunk, roughly.
    pub fn memory_bytes(&self) -> usize {
        let spans = self.layout.positive_spans.capacity() + self.layout.negative_spans.capacity();
        let fields = self.fields.positive.capacity() + self.fields.negative.capacity();
        self.bytes.capacity() + spans * size_of::<Span>() + fields * size_of::<H::Field>()
    }

    /// Appends a histogram, whose time the caller knows to be after the last one's, in milliseconds since the Unix epoch.
    ///
    /// Returns the data of the chunk so far where the histogram could not be part of it, and began a new one: its
    /// layout differs, a counter was reset, a gauge follows a counter, or anything but a stale marker follows one.
    ///
    /// Panics when the chunk holds 65,535 samples; callers cut chunks far below. Buckets must be as many as the spans
    /// say, and indices must fit 32 bits.
    pub fn append(&mut self, timestamp_ms: i64, histogram: &H) -> Option<Vec<u8>> {
        if self.count() == 0 {
            self.start(timestamp_ms, histogram);
            return None;
        }
        match self.fit(histogram) {
            Fit::NewChunk => {
                let finished = std::mem::take(self).into_bytes();
                self.start(timestamp_ms, histogram);
                return Some(finished);
            }
            Fit::AsItIs => self.push(timestamp_ms, &numbers_of(histogram)),
            Fit::Joined(joined) => {
                if joined.chunk_grows {
                    self.recode(&joined);
                }
                let numbers = move_buckets::<H>(numbers_of(histogram), &joined.sample, &joined.all);
                self.push(timestamp_ms, &numbers);
            }
        }
        None
    }

    fn is_gauge(&self) -> bool {
        self.bytes[FLAGS_AT] & GAUGE_FLAGS == GAUGE_FLAGS
    }

    fn start(&mut self, timestamp_ms: i64, histogram: &H) {
        let layout = if is_stale(histogram.sum()) { Layout::default() } else { layout_of(histogram) };
        self.start_with(layout, histogram.reset_hint() == ResetHint::Gauge);
        self.push(timestamp_ms, &numbers_of(histogram));
    }

    fn start_with(&mut self, layout: Layout, gauge: bool) {
        self.bytes.extend_from_slice(&[0, 0, if gauge { GAUGE_FLAGS } else { 0 }]);
        self.layout = layout;
        self.layout.push(&mut self.bytes, &mut self.end);
    }

    fn fit(&self, histogram: &H) -> Fit {
        let gauge = histogram.reset_hint() == ResetHint::Gauge;
        if gauge != self.is_gauge() || histogram.reset_hint() == ResetHint::CounterReset {
            return Fit::NewChunk;
        }
        if is_stale(histogram.sum()) {
            return Fit::AsItIs;
        }
        let same_shape = histogram.schema() == self.layout.schema
            && histogram.zero_threshold() == self.layout.zero_threshold
            && (histogram.schema() != CUSTOM_BUCKETS_SCHEMA || *histogram.custom_values() == self.layout.custom_values);
        let totals_fall = self.fields.count.total_falls(histogram.count())
            || self.fields.zero_count.total_falls(histogram.zero_count());
        if is_stale(self.fields.sum.value()) || !same_shape || (!gauge && totals_fall) {
            return Fit::NewChunk;
        }
        if histogram.spans() == [&self.layout.positive_spans[..], &self.layout.negative_spans[..]] {
            let falls = !gauge && self.buckets_fall(histogram);
            return if falls { Fit::NewChunk } else { Fit::AsItIs };
        }
        self.fit_buckets(histogram, gauge)
    }

    /// Whether a bucket falls, where both have the same buckets.
    fn buckets_fall(&self, histogram: &H) -> bool {
        let falls = |fields: &[H::Field], stored: &[CountOf<H>]| {
            let before = H::Field::counts_of(fields.iter().map(Field::value));
            let now = H::Field::counts_of(stored.iter().copied());
            before.iter().zip(&now).any(|(before, now)| before > now)
        };
        let [positive, negative] = histogram.stored_buckets();
        falls(&self.fields.positive, positive) || falls(&self.fields.negative, negative)
    }

    fn fit_buckets(&self, histogram: &H, gauge: bool) -> Fit {
        let chunk = [bucket_indices(&self.layout.positive_spans), bucket_indices(&self.layout.negative_spans)];
        let sample = histogram.spans().map(bucket_indices);
        if !gauge {
            let fields = [&self.fields.positive, &self.fields.negative];
            for sign in 0..2 {
                let before = H::Field::counts_of(fields[sign].iter().map(Field::value));
                let now = H::Field::counts_of(histogram.stored_buckets()[sign].iter().copied());
                if counts_fall(&chunk[sign], &before, &sample[sign], &now) {
                    return Fit::NewChunk;
                }
            }
        }
        let all = [union(&chunk[0], &sample[0]), union(&chunk[1], &sample[1])];
        let chunk_grows = all[0].len() > chunk[0].len() || all[1].len() > chunk[1].len();
        let sample_lacks = [all[0].len() > sample[0].len(), all[1].len() > sample[1].len()];
        // Spans can say the same in several ways; these are Prometheus' choices.
        let spans = [0, 1].map(|sign| match (sample_lacks[sign], gauge && sample_lacks[1 - sign]) {
            (false, false) => histogram.spans()[sign].to_vec(),
            _ => spans_of(&all[sign]),
        });
        Fit::Joined(Joined { spans, chunk, sample, all, chunk_grows })
    }

    /// Writes the chunk again with more buckets. Cost: decodes and encodes all of it.
    fn recode(&mut self, joined: &Joined) {
        let gauge = self.is_gauge();
        let old = std::mem::take(self);
        let [positive_spans, negative_spans] = joined.spans.clone();
        self.bytes.reserve(old.bytes.len() + old.bytes.len() / 4);
        self.start_with(Layout { positive_spans, negative_spans, ..old.layout }, gauge);
        let readable = "an appender's own bytes are a chunk";
        let mut decoder = HistogramDecoder::<H>::new(&old.bytes).expect(readable);
        while decoder.advance().expect(readable) {
            let numbers = move_buckets::<H>(decoder.numbers(), &joined.chunk, &joined.all);
            self.push(decoder.timestamp_ms(), &numbers);
        }
    }

    /// Writes a sample that has the chunk's buckets, or is a stale marker.
    fn push(&mut self, timestamp_ms: i64, numbers: &Numbers<CountOf<H>>) {
        let count = self.count();
        let (bytes, end, fields) = (&mut self.bytes, &mut self.end, &mut self.fields);
        if count == 0 {
            push_first(bytes, end, fields, timestamp_ms, numbers);
        } else {
            fields.time.push(bytes, end, timestamp_ms);
            if is_stale(numbers.sum) {
                fields.count.push_stale(bytes, end);
                fields.zero_count.push_stale(bytes, end);
                fields.sum.push(bytes, end, numbers.sum);
            } else {
                // HIST-1: a sample has as many buckets as its chunk's spans. Readers rely on it.
                let buckets = (numbers.positive.len(), numbers.negative.len());
                assert_eq!(buckets, (fields.positive.len(), fields.negative.len()), "HIST-1");
                fields.count.push(bytes, end, numbers.count);
                fields.zero_count.push(bytes, end, numbers.zero_count);
                fields.sum.push(bytes, end, numbers.sum);
                let buckets = fields.positive.iter_mut().chain(&mut fields.negative);
                for (field, value) in buckets.zip(numbers.positive.iter().chain(&numbers.negative)) {
                    field.push(bytes, end, *value);
                }
            }
        }
        let count = count.checked_add(1).expect("callers cut chunks far below 65,535 samples");
        self.bytes[..FLAGS_AT].copy_from_slice(&count.to_be_bytes());
    }
}

const _: () = assert!(FLAGS_AT == 2 && HEADER_BYTES == 3, "the count comes first, then the flags");

fn push_first<F: Field>(
    bytes: &mut Vec<u8>,
    end: &mut BitEnd,
    fields: &mut Fields<F>,
    timestamp_ms: i64,
    numbers: &Numbers<F::Value>,
) {
    push_int(bytes, end, timestamp_ms);
    fields.time = IntField::starting_at(timestamp_ms);
    fields.count = F::push_total(bytes, end, numbers.count);
    fields.zero_count = F::push_total(bytes, end, numbers.zero_count);
    fields.sum = Field::push_total(bytes, end, numbers.sum);
    fields.positive = numbers.positive.iter().map(|bucket| F::push_bucket(bytes, end, *bucket)).collect();
    fields.negative = numbers.negative.iter().map(|bucket| F::push_bucket(bytes, end, *bucket)).collect();
}

/// The numbers of a histogram as they are written; a stale marker has nothing but its sum.
fn numbers_of<H: NativeHistogram>(histogram: &H) -> Numbers<CountOf<H>> {
    let sum = histogram.sum();
    if is_stale(sum) {
        let zero = CountOf::<H>::default();
        return Numbers { count: zero, zero_count: zero, sum, positive: Vec::new(), negative: Vec::new() };
    }
    let [positive, negative] = histogram.stored_buckets().map(<[_]>::to_vec);
    Numbers { count: histogram.count(), zero_count: histogram.zero_count(), sum, positive, negative }
}

fn move_buckets<H: NativeHistogram>(
    numbers: Numbers<CountOf<H>>,
    from: &[Vec<i64>; 2],
    into: &[Vec<i64>; 2],
) -> Numbers<CountOf<H>> {
    let moved = |stored: Vec<CountOf<H>>, sign: usize| {
        if from[sign].len() == into[sign].len() || stored.len() != from[sign].len() {
            return stored;
        }
        let counts = H::Field::counts_of(stored.into_iter());
        H::Field::stored_of(scatter(&counts, &from[sign], &into[sign]))
    };
    Numbers { positive: moved(numbers.positive, 0), negative: moved(numbers.negative, 1), ..numbers }
}

/// Whether a bucket falls, or disappears while it was in use.
fn counts_fall<V: PartialOrd + Default>(chunk: &[i64], before: &[V], sample: &[i64], now: &[V]) -> bool {
    let mut next = 0;
    for (index, before) in chunk.iter().zip(before) {
        while sample.get(next).is_some_and(|candidate| candidate < index) {
            next += 1;
        }
        let falls = match sample.get(next) {
            Some(found) if found == index => now.get(next).is_some_and(|now| before > now),
            _ => *before != V::default(),
        };
        if falls {
            return true;
        }
    }
    false
}
