//! Queries that an administrator has blocked.

use std::time::Duration;

use norn_base::{Error, Result};
use norn_config::limits::BlockedQuery;
use norn_gotext::regex::GoRegex;
use norn_promql::parser::{ParseOptions, parse};
use norn_promql::plan::QueryTime;
use norn_promql::tree::Expr;

/// Refuses a query whose canonical text is blocked for one of its tenants.
pub fn check(rules: &[BlockedQuery], expr: &Expr, time: QueryTime) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let canonical = expr.to_string();
    match rules.iter().find(|rule| matches_text(rule, &canonical) && matches_time(rule, time)) {
        Some(rule) => {
            let reason = if rule.reason.is_empty() { String::new() } else { format!(" {}", rule.reason) };
            let id = "err-mimir-query-blocked";
            let text = format!("the request has been blocked by the cluster administrator{reason} ({id})");
            Err(Error::bad_request(text).with_id(id))
        }
        None => Ok(()),
    }
}

/// A pattern is a query, whose canonical form has to be the same, or a regular expression for the whole of it. One that
/// is neither blocks nothing.
fn matches_text(rule: &BlockedQuery, canonical: &str) -> bool {
    if rule.pattern.is_empty() {
        // A rule may ask for times only.
        return has_time_condition(rule);
    }
    if !rule.regex {
        let pattern =
            parse(&rule.pattern, &ParseOptions::all()).map_or_else(|_| rule.pattern.clone(), |expr| expr.to_string());
        return pattern == canonical;
    }
    match GoRegex::anchored(&rule.pattern) {
        Ok(regex) => regex.is_match(canonical),
        Err(error) => {
            tracing::warn!(pattern = rule.pattern, %error, "blocked query is no regular expression and blocks nothing");
            false
        }
    }
}

fn has_time_condition(rule: &BlockedQuery) -> bool {
    !rule.time_range_longer_than.is_zero() || !rule.step_size_shorter_than.is_zero() || rule.unaligned_range_queries
}

fn matches_time(rule: &BlockedQuery, time: QueryTime) -> bool {
    if !has_time_condition(rule) {
        return true;
    }
    let QueryTime::Range { start_ms, end_ms, step_ms } = time else { return false };
    let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let long = rule.time_range_longer_than.is_zero() || end_ms - start_ms > milliseconds(rule.time_range_longer_than);
    let fine = rule.step_size_shorter_than.is_zero() || step_ms < milliseconds(rule.step_size_shorter_than);
    let unaligned = start_ms % step_ms != 0 || end_ms % step_ms != 0;
    long && fine && (!rule.unaligned_range_queries || unaligned)
}
