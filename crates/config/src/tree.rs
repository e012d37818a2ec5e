//! From values of settings to YAML.

use std::collections::BTreeMap;

use crate::scalar;
use crate::value::{Span, Value};
use crate::yaml::{self, Content, Entry, Node, Place, Scalar};

/// How time spans are written: limits have Prometheus' form, all others Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DurationStyle {
    /// `1h30m0s`.
    Go,
    /// `1h30m`.
    Prometheus,
}

impl DurationStyle {
    /// The form of the setting at `path`.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("limits.") { Self::Prometheus } else { Self::Go }
    }

    fn print(self, span: Span) -> Node {
        plain(match self {
            Self::Go => span.to_string(),
            Self::Prometheus => span.to_prometheus(),
        })
    }
}

/// The value as a node, at no place of any file.
pub(crate) fn to_node(value: &Value, durations: DurationStyle) -> Node {
    match value {
        Value::Absent => plain("null".to_owned()),
        Value::Text(text) => quoted(text.clone()),
        Value::Integer(number) => plain(number.to_string()),
        Value::Float(number) => plain(scalar::print_float(*number)),
        Value::Bool(flag) => plain(flag.to_string()),
        Value::Duration(span) => durations.print(*span),
        Value::Texts(items) => sequence(items.iter().map(|item| quoted(item.clone())).collect()),
        Value::Durations(items) => sequence(items.iter().map(|item| durations.print(*item)).collect()),
        Value::Map(entries) => map(entries),
        Value::Tree(tree) => tree.clone(),
    }
}

/// A text that is a text whatever it looks like.
pub(crate) fn quoted(text: String) -> Node {
    node(Content::Scalar(Scalar { text, plain: false }))
}

/// Puts a node at a dotted path of a tree.
pub(crate) fn insert(tree: &mut Vec<Entry>, path: &str, leaf: Node) {
    let Some((key, rest)) = path.split_once('.') else {
        tree.push(entry(path, leaf));
        return;
    };
    let position = tree.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        tree.push(entry(key, node(Content::Mapping(Vec::new()))));
        tree.len() - 1
    });
    if let Content::Mapping(entries) = &mut tree[position].node.content {
        insert(entries, rest, leaf);
    }
}

/// A tree as text.
pub(crate) fn to_yaml(tree: Vec<Entry>) -> String {
    let mut text = String::new();
    yaml::print(&node(Content::Mapping(tree)), 0, &mut text);
    text
}

fn map(entries: &BTreeMap<String, String>) -> Node {
    let is_number = |text: &str| scalar::float(&Scalar { text: text.to_owned(), plain: true }).is_ok();
    let value = |text: &String| if is_number(text) { plain(text.clone()) } else { quoted(text.clone()) };
    node(Content::Mapping(entries.iter().map(|(key, text)| entry(key, value(text))).collect()))
}

fn sequence(items: Vec<Node>) -> Node {
    node(Content::Sequence(items))
}

fn plain(text: String) -> Node {
    node(Content::Scalar(Scalar { text, plain: true }))
}

fn entry(key: &str, node: Node) -> Entry {
    Entry { key: key.to_owned(), place: Place::nowhere(), node }
}

fn node(content: Content) -> Node {
    Node { place: Place::nowhere(), content }
}
