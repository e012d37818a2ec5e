//! Operators and signs.

use super::{Operand, Parser, starts_expression};
use crate::parse_error::ParseError;
use crate::token::{Keyword, Token, TokenKind};
use crate::tree::{Binary, BinaryOp, Cardinality, ExprKind, Position, VectorMatching};

/// An operator that was read, and its place.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    op: BinaryOp,
    position: Position,
}

/// What may stand between an operator and its right side.
struct Modifiers {
    returns_bool: bool,
    matching: VectorMatching,
}

/// Higher binds tighter; only `^` is right-associative.
pub(super) fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Subtract => 4,
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo | BinaryOp::Atan2 => 5,
        BinaryOp::Power => POWER,
    }
}

/// The precedence of `^`, and of what a sign stands before: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
pub(super) const POWER: u8 = 6;

/// The least precedence of operators in the right side of `op`.
pub(super) fn right_precedence(op: BinaryOp) -> u8 {
    if op == BinaryOp::Power { POWER } else { precedence(op) + 1 }
}

impl Parser<'_> {
    /// Reads an operator where one of at least this precedence comes next.
    pub(super) fn peek_operator(&mut self, precedence_min: u8) -> Result<Option<Operator>, ParseError> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Operator(op) if precedence(op) >= precedence_min => {
                self.next()?;
                Ok(Some(Operator { op, position: token.position }))
            }
            _ => Ok(None),
        }
    }

    /// What follows an operator.
    pub(super) fn binary(&mut self, left: Operand, operator: Operator) -> Result<Operand, ParseError> {
        let Operator { op, position: op_position } = operator;
        let Modifiers { returns_bool, matching } = self.modifiers()?;
        let right = self.expression(right_precedence(op))?;
        let position = Position { start: left.expr.position.start, end: right.expr.position.end };
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        if has_fill && !self.options.fill_modifiers {
            return Err(self.error(position, "binop fill modifiers are experimental and not enabled"));
        }
        let height = left.height.max(right.height);
        let binary =
            Binary { op, op_position, left: left.expr, right: right.expr, matching: Some(matching), returns_bool };
        self.node(ExprKind::Binary(Box::new(binary)), position, height)
    }

    /// What follows a sign. Before a number it belongs to the number.
    pub(super) fn unary(&mut self, sign: Token, negative: bool) -> Result<Operand, ParseError> {
        let mut operand = self.expression(POWER)?;
        let position = Position { start: sign.position.start, end: operand.expr.position.end };
        if let ExprKind::Number(literal) = &mut operand.expr.kind {
            if negative {
                literal.value = -literal.value;
            }
            operand.expr.position = position;
            return Ok(operand);
        }
        let height = operand.height;
        self.node(ExprKind::Unary { negative, expr: Box::new(operand.expr) }, position, height)
    }

    fn modifiers(&mut self) -> Result<Modifiers, ParseError> {
        let mut modifiers = Modifiers {
            returns_bool: self.take_keyword(Keyword::Bool)?,
            matching: VectorMatching {
                cardinality: Cardinality::OneToOne,
                on: false,
                labels: Vec::new(),
                include: Vec::new(),
                fill_left: None,
                fill_right: None,
            },
        };
        let matching = &mut modifiers.matching;
        matching.on = self.take_keyword(Keyword::On)?;
        if matching.on || self.take_keyword(Keyword::Ignoring)? {
            matching.labels = self.grouping_labels()?;
            self.group_modifier(matching)?;
        }
        self.fill_modifiers(matching)?;
        Ok(modifiers)
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Result<(), ParseError> {
        matching.cardinality = if self.take_keyword(Keyword::GroupLeft)? {
            Cardinality::ManyToOne
        } else if self.take_keyword(Keyword::GroupRight)? {
            Cardinality::OneToMany
        } else {
            return Ok(());
        };
        let next = self.peek()?.kind;
        let is_fill = matches!(next, TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight));
        // A parenthesis is always that of the labels. Without labels the right side follows.
        if next == TokenKind::LeftParen || !(is_fill || starts_expression(next)) {
            matching.include = self.grouping_labels()?;
        }
        Ok(())
    }

    /// `fill (x)`, or `fill_left (x)` and `fill_right (y)` in any order, each once.
    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Result<(), ParseError> {
        if self.take_keyword(Keyword::Fill)? {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.take_keyword(Keyword::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.take_keyword(Keyword::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.take_keyword(Keyword::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.take_keyword(Keyword::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<f64, ParseError> {
        self.expect_in_expression(TokenKind::LeftParen)?;
        let mut token = self.next()?;
        let sign = token.kind.sign();
        if sign.is_some() {
            token = self.next()?;
        }
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected_in_expression(token));
        }
        let value = self.number(token)?.value;
        self.expect_in_expression(TokenKind::RightParen)?;
        Ok(if sign == Some(true) { -value } else { value })
    }

    fn expect_in_expression(&mut self, kind: TokenKind) -> Result<(), ParseError> {
        let token = self.next()?;
        if token.kind == kind { Ok(()) } else { Err(self.unexpected_in_expression(token)) }
    }

    fn take_keyword(&mut self, keyword: Keyword) -> Result<bool, ParseError> {
        let is_next = self.peek()?.kind == TokenKind::Keyword(keyword);
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }
}
