//! How the typed model is read from the settings: one trait, and two macros that let a struct say its keys once.
//!
//! A field's name is its key: `section!` reads the field `dir` of a section at `blocks_storage.tsdb` from
//! `blocks_storage.tsdb.dir`. So a struct cannot disagree with the table of settings about a name, and a test can
//! list every key that the model reads by giving it a [`Source`] that writes them down. The documentation of a field
//! is also what the help says of its setting.
//!
//! Rejected: serde structs. They would repeat 1,700 defaults and flags of the table, report errors without the
//! origin of a value, and could not say which keys nobody reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::value::{Secret, Value};

/// Where typed fields come from: the value of every key that exists.
pub trait Source {
    /// The value at a dotted path; `None` if there is no such key in this dialect.
    fn value(&self, path: &str) -> Option<&Value>;
}

/// A value that the typed model cannot take: the key, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// The key, with dots.
    pub path: String,
    /// What is wrong, with the value.
    pub problem: String,
}

impl FieldError {
    /// An error at `path`.
    pub fn new(path: &str, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

/// What can be read at a key: a scalar, or a section of further keys.
pub trait FromSettings: Sized {
    /// Reads the value at `path`, or the section below it.
    fn read(source: &dyn Source, path: &str) -> Result<Self, FieldError>;

    /// Adds a description of each setting that is read at `path` or below it. `document` are the lines of
    /// documentation of the field that is read there.
    fn describe(path: &str, document: &'static [&'static str], out: &mut Vec<Description>) {
        out.push(Description { path: path.to_owned(), document });
    }
}

/// What the model says of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The setting's path.
    pub path: String,
    /// The lines of documentation of its field.
    pub document: &'static [&'static str],
}

/// What can be made of one value.
pub trait FromValue: Sized {
    /// Converts, or says what is wrong with the value.
    fn from_value(value: &Value) -> Result<Self, String>;
}

impl<T: FromValue> FromSettings for T {
    fn read(source: &dyn Source, path: &str) -> Result<Self, FieldError> {
        let value = source.value(path).ok_or_else(|| FieldError::new(path, "there is no such setting"))?;
        T::from_value(value).map_err(|problem| FieldError::new(path, problem))
    }
}

/// A key that may be absent from the dialect, or have no value.
impl<T: FromValue> FromSettings for Option<T> {
    fn read(source: &dyn Source, path: &str) -> Result<Self, FieldError> {
        match source.value(path) {
            None | Some(Value::Absent) => Ok(None),
            Some(value) => T::from_value(value).map(Some).map_err(|problem| FieldError::new(path, problem)),
        }
    }
}

/// The path of `key` below `section`, which is empty at the root.
pub(crate) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn mismatch(expected: &str, value: &Value) -> String {
    format!("expected {expected}, found {value:?}")
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            other => Err(mismatch("a boolean", other)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Float(number) => Ok(*number),
            other => Err(mismatch("a number", other)),
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Ok(*number),
            other => Err(mismatch("an integer", other)),
        }
    }
}

/// Counts and sizes. A negative number is zero: where the originals compare with `> 0`, both mean "off".
macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, String> {
                let number = i64::from_value(value)?.max(0);
                <$type>::try_from(number).map_err(|_| format!("{number} is above the maximum of {}", <$type>::MAX))
            }
        }
    )*};
}
unsigned!(u16, u32, u64, usize);

/// A negative duration is zero: where the originals compare with `> 0`, both mean "off".
impl FromValue for Duration {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Duration(span) => Ok(span.to_std()),
            other => Err(mismatch("a duration", other)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(mismatch("a string", other)),
        }
    }
}

impl FromValue for Secret {
    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value).map(Self::new)
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value).map(Self::from)
    }
}

/// A list of strings, or one string with commas between the items.
impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Texts(items) => Ok(items.clone()),
            Value::Text(text) => Ok(split_commas(text)),
            other => Err(mismatch("a list of strings", other)),
        }
    }
}

/// A list of ports; an item may hold several, with commas between them.
impl FromValue for Vec<u16> {
    fn from_value(value: &Value) -> Result<Self, String> {
        let mut ports = Self::new();
        for text in Vec::<String>::from_value(value)?.iter().flat_map(|item| split_commas(item)) {
            ports.push(text.parse().map_err(|_| format!("{text:?} is no port (0 to 65535)"))?);
        }
        Ok(ports)
    }
}

impl FromValue for Vec<Duration> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Durations(items) => Ok(items.iter().map(|span| span.to_std()).collect()),
            other => Err(mismatch("a list of durations", other)),
        }
    }
}

impl FromValue for BTreeMap<String, String> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Map(entries) => Ok(entries.clone()),
            other => Err(mismatch("a map", other)),
        }
    }
}

fn split_commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Declares a section of the model: a struct whose fields are read from the keys of the same names.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[doc = $document:literal])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $document])* pub $field: $type,)*
        }

        impl $crate::section::FromSettings for $name {
            fn read(
                source: &dyn $crate::section::Source,
                path: &str,
            ) -> Result<Self, $crate::section::FieldError> {
                Ok(Self {
                    $($field: $crate::section::FromSettings::read(
                        source,
                        &$crate::section::join(path, stringify!($field)),
                    )?,)*
                })
            }

            fn describe(
                path: &str,
                _: &'static [&'static str],
                out: &mut Vec<$crate::section::Description>,
            ) {
                $(<$type as $crate::section::FromSettings>::describe(
                    &$crate::section::join(path, stringify!($field)),
                    &[$($document),*],
                    out,
                );)*
            }
        }
    };
}
pub(crate) use section;

/// Declares an enum whose variants are the texts that a setting accepts.
macro_rules! choices {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_attribute])* $variant,)*
        }

        impl $name {
            /// The text that the configuration has for this choice.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl $crate::section::FromValue for $name {
            fn from_value(value: &$crate::value::Value) -> Result<Self, String> {
                let text = String::from_value(value)?;
                match text.as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("unknown value {text:?}, expected one of {:?}", [$($text),*])),
                }
            }
        }
    };
}
pub(crate) use choices;
