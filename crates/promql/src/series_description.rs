//! Series as test scripts write them: `name{label="value"} 1+2x3 _ stale {{schema:0 count:1 buckets:[1]}}`.
//!
//! Items are separated by blanks. `_` is no sample, `stale` a stale marker, `axN` stands for N+1 times a, `a+bxN` and
//! `a-bxN` count up or down N times, `_xN` leaves out N samples; `{{…}}` is a native histogram and repeats in the same
//! ways. There are no hexadecimal numbers here: `0x10` is eleven times 0.
//!
//! Source: Prometheus `promql/parser/generated_parser.y`, `series_description`.

mod histogram;

use norn_model::labels::LabelsBuilder;
use norn_model::matcher::MatchOp;
use norn_model::sample::stale_nan;
use norn_model::{FloatHistogram, Labels};

use crate::parse_error::ParseError;
use crate::parser::{ParseOptions, Parser, number_value};
use crate::tree::{Position, SequenceValue, SeriesDescription};

/// A line of a test that asks for more values is a mistake.
const VALUES_MAX: usize = 1_000_000;

/// Parses a series and its values.
pub fn parse_series_description(text: &str) -> Result<SeriesDescription, ParseError> {
    let (labels, end) = parse_labels(text)?;
    let mut cursor = Cursor { text, at: end, names_reset_hint: false };
    let mut values = Vec::new();
    loop {
        let is_separated = cursor.skip_blanks();
        if cursor.rest().is_empty() {
            return Ok(SeriesDescription { labels, values, names_reset_hint: cursor.names_reset_hint });
        }
        if !is_separated {
            return Err(cursor.error("expected a blank between values"));
        }
        cursor.item(&mut values)?;
    }
}

/// Parses a label set alone: `name{label="value"}`, or nothing.
pub fn parse_metric(text: &str) -> Result<Labels, ParseError> {
    let (labels, end) = parse_labels(text)?;
    let mut cursor = Cursor { text, at: end, names_reset_hint: false };
    cursor.skip_blanks();
    if cursor.rest().is_empty() { Ok(labels) } else { Err(cursor.error("unexpected text behind the label set")) }
}

/// The label set in front, and where it ends.
fn parse_labels(text: &str) -> Result<(Labels, usize), ParseError> {
    let mut cursor = Cursor { text, at: 0, names_reset_hint: false };
    cursor.skip_blanks();
    let mut builder = LabelsBuilder::default();
    // A number that stands alone is a value, not a name.
    let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
    if cursor.rest().starts_with('{') && !cursor.rest().starts_with("{{") {
        let options = ParseOptions { matcher_alternatives: false, ..ParseOptions::all() };
        let (matchers, end) = Parser::starting_at(text, &options, cursor.at).braces()?;
        for matcher in matchers {
            if matcher.op() != MatchOp::Equal {
                return Err(cursor.error(format!("label {} needs \"=\"", matcher.name())));
            }
            builder.set(matcher.name(), matcher.value());
        }
        cursor.at = end;
    }
    if !name.is_empty() {
        builder.set(norn_model::labels::METRIC_NAME, name);
    }
    Ok((builder.build(), cursor.at))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Whether a histogram named its reset hint.
    names_reset_hint: bool,
}

impl<'a> Cursor<'a> {
    fn item(&mut self, values: &mut Vec<SequenceValue>) -> Result<(), ParseError> {
        if self.take("_") {
            let count = if self.take("x") { self.count()? } else { 1 };
            return self.push(values, count, std::iter::repeat(SequenceValue::Omitted));
        }
        if self.rest().starts_with("{{") {
            return self.histograms(values);
        }
        if self.rest().starts_with("stale") {
            self.at += "stale".len();
            return self.push(values, 1, std::iter::once(SequenceValue::Float(stale_nan())));
        }
        let mut value = self.number()?;
        let change = if self.rest().starts_with(['+', '-']) { Some(self.number()?) } else { None };
        if !self.take("x") {
            if change.is_some() {
                return Err(self.error("expected \"x\" and how often"));
            }
            return self.push(values, 1, std::iter::once(SequenceValue::Float(value)));
        }
        let count = self.count()? + 1;
        let counting = std::iter::from_fn(|| {
            let current = value;
            value += change.unwrap_or(0.0);
            Some(SequenceValue::Float(current))
        });
        self.push(values, count, counting)
    }

