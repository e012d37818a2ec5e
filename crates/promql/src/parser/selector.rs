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
        let mut lists = vec![Vec::new()];
        if self.peek()?.kind == TokenKind::LeftBrace {
            self.next()?;
            (lists, position.end) = self.matcher_lists()?;
        }
        let name = name.text(self.text).to_owned();
        for list in &mut lists {
            list.push(Matcher::equal(METRIC_NAME, &name));
        }
        Ok((selector(name, lists), position))
    }

    /// A selector that starts with a brace.
    pub(super) fn braces_selector(&mut self, brace: Token) -> Result<(VectorSelector, Position), ParseError> {
        let (lists, end) = self.matcher_lists()?;
        Ok((selector(String::new(), lists), Position { start: brace.position.start, end }))
    }

    /// `{…}` alone, without alternatives: the matchers, and where the brace closes.
    pub(crate) fn braces(&mut self) -> Result<(Vec<Matcher>, usize), ParseError> {
        let brace = self.next()?;
        if brace.kind != TokenKind::LeftBrace {
            return Err(self.unexpected(brace, "label set", "\"{\""));
        }
        let (lists, end) = self.matcher_lists()?;
        Ok((lists.into_iter().flatten().collect(), end))
    }

    /// Matchers up to the closing brace, one list or several with `or` between them; and the end of the brace.
    fn matcher_lists(&mut self) -> Result<(Vec<Vec<Matcher>>, usize), ParseError> {
        let mut lists = vec![Vec::new()];
        if self.peek()?.kind == TokenKind::RightBrace {
            return Ok((lists, self.next()?.position.end));
        }
        loop {
            let matcher = self.matcher()?;
            lists.last_mut().expect("there is a list from the start").push(matcher);
            let mut separator = self.next()?;
            if self.is_or(separator) {
                lists.push(Vec::new());
                continue;
            }
            if separator.kind == TokenKind::Comma {
                if self.peek()?.kind != TokenKind::RightBrace {
                    continue;
                }
                separator = self.next()?;
            }
            if separator.kind != TokenKind::RightBrace {
                return Err(self.unexpected(separator, CONTEXT, "\",\" or \"}\""));
            }
            return Ok((lists, separator.position.end));
        }
    }

    fn is_or(&self, token: Token) -> bool {
        let is_word = token.kind == TokenKind::Identifier && token.text(self.text).eq_ignore_ascii_case("or");
        is_word && self.options.matcher_alternatives
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

/// A selector from the first list of matchers and its alternatives.
fn selector(name: String, mut lists: Vec<Vec<Matcher>>) -> VectorSelector {
    VectorSelector {
        name,
        matchers: lists.remove(0),
        alternatives: lists,
        offset: DurationValue::Literal(0),
        at: None,
        extension: RangeExtension::None,
    }
}
