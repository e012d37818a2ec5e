//! From text to tokens.
//!
//! PromQL has no one set of tokens: between braces there are no keywords, and between brackets only durations.
//! The lexer therefore has modes. It decides errors in the same order as Prometheus' does, whose messages tell which
//! state it was in; where a rule looks odd (after the first number between brackets the ordinary rules apply), that
//! is why.
//!
//! Source: Prometheus `promql/parser/lex.go`.

mod scan;

use norn_gotext::quote::{quote, quote_char};

use crate::parse_error::ParseError;
use crate::token::{Keyword, Token, TokenKind, Word, lookup_word};
use crate::tree::{BinaryOp, Position};

/// Reads tokens on demand. After an error it is of no further use.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// Where the current token starts.
    start: usize,
    /// What is read next.
    at: usize,
    mode: Mode,
    parens_open: usize,
    bracket_open: bool,
    /// Whether a colon was read since the bracket opened.
    colon_seen: bool,
    /// Whether a number was ever read between brackets.
    duration_seen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Statements,
    /// Inside `{…}`.
    Braces,
    /// Inside `[…]`, before the first number.
    Duration,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self::starting_at(text, 0)
    }

    pub(crate) fn starting_at(text: &'a str, at: usize) -> Self {
        Self {
            text,
            start: at,
            at,
            mode: Mode::Statements,
            parens_open: 0,
            bracket_open: false,
            colon_seen: false,
            duration_seen: false,
        }
    }

    /// The next token, comments left out. At the end: [`TokenKind::End`], again and again.
    pub(crate) fn next_token(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks();
        self.start = self.at;
        let kind = match self.mode {
            Mode::Statements => self.statement_token()?,
            Mode::Braces => self.braces_token()?,
            Mode::Duration => self.duration_token()?,
        };
        Ok(Token { kind, position: Position { start: self.start, end: self.at } })
    }

    fn skip_blanks(&mut self) {
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' | '\n' | '\r' => self.at += 1,
                '#' if self.mode != Mode::Duration => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn statement_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(character) = self.bump() else { return self.end_of_statements() };
        let kind = match character {
            ',' => TokenKind::Comma,
            '@' => TokenKind::At,
            '=' | '!' | '<' | '>' => self.comparison(character)?,
            '*' | '/' | '%' | '+' | '-' | '^' => TokenKind::Operator(arithmetic(character)),
            '0'..='9' => self.number_or_duration()?,
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number_or_duration()?,
            '"' | '\'' => self.quoted_string(character)?,
            '`' => self.raw_string()?,
            'a'..='z' | 'A'..='Z' | '_' | ':' if self.bracket_open => self.word_in_brackets(character)?,
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(),
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            '{' => {
                self.mode = Mode::Braces;
                TokenKind::LeftBrace
            }
            '[' if self.bracket_open => {
                return Err(self.error(format!("unexpected left bracket {}", quote_char('['))));
            }
            '[' => {
                self.mode = Mode::Duration;
                self.bracket_open = true;
                self.colon_seen = false;
                TokenKind::LeftBracket
            }
            ']' if !self.bracket_open => {
                return Err(self.error(format!("unexpected right bracket {}", quote_char(']'))));
            }
            ']' => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            other => return Err(self.error(format!("unexpected character: {}", quote_char(other)))),
        };
        Ok(kind)
    }

    fn end_of_statements(&self) -> Result<TokenKind, ParseError> {
        match (self.parens_open, self.bracket_open) {
            (0, false) => Ok(TokenKind::End),
            (0, true) => Err(self.error("unclosed left bracket")),
            _ => Err(self.error("unclosed left parenthesis")),
        }
    }

    fn comparison(&mut self, first: char) -> Result<TokenKind, ParseError> {
        let kind = match (first, self.peek()) {
            ('=', Some('=')) => TokenKind::Operator(BinaryOp::Equal),
            ('=', Some('~')) => {
                return Err(self.error(format!("unexpected character after '=': {}", quote_char('~'))));
            }
            ('=', _) => return Ok(TokenKind::EqualSign),
            ('!', Some('=')) => TokenKind::Operator(BinaryOp::NotEqual),
            ('!', other) => return Err(self.error(format!("unexpected character after '!': {}", describe(other)))),
            ('<', Some('=')) => TokenKind::Operator(BinaryOp::LessOrEqual),
            ('<', Some('/')) => TokenKind::Operator(BinaryOp::TrimUpper),
            ('<', _) => return Ok(TokenKind::Operator(BinaryOp::Less)),
            (_, Some('=')) => TokenKind::Operator(BinaryOp::GreaterOrEqual),
            (_, Some('/')) => TokenKind::Operator(BinaryOp::TrimLower),
            _ => return Ok(TokenKind::Operator(BinaryOp::Greater)),
        };
        self.at += 1;
        Ok(kind)
    }

    fn open_paren(&mut self) -> TokenKind {
        self.parens_open += 1;
        TokenKind::LeftParen
    }

    fn close_paren(&mut self) -> Result<TokenKind, ParseError> {
        match self.parens_open.checked_sub(1) {
            Some(parens_open) => self.parens_open = parens_open,
            None => return Err(self.error_behind(format!("unexpected right parenthesis {}", quote_char(')')))),
        }
        Ok(TokenKind::RightParen)
    }

    /// A name, an operator or a keyword.
    fn word(&mut self) -> TokenKind {
        self.bump_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
        let word = &self.text[self.start..self.at];
        match lookup_word(word) {
            // Metrics had these names before the language had these words.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.is_before_left_paren() =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    fn is_before_left_paren(&self) -> bool {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        rest.starts_with('(')
    }

    fn word_in_brackets(&mut self, first: char) -> Result<TokenKind, ParseError> {
        if first == ':' {
            if self.colon_seen {
                return Err(self.error(format!("unexpected colon {}", quote_char(':'))));
            }
            self.colon_seen = true;
            return Ok(TokenKind::Colon);
        }
        self.duration_word(first).ok_or_else(|| {
            let expected = quote_char(':');
            self.error(format!("unexpected character: {}, expected {expected}", quote_char(first)))
        })
    }

    /// A function of durations; `min` and `max` are older names of `min_of` and `max_of`.
    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.bump_while(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let word = match self.text[self.start..self.at].to_ascii_lowercase().as_str() {
            "step" => Word::Step,
            "range" => Word::Range,
            "max_of" | "max" => Word::MaxOf,
            "min_of" | "min" => Word::MinOf,
            _ => return None,
        };
        Some(TokenKind::Word(word))
    }

    fn duration_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(character) = self.bump() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        let kind = match character {
            ']' => {
                self.mode = Mode::Statements;
                self.bracket_open = false;
                self.colon_seen = false;
                TokenKind::RightBracket
            }
            ':' if !self.duration_seen => {
                return Err(self.error_behind("unexpected colon before duration in duration expression"));
            }
            ':' if self.colon_seen => {
                return Err(self.error_behind("unexpected repeated colon in duration expression"));
            }
            ':' => {
                self.colon_seen = true;
                TokenKind::Colon
            }
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            '*' | '/' | '%' | '+' | '-' | '^' => TokenKind::Operator(arithmetic(character)),
            ',' => TokenKind::Comma,
            '0'..='9' => self.first_number()?,
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.first_number()?,
            other => self.duration_word(other).ok_or_else(|| {
                self.error(format!("unexpected character in duration expression: {}", quote_char(other)))
            })?,
        };
        Ok(kind)
    }

    fn first_number(&mut self) -> Result<TokenKind, ParseError> {
        self.duration_seen = true;
        self.mode = Mode::Statements;
        self.number_or_duration()
    }

    fn braces_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(character) = self.bump() else { return Err(self.error("unexpected end of input inside braces")) };
        let kind = match character {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.bump_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => self.quoted_string(character)?,
            '`' => self.raw_string()?,
            '=' if self.bump_if('~') => TokenKind::EqualRegex,
            '=' => TokenKind::EqualSign,
            '!' if self.bump_if('~') => TokenKind::NotRegex,
            '!' if self.bump_if('=') => TokenKind::Operator(BinaryOp::NotEqual),
            '!' => {
                let next = describe(self.peek());
                return Err(self.error(format!("unexpected character after '!' inside braces: {next}")));
            }
            '{' => return Err(self.error(format!("unexpected left brace {}", quote_char('{')))),
            '}' => {
                self.mode = Mode::Statements;
                TokenKind::RightBrace
            }
            other => return Err(self.error(format!("unexpected character inside braces: {}", quote_char(other)))),
        };
        Ok(kind)
    }

    fn number_or_duration(&mut self) -> Result<TokenKind, ParseError> {
        self.at = self.start;
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        if self.scan_rest_of_duration() {
            return Ok(TokenKind::Duration);
        }
        Err(self.error(format!("bad number or duration syntax: {}", quote(&self.text[self.start..self.at]))))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn bump_if(&mut self, expected: char) -> bool {
        let is_next = self.peek() == Some(expected);
        if is_next {
            self.at += expected.len_utf8();
        }
        is_next
    }

    /// Reads bytes for which `belongs` holds, which it does for ASCII only.
    fn bump_while(&mut self, belongs: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
    }

    /// An error at the start of the token.
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, Position { start: self.start, end: self.text.len() }, message)
    }

    /// An error at the end of the token.
    fn error_behind(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, Position { start: self.at, end: self.text.len() }, message)
    }
}

fn arithmetic(character: char) -> BinaryOp {
    match character {
        '*' => BinaryOp::Multiply,
        '/' => BinaryOp::Divide,
        '%' => BinaryOp::Modulo,
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Subtract,
        _ => BinaryOp::Power,
    }
}

/// A character in an error; Go prints the end of the text as the replacement character.
fn describe(character: Option<char>) -> String {
    quote_char(character.unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests;
