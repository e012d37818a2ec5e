//! From text to tree.
//!
//! A recursive descent with precedence climbing for the operators. Prometheus' parser is generated from a grammar
//! whose error rules decide how a mistake is described (`unexpected "}" in label matching, expected string`); this
//! one names the same contexts by hand. It stops at the first mistake, the only one that anybody is shown, and it
//! reads a token ahead only where the grammar needs one, because the first mistake may otherwise be another one.
//!
//! Recursion is bounded: by [`NESTING_MAX`] for the parser itself, by [`HEIGHT_MAX`] for everybody who walks the
//! tree, a chain such as `a or b or c …` being as high as it is long.
//!
//! Source: Prometheus `promql/parser/generated_parser.y` and `parse.go`.

mod aggregate;
mod binary;
mod check;
mod duration;
mod literal;
mod postfix;
mod selector;

use norn_gotext::quote::quote;
use norn_model::Matcher;

use crate::functions;
use crate::lexer::Lexer;
use crate::parse_error::ParseError;
use crate::token::{Keyword, Token, TokenKind};
use crate::tree::{Call, Expr, ExprKind, Position};

pub(crate) use literal::number_value;
pub(crate) use selector::is_legacy_label_name;

/// How deep parentheses, calls and signs may be nested.
pub const NESTING_MAX: usize = 200;

/// How many nodes may lie between the root of the tree and a leaf.
pub const HEIGHT_MAX: usize = 500;

/// Which parts of the language are on that Prometheus has behind switches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Functions and aggregations marked as experimental.
    pub experimental_functions: bool,
    /// Arithmetic, `step()` and `range()` where a duration stands.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// Names of labels and metrics in quotes that are not letters, digits and underscores.
    pub utf8_names: bool,
    /// `{a="b" or c="d"}`, which Prometheus does not have.
    pub matcher_alternatives: bool,
}

impl ParseOptions {
    /// Everything on.
    pub fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            utf8_names: true,
            matcher_alternatives: true,
        }
    }
}

/// Parses a query and checks the types in it.
///
/// Fails with the first mistake, in Prometheus' words. Cost: linear in the text.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text, options);
    if parser.peek()?.kind == TokenKind::End {
        return Err(parser.error(Position::default(), "no expression found in input"));
    }
    let mut operand = parser.expression(0)?;
    parser.expect_end()?;
    check::check(text, &mut operand.expr)?;
    Ok(operand.expr)
}

