//! Prometheus' language of test scripts: samples, queries and what they answer with, in a text that a user can read.
//!
//! ```text
//! load 30s
//!   http_requests_total{job="api"} 0+30x10
//! eval instant at 5m rate(http_requests_total[5m])
//!   {job="api"} 1
//! ```
//!
//! A script is split into commands, which run one after the other over a [`MemoryStore`]. A command that cannot be read
//! fails alone, so that a report always tells of the whole script. Each instant query is asked again in forms that have to
//! answer alike: with `@` fixed to its time, at other times; and as a range query around its time.
//!
//! Source of the rules: Prometheus `promql/promqltest`.

mod annotations;
mod compare;
mod fixed_time;
mod load;
mod run;
mod script;

use std::fmt;
use std::sync::Arc;

use crate::memory_store::MemoryStore;
use crate::parser::ParseOptions;
use crate::plan::EngineOptions;

/// How a script's queries are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The engine's options. Annotations should not be limited.
    pub engine: EngineOptions,
    /// Whether instant queries are asked again in other forms.
    pub repeats: bool,
}

impl Default for Settings {
    /// What Prometheus' own scripts expect: everything on, names removed at the end.
    fn default() -> Self {
        let engine = EngineOptions {
            delayed_name_removal: true,
            start_timestamps: true,
            newer_rules: true,
            warnings_max: 0,
            infos_max: 0,
            parse: ParseOptions::all(),
            ..EngineOptions::default()
        };
        Self { engine, repeats: true }
    }
}

/// What came of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The script's name.
    pub name: String,
    /// How many queries answered as expected.
    pub passed: usize,
    /// The queries that did not, and commands that could not be read, in the order of the script.
    pub failures: Vec<Failure>,
}

/// A query that did not answer as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the command, from 1.
    pub line: usize,
    /// The command's query; empty where there is none.
    pub query: String,
    /// What was expected and what came.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}", self.line)?;
        if !self.query.is_empty() {
            write!(formatter, ": {}", self.query)?;
        }
        write!(formatter, "\n  {}", self.problem.replace('\n', "\n  "))
    }
}

/// Runs a script.
///
/// - `name`: stands in the report.
/// - Cost: that of its queries, on the calling thread.
pub fn run_file(name: &str, text: &str, settings: &Settings) -> Report {
    let store = Arc::new(MemoryStore::default());
    let mut report = Report { name: name.to_owned(), passed: 0, failures: Vec::new() };
    for command in script::parse(text) {
        let outcome = match command {
            Ok(script::Command::Clear) => {
                store.clear();
                continue;
            }
            Ok(script::Command::Load(load)) => {
                if let Err(problem) = load::load(&load, &store) {
                    report.failures.push(Failure { line: load.line, query: String::new(), problem });
                }
                continue;
            }
            Ok(script::Command::Eval(eval)) => run::run(&eval, &store, settings).map_err(|problem| Failure {
                line: eval.line,
                query: eval.query.clone(),
                problem,
            }),
            Err(error) => Err(Failure { line: error.line, query: String::new(), problem: error.message }),
        };
        match outcome {
            Ok(()) => report.passed += 1,
            Err(failure) => report.failures.push(failure),
        }
    }
    report
}

#[cfg(test)]
mod tests;
