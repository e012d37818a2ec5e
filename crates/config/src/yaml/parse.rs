//! From text to tree.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::{Content, Entry, Node, NodeError, Place, Scalar};

/// Most nodes of one file, aliases counted as often as they are used: what a million tenants' limits would need,
/// and a bound on what a small file of nested aliases can grow to.
const NODES_MAX: usize = 4_000_000;

/// Parses a file of at most one document. An empty file is null.
///
/// Aliases and merge keys (`<<`) are resolved; a key that a map has twice is an error.
/// `what` says what the text is, for messages.
pub fn parse(text: &str, file: &str, what: &str) -> Result<Node, NodeError> {
    let file: Arc<str> = file.into();
    let options = granit_parser::options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text.trim_start_matches('\u{feff}'), options);
    let mut builder = Builder { parser, file: file.clone(), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    while let Some((event, marker)) = builder.next()? {
        match event {
            Event::DocumentStart(..) if document.is_some() => {
                return Err(builder.error(marker, format!("the provided {what} contains multiple documents")));
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => document = Some(builder.node(event, marker)?),
        }
    }
    let empty = || Node {
        place: Place { file, line: 1, column: 1 },
        content: Content::Scalar(Scalar { text: String::new(), plain: true }),
    };
    Ok(document.unwrap_or_else(empty))
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: Arc<str>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Marker)>, NodeError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.start))),
            Some(Err(error)) => Err(self.syntax_error(&error)),
        }
    }

    /// The next event inside a collection, which the parser always ends.
    fn inside(&mut self, start: Marker) -> Result<(Event<'a>, Marker), NodeError> {
        self.next()?.ok_or_else(|| self.error(start, "the file ends within this list or map"))
    }

    fn node(&mut self, event: Event<'a>, start: Marker) -> Result<Node, NodeError> {
        self.count(1, start)?;
        let place = self.place(start);
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let plain = style == ScalarStyle::Plain && !is_text;
                (Content::Scalar(Scalar { text: text.into_owned(), plain }), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(start)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(start)?, anchor),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.error(start, "an alias cannot stand inside of what it names"));
                };
                let node = Node { place, content: node.content.clone() };
                self.count(size(&node), start)?;
                return Ok(node);
            }
            other => return Err(self.error(start, format!("unexpected {other:?}"))),
        };
        let node = Node { place, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, start: Marker) -> Result<Content, NodeError> {
        let mut items = Vec::new();
        loop {
            match self.inside(start)? {
                (Event::SequenceEnd, _) => return Ok(Content::Sequence(items)),
                (event, marker) => items.push(self.node(event, marker)?),
            }
        }
    }

    fn mapping(&mut self, start: Marker) -> Result<Content, NodeError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.inside(start)? {
                (Event::MappingEnd, _) => break,
                (event, marker) => self.node(event, marker)?,
            };
            let (event, marker) = self.inside(start)?;
            let node = self.node(event, marker)?;
            let name = key.scalar()?;
            if name.plain && name.text == "<<" {
                merged.push(node);
                continue;
            }
            if let Some(line) = lines.insert(name.text.clone(), key.place.line) {
                return Err(key.error(format!("key {} is already set on line {line}", name.text)));
            }
            entries.push(Entry { key: name.text.clone(), place: key.place.clone(), node });
        }
        for node in merged {
            merge_key(&mut entries, &node)?;
        }
        Ok(Content::Mapping(entries))
    }

    fn count(&mut self, nodes: usize, marker: Marker) -> Result<(), NodeError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(self.error(marker, format!("the file has more than {NODES_MAX} values")));
        }
        Ok(())
    }

    fn place(&self, marker: Marker) -> Place {
        Place { file: self.file.clone(), line: marker.line(), column: marker.col() + 1 }
    }

    fn error(&self, marker: Marker, problem: impl Into<String>) -> NodeError {
        NodeError { place: self.place(marker), problem: problem.into() }
    }

    fn syntax_error(&self, error: &ScanError) -> NodeError {
        self.error(*error.marker(), format!("not valid YAML: {}", error.info()))
    }
}

/// Takes over what `node`, the value of a merge key, has beyond `entries`; of several maps the first wins.
fn merge_key(entries: &mut Vec<Entry>, node: &Node) -> Result<(), NodeError> {
    match &node.content {
        Content::Mapping(others) => {
            for other in others {
                if !entries.iter().any(|entry| entry.key == other.key) {
                    entries.push(other.clone());
                }
            }
            Ok(())
        }
        Content::Sequence(items) => items.iter().try_for_each(|item| merge_key(entries, item)),
        Content::Scalar(_) => Err(node.error("the value of << has to be a map, or a list of maps")),
    }
}

/// Nodes of a tree.
fn size(node: &Node) -> usize {
    match &node.content {
        Content::Scalar(_) => 1,
        Content::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Content::Mapping(entries) => 1 + entries.iter().map(|entry| size(&entry.node)).sum::<usize>(),
    }
}
