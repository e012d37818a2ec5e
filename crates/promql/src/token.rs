//! Tokens, and how error messages name them.
//!
//! Source: Prometheus `promql/parser/lex.go`.

use norn_gotext::quote::{quote, quote_truncated};

use crate::tree::{AggregateOp, BinaryOp, Position};

/// A token and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) position: Position,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    End,
    Comma,
    Colon,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    /// Letters, digits, underscores.
    Identifier,
    /// An identifier with colons in it.
    MetricIdentifier,
    Number,
    Duration,
    String,
    /// `=`
    EqualSign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// `@`
    At,
    /// A binary operator; `!=` is one between braces, too.
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Word(Word),
}

/// Words that change what stands around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// Functions with a meaning of their own behind `@` and in durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Names that have a meaning outside braces, in lower case; they are read in any case.
pub(crate) fn lookup_word(word: &str) -> Option<TokenKind> {
    use TokenKind::{Aggregate, Keyword as Key, Number, Operator, Word as Special};
    // Longer than every name in the table.
    if word.len() > "count_values".len() {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => Operator(BinaryOp::And),
        "or" => Operator(BinaryOp::Or),
        "unless" => Operator(BinaryOp::Unless),
        "atan2" => Operator(BinaryOp::Atan2),
        "offset" => Key(Keyword::Offset),
        "smoothed" => Key(Keyword::Smoothed),
        "anchored" => Key(Keyword::Anchored),
        "by" => Key(Keyword::By),
        "without" => Key(Keyword::Without),
        "on" => Key(Keyword::On),
        "ignoring" => Key(Keyword::Ignoring),
        "group_left" => Key(Keyword::GroupLeft),
        "group_right" => Key(Keyword::GroupRight),
        "fill" => Key(Keyword::Fill),
        "fill_left" => Key(Keyword::FillLeft),
        "fill_right" => Key(Keyword::FillRight),
        "bool" => Key(Keyword::Bool),
        "start" => Special(Word::Start),
        "end" => Special(Word::End),
        "step" => Special(Word::Step),
        "range" => Special(Word::Range),
        "max_of" => Special(Word::MaxOf),
        "min_of" => Special(Word::MinOf),
        "inf" | "nan" => Number,
        word => Aggregate(AggregateOp::from_name(word)?),
    })
}

impl TokenKind {
    /// Whether a metric may be called so outside braces.
    pub(crate) fn can_name_metric(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) | Self::Word(_) => true,
            Self::Operator(op) => matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless),
            Self::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
            ),
            _ => false,
        }
    }

    /// Whether a label may be called so in a grouping.
    pub(crate) fn can_name_label(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) | Self::Word(_) => true,
            Self::Operator(op) => {
                matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2)
            }
            Self::Keyword(keyword) => keyword != Keyword::Without,
            _ => false,
        }
    }

    /// Whether the token is `+` or `-`, and which: `Some(true)` for the minus.
    pub(crate) fn sign(self) -> Option<bool> {
        match self {
            Self::Operator(BinaryOp::Add) => Some(false),
            Self::Operator(BinaryOp::Subtract) => Some(true),
            _ => None,
        }
    }
}

impl Token {
    /// The token's part of `text`.
    pub(crate) fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.position.start..self.position.end]
    }

    /// The token's name in `unexpected …`.
    pub(crate) fn describe(&self, text: &str) -> String {
        let raw = self.text(text);
        match self.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(raw)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(raw)),
            TokenKind::Keyword(_) => format!("<{raw}>"),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::EqualRegex | TokenKind::NotRegex => {
                format!("<op:{raw}>")
            }
            TokenKind::Aggregate(_) => format!("<aggr:{raw}>"),
            TokenKind::String => format!("string {}", shortened(raw)),
            TokenKind::Number => format!("number {}", shortened(raw)),
            TokenKind::Duration => format!("duration {}", shortened(raw)),
            _ => shortened(raw),
        }
    }
}

/// Long tokens are cut: `"0123456789"...`.
fn shortened(raw: &str) -> String {
    if raw.len() > 10 { format!("{}...", quote_truncated(raw, 10)) } else { quote(raw) }
}
