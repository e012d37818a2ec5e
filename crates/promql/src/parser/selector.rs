//! Selectors: `name{label="value"}`, `{"name in quotes", "label in quotes"=~"pattern"}`.

use norn_gotext::quote::quote;
use norn_model::labels::METRIC_NAME;
use norn_model::matcher::{MatchOp, Matcher};

use super::Parser;
use crate::parse_error::ParseError;
use crate::token::{Token, TokenKind};
use crate::tree::{BinaryOp, DurationValue, Position, RangeExtension, VectorSelector};

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// A selector that starts with a name.
    pub(super) fn named_selector(&mut self, name: Token) -> Result<(VectorSelector, Position), ParseError> {
        let mut position = name.position;
        let mut matchers = Vec::new();
        if self.peek()?.kind == TokenKind::LeftBrace {
            self.next()?;
            (matchers, position.end) = self.matchers()?;
        }
        let name = name.text(self.text).to_owned();
        matchers.push(Matcher::equal(METRIC_NAME, &name));
        Ok((selector(name, matchers), position))
    }

    /// A selector that starts with a brace.
    pub(super) fn braces_selector(&mut self, brace: Token) -> Result<(VectorSelector, Position), ParseError> {
        let (matchers, end) = self.matchers()?;
        Ok((selector(String::new(), matchers), Position { start: brace.position.start, end }))
    }

    /// `{…}` alone: the matchers, and where the brace closes.
    pub(crate) fn braces(&mut self) -> Result<(Vec<Matcher>, usize), ParseError> {
        let brace = self.next()?;
        if brace.kind != TokenKind::LeftBrace {
            return Err(self.unexpected(brace, "label set", "\"{\""));
        }
        self.matchers()
    }

    /// Matchers up to the closing brace, and its end.
    fn matchers(&mut self) -> Result<(Vec<Matcher>, usize), ParseError> {
        let mut matchers = Vec::new();
        if self.peek()?.kind == TokenKind::RightBrace {
            return Ok((matchers, self.next()?.position.end));
        }
        loop {
            matchers.push(self.matcher()?);
            let mut separator = self.next()?;
            if separator.kind == TokenKind::Comma {
                if self.peek()?.kind != TokenKind::RightBrace {
                    continue;
                }
                separator = self.next()?;
            }
            if separator.kind != TokenKind::RightBrace {
                return Err(self.unexpected(separator, CONTEXT, "\",\" or \"}\""));
            }
            return Ok((matchers, separator.position.end));
        }
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let label = self.next()?;
        let name = match label.kind {
            TokenKind::Identifier => label.text(self.text).to_owned(),
            TokenKind::String => self.unquote(label)?,
            _ => return Err(self.unexpected(label, CONTEXT, "identifier or \"}\"")),
        };
        let Some(op) = match_op(self.peek()?.kind) else {
            if label.kind == TokenKind::String {
                return Ok(Matcher::equal(METRIC_NAME, &name));
            }
            let token = self.next()?;
            return Err(self.unexpected(token, CONTEXT, "label matching operator"));
        };
        self.next()?;
        let value = self.next()?;
        if value.kind != TokenKind::String {
            return Err(self.unexpected(value, CONTEXT, "string"));
        }
        if !self.options.utf8_names && !is_legacy_label_name(&name) {
            return Err(self.error(label.position, format!("invalid label name: {}", quote(&name))));
        }
        let position = Position { start: label.position.start, end: value.position.end };
        let value = self.unquote(value)?;
        Matcher::new(op, &name, &value).map_err(|error| self.error(position, error.to_string()))
    }
}

/// Letters, digits and underscores, not starting with a digit.
pub(crate) fn is_legacy_label_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn match_op(kind: TokenKind) -> Option<MatchOp> {
    match kind {
        TokenKind::EqualSign => Some(MatchOp::Equal),
        TokenKind::Operator(BinaryOp::NotEqual) => Some(MatchOp::NotEqual),
        TokenKind::EqualRegex => Some(MatchOp::Regex),
        TokenKind::NotRegex => Some(MatchOp::NotRegex),
        _ => None,
    }
}

fn selector(name: String, matchers: Vec<Matcher>) -> VectorSelector {
    VectorSelector {
        name,
        matchers,
        alternatives: Vec::new(),
        offset: DurationValue::Literal(0),
        at: None,
        extension: RangeExtension::None,
    }
}
