//! Numbers and strings.

use norn_gotext::duration::parse_prometheus;
use norn_gotext::number::{NumberError, parse_float, parse_int};
use norn_gotext::quote::{quote, unquote};

use super::Parser;
use crate::parse_error::ParseError;
use crate::token::{Token, TokenKind};
use crate::tree::NumberLiteral;

impl Parser<'_> {
    /// The value of a number or duration token.
    pub(super) fn number(&self, token: Token) -> Result<NumberLiteral, ParseError> {
        let text = token.text(self.text);
        if token.kind == TokenKind::Duration {
            let ms = parse_prometheus(text).map_err(|error| self.error(token.position, error.to_string()))?;
            return Ok(NumberLiteral { value: ms as f64 / 1000.0, is_duration: true });
        }
        let value =
            number_value(text).map_err(|error| self.error(token.position, format!("error parsing number: {error}")))?;
        Ok(NumberLiteral { value, is_duration: false })
    }

    /// The value of a string token. What is not UTF-8, which only escapes can say, is replaced.
    pub(super) fn unquote(&self, token: Token) -> Result<String, ParseError> {
        let text = token.text(self.text);
        let bytes = unquote(text)
            .map_err(|error| self.error(token.position, format!("error unquoting string {}: {error}", quote(text))))?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

/// A number's value: as an integer first, because only there a leading zero means octal.
pub(crate) fn number_value(text: &str) -> Result<f64, NumberError> {
    match parse_int(text) {
        Ok(integer) => Ok(integer as f64),
        Err(_) => parse_float(text),
    }
}
