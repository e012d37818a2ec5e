//! Aggregations, and lists of labels.

use norn_gotext::quote::quote;

use super::selector::is_legacy_label_name;
use super::{Operand, Parser};
use crate::parse_error::ParseError;
use crate::token::{Keyword, Token, TokenKind};
use crate::tree::{Aggregate, AggregateOp, Expr, ExprKind, Grouping, Position};

impl Parser<'_> {
    /// What follows the name of an aggregation; the grouping stands before or behind the arguments.
    pub(super) fn aggregate(&mut self, name: Token, op: AggregateOp) -> Result<Operand, ParseError> {
        self.aggregations_open += 1;
        let before = self.grouping()?;
        let (arguments, mut end, height) = self.arguments()?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => match self.grouping()? {
                Some(grouping) => {
                    end = self.last_end;
                    grouping
                }
                None => Grouping { without: false, labels: Vec::new() },
            },
        };
        self.aggregations_open -= 1;
        let position = Position { start: name.position.start, end };
        let (parameter, expr) = self.split_arguments(op, arguments, position)?;
        self.node(ExprKind::Aggregate(Box::new(Aggregate { op, expr, parameter, grouping })), position, height)
    }

    fn split_arguments(
        &self,
        op: AggregateOp,
        arguments: Vec<Expr>,
        position: Position,
    ) -> Result<(Option<Expr>, Expr), ParseError> {
        let count = arguments.len();
        if count == 0 {
            return Err(self.error(position, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.name()
            );
            return Err(self.error(position, message));
        }
        let mut arguments = arguments.into_iter();
        match (op.has_parameter(), arguments.next(), arguments.next(), count) {
            (false, Some(expr), None, _) => Ok((None, expr)),
            (true, parameter, Some(expr), 2) => Ok((parameter, expr)),
            (has_parameter, ..) => {
                let expected = if has_parameter { 2 } else { 1 };
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {count}"
                );
                Err(self.error(position, message))
            }
        }
    }

    /// `by (…)` or `without (…)`, where it comes next.
    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = match self.peek()?.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some(Grouping { without, labels: self.grouping_labels()? }))
    }

    /// `(label, "label")`
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        const CONTEXT: &str = "grouping opts";
        let open = self.next()?;
        if open.kind != TokenKind::LeftParen {
            return Err(self.unexpected(open, CONTEXT, "\"(\""));
        }
        let mut labels = Vec::new();
        if self.peek()?.kind == TokenKind::RightParen {
            self.next()?;
            return Ok(labels);
        }
        loop {
            let token = self.next()?;
            labels.push(self.grouping_label(token, CONTEXT)?);
            let separator = self.next()?;
            match separator.kind {
                TokenKind::RightParen => return Ok(labels),
                TokenKind::Comma if self.peek()?.kind == TokenKind::RightParen => {
                    self.next()?;
                    return Ok(labels);
                }
                TokenKind::Comma => {}
                _ => return Err(self.unexpected(separator, CONTEXT, "\",\" or \")\"")),
            }
        }
    }

    fn grouping_label(&self, token: Token, context: &str) -> Result<String, ParseError> {
        let name = match token.kind {
            TokenKind::String => self.unquote(token)?,
            kind if kind.can_name_label() => token.text(self.text).to_owned(),
            _ => return Err(self.unexpected(token, context, "label")),
        };
        let is_valid = if self.options.utf8_names { !name.is_empty() } else { is_legacy_label_name(&name) };
        if !is_valid {
            return Err(self.error(token.position, format!("invalid label name for grouping: {}", quote(&name))));
        }
        Ok(name)
    }
}
