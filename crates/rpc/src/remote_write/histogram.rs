//! Native histograms on the wire; both versions share the message.

use norn_model::histogram::{FloatHistogram, Histogram, ResetHint, Span};
use norn_model::write::{HistogramSample, WriteHistogram};

use crate::wire::{self, Reader, WireError};

/// All fields of the message; which of them count depends on the kind of histogram.
#[derive(Default)]
struct Fields {
    is_float: bool,
    count_int: u64,
    count_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count_int: u64,
    zero_count_float: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    reset_hint: ResetHint,
    timestamp_ms: i64,
    custom_values: Vec<f64>,
}

/// The histogram, and when its counter started in milliseconds (0 is unknown). Nothing is validated here.
pub(super) fn decode(message: &[u8]) -> Result<(HistogramSample, i64), WireError> {
    let mut fields = Fields::default();
    let mut start_ms = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => (fields.is_float, fields.count_int) = (false, field.uint64()?),
            2 => (fields.is_float, fields.count_float) = (true, field.double()?),
            3 => fields.sum = field.double()?,
            4 => fields.schema = field.sint32()?,
            5 => fields.zero_threshold = field.double()?,
            6 => fields.zero_count_int = field.uint64()?,
            7 => fields.zero_count_float = field.double()?,
            8 => fields.negative_spans.push(decode_span(field.bytes()?)?),
            9 => field.extend_varints(&mut fields.negative_deltas, wire::unzigzag)?,
            10 => field.extend_fixed64(&mut fields.negative_counts, f64::from_bits)?,
            11 => fields.positive_spans.push(decode_span(field.bytes()?)?),
            12 => field.extend_varints(&mut fields.positive_deltas, wire::unzigzag)?,
            13 => field.extend_fixed64(&mut fields.positive_counts, f64::from_bits)?,
            14 => fields.reset_hint = reset_hint(field.uint32()?),
            15 => fields.timestamp_ms = field.int64()?,
            16 => field.extend_fixed64(&mut fields.custom_values, f64::from_bits)?,
            17 => start_ms = field.int64()?,
            _ => {}
        }
    }
    let timestamp_ms = fields.timestamp_ms;
    Ok((HistogramSample { timestamp_ms, histogram: fields.into_histogram() }, start_ms))
}

impl Fields {
    fn into_histogram(self) -> WriteHistogram {
        let custom_values = self.custom_values.into();
        if self.is_float {
            WriteHistogram::Float(FloatHistogram {
                reset_hint: self.reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_buckets: self.positive_counts,
                negative_buckets: self.negative_counts,
                custom_values,
            })
        } else {
            WriteHistogram::Integer(Histogram {
                reset_hint: self.reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_int,
                count: self.count_int,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_deltas: self.positive_deltas,
                negative_deltas: self.negative_deltas,
                custom_values,
            })
        }
    }
}

fn decode_span(message: &[u8]) -> Result<Span, WireError> {
    let mut span = Span { offset: 0, length: 0 };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => span.offset = field.sint32()?,
            2 => span.length = field.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}

fn reset_hint(number: u32) -> ResetHint {
    match number {
        1 => ResetHint::CounterReset,
        2 => ResetHint::NotCounterReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
