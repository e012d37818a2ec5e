//! Prometheus remote write: one decoder for each version, one visitor for both.
//!
//! A decoder walks the body once and shows each series to a [`WriteVisitor`] in one [`DecodedSeries`], whose
//! memory it reuses from series to series. Label strings are borrowed from the body; nothing is allocated for them.
//! The visitor must not act on what it saw before the decoder returned `Ok`: a body that is damaged at its end has
//! to leave no trace.
//!
//! Source: Prometheus `prompb/types.proto`, `prompb/remote.proto`, `prompb/io/prometheus/write/v2/types.proto`.

/// Version 1.0, and the superset of it that is sent between distributors.
pub mod v1;

/// Version 2.0, whose strings are references into a table.
pub mod v2;

/// Writes version 1.0.
pub mod encode;

mod histogram;

use std::ops::{ControlFlow, Range};

use norn_model::sample::Sample;
use norn_model::write::{HistogramSample, MetricType};

use crate::wire::{Field, Reader, WireError};

/// A body that cannot be taken. Its text is what a client gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a message, or not the expected one.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A message of version 2.0 that was sent as version 1.0.
    #[error("proto: Remote Write 2.0 field {0} in non-Remote Write 2.0 message")]
    FieldOfVersion2(&'static str),
    /// A message of version 1.0, or of an early draft, that was sent as version 2.0.
    #[error("proto: Remote Write 1.0 field {0} in Remote Write 2.0 message")]
    FieldOfVersion1(&'static str),
    /// The table of strings does not start with the empty string.
    #[error("proto: Remote Write 2.0 symbols must start with empty string")]
    FirstSymbol,
    /// A label without a value.
    #[error("proto: Remote Write 2.0 odd number of label references")]
    OddReferences,
    /// A label that points behind the table of strings.
    #[error("proto: Remote Write 2.0 invalid label reference")]
    LabelReference,
    /// A help text that points behind the table of strings.
    #[error("proto: Remote Write 2.0 invalid help reference")]
    HelpReference,
    /// A unit that points behind the table of strings.
    #[error("proto: Remote Write 2.0 invalid unit reference")]
    UnitReference,
}

/// Sees each part of a request, in the order of the body.
pub trait WriteVisitor<'a> {
    /// A series. It may take what it wants out of it: the decoder clears it before it shows the next one.
    /// [`ControlFlow::Break`] ends the decoding without an error.
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()>;

    /// What is known of a metric family.
    fn metadata(&mut self, metadata: DecodedMetadata<'a>);
}

/// One series of a request, its strings borrowed from the body.
#[derive(Debug, Default)]
pub struct DecodedSeries<'a> {
    /// Name and value of each label as they arrived: in any order, perhaps empty, perhaps twice.
    pub labels: Vec<(&'a str, &'a str)>,
    /// All labels of a series of which at least one is not UTF-8; `labels` is then empty.
    pub broken_labels: Vec<(&'a [u8], &'a [u8])>,
    /// Float samples.
    pub samples: Vec<Sample>,
    /// Histograms.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars.
    pub exemplars: Vec<DecodedExemplar>,
    /// Names and values of the labels of all exemplars.
    pub exemplar_labels: Vec<(&'a [u8], &'a [u8])>,
    /// When the counter started, in milliseconds since the Unix epoch; 0 is unknown.
    pub created_ms: i64,
    spans: Vec<LabelSpan>,
    references: Vec<u32>,
}

/// An exemplar whose labels are a range of [`DecodedSeries::exemplar_labels`].
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedExemplar {
    /// Milliseconds since the Unix epoch; 0 is what is not set.
    pub timestamp_ms: i64,
    /// The observed value.
    pub value: f64,
    /// Its labels.
    pub labels: Range<usize>,
}

/// What is known of a metric family, borrowed from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedMetadata<'a> {
    /// The family's name.
    pub family: &'a str,
    /// Its kind.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

/// Where a label's strings lie in the message of its series.
#[derive(Debug, Clone, Copy)]
struct LabelSpan {
    name: (usize, usize),
    value: (usize, usize),
}

impl<'a> DecodedSeries<'a> {
    /// Adds an exemplar with its labels.
    pub fn push_exemplar(&mut self, timestamp_ms: i64, value: f64, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        let start = self.exemplar_labels.len();
        self.exemplar_labels.extend(labels.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let labels = start..self.exemplar_labels.len();
        self.exemplars.push(DecodedExemplar { timestamp_ms, value, labels });
    }

    /// Makes room for the next series, and keeps the memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.broken_labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.exemplar_labels.clear();
        self.created_ms = 0;
        self.spans.clear();
        self.references.clear();
    }

    /// Turns the spans into strings of `message`, of which labels fill the first `labels_end` bytes.
    ///
    /// Tags and lengths below 128 are ASCII too, so one check of the whole region replaces one for each string: it
    /// is what makes checking UTF-8 nearly free. Where the region is no UTF-8, each string is checked on its own.
    fn resolve_spans(&mut self, message: &'a [u8], labels_end: usize) {
        let region = message.get(..labels_end).and_then(|region| std::str::from_utf8(region).ok());
        if let Some(region) = region {
            for span in &self.spans {
                // `get` refuses a length that cuts a character in two.
                match (region.get(span.name.0..span.name.1), region.get(span.value.0..span.value.1)) {
                    (Some(name), Some(value)) => self.labels.push((name, value)),
                    _ => break,
                }
            }
            if self.labels.len() == self.spans.len() {
                return;
            }
            self.labels.clear();
        }
        for span in &self.spans {
            let pair = (&message[span.name.0..span.name.1], &message[span.value.0..span.value.1]);
            self.broken_labels.push(pair);
        }
        self.unbreak();
    }

    /// Moves `broken_labels` to `labels` if they turn out to be UTF-8.
    fn unbreak(&mut self) {
        for (name, value) in &self.broken_labels {
            match (std::str::from_utf8(name), std::str::from_utf8(value)) {
                (Ok(name), Ok(value)) => self.labels.push((name, value)),
                _ => return self.labels.clear(),
            }
        }
        self.broken_labels.clear();
    }
}

/// A sample, and when its counter started in milliseconds (0 is unknown).
#[inline]
fn decode_sample(message: &[u8]) -> Result<(Sample, i64), WireError> {
    // As all clients write it: value, then time, nothing else.
    if let Some((&[0x09, b0, b1, b2, b3, b4, b5, b6, b7, 0x10], _)) = message.split_first_chunk() {
        let mut reader = Reader::new(message);
        reader.skip_to(10);
        let timestamp_ms = reader.varint()?.cast_signed();
        if reader.offset() == message.len() {
            let value = f64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
            return Ok((Sample { timestamp_ms, value }, 0));
        }
    }
    decode_any_sample(message)
}

fn decode_any_sample(message: &[u8]) -> Result<(Sample, i64), WireError> {
    let mut sample = Sample { timestamp_ms: 0, value: 0.0 };
    let mut start_ms = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.int64()?,
            3 => start_ms = field.int64()?,
            _ => {}
        }
    }
    Ok((sample, start_ms))
}

fn metric_type(field: Field<'_>) -> Result<MetricType, WireError> {
    Ok(match field.uint32()? {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    })
}

#[cfg(test)]
mod tests;
