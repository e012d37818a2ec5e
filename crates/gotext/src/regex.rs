//! Go's regular expression syntax (RE2) over the engine of `regex-automata`.
//!
//! Most patterns in label matchers are no regular expressions at heart: `a|b|c`, `api-.*`, `.*error.*`. They are
//! recognised in the parsed form and never reach an engine; an index can even look their literals up. What remains is
//! compiled when the pattern is made, so that a pattern too large is refused at once; for the simple ones the engine
//! is only made when somebody asks for captures.

mod class;
mod mistake;
mod parse;
mod shape;

use std::sync::OnceLock;

use regex_automata::meta::{self, Regex as Engine};
use regex_automata::util::captures::Captures;
use regex_syntax::hir::{Hir, Look};

pub use mistake::Mistake;
use parse::Failure;
use shape::Shape;

/// What the compiled form of one pattern may take in memory.
const PROGRAM_BYTES_MAX: usize = 10 << 20;

/// A pattern that Go's `regexp` package rejects, with its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {mistake}: `{part}`")]
pub struct RegexError {
    mistake: Mistake,
    part: String,
}

impl RegexError {
    /// What is wrong.
    pub fn mistake(&self) -> Mistake {
        self.mistake
    }

    /// The part of the pattern that is wrong.
    pub fn part(&self) -> &str {
        &self.part
    }
}

impl From<Failure<'_>> for RegexError {
    fn from(failure: Failure<'_>) -> Self {
        Self { mistake: failure.mistake, part: failure.part.to_owned() }
    }
}

/// A compiled pattern that answers as Go's `regexp` package does.
#[derive(Debug, Clone)]
pub struct GoRegex {
    pattern: String,
    /// What is compiled, anchors included.
    hir: Hir,
    shape: Shape,
    prefix: String,
    engine: OnceLock<Engine>,
}

impl GoRegex {
    /// Compiles `pattern`, which may match anywhere in a text.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::with_engine(pattern, parse::parse(pattern, false)?, Shape::Program, String::new())
    }

    /// Compiles `^(?s:pattern)$`, the form of label matchers: the whole text has to match, and `.` matches line breaks.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        let inner = parse::parse(pattern, true)?;
        let shape = Shape::of(&inner);
        let prefix = shape.prefix().unwrap_or_else(|| shape::prefix(&inner));
        let hir = Hir::concat(vec![Hir::look(Look::Start), inner, Hir::look(Look::End)]);
        if matches!(shape, Shape::Program) {
            return Self::with_engine(pattern, hir, shape, prefix);
        }
        Ok(Self { pattern: pattern.to_owned(), hir, shape, prefix, engine: OnceLock::new() })
    }

    fn with_engine(pattern: &str, hir: Hir, shape: Shape, prefix: String) -> Result<Self, RegexError> {
        let engine =
            compile(&hir).ok_or_else(|| RegexError { mistake: Mistake::TooLarge, part: pattern.to_owned() })?;
        Ok(Self { pattern: pattern.to_owned(), hir, shape, prefix, engine: OnceLock::from(engine) })
    }

    /// The pattern as the user wrote it.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the pattern matches `text`.
    ///
    /// Cost: for alternatives of literals a binary search, for literals with `.*` around them a substring search,
    /// else linear in the text.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Program => text.starts_with(&self.prefix) && self.engine().is_match(text),
            shape => shape.is_match(text),
        }
    }

    /// All texts that an anchored pattern matches, ascending, if these are few: for `a|b[12]` these are `a`, `b1`
    /// and `b2`. `None` for everything else.
    pub fn literal_alternatives(&self) -> Option<&[String]> {
        match &self.shape {
            Shape::Literals(literals) => Some(literals),
            _ => None,
        }
    }

    /// What every text starts with that an anchored pattern matches; empty where nothing is known.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Fills in a template from the first match, as Go's `Regexp.Expand` does: `$1`, `${1}`, `$name`, `${name}`, `$$`.
    ///
    /// - Groups that there are not, or that did not take part, are empty.
    /// - Result: `None` where the pattern does not match.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let engine = self.engine();
        let mut captures = engine.create_captures();
        engine.captures(text, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut expanded = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('$') {
            expanded.push_str(before);
            rest = behind;
            if let Some(behind) = behind.strip_prefix('$') {
                expanded.push('$');
                rest = behind;
            } else if let Some((name, behind)) = split_name(behind) {
                expanded.push_str(group(&captures, text, name));
                rest = behind;
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| {
            // A few literals, whose number and length are bounded, do not outgrow the limit of memory.
            compile(&self.hir).expect("patterns that may be too large are compiled when they are made")
        })
    }
}

fn compile(hir: &Hir) -> Option<Engine> {
    let config = meta::Config::new().nfa_size_limit(Some(PROGRAM_BYTES_MAX));
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

/// The name of a group behind a `$`, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let is_word = |character: char| character == '_' || character.is_alphanumeric();
    let (name, rest) = match text.strip_prefix('{') {
        Some(inside) => inside.split_once('}')?,
        None => text.split_at(text.find(|character| !is_word(character)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(is_word)).then_some((name, rest))
}

fn group<'a>(captures: &Captures, text: &'a str, name: &str) -> &'a str {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let span = match name.parse() {
        Ok(index) if is_number => captures.get_group(index),
        _ => captures.get_group_by_name(name),
    };
    span.map_or("", |span| &text[span.range()])
}

#[cfg(test)]
mod tests;
