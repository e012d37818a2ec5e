//! Remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Strings stand once, in a table; series point into it. The table may follow the series on the wire, so the body
//! is walked twice, the first time from series to series only.
//!
//! When a counter started has moved in the schema: field 6 of the series, then field 3 of a sample and field 17 of
//! a histogram. All are read; what the series itself says wins.

use std::collections::HashSet;

use norn_model::labels::METRIC_NAME;
use norn_model::write::MetricType;

use super::{DecodeError, DecodedExemplar, DecodedMetadata, DecodedSeries, WriteVisitor};
use super::{decode_sample, histogram, metric_type};
use crate::wire::Reader;

/// The table of strings: each entry where it is UTF-8, else its bytes.
type Symbols<'a> = Vec<Result<&'a str, &'a [u8]>>;

/// Shows all of `body` to `visitor`. Metadata of a family is shown once, as its first series has it.
pub fn decode<'a>(body: &'a [u8], visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
    let symbols = decode_symbols(body)?;
    let mut seen_families = HashSet::new();
    let mut series = DecodedSeries::default();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        if field.number != 5 {
            continue;
        }
        let metadata = decode_series(field.bytes()?, &symbols, &mut series)?;
        if let Some(metadata) = metadata
            && seen_families.insert(metadata.family)
        {
            visitor.metadata(metadata);
        }
        if visitor.series(&mut series).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

fn decode_symbols(body: &[u8]) -> Result<Symbols<'_>, DecodeError> {
    let mut symbols = Symbols::new();
    let mut has_series = false;
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => return Err(DecodeError::FieldOfVersion1("Timeseries")),
            2 => return Err(DecodeError::FieldOfVersion1("Source")),
            3 => return Err(DecodeError::FieldOfVersion1("Metadata")),
            4 => {
                let symbol = field.bytes()?;
                if symbols.is_empty() && !symbol.is_empty() {
                    return Err(DecodeError::FirstSymbol);
                }
                symbols.push(std::str::from_utf8(symbol).map_err(|_| symbol));
            }
            5 => has_series = true,
            _ => {}
        }
    }
    if has_series && symbols.is_empty() {
        return Err(DecodeError::FirstSymbol);
    }
    Ok(symbols)
}

fn decode_series<'a>(
    message: &'a [u8],
    symbols: &Symbols<'a>,
    series: &mut DecodedSeries<'a>,
) -> Result<Option<DecodedMetadata<'a>>, DecodeError> {
    series.clear();
    let mut metadata = None;
    let mut first_start_ms = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => field.extend_varints(&mut series.references, |reference| reference as u32)?,
            2 => {
                let (sample, start_ms) = decode_sample(field.bytes()?)?;
                series.samples.push(sample);
                first_start_ms = if first_start_ms == 0 { start_ms } else { first_start_ms };
            }
            3 => {
                let (histogram, start_ms) = histogram::decode(field.bytes()?)?;
                series.histograms.push(histogram);
                first_start_ms = if first_start_ms == 0 { start_ms } else { first_start_ms };
            }
            4 => decode_exemplar(field.bytes()?, symbols, series)?,
            5 => metadata = Some(field.bytes()?),
            6 => series.created_ms = field.int64()?,
            _ => {}
        }
    }
    if series.created_ms == 0 {
        series.created_ms = first_start_ms;
    }
    resolve_labels(symbols, series)?;
    match metadata {
        Some(message) => decode_metadata(message, symbols, series),
        None => Ok(None),
    }
}

fn resolve_labels<'a>(symbols: &Symbols<'a>, series: &mut DecodedSeries<'a>) -> Result<(), DecodeError> {
    let (pairs, rest) = series.references.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(DecodeError::OddReferences);
    }
    for [name, value] in pairs {
        match (symbol(symbols, *name)?, symbol(symbols, *value)?) {
            (Ok(name), Ok(value)) => series.labels.push((name, value)),
            _ => {
                series.labels.clear();
                break;
            }
        }
    }
    if series.labels.len() < pairs.len() {
        for [name, value] in pairs {
            let pair = (symbol_bytes(symbols, *name)?, symbol_bytes(symbols, *value)?);
            series.broken_labels.push(pair);
        }
    }
    Ok(())
}

fn symbol<'a>(symbols: &Symbols<'a>, reference: u32) -> Result<Result<&'a str, &'a [u8]>, DecodeError> {
    symbols.get(reference as usize).copied().ok_or(DecodeError::LabelReference)
}

fn symbol_bytes<'a>(symbols: &Symbols<'a>, reference: u32) -> Result<&'a [u8], DecodeError> {
    symbol(symbols, reference).map(|symbol| symbol.map_or_else(|bytes| bytes, str::as_bytes))
}

fn decode_exemplar<'a>(
    message: &'a [u8],
    symbols: &Symbols<'a>,
    series: &mut DecodedSeries<'a>,
) -> Result<(), DecodeError> {
    let start = series.exemplar_labels.len();
    let mut exemplar = DecodedExemplar { timestamp_ms: 0, value: 0.0, labels: start..start };
    let mut references: Vec<u32> = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => field.extend_varints(&mut references, |reference| reference as u32)?,
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    let (pairs, rest) = references.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(DecodeError::OddReferences);
    }
    for [name, value] in pairs {
        let pair = (symbol_bytes(symbols, *name)?, symbol_bytes(symbols, *value)?);
        series.exemplar_labels.push(pair);
    }
    exemplar.labels.end = series.exemplar_labels.len();
    series.exemplars.push(exemplar);
    Ok(())
}

/// `None` where the message says nothing, or the series has no name to derive a family from.
fn decode_metadata<'a>(
    message: &'a [u8],
    symbols: &Symbols<'a>,
    series: &DecodedSeries<'a>,
) -> Result<Option<DecodedMetadata<'a>>, DecodeError> {
    let mut metadata = DecodedMetadata { family: "", metric_type: MetricType::Unknown, help: "", unit: "" };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => metadata.metric_type = metric_type(field)?,
            3 => metadata.help = text(symbols, field.uint32()?).ok_or(DecodeError::HelpReference)?,
            4 => metadata.unit = text(symbols, field.uint32()?).ok_or(DecodeError::UnitReference)?,
            _ => {}
        }
    }
    let says_something =
        metadata.metric_type != MetricType::Unknown || !metadata.help.is_empty() || !metadata.unit.is_empty();
    let name = series.labels.iter().find(|label| label.0 == METRIC_NAME).map(|label| label.1);
    Ok(name.filter(|_| says_something).map(|name| {
        metadata.family = family_name(name, metadata.metric_type);
        metadata
    }))
}

/// A string of the table; one that is not UTF-8 says nothing.
fn text<'a>(symbols: &Symbols<'a>, reference: u32) -> Option<&'a str> {
    symbols.get(reference as usize).map(|symbol| symbol.unwrap_or(""))
}

/// The family's name: the metric's, without the suffix that its kind adds.
pub fn family_name(name: &str, metric_type: MetricType) -> &str {
    let suffixes: &[&str] = match metric_type {
        MetricType::Summary => &["_count", "_sum"],
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
