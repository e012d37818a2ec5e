//! What is attached to an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`. All of them bind
//! tighter than any operator.

use super::duration::Context;
use super::{Operand, Parser};
use crate::parse_error::ParseError;
use crate::token::{Keyword, Token, TokenKind, Word};
use crate::tree::{
    AtModifier, DurationValue, Expr, ExprKind, MatrixSelector, Position, RangeExtension, Subquery, VectorSelector,
};

const RANGE: Context =
    Context { place: "subquery or range selector", expected: "number, duration, step(), or range()" };
const STEP: Context = Context { place: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };
const OFFSET: Context = Context { place: "offset", expected: "number, duration, step(), or range()" };

const NOT_A_SELECTOR: &str = "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// Reads everything that is attached to `operand`.
    pub(super) fn with_modifiers(&mut self, mut operand: Operand) -> Result<Operand, ParseError> {
        loop {
            let token = self.peek()?;
            match token.kind {
                TokenKind::LeftBracket => {
                    self.next()?;
                    operand = self.brackets(operand, token)?;
                }
                TokenKind::Keyword(Keyword::Offset) => {
                    self.next()?;
                    let offset = self.offset_duration(OFFSET)?;
                    self.set_offset(&mut operand.expr, offset)?;
                }
                TokenKind::At => {
                    self.next()?;
                    self.at_modifier(&mut operand.expr)?;
                }
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.next()?;
                    self.extend_range(&mut operand.expr, RangeExtension::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.next()?;
                    self.extend_range(&mut operand.expr, RangeExtension::Smoothed)?;
                }
                _ => return Ok(operand),
            }
        }
    }

    /// `[5m]`, `[5m:]` or `[5m:1m]`, after the bracket.
    fn brackets(&mut self, operand: Operand, open: Token) -> Result<Operand, ParseError> {
        let range = self.positive_duration(RANGE)?;
        let token = self.next()?;
        match token.kind {
            TokenKind::RightBracket => self.matrix(operand, range, open),
            TokenKind::Colon => {
                let step = match self.peek()?.kind {
                    TokenKind::RightBracket => None,
                    _ => Some(self.positive_duration(STEP)?),
                };
                let close = self.next()?;
                if close.kind != TokenKind::RightBracket {
                    return Err(self.unexpected(close, "subquery selector", "\"]\""));
                }
                let position = Position { start: operand.expr.position.start, end: close.position.end };
                let offset = DurationValue::Literal(0);
                let subquery = Subquery { expr: operand.expr, range, step, offset, at: None };
                self.node(ExprKind::Subquery(Box::new(subquery)), position, operand.height)
            }
            _ => Err(self.unexpected(token, "subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix(&self, operand: Operand, range: DurationValue, open: Token) -> Result<Operand, ParseError> {
        let selector_position = operand.expr.position;
        let brackets = Position { start: open.position.start, end: self.last_end };
        let ExprKind::Vector(selector) = operand.expr.kind else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.offset != DurationValue::Literal(0) {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let position = Position { start: selector_position.start, end: brackets.end };
        let matrix = MatrixSelector { selector, selector_position, range };
        Ok(Operand { expr: Expr { kind: ExprKind::Matrix(matrix), position }, height: operand.height })
    }

    fn set_offset(&self, expr: &mut Expr, offset: DurationValue) -> Result<(), ParseError> {
        let position = expr.position;
        let Some((slot, _)) = offset_and_at(expr) else {
            return Err(self.error(position, format!("offset modifier {NOT_A_SELECTOR}")));
        };
        if *slot != DurationValue::Literal(0) {
            return Err(self.error(position, "offset may not be set multiple times"));
        }
        *slot = offset;
        expr.position.end = self.last_end;
        Ok(())
    }

    /// What follows `@`.
    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        let mut token = self.next()?;
        let sign = token.kind.sign();
        if sign.is_some() {
            token = self.next()?;
        }
        let at = match (token.kind, sign) {
            (TokenKind::Number | TokenKind::Duration, _) => {
                let value = self.number(token)?.value;
                let seconds = if sign == Some(true) { -value } else { value };
                AtModifier::Timestamp(self.timestamp_ms(seconds, expr.position)?)
            }
            (TokenKind::Word(word @ (Word::Start | Word::End)), None) => {
                self.expect_after_at(TokenKind::LeftParen)?;
                self.expect_after_at(TokenKind::RightParen)?;
                if word == Word::Start { AtModifier::Start } else { AtModifier::End }
            }
            _ => return Err(self.unexpected(token, "@", "timestamp")),
        };
        let position = expr.position;
        let Some((_, slot)) = offset_and_at(expr) else {
            return Err(self.error(position, format!("@ modifier {NOT_A_SELECTOR}")));
        };
        if slot.is_some() {
            return Err(self.error(position, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        expr.position.end = self.last_end;
        Ok(())
    }

    fn expect_after_at(&mut self, kind: TokenKind) -> Result<(), ParseError> {
        let token = self.next()?;
        if token.kind == kind { Ok(()) } else { Err(self.unexpected(token, "@", "timestamp")) }
    }

    fn timestamp_ms(&self, seconds: f64, position: Position) -> Result<i64, ParseError> {
        let bound = i64::MAX as f64;
        if seconds.is_nan() || seconds.abs() >= bound {
            let shown = match seconds {
                _ if seconds.is_nan() => "NaN".to_owned(),
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                _ => format!("{seconds:.6}"),
            };
            return Err(self.error(position, format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        Ok((seconds * 1000.0).round() as i64)
    }

    fn extend_range(&self, expr: &mut Expr, extension: RangeExtension) -> Result<(), ParseError> {
        let name = if extension == RangeExtension::Anchored { "anchored" } else { "smoothed" };
        let position = expr.position;
        let error = |message: String| Err(self.error(position, message));
        if !self.options.extended_range_selectors {
            return error(format!("{name} modifier is experimental and not enabled"));
        }
        let selector = match &mut expr.kind {
            ExprKind::Vector(selector) => selector,
            ExprKind::Matrix(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => return error(format!("{name} modifier is not supported for subqueries")),
            _ => return error(format!("{name} modifier not implemented")),
        };
        if selector.extension != RangeExtension::None && selector.extension != extension {
            return error("anchored and smoothed modifiers cannot be used together".to_owned());
        }
        selector.extension = extension;
        Ok(())
    }
}

/// Where an expression keeps its offset and its fixed time; `None` for expressions that have neither.
fn offset_and_at(expr: &mut Expr) -> Option<(&mut DurationValue, &mut Option<AtModifier>)> {
    match &mut expr.kind {
        ExprKind::Vector(VectorSelector { offset, at, .. }) => Some((offset, at)),
        ExprKind::Matrix(matrix) => Some((&mut matrix.selector.offset, &mut matrix.selector.at)),
        ExprKind::Subquery(subquery) => Some((&mut subquery.offset, &mut subquery.at)),
        _ => None,
    }
}