/// Parses a selector alone, as the API's `match[]` has it: `name{label="value"}`. It may match everything.
///
/// Alternatives are not allowed here: the caller may ask for several selectors.
pub fn parse_metric_selector(text: &str, options: &ParseOptions) -> Result<Vec<Matcher>, ParseError> {
    let options = &ParseOptions { matcher_alternatives: false, ..options.clone() };
    let mut parser = Parser::new(text, options);
    let token = parser.next()?;
    let (selector, _) = if token.kind == TokenKind::LeftBrace {
        parser.braces_selector(token)?
    } else if token.kind.can_name_metric() {
        parser.named_selector(token)?
    } else {
        return Err(parser.unexpected(token, "", ""));
    };
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// A part of the tree, and how high it is.
struct Operand {
    expr: Expr,
    height: usize,
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    options: &'a ParseOptions,
    nesting: usize,
    /// How many aggregations are open: mistakes between their parentheses are theirs.
    aggregations_open: usize,
    /// Where the token ends that was read last.
    last_end: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a ParseOptions) -> Self {
        Self { text, lexer: Lexer::new(text), peeked: None, options, nesting: 0, aggregations_open: 0, last_end: 0 }
    }

    /// A parser of what starts in the middle of a text.
    pub(crate) fn starting_at(text: &'a str, options: &'a ParseOptions, at: usize) -> Self {
        Self { lexer: Lexer::starting_at(text, at), ..Self::new(text, options) }
    }

    /// An expression whose operators all have at least this precedence.
    fn expression(&mut self, precedence_min: u8) -> Result<Operand, ParseError> {
        if self.nesting == NESTING_MAX {
            let position = self.peek()?.position;
            return Err(self.error(position, format!("expression is nested deeper than {NESTING_MAX} levels")));
        }
        self.nesting += 1;
        let mut left = self.operand()?;
        while let Some(operator) = self.peek_operator(precedence_min)? {
            left = self.binary(left, operator)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// A literal, selector, call, aggregation or parenthesis, with what is attached to it; or a sign and its operand.
    fn operand(&mut self) -> Result<Operand, ParseError> {
        let token = self.next()?;
        if let Some(negative) = token.kind.sign() {
            return self.unary(token, negative);
        }
        let operand = match token.kind {
            TokenKind::Number | TokenKind::Duration => self.leaf(ExprKind::Number(self.number(token)?), token.position),
            TokenKind::String => self.leaf(ExprKind::String(self.unquote(token)?), token.position),
            TokenKind::LeftParen => self.paren(token)?,
            TokenKind::LeftBrace => {
                let (selector, position) = self.braces_selector(token)?;
                self.leaf(ExprKind::Vector(selector), position)
            }
            kind if kind.can_name_metric() => self.named(token)?,
            _ => return Err(self.unexpected_in_expression(token)),
        };
        self.with_modifiers(operand)
    }

    /// What starts with a name: what follows tells whether it is that of an aggregation, a function or a metric.
    fn named(&mut self, name: Token) -> Result<Operand, ParseError> {
        let next = self.peek()?.kind;
        match (name.kind, next) {
            (TokenKind::Aggregate(op), TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without)) => {
                self.aggregate(name, op)
            }
            (TokenKind::Identifier | TokenKind::Word(_), TokenKind::LeftParen) => self.call(name),
            _ => {
                let (selector, position) = self.named_selector(name)?;
                Ok(self.leaf(ExprKind::Vector(selector), position))
            }
        }
    }

    fn paren(&mut self, open: Token) -> Result<Operand, ParseError> {
        let inner = self.expression(0)?;
        let close = self.next()?;
        if close.kind != TokenKind::RightParen {
            return Err(self.unexpected_in_expression(close));
        }
        let position = Position { start: open.position.start, end: close.position.end };
        self.node(ExprKind::Paren(Box::new(inner.expr)), position, inner.height)
    }

    fn call(&mut self, name: Token) -> Result<Operand, ParseError> {
        let (arguments, end, height) = self.arguments()?;
        let name_text = name.text(self.text);
        let Some(function) = functions::lookup(name_text) else {
            return Err(self.error(name.position, format!("unknown function with name {}", quote(name_text))));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.position, format!("function {} is not enabled", quote(name_text))));
        }
        let position = Position { start: name.position.start, end };
        self.node(ExprKind::Call(Call { function, arguments }), position, height)
    }

    /// `(expr, expr)`: the expressions, the end of the parenthesis, and the height of the highest expression.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize, usize), ParseError> {
        let open = self.next()?;
        if open.kind != TokenKind::LeftParen {
            return Err(self.unexpected_in_expression(open));
        }
        let mut arguments = Vec::new();
        let mut height = 0;
        if self.peek()?.kind == TokenKind::RightParen {
            return Ok((arguments, self.next()?.position.end, height));
        }
        loop {
            let argument = self.expression(0)?;
            height = height.max(argument.height);
            arguments.push(argument.expr);
            let separator = self.next()?;
            match separator.kind {
                TokenKind::RightParen => return Ok((arguments, separator.position.end, height)),
                TokenKind::Comma if starts_expression(self.peek()?.kind) => {}
                TokenKind::Comma => {
                    return Err(self.error(separator.position, "trailing commas not allowed in function call args"));
                }
                _ => return Err(self.unexpected_in_expression(separator)),
            }
        }
    }

    fn leaf(&self, kind: ExprKind, position: Position) -> Operand {
        Operand { expr: Expr { kind, position }, height: 1 }
    }

    /// A node above others, the highest of which has `height_below`.
    fn node(&self, kind: ExprKind, position: Position, height_below: usize) -> Result<Operand, ParseError> {
        let expr = Expr { kind, position };
        if height_below == HEIGHT_MAX {
            return Err(self.error(position, format!("expression has more than {HEIGHT_MAX} levels")));
        }
        Ok(Operand { expr, height: height_below + 1 })
    }

    fn peek(&mut self) -> Result<Token, ParseError> {
        match self.peeked {
            Some(token) => Ok(token),
            None => Ok(*self.peeked.insert(self.lexer.next_token()?)),
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.next_token()?,
        };
        self.last_end = token.position.end;
        Ok(token)
    }

    fn expect_end(&mut self) -> Result<(), ParseError> {
        let token = self.next()?;
        if token.kind == TokenKind::End { Ok(()) } else { Err(self.unexpected_in_expression(token)) }
    }

    fn error(&self, position: Position, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, position, message)
    }

    /// `unexpected … in context, expected …`; both may be empty.
    fn unexpected(&self, token: Token, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.text));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(token.position, message)
    }

    fn unexpected_in_expression(&self, token: Token) -> ParseError {
        let context = if self.aggregations_open > 0 { "aggregation" } else { "" };
        self.unexpected(token, context, "")
    }
}

fn starts_expression(kind: TokenKind) -> bool {
    let is_literal = matches!(kind, TokenKind::Number | TokenKind::Duration | TokenKind::String);
    let opens = matches!(kind, TokenKind::LeftParen | TokenKind::LeftBrace);
    is_literal || opens || kind.sign().is_some() || kind.can_name_metric()
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
