//! Remote write 1.0: `prometheus.WriteRequest`.

use super::{DecodeError, DecodedExemplar, DecodedMetadata, DecodedSeries, LabelSpan, WriteVisitor};
use super::{decode_sample, histogram, metric_type};
use crate::wire::{Field, Reader, Value, WireError};
use norn_model::write::MetricType;

/// What a request says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteFlags {
    /// Names of labels are not to be checked.
    pub skip_label_validation: bool,
    /// The number of labels is not to be checked.
    pub skip_label_count_validation: bool,
}

/// Shows all of `body` to `visitor`. Cost: one pass, no allocation once the visitor's series has grown.
pub fn decode<'a>(body: &'a [u8], visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
    let mut series = DecodedSeries::default();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                decode_series(field.bytes()?, &mut series)?;
                if visitor.series(&mut series).is_break() {
                    return Ok(());
                }
            }
            3 => visitor.metadata(decode_metadata(field.bytes()?)?),
            4 => return Err(DecodeError::FieldOfVersion2("Symbols")),
            5 => return Err(DecodeError::FieldOfVersion2("Timeseries")),
            _ => {}
        }
    }
    Ok(())
}

/// What the request says about itself. Cost: one step for each series, whose content is skipped.
pub fn decode_flags(body: &[u8]) -> Result<WriteFlags, DecodeError> {
    let mut flags = WriteFlags::default();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1000 => flags.skip_label_validation = field.boolean()?,
            1001 => flags.skip_label_count_validation = field.boolean()?,
            _ => {}
        }
    }
    Ok(flags)
}

fn decode_series<'a>(message: &'a [u8], series: &mut DecodedSeries<'a>) -> Result<(), WireError> {
    series.clear();
    let mut labels_end = 0;
    let mut reader = Reader::new(message);
    loop {
        if let Some((span, end)) = plain_label(message, reader.offset()) {
            series.spans.push(span);
            labels_end = end;
            reader.skip_to(end);
            continue;
        }
        let Some(field) = reader.next_field()? else { break };
        match field.number {
            1 => {
                let label = field.bytes()?;
                labels_end = reader.offset();
                series.spans.push(label_span(label, labels_end - label.len())?);
            }
            2 => {
                let (sample, start_ms) = decode_sample(field.bytes()?)?;
                series.samples.push(sample);
                if series.created_ms == 0 {
                    series.created_ms = start_ms;
                }
            }
            3 => decode_exemplar(field.bytes()?, series)?,
            4 => {
                let (histogram, start_ms) = histogram::decode(field.bytes()?)?;
                series.histograms.push(histogram);
                if series.created_ms == 0 {
                    series.created_ms = start_ms;
                }
            }
            6 => series.created_ms = field.int64()?,
            _ => {}
        }
    }
    series.resolve_spans(message, labels_end);
    Ok(())
}

/// The strings of the label at `at`, and where it ends, if it is written as all clients write it: name before value,
/// both below 128 bytes, nothing else. This takes five comparisons, the general way three times as long.
#[inline]
fn plain_label(message: &[u8], at: usize) -> Option<(LabelSpan, usize)> {
    let [0x0a, label_len, 0x0a, name_len, ..] = *message.get(at..)? else { return None };
    let name = at + 4;
    let name_end = name + usize::from(name_len);
    let [0x12, value_len, ..] = *message.get(name_end..)? else { return None };
    let value = name_end + 2;
    let end = value + usize::from(value_len);
    let is_plain = label_len < 0x80 && end == at + 2 + usize::from(label_len) && end <= message.len();
    is_plain.then_some((LabelSpan { name: (name, name_end), value: (value, end) }, end))
}

/// Finds the strings of a label, whose message starts at `base` in the message of its series.
#[inline]
fn label_span(label: &[u8], base: usize) -> Result<LabelSpan, WireError> {
    let mut span = LabelSpan { name: (base, base), value: (base, base) };
    let mut reader = Reader::new(label);
    while let Some(field) = reader.next_field()? {
        let end = base + reader.offset();
        match (field.number, field.value) {
            (1, Value::Bytes(name)) => span.name = (end - name.len(), end),
            (2, Value::Bytes(value)) => span.value = (end - value.len(), end),
            (1 | 2, _) => return field.bytes().map(|_| span),
            _ => {}
        }
    }
    Ok(span)
}

fn decode_exemplar<'a>(message: &'a [u8], series: &mut DecodedSeries<'a>) -> Result<(), WireError> {
    let start = series.exemplar_labels.len();
    let mut exemplar = DecodedExemplar { timestamp_ms: 0, value: 0.0, labels: start..start };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => series.exemplar_labels.push(decode_label(field)?),
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    exemplar.labels.end = series.exemplar_labels.len();
    series.exemplars.push(exemplar);
    Ok(())
}

fn decode_label<'a>(field: Field<'a>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let mut label: (&[u8], &[u8]) = (b"", b"");
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => label.0 = field.bytes()?,
            2 => label.1 = field.bytes()?,
            _ => {}
        }
    }
    Ok(label)
}

fn decode_metadata(message: &[u8]) -> Result<DecodedMetadata<'_>, WireError> {
    let mut metadata = DecodedMetadata { family: "", metric_type: MetricType::Unknown, help: "", unit: "" };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => metadata.metric_type = metric_type(field)?,
            2 => metadata.family = field.text()?,
            4 => metadata.help = field.text()?,
            5 => metadata.unit = field.text()?,
            _ => {}
        }
    }
    Ok(metadata)
}
