//! All values of a dialect, each with its origin.

mod common;
pub(crate) mod file;

use std::fmt;
use std::sync::Arc;

use crate::environment::Environment;
use crate::flags::UsageError;
use crate::section::{FieldError, Source};
use crate::table::{Category, Coverage, Dialect, Setting, Table};
use crate::value::Value;
use crate::yaml::{Node, NodeError, Place};

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// A configuration file, at this key.
    File(Place),
    /// A flag, in the form in which it was given.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(place) => write!(formatter, "{place}"),
            Self::Flag(flag) => write!(formatter, "-{flag}"),
        }
    }
}

/// Something that the operator should know, though the process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The sentence.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// All values of a dialect, each with its origin.
#[derive(Clone)]
pub struct Settings {
    dialect: Dialect,
    table: &'static Table,
    values: Vec<Value>,
    origins: Vec<Origin>,
    defaults: Arc<Vec<Value>>,
}

impl Settings {
    /// The defaults of a dialect on this machine.
    pub fn defaults(dialect: Dialect, environment: &Environment) -> Self {
        let table = dialect.table();
        let values: Vec<Value> = table.settings().iter().map(|setting| default_of(setting, environment)).collect();
        let origins = vec![Origin::Default; values.len()];
        let mut settings = Self { dialect, table, defaults: Arc::new(values.clone()), values, origins };
        settings.resolve_data_dir();
        settings.defaults = Arc::new(settings.values.clone());
        settings
    }

    /// The dialect whose names these are.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The rows that belong to the values.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// The value of a row of the table.
    pub fn get(&self, index: usize) -> &Value {
        &self.values[index]
    }

    /// Who gave the value of a row.
    pub fn origin(&self, index: usize) -> &Origin {
        &self.origins[index]
    }

    /// The default of a row on this machine.
    pub fn default_value(&self, index: usize) -> &Value {
        &self.defaults[index]
    }

    /// Whether somebody gave a row a value that differs from its default. A default that follows another setting, as
    /// folders follow `data_dir`, is no change.
    pub fn is_changed(&self, index: usize) -> bool {
        self.origins[index] != Origin::Default && self.values[index] != self.defaults[index]
    }

    /// Whether any value below a path differs from its default.
    pub fn is_section_changed(&self, path: &str) -> bool {
        self.table.below(path).any(|index| self.is_changed(index))
    }

    /// The settings of a category whose values differ from their defaults.
    pub fn changed(&self, category: Category) -> impl Iterator<Item = &'static Setting> {
        let rows = self.table.settings().iter().enumerate();
        rows.filter(move |(index, setting)| setting.category == category && self.is_changed(*index))
            .map(|(_, setting)| setting)
    }

    /// Sets the value of a row.
    pub fn set(&mut self, index: usize, value: Value, origin: Origin) {
        self.values[index] = value;
        self.origins[index] = origin;
    }

    /// Lays a configuration file over the values. Returns warnings about keys of earlier versions.
    ///
    /// Sections of `common` go to the settings that inherit them, below what the file says of these themselves.
    pub fn apply_file(&mut self, root: &Node) -> Result<Vec<Warning>, NodeError> {
        let mut reader = file::Reader::new(self.table);
        reader.read(root)?;
        for (index, value, place) in common::inherited(self.table, &reader.values) {
            self.set(index, value, Origin::File(place));
        }
        for (index, value, place) in reader.values {
            self.set(index, value, Origin::File(place));
        }
        self.resolve_data_dir();
        Ok(reader.warnings)
    }

    /// Lays the values of flags over all others, in the order given.
    ///
    /// Flags of `common` go to the settings that inherit them, below the flags of these themselves.
    pub fn apply_flags(&mut self, flags: &[FlagValue]) -> Result<(), UsageError> {
        let mut own: Vec<(usize, Value, String)> = Vec::new();
        for flag in flags {
            let setting = &self.table.settings()[flag.index];
            let value = setting.kind.from_flag(&flag.text).map_err(|problem| UsageError::BadValue {
                name: flag.name.clone(),
                text: flag.text.clone(),
                problem,
            })?;
            match own.iter_mut().find(|(index, ..)| *index == flag.index) {
                Some((_, Value::Texts(items), _)) => {
                    if let Value::Texts(more) = value {
                        items.extend(more);
                    }
                }
                Some(earlier) => earlier.1 = value,
                None => own.push((flag.index, value, flag.name.clone())),
            }
        }
        for (index, value, flag) in common::inherited(self.table, &own).chain(own) {
            self.set(index, value, Origin::Flag(flag));
        }
        self.resolve_data_dir();
        Ok(())
    }

    /// The error of a typed field, with the place that its value comes from.
    pub fn locate(&self, error: &FieldError) -> String {
        match self.table.index_of(&error.path).map(|index| &self.origins[index]) {
            Some(origin @ (Origin::File(_) | Origin::Flag(_))) => format!("{origin}: {error}"),
            _ => error.to_string(),
        }
    }

    /// A warning for each reason for which settings that were changed have no effect.
    pub fn without_effect(&self) -> Vec<Warning> {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for (index, setting) in self.table.settings().iter().enumerate() {
            let reason = match setting.coverage {
                Coverage::Effect(_) => continue,
                _ if !self.is_changed(index) => continue,
                Coverage::Later("ingest log") => {
                    "no effect yet: norn replicates over the ring until it has an ingest log".to_owned()
                }
                Coverage::Later(feature) => format!("no effect yet, for want of: {feature}"),
                Coverage::None(because) => format!("no effect: {because}"),
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, paths)) => paths.push(setting.path),
                None => reasons.push((reason, vec![setting.path])),
            }
        }
        let warning =
            |(reason, paths): (String, Vec<&str>)| Warning { message: format!("{} ({reason})", paths.join(", ")) };
        reasons.into_iter().map(warning).collect()
    }

    /// Fills `<data_dir>` into the defaults that nobody changed.
    fn resolve_data_dir(&mut self) {
        let Some(index) = self.table.index_of("data_dir") else { return };
        let Value::Text(data_dir) = self.values[index].clone() else { return };
        let data_dir = data_dir.trim_end_matches('/');
        for (index, setting) in self.table.settings().iter().enumerate() {
            if let Some(default) = setting.default
                && let Some(rest) = default.strip_prefix("<data_dir>")
                && self.origins[index] == Origin::Default
            {
                self.values[index] = Value::Text(format!("{data_dir}{rest}"));
            }
        }
    }
}

/// Without the values: some are secret.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = (0..self.values.len()).filter(|index| self.is_changed(*index)).count();
        formatter.debug_struct("Settings").field("dialect", &self.dialect).field("changed", &changed).finish()
    }
}

impl Source for Settings {
    fn value(&self, path: &str) -> Option<&Value> {
        self.table.index_of(path).map(|index| &self.values[index])
    }
}

/// A flag of a setting as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// The row of the table.
    pub index: usize,
    /// The flag's name, without dashes.
    pub name: String,
    /// Its value.
    pub text: String,
}

/// The default of a row. The table is part of the program; a test reads every default.
fn default_of(setting: &Setting, environment: &Environment) -> Value {
    match setting.default {
        None => Value::Absent,
        Some("<hostname>") => Value::Text(environment.hostname.clone()),
        Some(text) => setting.kind.from_flag(text).unwrap_or_else(|problem| panic!("{}: {problem}", setting.path)),
    }
}
