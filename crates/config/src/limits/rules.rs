//! Limits that are lists of rules.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::section::FromValue;
use crate::value::Value;
use crate::yaml::{Fields, Node, NodeError};

/// Queries that are refused. All conditions that are set have to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockedQuery {
    /// The expression, or a regular expression for it.
    pub pattern: String,
    /// Whether [`Self::pattern`] is a regular expression that has to match the whole expression.
    pub regex: bool,
    /// Why, for the client.
    pub reason: String,
    /// Only queries with a longer time range; zero is any.
    pub time_range_longer_than: Duration,
    /// Only queries with a shorter step; zero is any.
    pub step_size_shorter_than: Duration,
    /// Only queries whose times are no multiples of the step.
    pub unaligned_range_queries: bool,
}

/// A query that may run only so often.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitedQuery {
    /// The expression, in its canonical form.
    pub query: String,
    /// The least time between two runs.
    pub allowed_frequency: Duration,
}

/// HTTP requests that are refused. Path and method have to match if they are set, and any of the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockedRequest {
    /// The path; empty is any.
    pub path: String,
    /// The method; empty is any.
    pub method: String,
    /// Parameters by name; none is any request.
    pub query_params: BTreeMap<String, QueryParameter>,
}

/// The value of a parameter of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryParameter {
    /// The value, or a regular expression for it.
    pub value: String,
    /// Whether [`Self::value`] is a regular expression.
    pub is_regexp: bool,
}

/// Reads a list of rules, each with `rule`. No value is no rules.
fn list<T>(value: &Value, rule: impl Fn(&Node) -> Result<T, NodeError>) -> Result<Vec<T>, String> {
    match value {
        Value::Absent => Ok(Vec::new()),
        Value::Tree(node) => {
            let mut rules = Vec::new();
            for item in node.items()? {
                rules.push(rule(item)?);
            }
            Ok(rules)
        }
        other => Err(format!("expected a list, found {other:?}")),
    }
}

impl FromValue for Vec<BlockedQuery> {
    fn from_value(value: &Value) -> Result<Self, String> {
        list(value, |node| {
            let mut fields = Fields::of(node)?;
            let rule = BlockedQuery {
                pattern: fields.text("pattern")?.unwrap_or_default(),
                regex: fields.bool("regex")?.unwrap_or(false),
                reason: fields.text("reason")?.unwrap_or_default(),
                time_range_longer_than: fields.duration("time_range_longer_than")?.unwrap_or_default(),
                step_size_shorter_than: fields.duration("step_size_shorter_than")?.unwrap_or_default(),
                unaligned_range_queries: fields.bool("unaligned_range_queries")?.unwrap_or(false),
            };
            fields.finish()?;
            Ok(rule)
        })
    }
}

impl FromValue for Vec<LimitedQuery> {
    fn from_value(value: &Value) -> Result<Self, String> {
        list(value, |node| {
            let mut fields = Fields::of(node)?;
            let rule = LimitedQuery {
                query: fields.text("query")?.unwrap_or_default(),
                allowed_frequency: fields.duration("allowed_frequency")?.unwrap_or_default(),
            };
            fields.finish()?;
            Ok(rule)
        })
    }
}

impl FromValue for Vec<BlockedRequest> {
    fn from_value(value: &Value) -> Result<Self, String> {
        list(value, |node| {
            let mut fields = Fields::of(node)?;
            let mut query_params = BTreeMap::new();
            for (name, parameter) in fields.entries("query_params")? {
                let mut parts = Fields::of(parameter)?;
                let value = parts.text("value")?.unwrap_or_default();
                let is_regexp = parts.bool("is_regexp")?.unwrap_or(false);
                parts.finish()?;
                query_params.insert(name.to_owned(), QueryParameter { value, is_regexp });
            }
            let rule = BlockedRequest {
                path: fields.text("path")?.unwrap_or_default(),
                method: fields.text("method")?.unwrap_or_default(),
                query_params,
            };
            fields.finish()?;
            Ok(rule)
        })
    }
}