    fn histograms(&mut self, values: &mut Vec<SequenceValue>) -> Result<(), ParseError> {
        let first = self.histogram()?;
        let negative = self.rest().starts_with('-');
        let change = if self.take("+") || self.take("-") { Some(self.histogram()?) } else { None };
        let mut count = 0;
        if self.take("x") {
            count = self.count()?;
        } else if change.is_some() {
            return Err(self.error("expected \"x\" and how often"));
        }
        let mut current = first;
        let mut sequence = Vec::new();
        self.check_count(values.len(), count + 1)?;
        for _ in 0..count {
            let mut next = current.clone();
            if let Some(change) = &change {
                self.combine(&mut next, change, negative)?;
            }
            sequence.push(SequenceValue::Histogram(Box::new(std::mem::replace(&mut current, next))));
        }
        sequence.push(SequenceValue::Histogram(Box::new(current)));
        values.append(&mut sequence);
        Ok(())
    }

    fn combine(&self, sum: &mut FloatHistogram, change: &FloatHistogram, negative: bool) -> Result<(), ParseError> {
        if sum.schema > change.schema {
            let (from, to) = (change.schema, sum.schema);
            return Err(self.error(format!("error combining histograms: cannot merge from schema {from} to {to}")));
        }
        let combined = if negative { sum.subtract(change) } else { sum.add(change) };
        combined.map(|_| ()).map_err(|error| self.error(error.to_string()))
    }

    fn push(
        &self,
        values: &mut Vec<SequenceValue>,
        count: usize,
        items: impl Iterator<Item = SequenceValue>,
    ) -> Result<(), ParseError> {
        self.check_count(values.len(), count)?;
        values.extend(items.take(count));
        Ok(())
    }

    fn check_count(&self, before: usize, count: usize) -> Result<(), ParseError> {
        if before.saturating_add(count) > VALUES_MAX {
            return Err(self.error(format!("more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    /// How often an item is repeated.
    fn count(&mut self) -> Result<usize, ParseError> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        digits
            .parse()
            .ok()
            .filter(|count| *count <= VALUES_MAX)
            .ok_or_else(|| self.error(format!("invalid repetition in series values: {digits:?}")))
    }

    /// A number with its sign.
    fn number(&mut self) -> Result<f64, ParseError> {
        let start = self.at;
        let negative = self.rest().starts_with('-');
        if self.rest().starts_with(['+', '-']) {
            self.at += 1;
        }
        let digits_start = self.at;
        if self.rest().starts_with(|first: char| first.is_ascii_alphabetic()) {
            self.take_while(|byte| byte.is_ascii_alphabetic());
        } else {
            self.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'));
            if self.take("e") || self.take("E") {
                let _sign = self.take("+") || self.take("-");
                self.take_while(|byte| byte.is_ascii_digit());
            }
        }
        let magnitude = number_value(&self.text[digits_start..self.at]).map_err(|error| {
            ParseError::new(self.text, Position { start, end: self.at }, format!("error parsing number: {error}"))
        })?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, expected: &str) -> bool {
        let is_next = self.rest().starts_with(expected);
        if is_next {
            self.at += expected.len();
        }
        is_next
    }

    /// Takes bytes for which `belongs` holds, which it does for ASCII only.
    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Whether there was a blank.
    fn skip_blanks(&mut self) -> bool {
        !self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).is_empty()
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, Position { start: self.at, end: self.text.len() }, message)
    }
}

#[cfg(test)]
mod tests;
