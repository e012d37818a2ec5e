//! The records of the metrics signal in the log, drawn in `docs/format/wal.md`.
//!
//! Writing is a matter of a few nanoseconds a sample. Reading trusts nothing: a record whose checksum fits was written
//! by norn, but by which version, and on what machine?

use std::sync::Arc;

use norn_model::histogram::{ResetHint, Span};
use norn_model::labels::{LabelsError, LabelsRef};
use norn_model::write::{Exemplar, MetricMetadata, MetricType, WriteHistogram};
use norn_model::{FloatHistogram, Histogram, Labels};

use super::rejection::check_histogram;

/// Record types.
pub(crate) const RECORD_BATCH: u8 = 1;
pub(crate) const RECORD_CHECKPOINT_SERIES: u8 = 2;
pub(crate) const RECORD_CHECKPOINT_HEAD: u8 = 3;
pub(crate) const RECORD_TENANT_GONE: u8 = 4;

const FLAG_FLOAT_COUNTS: u8 = 1;
const FLAG_LATE: u8 = 2;

/// Why a payload is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends inside a field.
    #[error("the record ends inside a field at byte {offset}")]
    Truncated {
        /// Where the field starts.
        offset: usize,
    },
    /// A field has a value that is never written.
    #[error("the record's byte {offset} is damaged: {what}")]
    Damaged {
        /// Where the field ends.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A label set is none.
    #[error("the record holds a damaged label set before byte {offset}")]
    Labels {
        /// Where the label set ends.
        offset: usize,
        /// What is wrong with it.
        source: LabelsError,
    },
    /// Bytes are left over.
    #[error("the record goes on behind its end at byte {offset}")]
    Trailing {
        /// The end.
        offset: usize,
    },
}

/// Writes fields to the end of a payload.
pub(crate) struct Writer<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
}

impl Writer<'_> {
    #[inline]
    pub(crate) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    #[inline]
    pub(crate) fn varint(&mut self, value: i64) {
        self.uvarint((value << 1 ^ value >> 63) as u64);
    }

    #[inline]
    pub(crate) fn double(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.uvarint(count as u64);
    }

    pub(crate) fn string(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn exemplar(&mut self, series: u64, exemplar: &Exemplar) {
        self.uvarint(series);
        self.varint(exemplar.timestamp_ms);
        self.double(exemplar.value);
        self.string(exemplar.labels.encoded());
    }

    pub(crate) fn metadata(&mut self, metadata: &MetricMetadata) {
        self.bytes.push(metadata.metric_type as u8);
        for text in [&metadata.family, &metadata.help, &metadata.unit] {
            self.string(text.as_bytes());
        }
    }

    /// A row of the section of histograms.
    pub(crate) fn histogram_row(
        &mut self,
        row: &mut RowBase,
        series: u64,
        timestamp_ms: i64,
        sample: (bool, &WriteHistogram),
    ) {
        let (late, histogram) = sample;
        let float = matches!(histogram, WriteHistogram::Float(_));
        self.bytes.push(if float { FLAG_FLOAT_COUNTS } else { 0 } | if late { FLAG_LATE } else { 0 });
        self.row(row, series, timestamp_ms);
        match histogram {
            WriteHistogram::Integer(histogram) => self.integer_histogram(histogram),
            WriteHistogram::Float(histogram) => self.float_histogram(histogram),
        }
    }

    /// Series and time of a row, as differences to the row before.
    #[inline]
    pub(crate) fn row(&mut self, row: &mut RowBase, series: u64, timestamp_ms: i64) {
        self.varint(series.wrapping_sub(row.series) as i64);
        self.varint(timestamp_ms.wrapping_sub(row.timestamp_ms));
        *row = RowBase { series, timestamp_ms };
    }

    fn integer_histogram(&mut self, histogram: &Histogram) {
        self.histogram_head(histogram.reset_hint, histogram.schema, histogram.zero_threshold, histogram.sum);
        self.uvarint(histogram.count);
        self.uvarint(histogram.zero_count);
        self.spans(&histogram.positive_spans);
        self.spans(&histogram.negative_spans);
        for deltas in [&histogram.positive_deltas, &histogram.negative_deltas] {
            self.count(deltas.len());
            deltas.iter().for_each(|delta| self.varint(*delta));
        }
        self.doubles(&histogram.custom_values);
    }

    fn float_histogram(&mut self, histogram: &FloatHistogram) {
        self.histogram_head(histogram.reset_hint, histogram.schema, histogram.zero_threshold, histogram.sum);
        self.double(histogram.count);
        self.double(histogram.zero_count);
        self.spans(&histogram.positive_spans);
        self.spans(&histogram.negative_spans);
        self.doubles(&histogram.positive_buckets);
        self.doubles(&histogram.negative_buckets);
        self.doubles(&histogram.custom_values);
    }

    fn histogram_head(&mut self, reset_hint: ResetHint, schema: i32, zero_threshold: f64, sum: f64) {
        self.bytes.push(reset_hint as u8);
        self.varint(i64::from(schema));
        self.double(zero_threshold);
        self.double(sum);
    }

    fn spans(&mut self, spans: &[Span]) {
        self.count(spans.len());
        for span in spans {
            self.varint(i64::from(span.offset));
            self.uvarint(u64::from(span.length));
        }
    }

    fn doubles(&mut self, values: &[f64]) {
        self.count(values.len());
        values.iter().for_each(|value| self.double(*value));
    }
}

