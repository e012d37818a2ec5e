//! The types of settings, and how a value is read from a flag, a file, or shown in one.

use std::collections::BTreeMap;

use crate::scalar;
use crate::value::{Span, Value};
use crate::yaml::{self, Node, NodeError, Scalar};

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A whole number.
    Integer,
    /// A number of bytes, optionally with a unit.
    Bytes,
    /// A number.
    Float,
    /// Yes or no.
    Bool,
    /// A time span.
    Duration,
    /// A list of texts; in flags one text each time.
    Texts,
    /// A list of time spans; in flags with commas between.
    Durations,
    /// Texts by name; in flags a JSON object.
    Map,
    /// Selectors by name; in flags `name:selector` with semicolons between.
    Trackers,
    /// A structure of its own; not in flags.
    Tree,
}

impl Kind {
    /// The type of that name in the table.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::Text,
            "secret" => Self::Secret,
            "int" => Self::Integer,
            "bytes" => Self::Bytes,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "duration" => Self::Duration,
            "strings" => Self::Texts,
            "durations" => Self::Durations,
            "map" => Self::Map,
            "trackers" => Self::Trackers,
            "tree" => Self::Tree,
            _ => return None,
        })
    }

    /// Its name in the help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "string",
            Self::Integer | Self::Bytes => "int",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::Duration => "duration",
            Self::Texts => "list of strings",
            Self::Durations => "list of durations",
            Self::Map | Self::Trackers => "map",
            Self::Tree => "structure",
        }
    }

    /// Reads the text of a flag, or of a default.
    pub fn from_flag(self, text: &str) -> Result<Value, String> {
        let plain = || Scalar { text: text.to_owned(), plain: true };
        Ok(match self {
            Self::Text | Self::Secret => Value::Text(text.to_owned()),
            Self::Integer => Value::Integer(scalar::integer(&plain())?),
            Self::Bytes => Value::Integer(scalar::bytes(&plain())?),
            Self::Float => Value::Float(scalar::float(&plain())?),
            Self::Bool => Value::Bool(scalar::flag_bool(text)?),
            Self::Duration => Value::Duration(scalar::duration(text)?),
            Self::Texts if text.is_empty() => Value::Texts(Vec::new()),
            Self::Texts => Value::Texts(vec![text.to_owned()]),
            Self::Durations => Value::Durations(durations(text.split(',').filter(|item| !item.is_empty()))?),
            Self::Map if text.is_empty() => Value::Map(BTreeMap::new()),
            Self::Map => Value::Map(json_map(text)?),
            Self::Trackers => Value::Map(trackers(text)?),
            Self::Tree => return Err("this setting exists in configuration files only".to_owned()),
        })
    }

    /// Reads a node of a file. A null leaves scalars as they are, which is `None`, and empties lists and maps.
    pub fn from_node(self, node: &Node) -> Result<Option<Value>, NodeError> {
        let scalar_value = |parse: &dyn Fn(&Scalar) -> Result<Value, String>| {
            if node.is_null() {
                return Ok(None);
            }
            parse(node.scalar()?).map(Some).map_err(|problem| node.error(problem))
        };
        match self {
            Self::Text | Self::Secret => scalar_value(&|scalar| Ok(Value::Text(scalar.text.clone()))),
            Self::Integer => scalar_value(&|scalar| scalar::integer(scalar).map(Value::Integer)),
            Self::Bytes => scalar_value(&|scalar| scalar::bytes(scalar).map(Value::Integer)),
            Self::Float => scalar_value(&|scalar| scalar::float(scalar).map(Value::Float)),
            Self::Bool => scalar_value(&|scalar| scalar::bool(scalar).map(Value::Bool)),
            Self::Duration => scalar_value(&|scalar| scalar::duration(&scalar.text).map(Value::Duration)),
            Self::Texts => Ok(Some(Value::Texts(texts(node)?))),
            Self::Durations => {
                let texts = texts(node)?;
                let spans = durations(texts.iter().map(String::as_str)).map_err(|problem| node.error(problem))?;
                Ok(Some(Value::Durations(spans)))
            }
            Self::Map | Self::Trackers => Ok(Some(Value::Map(map(node)?))),
            Self::Tree if node.is_null() => Ok(Some(Value::Absent)),
            Self::Tree => Ok(Some(Value::Tree(node.clone()))),
        }
    }
}

fn texts(node: &Node) -> Result<Vec<String>, NodeError> {
    let mut texts = Vec::new();
    for item in node.items()? {
        texts.push(item.scalar()?.text.clone());
    }
    Ok(texts)
}

fn map(node: &Node) -> Result<BTreeMap<String, String>, NodeError> {
    let mut map = BTreeMap::new();
    for entry in node.entries()? {
        map.insert(entry.key.clone(), entry.node.scalar()?.text.clone());
    }
    Ok(map)
}

fn durations<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Span>, String> {
    texts.map(|text| scalar::duration(text.trim())).collect()
}

/// A JSON object of texts and numbers, which is YAML too.
fn json_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    map(&yaml::parse(text, "value", "value")?).map_err(String::from)
}

fn trackers(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut trackers = BTreeMap::new();
    for tracker in text.split(';').filter(|tracker| !tracker.trim().is_empty()) {
        let (name, selector) =
            tracker.split_once(':').ok_or_else(|| format!("{tracker:?} is no tracker: expected name:{{selector}}"))?;
        if trackers.insert(name.trim().to_owned(), selector.trim().to_owned()).is_some() {
            return Err(format!("the tracker {name:?} is defined twice"));
        }
    }
    Ok(trackers)
}
