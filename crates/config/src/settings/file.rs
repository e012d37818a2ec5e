//! From the tree of a configuration file to values of settings.

use super::Warning;
use crate::section::join;
use crate::suggest::nearest;
use crate::table::Table;
use crate::value::Value;
use crate::yaml::{Entry, Node, NodeError, Place};

/// Collects the values of a file.
pub(crate) struct Reader {
    table: &'static Table,
    /// The rows that the file names, their values, and the places of their keys.
    pub(crate) values: Vec<(usize, Value, Place)>,
    /// What the operator should know.
    pub(crate) warnings: Vec<Warning>,
}

impl Reader {
    /// A reader that has read nothing.
    pub(crate) fn new(table: &'static Table) -> Self {
        Self { table, values: Vec::new(), warnings: Vec::new() }
    }

    /// Reads a whole file.
    pub(crate) fn read(&mut self, root: &Node) -> Result<(), NodeError> {
        self.section("", root)
    }

    /// Reads the keys of a section; a null section is one without keys.
    pub(crate) fn section(&mut self, path: &str, node: &Node) -> Result<(), NodeError> {
        for entry in node.entries()? {
            self.entry(path, entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, section: &str, entry: &Entry) -> Result<(), NodeError> {
        let path = join(section, &entry.key);
        if let Some(index) = self.table.index_of(&path) {
            let kind = self.table.settings()[index].kind;
            let value = kind
                .from_node(&entry.node)
                .map_err(|error| NodeError { problem: format!("{path}: {}", error.problem), ..error })?;
            if let Some(value) = value {
                self.values.push((index, value, entry.place.clone()));
            }
            return Ok(());
        }
        if let Some(removed) = self.table.removed_path(&path) {
            let message = format!("{}: {path} is not supported any more; {}", entry.place, removed.instead);
            self.warnings.push(Warning { message });
            return Ok(());
        }
        if self.table.is_section(&path) {
            return self.section(&path, &entry.node);
        }
        Err(NodeError { place: entry.place.clone(), problem: self.unknown(section, &entry.key) })
    }

    /// Names an unknown key, and what may have been meant: a key of its section, or one elsewhere.
    fn unknown(&self, section: &str, key: &str) -> String {
        let path = join(section, key);
        if let Some(name) = nearest(key, self.table.children(section)) {
            return format!("unknown key {path}, did you mean {}?", join(section, name));
        }
        let elsewhere = self.table.settings().iter().find(|setting| setting.key() == key);
        match elsewhere {
            Some(setting) => format!("unknown key {path}, did you mean {}?", setting.path),
            None => format!("unknown key {path}"),
        }
    }
}
