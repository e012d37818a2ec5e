//! Numbers, durations and strings.

use norn_gotext::quote::{is_printable, quote_char};

use super::Lexer;
use crate::parse_error::ParseError;
use crate::token::TokenKind;

impl Lexer<'_> {
    /// Reads a number in decimal or hexadecimal. `false` leaves the reader behind what it could take: a unit may
    /// follow, and error messages show it.
    pub(super) fn scan_number(&mut self) -> bool {
        let first = self.at;
        let mut is_hexadecimal = false;
        if self.accept(b"0") && self.accept(b"xX") {
            is_hexadecimal = true;
            self.accept(b"_");
        }
        let digits: &[u8] = if is_hexadecimal { b"0123456789abcdefABCDEF" } else { b"0123456789" };
        self.accept(b".");
        self.accept(digits);
        let (mut dot_seen, mut exponent_seen) = (false, false);
        while self.is_next(digits) || self.is_next(b"._eE") {
            if dot_seen && self.accept(b".") {
                return false;
            }
            if exponent_seen && self.is_next(b"eE") {
                self.at += 1;
                return false;
            }
            if self.accept(b".") {
                dot_seen = true;
                if self.accept(b"_.") || is_hexadecimal {
                    return false;
                }
            } else if self.accept(b"eE") {
                exponent_seen = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                self.bump_while(|byte| digits.contains(&byte));
            }
        }
        self.at > first && !self.is_before_word()
    }

    /// Reads units, and further numbers with units, behind a number.
    pub(super) fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        // The second letter of `ms`. Wrong pairs are found where the duration is read.
        self.accept(b"s");
        while self.accept(b"0123456789") {
            self.bump_while(|byte| byte.is_ascii_digit());
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        if self.is_before_word() {
            self.at += 1;
            return false;
        }
        true
    }

    /// Reads a string whose quote was read, and checks its escapes.
    pub(super) fn quoted_string(&mut self, quote: char) -> Result<TokenKind, ParseError> {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                // Go cannot tell it from bytes that are not UTF-8.
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(character) if character == quote => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// Reads a string between backquotes, the first of which was read.
    pub(super) fn raw_string(&mut self) -> Result<TokenKind, ParseError> {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None => return Err(self.error("unterminated raw string")),
                Some('`') => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), ParseError> {
        let (digits, radix, code_max) = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(character) if character == quote => return Ok(()),
            Some('0'..='7') => {
                self.at -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            None => return Err(self.error("escape sequence not terminated")),
            Some(other) => return Err(self.error(format!("unknown escape sequence {}", code_point(other)))),
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let character = self.bump().ok_or_else(|| self.error("escape sequence not terminated"))?;
            let digit = character
                .to_digit(radix)
                .ok_or_else(|| self.error(format!("illegal character {} in escape sequence", code_point(character))))?;
            // Eight hexadecimal digits fill the 32 bits exactly.
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        if code > code_max || (0xd800..0xe000).contains(&code) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn is_next(&self, set: &[u8]) -> bool {
        self.text.as_bytes().get(self.at).is_some_and(|byte| set.contains(byte))
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let is_next = self.is_next(set);
        self.at += usize::from(is_next);
        is_next
    }

    fn is_before_word(&self) -> bool {
        let next = self.text.as_bytes().get(self.at);
        next.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }
}

/// A character as Go's `%#U` prints it.
fn code_point(character: char) -> String {
    let code = u32::from(character);
    if is_printable(character) { format!("U+{code:04X} {}", raw_quoted(character)) } else { format!("U+{code:04X}") }
}

/// `%#U` quotes without escaping.
fn raw_quoted(character: char) -> String {
    match character {
        '\'' | '\\' => format!("'{character}'"),
        _ => quote_char(character),
    }
}