/// What a row's differences refer to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowBase {
    pub(crate) series: u64,
    pub(crate) timestamp_ms: i64,
}

/// What a record of type batch holds, row by row, in the order of its sections.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Row<'a> {
    Definition { series: u64, labels: LabelsRef<'a> },
    Float { series: u64, timestamp_ms: i64, value: f64, late: bool },
    Histogram { series: u64, timestamp_ms: i64, histogram: WriteHistogram, late: bool },
    Exemplar { series: u64, exemplar: Exemplar },
    Metadata(MetricMetadata),
}

/// Hands each row of a batch to `visit`. Rows before damage have been handed out when it is found.
pub(crate) fn read_batch<'a>(payload: &'a [u8], mut visit: impl FnMut(Row<'a>)) -> Result<(), RecordError> {
    let mut reader = Reader { bytes: payload, offset: 0 };
    for _ in 0..reader.rows()? {
        let series = reader.uvarint()?;
        visit(Row::Definition { series, labels: reader.labels()? });
    }
    for late in [false, true] {
        let mut base = RowBase::default();
        for _ in 0..reader.rows()? {
            let (series, timestamp_ms) = reader.row(&mut base)?;
            visit(Row::Float { series, timestamp_ms, value: reader.double()?, late });
        }
    }
    let mut base = RowBase::default();
    for _ in 0..reader.rows()? {
        let flags = reader.byte()?;
        let (series, timestamp_ms) = reader.row(&mut base)?;
        let histogram = reader.histogram(flags & FLAG_FLOAT_COUNTS != 0)?;
        visit(Row::Histogram { series, timestamp_ms, histogram, late: flags & FLAG_LATE != 0 });
    }
    for _ in 0..reader.rows()? {
        let series = reader.uvarint()?;
        visit(Row::Exemplar { series, exemplar: reader.exemplar()? });
    }
    for _ in 0..reader.rows()? {
        visit(Row::Metadata(reader.metadata()?));
    }
    reader.end()
}

