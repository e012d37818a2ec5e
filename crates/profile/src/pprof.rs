//! The format of pprof's profiles: protobuf, compressed with gzip.
//!
//! Source: google/pprof `proto/profile.proto` (field numbers and meanings).

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use norn_base::{Error, Result};

use crate::symbols::Symbols;

/// A profile. Numbers of strings are positions in [`Profile::string_table`], whose first string is empty.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Profile {
    /// What the values of each sample mean, in their order.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// Stacks with their values.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// Loaded files.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Addresses of code.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// Every text, once.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it was taken: nanoseconds since the Unix epoch.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it took.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What happened between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of it happened.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// The name of the value that tools show first.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// A quantity: `cpu` in `nanoseconds`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ValueType {
    /// What is counted; a number of a string.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// Its unit; a number of a string.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sample {
    /// Ids of locations, innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// A value for each sample type.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// What else is known of it.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A key and a value.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// A number of a string.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// A number of a string.
    #[prost(int64, tag = "2")]
    pub str: i64,
}

/// A loaded file.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Mapping {
    /// Its number, from 1 on; the first one is the program.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where it begins in memory.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// Where it ends in memory, exclusive.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Its path; a number of a string.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// Whether names were looked up already.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
}

/// An address of code.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Location {
    /// Its number, from 1 on.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The id of its mapping; 0 if none is known.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// The address in memory.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Functions that were inlined there, innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A place in a function.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Line {
    /// The id of the function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// The line in its file; 0 if unknown.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Function {
    /// Its number, from 1 on.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name; a number of a string.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name; a number of a string.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its file; a number of a string.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Builds a [`Profile`] from stacks.
pub(crate) struct Builder<'a> {
    profile: Profile,
    symbols: &'a Symbols,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<u64, u64>,
}

impl<'a> Builder<'a> {
    /// A profile without samples. `types`: `(what, unit)` of each value of a sample.
    pub(crate) fn new(symbols: &'a Symbols, types: &[(&str, &str)]) -> Self {
        let mut builder = Self {
            profile: Profile { string_table: vec![String::new()], ..Profile::default() },
            symbols,
            strings: HashMap::from([(String::new(), 0)]),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        for &(what, unit) in types {
            let value_type = builder.value_type(what, unit);
            builder.profile.sample_type.push(value_type);
        }
        for (index, module) in symbols.modules.iter().enumerate() {
            let filename = builder.string(&module.path);
            builder.profile.mapping.push(Mapping {
                id: index as u64 + 1,
                memory_start: module.addresses.start,
                memory_limit: module.addresses.end,
                filename,
                has_functions: true,
            });
        }
        builder
    }

    /// Says what happened between two samples, and which value tools show first.
    pub(crate) fn period(&mut self, what: &str, unit: &str, period: i64, shown_first: &str) {
        self.profile.period_type = Some(self.value_type(what, unit));
        self.profile.period = period;
        self.profile.default_sample_type = self.string(shown_first);
    }

    /// Adds a stack, innermost address first, with a value for each type.
    pub(crate) fn sample(&mut self, addresses: &[u64], value: Vec<i64>, labels: &[(&str, &str)]) {
        let location_id = addresses.iter().map(|&address| self.location(address)).collect();
        let label =
            labels.iter().map(|(key, value)| Label { key: self.string(key), str: self.string(value) }).collect();
        self.profile.sample.push(Sample { location_id, value, label });
    }

    /// The finished profile as bytes; times in nanoseconds.
    pub(crate) fn finish(mut self, time_nanos: i64, duration_nanos: i64) -> Result<Vec<u8>> {
        (self.profile.time_nanos, self.profile.duration_nanos) = (time_nanos, duration_nanos);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&prost::Message::encode_to_vec(&self.profile));
        written
            .and_then(|()| encoder.finish())
            .map_err(|error| Error::internal("the profile could not be compressed").with_source(error))
    }

    fn value_type(&mut self, what: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.string(what), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(&number) = self.strings.get(text) {
            return number;
        }
        let number = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    fn location(&mut self, address: u64) -> u64 {
        if let Some(&id) = self.locations.get(&address) {
            return id;
        }
        let symbols = self.symbols;
        let functions = symbols.functions(address).iter();
        let line = functions
            .map(|function| Line {
                function_id: self.function(&function.name, &function.file),
                line: i64::from(function.line),
            })
            .collect();
        let module = symbols.modules.iter().position(|module| module.addresses.contains(&address));
        let id = self.profile.location.len() as u64 + 1;
        let mapping_id = module.map_or(0, |index| index as u64 + 1);
        self.profile.location.push(Location { id, mapping_id, address, line });
        self.locations.insert(address, id);
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        if let Some(&id) = self.functions.get(&(name, filename)) {
            return id;
        }
        let id = self.profile.function.len() as u64 + 1;
        self.profile.function.push(Function { id, name, system_name: name, filename });
        self.functions.insert((name, filename), id);
        id
    }
}

impl Profile {
    /// The profile in the bytes that [`crate::cpu::profile`] and [`crate::heap::profile`] return.
    pub fn decode_gzip(bytes: &[u8]) -> Result<Self> {
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        let plain = decoder.write_all(bytes).and_then(|()| decoder.finish());
        let plain = plain.map_err(|error| Error::bad_request("this is not gzip").with_source(error))?;
        prost::Message::decode(plain.as_slice())
            .map_err(|error| Error::bad_request("this is not a profile").with_source(error))
    }

    /// A text of the table; empty if it has no such number.
    pub fn text(&self, number: i64) -> &str {
        let text = usize::try_from(number).ok().and_then(|index| self.string_table.get(index));
        text.map_or("", String::as_str)
    }

    /// The names of all functions of a sample, innermost first.
    pub fn functions_of(&self, sample: &Sample) -> Vec<&str> {
        let find = |id: u64| usize::try_from(id).ok()?.checked_sub(1);
        let locations = sample.location_id.iter().filter_map(|&id| self.location.get(find(id)?));
        let lines = locations.flat_map(|location| &location.line);
        lines.filter_map(|line| Some(self.text(self.function.get(find(line.function_id)?)?.name))).collect()
    }
}
