//! What is wrong with a query's text, in Prometheus' words.

use std::fmt;

use crate::tree::Position;

/// The first thing that is wrong with a text. Displayed as `1:5: parse error: …`.
///
/// There is only ever one: what follows the first is mostly its consequence, and Prometheus shows only the first, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    position: Position,
    place: Place,
    message: String,
}

/// Where an error is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The text is empty.
    Nowhere,
    /// Counted from one; columns in bytes.
    At { line: usize, column: usize },
}

impl ParseError {
    /// An error at the start of `position` in `text`.
    pub fn new(text: &str, position: Position, message: impl Into<String>) -> Self {
        let before = &text.as_bytes()[..position.start.min(text.len())];
        let place = if text.is_empty() {
            Place::Nowhere
        } else {
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Place::At { line, column: before.len() - line_start + 1 }
        };
        Self { position, place, message: message.into() }
    }

    /// Where in the text it is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Nowhere => formatter.write_str("unknown position")?,
            Place::At { line, column } => write!(formatter, "{line}:{column}")?,
        }
        write!(formatter, ": parse error: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |text: &str, start: usize, expected: &str| {
            let error = ParseError::new(text, Position { start, end: start }, "x");
            assert_eq!(error.to_string(), format!("{expected}: parse error: x"));
        };
        check("", 0, "unknown position");
        check("up", 2, "1:3");
        check("a +\n\n b", 6, "3:2");
        check("é +", 3, "1:4");
    }
}
