//! Durations between brackets and behind `offset`: literals, and arithmetic on them.
//!
//! Behind `offset` a literal or a call ends the duration, so that `up offset 5m + 1` adds to the samples; only what
//! starts with a parenthesis goes on. Between brackets everything belongs to the duration. `min_of` and `max_of` were
//! once called `min` and `max`, and still may be.

use super::Parser;
use super::binary::{POWER, precedence, right_precedence};
use crate::parse_error::ParseError;
use crate::token::{Token, TokenKind, Word};
use crate::tree::{AggregateOp, BinaryOp, DurationExpr, DurationExprKind, DurationValue, NumberLiteral, Position};

/// How a mistake in a duration is described.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) place: &'static str,
    pub(super) expected: &'static str,
}

/// A duration as it was read: literals stay apart as long as nothing is computed with them.
pub(super) enum Length {
    Literal(NumberLiteral, Position),
    Expr(DurationExpr),
}

impl Length {
    pub(super) fn position(&self) -> Position {
        match self {
            Self::Literal(_, position) => *position,
            Self::Expr(expr) => expr.position,
        }
    }

    pub(super) fn into_value(self) -> DurationValue {
        match self {
            Self::Literal(literal, _) => DurationValue::Literal(milliseconds(literal.value)),
            Self::Expr(expr) => DurationValue::Expr(Box::new(expr)),
        }
    }

    fn into_expr(self) -> DurationExpr {
        match self {
            Self::Literal(literal, position) => expr(DurationExprKind::Number(literal), position),
            Self::Expr(expr) => expr,
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, Self::Literal(literal, _) if literal.value == 0.0)
    }
}

/// Go rounds to nanoseconds first, and later cuts to milliseconds.
fn milliseconds(seconds: f64) -> i64 {
    // The parser refuses what does not fit nanoseconds.
    (seconds * 1e9).round() as i64 / 1_000_000
}

fn expr(kind: DurationExprKind, position: Position) -> DurationExpr {
    DurationExpr { kind, position, wrapped: false }
}

