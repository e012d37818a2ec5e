//! From tree to text.

use std::fmt::Write;

use super::{Content, Node};
use crate::scalar;

/// Appends a node as block YAML, indented by `indent` spaces, each line ended.
///
/// A scalar, an empty list and an empty map stand on a line of their own.
pub fn print(node: &Node, indent: usize, out: &mut String) {
    match &node.content {
        Content::Sequence(items) if !items.is_empty() => {
            for item in items {
                let mut text = String::new();
                print(item, indent + 2, &mut text);
                // The first line of an item begins after the dash that takes the place of its indentation.
                let _ = write!(out, "{:indent$}- {}", "", &text[indent + 2..]);
            }
        }
        Content::Mapping(entries) if !entries.is_empty() => {
            for entry in entries {
                let key = quote(&entry.key);
                if is_inline(&entry.node) {
                    let _ = writeln!(out, "{:indent$}{key}: {}", "", inline(&entry.node));
                } else {
                    let _ = writeln!(out, "{:indent$}{key}:", "");
                    print(&entry.node, indent + 2, out);
                }
            }
        }
        _ => {
            let _ = writeln!(out, "{:indent$}{}", "", inline(node));
        }
    }
}

fn is_inline(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(_) => true,
        Content::Sequence(items) => items.is_empty(),
        Content::Mapping(entries) => entries.is_empty(),
    }
}

fn inline(node: &Node) -> String {
    match &node.content {
        Content::Scalar(scalar) if scalar.plain && scalar.text.is_empty() => "null".to_owned(),
        Content::Scalar(scalar) if scalar.plain => scalar.text.clone(),
        Content::Scalar(scalar) => quote(&scalar.text),
        Content::Sequence(_) => "[]".to_owned(),
        Content::Mapping(_) => "{}".to_owned(),
    }
}

/// The text as a scalar that reads back as this very text: plain where it can be, else in double quotes.
fn quote(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether the text may stand without quotes and is still a text. Careful rather than complete.
fn is_plain(text: &str) -> bool {
    // A point may begin the mark of a document's end, which looks like no scalar.
    let begins_well =
        text.starts_with("./") || text.starts_with(|first: char| first.is_alphanumeric() || "_/$<(".contains(first));
    let safe = |character: char| character.is_alphanumeric() || "_-./$<>()+*=@;, :".contains(character);
    begins_well
        && text.chars().all(safe)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains("<<")
        && !scalar::looks_typed(text)
}
