//! Go's regular expression syntax (RE2) over the engine of `regex-automata`.

use regex_automata::meta::Regex as Engine;

/// A pattern that Go's `regexp` package rejects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegexError {
    message: String,
}

/// A compiled pattern that answers as Go's `regexp` package does.
#[derive(Debug, Clone)]
pub struct GoRegex {
    pattern: String,
    engine: Engine,
}

impl GoRegex {
    /// Compiles `pattern`, which may match anywhere in a text.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let engine = Engine::new(pattern).map_err(|error| RegexError { message: error.to_string() })?;
        Ok(Self { pattern: pattern.to_owned(), engine })
    }

    /// Compiles `^(?s:pattern)$`, the form of label matchers: the whole text has to match, and `.` matches line breaks.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        let engine =
            Engine::new(&format!("^(?s:{pattern})$")).map_err(|error| RegexError { message: error.to_string() })?;
        Ok(Self { pattern: pattern.to_owned(), engine })
    }

    /// The pattern as the user wrote it.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the pattern matches `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.engine.is_match(text)
    }
}