/// Reads fields from a payload.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a payload.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn damaged(&self, what: &'static str) -> RecordError {
        RecordError::Damaged { offset: self.offset, what }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let truncated = RecordError::Truncated { offset: self.offset };
        let taken = self.bytes[self.offset..].get(..len).ok_or(truncated)?;
        self.offset += len;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64, RecordError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number is longer than 64 bits"))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64, RecordError> {
        let value = self.uvarint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn double(&mut self) -> Result<f64, RecordError> {
        let bytes = self.take(8)?.first_chunk().expect("eight bytes were taken");
        Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    /// A count of things of at least one byte each, so that a damaged one cannot reserve more than there is.
    pub(crate) fn rows(&mut self) -> Result<usize, RecordError> {
        let count = self.uvarint()?;
        let left = self.bytes.len() - self.offset;
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or_else(|| self.damaged("more rows than bytes"))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.rows()?;
        self.take(len)
    }

    fn text(&mut self) -> Result<String, RecordError> {
        let bytes = self.string()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    pub(crate) fn labels(&mut self) -> Result<LabelsRef<'a>, RecordError> {
        let bytes = self.string()?;
        LabelsRef::from_encoded(bytes).map_err(|source| RecordError::Labels { offset: self.offset, source })
    }

    #[inline]
    fn row(&mut self, base: &mut RowBase) -> Result<(u64, i64), RecordError> {
        base.series = base.series.wrapping_add(self.varint()? as u64);
        base.timestamp_ms = base.timestamp_ms.wrapping_add(self.varint()?);
        Ok((base.series, base.timestamp_ms))
    }

    fn exemplar(&mut self) -> Result<Exemplar, RecordError> {
        let (timestamp_ms, value) = (self.varint()?, self.double()?);
        let labels: Labels = self.labels()?.to_owned();
        Ok(Exemplar { timestamp_ms, value, labels })
    }

    fn metadata(&mut self) -> Result<MetricMetadata, RecordError> {
        let metric_type = match self.byte()? {
            0 => MetricType::Unknown,
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => return Err(self.damaged("unknown metric type")),
        };
        Ok(MetricMetadata { metric_type, family: self.text()?, help: self.text()?, unit: self.text()? })
    }

    fn histogram(&mut self, float_counts: bool) -> Result<WriteHistogram, RecordError> {
        let reset_hint = match self.byte()? {
            0 => ResetHint::Unknown,
            1 => ResetHint::CounterReset,
            2 => ResetHint::NotCounterReset,
            3 => ResetHint::Gauge,
            _ => return Err(self.damaged("unknown reset hint")),
        };
        let schema = i32::try_from(self.varint()?).map_err(|_| self.damaged("schema out of range"))?;
        let (zero_threshold, sum) = (self.double()?, self.double()?);
        if float_counts {
            let histogram = FloatHistogram {
                reset_hint,
                schema,
                zero_threshold,
                sum,
                count: self.double()?,
                zero_count: self.double()?,
                positive_spans: self.spans()?,
                negative_spans: self.spans()?,
                positive_buckets: self.doubles()?,
                negative_buckets: self.doubles()?,
                custom_values: self.custom_values()?,
            };
            return self.checked(WriteHistogram::Float(histogram));
        }
        let histogram = Histogram {
            reset_hint,
            schema,
            zero_threshold,
            sum,
            count: self.uvarint()?,
            zero_count: self.uvarint()?,
            positive_spans: self.spans()?,
            negative_spans: self.spans()?,
            positive_deltas: self.varints()?,
            negative_deltas: self.varints()?,
            custom_values: self.custom_values()?,
        };
        self.checked(WriteHistogram::Integer(histogram))
    }

    fn checked(&self, histogram: WriteHistogram) -> Result<WriteHistogram, RecordError> {
        check_histogram(&histogram).map_err(|_| self.damaged("a histogram contradicts itself"))?;
        Ok(histogram)
    }

    fn spans(&mut self) -> Result<Vec<Span>, RecordError> {
        let count = self.rows()?;
        let mut spans = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = i32::try_from(self.varint()?).map_err(|_| self.damaged("a span's offset is out of range"))?;
            let length = u32::try_from(self.uvarint()?).map_err(|_| self.damaged("a span's length is out of range"))?;
            spans.push(Span { offset, length });
        }
        Ok(spans)
    }

    fn doubles(&mut self) -> Result<Vec<f64>, RecordError> {
        (0..self.rows()?).map(|_| self.double()).collect()
    }

    fn custom_values(&mut self) -> Result<Arc<[f64]>, RecordError> {
        Ok(self.doubles()?.into())
    }

    fn varints(&mut self) -> Result<Vec<i64>, RecordError> {
        (0..self.rows()?).map(|_| self.varint()).collect()
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), RecordError> {
        if self.offset == self.bytes.len() { Ok(()) } else { Err(RecordError::Trailing { offset: self.offset }) }
    }
}