impl Parser<'_> {
    /// A duration between brackets; a literal has to be above zero.
    pub(super) fn positive_duration(&mut self, context: Context) -> Result<DurationValue, ParseError> {
        let length = self.duration(0, context)?;
        match &length {
            Length::Literal(literal, position) if literal.value <= 0.0 => {
                Err(self.error(*position, "duration must be greater than 0"))
            }
            _ => Ok(length.into_value()),
        }
    }

    /// A duration behind `offset`.
    pub(super) fn offset_duration(&mut self, context: Context) -> Result<DurationValue, ParseError> {
        let token = self.next()?;
        let length = match token.kind.sign() {
            Some(negative) => self.signed_offset(token, negative, context)?,
            None => {
                let length = self.duration_operand(token, context)?;
                if token.kind == TokenKind::LeftParen { self.duration_from(length, 0, context)? } else { length }
            }
        };
        Ok(length.into_value())
    }

    fn signed_offset(&mut self, sign: Token, negative: bool, context: Context) -> Result<Length, ParseError> {
        let token = self.next()?;
        if token.kind.sign().is_some() {
            // Two signs are read as between brackets.
            let inner = self.signed_duration(token, context)?;
            let length = self.with_sign(sign, negative, inner)?;
            return self.duration_from(length, 0, context);
        }
        let inner = match token.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(token, sign.position)?,
            TokenKind::LeftParen => {
                let inner = self.duration(0, context)?;
                self.expect_in_duration(TokenKind::RightParen, context)?;
                let position = inner.position();
                wrap(inner, position)
            }
            _ => match self.duration_operand(token, context)? {
                Length::Expr(inner) if !negative => {
                    let position = Position { start: sign.position.start, end: inner.position.end };
                    return Ok(Length::Expr(expr(DurationExprKind::Plus(Box::new(inner)), position)));
                }
                inner => inner,
            },
        };
        self.with_sign(sign, negative, inner)
    }

    /// A duration whose operators all have at least this precedence.
    fn duration(&mut self, precedence_min: u8, context: Context) -> Result<Length, ParseError> {
        let token = self.next()?;
        let left = match token.kind.sign() {
            Some(_) => self.signed_duration(token, context)?,
            None => self.duration_operand(token, context)?,
        };
        self.duration_from(left, precedence_min, context)
    }

    /// What follows a left side.
    fn duration_from(&mut self, mut left: Length, precedence_min: u8, context: Context) -> Result<Length, ParseError> {
        self.nesting += 1;
        let mut links = 0;
        while let Some((op, op_token)) = self.peek_duration_operator(precedence_min)? {
            links += 1;
            if self.nesting + links > super::NESTING_MAX {
                return Err(self.error(op_token.position, "duration expression is too long"));
            }
            self.next()?;
            let right = self.duration(right_precedence(op), context)?;
            self.expect_duration_expressions(left.position())?;
            match op {
                BinaryOp::Divide if right.is_zero() => return Err(self.error(op_token.position, "division by zero")),
                BinaryOp::Modulo if right.is_zero() => return Err(self.error(op_token.position, "modulo by zero")),
                _ => {}
            }
            let position = Position { start: left.position().start, end: right.position().end };
            let (left_expr, right_expr) = (Box::new(left.into_expr()), Box::new(right.into_expr()));
            let kind = DurationExprKind::Binary { op, left: left_expr, right: right_expr };
            left = Length::Expr(expr(kind, position));
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn peek_duration_operator(&mut self, precedence_min: u8) -> Result<Option<(BinaryOp, Token)>, ParseError> {
        let token = self.peek()?;
        let TokenKind::Operator(op) = token.kind else { return Ok(None) };
        let is_arithmetic = matches!(
            op,
            BinaryOp::Add
                | BinaryOp::Subtract
                | BinaryOp::Multiply
                | BinaryOp::Divide
                | BinaryOp::Modulo
                | BinaryOp::Power
        );
        Ok((is_arithmetic && precedence(op) >= precedence_min).then_some((op, token)))
    }

    fn signed_duration(&mut self, sign: Token, context: Context) -> Result<Length, ParseError> {
        self.enter_duration(sign)?;
        let inner = self.duration(POWER, context)?;
        self.nesting -= 1;
        self.with_sign(sign, sign.kind.sign() == Some(true), inner)
    }

    /// A plus vanishes, before a literal as before an expression.
    fn with_sign(&self, sign: Token, negative: bool, inner: Length) -> Result<Length, ParseError> {
        let position = Position { start: sign.position.start, end: inner.position().end };
        match inner {
            Length::Literal(mut literal, _) => {
                if negative {
                    literal.value = -literal.value;
                }
                Ok(Length::Literal(literal, position))
            }
            Length::Expr(inner) if negative => {
                Ok(Length::Expr(expr(DurationExprKind::Negate(Box::new(inner)), position)))
            }
            inner @ Length::Expr(_) => Ok(inner),
        }
    }

    /// A literal, a call or a parenthesis.
    fn duration_operand(&mut self, token: Token, context: Context) -> Result<Length, ParseError> {
        match token.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(token, token.position),
            TokenKind::Word(Word::Step) => self.duration_constant(token, DurationExprKind::Step, context),
            TokenKind::Word(Word::Range) => self.duration_constant(token, DurationExprKind::Range, context),
            TokenKind::Word(Word::MaxOf) | TokenKind::Aggregate(AggregateOp::Max) => {
                self.duration_choice(token, DurationExprKind::MaxOf, context)
            }
            TokenKind::Word(Word::MinOf) | TokenKind::Aggregate(AggregateOp::Min) => {
                self.duration_choice(token, DurationExprKind::MinOf, context)
            }
            TokenKind::LeftParen => {
                self.enter_duration(token)?;
                let inner = self.duration(0, context)?;
                let close = self.expect_in_duration(TokenKind::RightParen, context)?;
                self.nesting -= 1;
                self.expect_duration_expressions(inner.position())?;
                Ok(wrap(inner, Position { start: token.position.start, end: close.position.end }))
            }
            _ => Err(self.unexpected(token, context.place, context.expected)),
        }
    }

    fn duration_literal(&self, token: Token, shown_position: Position) -> Result<Length, ParseError> {
        let literal = self.number(token)?;
        // Go counts nanoseconds in 64 bits. Not-a-number is let through, as there.
        if literal.value.abs() > (1_u64 << 63) as f64 / 1e9 {
            return Err(self.error(shown_position, "duration out of range"));
        }
        Ok(Length::Literal(literal, token.position))
    }

    fn duration_constant(
        &mut self,
        name: Token,
        kind: DurationExprKind,
        context: Context,
    ) -> Result<Length, ParseError> {
        self.expect_in_duration(TokenKind::LeftParen, context)?;
        let close = self.expect_in_duration(TokenKind::RightParen, context)?;
        let position = Position { start: name.position.start, end: close.position.end };
        self.expect_duration_expressions(position)?;
        Ok(Length::Expr(expr(kind, position)))
    }

    fn duration_choice(
        &mut self,
        name: Token,
        kind: fn(Box<DurationExpr>, Box<DurationExpr>) -> DurationExprKind,
        context: Context,
    ) -> Result<Length, ParseError> {
        self.enter_duration(name)?;
        self.expect_in_duration(TokenKind::LeftParen, context)?;
        let left = self.duration(0, context)?;
        self.expect_in_duration(TokenKind::Comma, context)?;
        let right = self.duration(0, context)?;
        self.expect_in_duration(TokenKind::RightParen, context)?;
        self.nesting -= 1;
        // Prometheus gives these the place of their arguments.
        let position = Position { start: left.position().start, end: right.position().end };
        self.expect_duration_expressions(position)?;
        let kind = kind(Box::new(left.into_expr()), Box::new(right.into_expr()));
        Ok(Length::Expr(expr(kind, position)))
    }

    fn enter_duration(&mut self, token: Token) -> Result<(), ParseError> {
        if self.nesting >= super::NESTING_MAX {
            return Err(self.error(token.position, "duration expression is too long"));
        }
        self.nesting += 1;
        Ok(())
    }

    fn expect_in_duration(&mut self, kind: TokenKind, context: Context) -> Result<Token, ParseError> {
        let token = self.next()?;
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(token, context.place, context.expected)) }
    }

    fn expect_duration_expressions(&self, position: Position) -> Result<(), ParseError> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(position, "experimental duration expression is not enabled"))
    }
}

/// Marks a duration as parenthesised. A literal becomes an expression, to be printed with its parentheses.
fn wrap(inner: Length, position: Position) -> Length {
    let mut wrapped = match inner {
        Length::Literal(literal, inner_position) => {
            let number = expr(DurationExprKind::Number(literal), inner_position);
            expr(DurationExprKind::Plus(Box::new(number)), Position { start: position.start, end: inner_position.end })
        }
        Length::Expr(inner) => inner,
    };
    wrapped.wrapped = true;
    Length::Expr(wrapped)
}
