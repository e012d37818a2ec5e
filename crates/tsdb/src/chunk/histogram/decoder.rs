//! Reads chunks of histograms.

use std::marker::PhantomData;

use norn_model::histogram::{FloatHistogram, Histogram, ResetHint};
use norn_model::sample::is_stale;

use super::super::bits::{BitReader, OutOfBits};
use super::super::layout::{Layout, LayoutError};
use super::super::spans::bucket_count;
use super::super::varbit::{XorReadError, read_int};
use super::super::{ChunkError, sample_count};
use super::fields::{Field, Fields, IntField};
use super::native::{CountOf, Numbers};
use super::{FLAGS_AT, GAUGE_FLAGS, HEADER_BYTES, NativeHistogram};

/// Reads the samples of a chunk one by one.
#[derive(Debug, Clone)]
pub struct HistogramDecoder<'a, H: NativeHistogram> {
    reader: BitReader<'a>,
    layout: Layout,
    fields: Fields<H::Field>,
    gauge: bool,
    bytes: usize,
    read: u16,
    count: u16,
    kind: PhantomData<H>,
}

impl<'a, H: NativeHistogram> HistogramDecoder<'a, H> {
    /// A decoder before the first sample of a chunk's data; fails where not even a header is there.
    pub fn new(data: &'a [u8]) -> Result<Self, ChunkError> {
        let count = sample_count(data)?;
        let Some(flags) = data.get(FLAGS_AT) else {
            return Err(ChunkError::Truncated { bytes: data.len(), sample: 0, samples: count });
        };
        Ok(Self {
            reader: BitReader::new(&data[HEADER_BYTES..]),
            layout: Layout::default(),
            fields: Fields::default(),
            gauge: flags & GAUGE_FLAGS == GAUGE_FLAGS,
            bytes: data.len(),
            read: 0,
            count,
            kind: PhantomData,
        })
    }

    /// Moves to the next sample; `false` after the last.
    pub fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.read == self.count {
            return Ok(false);
        }
        let outcome = if self.read == 0 { self.read_first() } else { self.read_later() };
        outcome.map_err(|error| match error {
            LayoutError::OutOfBits => {
                ChunkError::Truncated { bytes: self.bytes, sample: self.read, samples: self.count }
            }
            LayoutError::Damaged(what) => ChunkError::Damaged { what },
        })?;
        self.read += 1;
        Ok(true)
    }

    /// The time of the sample, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.fields.time.value()
    }

    /// The sample. Only the first of a chunk can follow a reset; a stale marker has nothing but its sum.
    pub fn histogram(&self) -> H {
        if is_stale(self.fields.sum.value()) {
            H::assemble(&Layout::default(), self.numbers(), ResetHint::Unknown)
        } else {
            H::assemble(&self.layout, self.numbers(), self.reset_hint())
        }
    }

    pub(super) fn numbers(&self) -> Numbers<CountOf<H>> {
        let sum = self.fields.sum.value();
        if is_stale(sum) {
            let zero = CountOf::<H>::default();
            return Numbers { count: zero, zero_count: zero, sum, positive: Vec::new(), negative: Vec::new() };
        }
        Numbers {
            count: self.fields.count.value(),
            zero_count: self.fields.zero_count.value(),
            sum,
            positive: self.fields.positive.iter().map(Field::value).collect(),
            negative: self.fields.negative.iter().map(Field::value).collect(),
        }
    }

    fn reset_hint(&self) -> ResetHint {
        match (self.gauge, self.read) {
            (true, _) => ResetHint::Gauge,
            (false, 0 | 1) => ResetHint::Unknown,
            (false, _) => ResetHint::NotCounterReset,
        }
    }

    fn read_first(&mut self) -> Result<(), LayoutError> {
        let reader = &mut self.reader;
        self.layout = Layout::read(reader)?;
        let positive = bucket_count(&self.layout.positive_spans);
        let negative = bucket_count(&self.layout.negative_spans);
        // Damaged spans end here, and not in an allocation.
        let buckets = positive.saturating_add(negative);
        if buckets.saturating_mul(H::Field::FIRST_BUCKET_BITS) > reader.remaining() {
            return Err(LayoutError::OutOfBits);
        }
        self.fields.time = IntField::starting_at(read_int(reader)?);
        self.fields.count = H::Field::read_total(reader)?;
        self.fields.zero_count = H::Field::read_total(reader)?;
        self.fields.sum = Field::read_total(reader)?;
        for (fields, count) in [(&mut self.fields.positive, positive), (&mut self.fields.negative, negative)] {
            fields.reserve_exact(count);
            for _ in 0..count {
                fields.push(H::Field::read_bucket(reader)?);
            }
        }
        Ok(())
    }

    fn read_later(&mut self) -> Result<(), LayoutError> {
        let (reader, fields) = (&mut self.reader, &mut self.fields);
        fields.time.read(reader)?;
        fields.count.read(reader)?;
        fields.zero_count.read(reader)?;
        fields.sum.read(reader)?;
        if !is_stale(fields.sum.value()) {
            for field in fields.positive.iter_mut().chain(&mut fields.negative) {
                field.read(reader)?;
            }
        }
        Ok(())
    }
}

impl HistogramDecoder<'_, Histogram> {
    /// The sample with float counts, as queries read it.
    pub fn float_histogram(&self) -> FloatHistogram {
        let sum = self.fields.sum.value();
        let stale = is_stale(sum);
        let counts = |fields: &[IntField]| {
            let counts = if stale { Vec::new() } else { IntField::counts_of(fields.iter().map(Field::value)) };
            counts.into_iter().map(|count| count as f64).collect()
        };
        let unit = |field: &IntField| if stale { 0.0 } else { field.value() as u64 as f64 };
        let numbers = Numbers {
            count: unit(&self.fields.count),
            zero_count: unit(&self.fields.zero_count),
            sum,
            positive: counts(&self.fields.positive),
            negative: counts(&self.fields.negative),
        };
        if stale {
            FloatHistogram::assemble(&Layout::default(), numbers, ResetHint::Unknown)
        } else {
            FloatHistogram::assemble(&self.layout, numbers, self.reset_hint())
        }
    }
}

impl From<XorReadError> for LayoutError {
    fn from(error: XorReadError) -> Self {
        match error {
            XorReadError::OutOfBits => OutOfBits.into(),
            XorReadError::WindowTooWide => Self::Damaged("a value's window is wider than 64 bits"),
        }
    }
}

/// An integer histogram with float counts: what a query sees of it.
pub fn to_float(histogram: &Histogram) -> FloatHistogram {
    let counts =
        |deltas: &[i64]| IntField::counts_of(deltas.iter().copied()).into_iter().map(|count| count as f64).collect();
    FloatHistogram {
        reset_hint: histogram.reset_hint,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count as f64,
        count: histogram.count as f64,
        sum: histogram.sum,
        positive_spans: histogram.positive_spans.clone(),
        negative_spans: histogram.negative_spans.clone(),
        positive_buckets: counts(&histogram.positive_deltas),
        negative_buckets: counts(&histogram.negative_deltas),
        custom_values: histogram.custom_values.clone(),
    }
}
