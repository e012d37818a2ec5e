//! YAML as a tree in which each node knows where it stands.
//!
//! Scalars stay texts: what `0644` or `1e6` means depends on the type of the setting, and the rules are those of
//! Go's YAML library, which the files were written for ([`crate::scalar`] has them).
//!
//! Rejected: deserializing with serde. It resolves scalars before the type is known, and a key that nobody asked
//! for has lost its place by the time it is refused.

mod parse;
mod print;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use parse::parse;
pub use print::print;

use crate::scalar;
use crate::suggest::nearest;

/// Where something stands in a file; line and column count from 1.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as the user gave it.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The place of what stands in no file.
    pub(crate) fn nowhere() -> Self {
        Self { file: "".into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct NodeError {
    /// The place.
    pub place: Place,
    /// What is wrong there.
    pub problem: String,
}

impl From<NodeError> for String {
    fn from(error: NodeError) -> Self {
        error.to_string()
    }
}

/// A node of the tree. Two nodes are equal if their contents are, wherever they stand.
#[derive(Clone)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// A text.
    Scalar(Scalar),
    /// Nodes in order.
    Sequence(Vec<Node>),
    /// Nodes by key, in the order of the file, without doubles.
    Mapping(Vec<Entry>),
}

/// A text, and whether it was written without quotes.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text.
    pub text: String,
    /// Only a plain scalar may be a number, a boolean or null.
    pub plain: bool,
}

impl Scalar {
    /// Whether it means "no value".
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A key of a mapping and its node.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What it maps to.
    pub node: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.node == other.node
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Scalar(scalar) if scalar.plain => formatter.write_str(&scalar.text),
            Content::Scalar(scalar) => write!(formatter, "{:?}", scalar.text),
            Content::Sequence(items) => formatter.debug_list().entries(items).finish(),
            Content::Mapping(entries) => {
                formatter.debug_map().entries(entries.iter().map(|entry| (&entry.key, &entry.node))).finish()
            }
        }
    }
}

impl Node {
    /// An error at this node.
    pub fn error(&self, problem: impl Into<String>) -> NodeError {
        NodeError { place: self.place.clone(), problem: problem.into() }
    }

    /// What kind of node it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(_) => "a single value",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a map",
        }
    }

    /// Whether it means "no value".
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.is_null())
    }

    /// Its text; an error if it is a list or a map.
    pub fn scalar(&self) -> Result<&Scalar, NodeError> {
        match &self.content {
            Content::Scalar(scalar) => Ok(scalar),
            _ => Err(self.error(format!("expected a single value, found {}", self.kind()))),
        }
    }

    /// Its items; none if it is null.
    pub fn items(&self) -> Result<&[Self], NodeError> {
        match &self.content {
            Content::Sequence(items) => Ok(items),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.error(format!("expected a list, found {}", self.kind()))),
        }
    }

    /// Its entries; none if it is null.
    pub fn entries(&self) -> Result<&[Entry], NodeError> {
        match &self.content {
            Content::Mapping(entries) => Ok(entries),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.error(format!("expected a map, found {}", self.kind()))),
        }
    }

    /// Lays `other` over this node: maps are merged key by key, anything else is replaced. Cost: linear.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.content, other.content) {
            (Content::Mapping(entries), Content::Mapping(others)) => {
                let positions = entries.iter().enumerate().map(|(position, entry)| (entry.key.clone(), position));
                let positions: HashMap<String, usize> = positions.collect();
                for other in others {
                    match positions.get(&other.key) {
                        Some(position) => {
                            let entry = &mut entries[*position];
                            entry.node.merge(other.node);
                            entry.place = other.place;
                        }
                        None => entries.push(other),
                    }
                }
            }
            (content, other_content) => {
                *content = other_content;
                self.place = other.place;
            }
        }
    }
}

/// Reads the keys of one map; [`Fields::finish`] refuses those that nobody asked for.
pub struct Fields<'a> {
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The keys of `node`, which has to be a map, or null for none.
    pub fn of(node: &'a Node) -> Result<Self, NodeError> {
        Ok(Self { entries: node.entries()?, known: Vec::new() })
    }

    /// The node of a key, unless it is null.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, NodeError> {
        self.node(key).map(|node| Ok(node.scalar()?.text.clone())).transpose()
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, NodeError> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let mut texts = Vec::new();
        for item in node.items()? {
            texts.push(item.scalar()?.text.clone());
        }
        Ok(Some(texts))
    }

    /// The entries of a map; none if the key is missing.
    pub fn entries(&mut self, key: &'static str) -> Result<Vec<(&'a str, &'a Node)>, NodeError> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        Ok(node.entries()?.iter().map(|entry| (entry.key.as_str(), &entry.node)).collect())
    }

    /// Yes or no.
    pub fn bool(&mut self, key: &'static str) -> Result<Option<bool>, NodeError> {
        self.parsed(key, scalar::bool)
    }

    /// A whole number that is not negative.
    pub fn unsigned(&mut self, key: &'static str) -> Result<Option<u64>, NodeError> {
        self.parsed(key, |scalar| {
            let number = scalar::integer(scalar)?;
            u64::try_from(number).map_err(|_| format!("{number} is negative"))
        })
    }

    /// A number.
    pub fn float(&mut self, key: &'static str) -> Result<Option<f64>, NodeError> {
        self.parsed(key, scalar::float)
    }

    /// A time span that is not negative.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, NodeError> {
        self.parsed(key, |scalar| Ok(scalar::duration(&scalar.text)?.to_std()))
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Scalar) -> Result<T, String>,
    ) -> Result<Option<T>, NodeError> {
        let Some(node) = self.node(key) else { return Ok(None) };
        parse(node.scalar()?).map(Some).map_err(|problem| node.error(format!("{key}: {problem}")))
    }

    /// Refuses keys that were never asked for.
    pub fn finish(self) -> Result<(), NodeError> {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) {
                let near = nearest(&entry.key, self.known.iter().copied());
                let hint = near.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
                let problem = format!("unknown field {}{hint}", entry.key);
                return Err(NodeError { place: entry.place.clone(), problem });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
