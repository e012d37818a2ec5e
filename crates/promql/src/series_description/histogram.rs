//! Native histograms in braces: `{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 buckets:[5 10 7] offset:-3}}`.

use norn_model::FloatHistogram;
use norn_model::histogram::{ResetHint, Span};

use super::Cursor;
use crate::parse_error::ParseError;

/// What the braces said, in any order.
#[derive(Default)]
struct Fields {
    schema: i32,
    sum: f64,
    count: f64,
    zero_count: f64,
    zero_threshold: f64,
    custom_values: Vec<f64>,
    reset_hint: ResetHint,
    positive: Vec<f64>,
    positive_offset: i32,
    negative: Vec<f64>,
    negative_offset: i32,
}

impl Cursor<'_> {
    pub(super) fn histogram(&mut self) -> Result<FloatHistogram, ParseError> {
        if !self.take("{{") {
            return Err(self.error("expected a histogram"));
        }
        let mut fields = Fields::default();
        let mut names: Vec<&str> = Vec::new();
        loop {
            self.skip_blanks();
            if self.take("}}") {
                return Ok(fields.build());
            }
            let name = self.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            if names.contains(&name) {
                return Err(self.error(format!("duplicate key \"{name}\" in histogram")));
            }
            if !self.take(":") {
                return Err(self.error(format!("bad histogram descriptor found: {name:?}")));
            }
            self.field(name, &mut fields)?;
            names.push(name);
        }
    }

    fn field(&mut self, name: &str, fields: &mut Fields) -> Result<(), ParseError> {
        match name {
            "schema" => fields.schema = self.integer()?,
            "sum" => fields.sum = self.number()?,
            "count" => fields.count = self.number()?,
            "z_bucket" => fields.zero_count = self.number()?,
            "z_bucket_w" => fields.zero_threshold = self.number()?,
            "custom_values" => fields.custom_values = self.numbers()?,
            "buckets" => fields.positive = self.numbers()?,
            "offset" => fields.positive_offset = self.integer()?,
            "n_buckets" => fields.negative = self.numbers()?,
            "n_offset" => fields.negative_offset = self.integer()?,
            "counter_reset_hint" => {
                fields.reset_hint = self.reset_hint()?;
                self.names_reset_hint = true;
            }
            _ => return Err(self.error(format!("bad histogram descriptor found: {name:?}"))),
        }
        Ok(())
    }

    fn reset_hint(&mut self) -> Result<ResetHint, ParseError> {
        match self.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            "unknown" => Ok(ResetHint::Unknown),
            "reset" => Ok(ResetHint::CounterReset),
            "not_reset" => Ok(ResetHint::NotCounterReset),
            "gauge" => Ok(ResetHint::Gauge),
            other => Err(self.error(format!("error parsing counter_reset_hint: unknown value {other}"))),
        }
    }

    fn integer(&mut self) -> Result<i32, ParseError> {
        let text = self.take_while(|byte| byte.is_ascii_digit() || byte == b'-');
        text.parse().map_err(|_| self.error(format!("expected an integer, found {text:?}")))
    }

    /// `[1 2 3]`
    fn numbers(&mut self) -> Result<Vec<f64>, ParseError> {
        if !self.take("[") {
            return Err(self.error("expected \"[\""));
        }
        let mut numbers = Vec::new();
        loop {
            self.skip_blanks();
            if self.take("]") {
                return Ok(numbers);
            }
            numbers.push(self.number()?);
        }
    }
}

impl Fields {
    fn build(self) -> FloatHistogram {
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: span(self.positive_offset, &self.positive),
            negative_spans: span(self.negative_offset, &self.negative),
            positive_buckets: self.positive,
            negative_buckets: self.negative,
            custom_values: self.custom_values.into(),
        }
    }
}

fn span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    // A text that long was refused before.
    let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
    if length == 0 { Vec::new() } else { vec![Span { offset, length }] }
}
