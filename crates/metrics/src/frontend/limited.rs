//! Queries that an administrator lets run only so often.

use std::time::Duration;

use hashbrown::HashMap;
use norn_base::{Error, ErrorKind, Result};
use norn_config::limits::LimitedQuery;
use norn_model::TenantId;
use norn_promql::tree::Expr;
use parking_lot::Mutex;

/// From so many remembered runs on, those that no longer matter are looked for at every new one.
const RUNS_TIDIED: usize = 1000;

/// Remembers when limited queries may run again.
#[derive(Debug, Default)]
pub struct LimitedQueries {
    /// The end of the pause, on the monotonic clock, by tenant and text.
    paused_until: Mutex<HashMap<(TenantId, String), Duration>>,
}

impl LimitedQueries {
    /// Lets a query run and begins its pause; or refuses it where an earlier run's pause is not over.
    pub fn admit(&self, tenant: &TenantId, rules: &[LimitedQuery], expr: &Expr, now: Duration) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let canonical = expr.to_string();
        let Some(rule) = rules.iter().find(|rule| rule.query.trim() == canonical) else { return Ok(()) };
        let mut paused_until = self.paused_until.lock();
        if paused_until.len() >= RUNS_TIDIED {
            paused_until.retain(|_, until| *until > now);
        }
        let until = paused_until.entry((tenant.clone(), canonical)).or_default();
        if *until > now {
            return Err(too_often(rule.allowed_frequency, tenant));
        }
        *until = now + rule.allowed_frequency;
        Ok(())
    }
}

fn too_often(frequency: Duration, tenant: &TenantId) -> Error {
    let id = "err-mimir-query-limited";
    let frequency = norn_gotext::duration::format_go(i64::try_from(frequency.as_nanos()).unwrap_or(i64::MAX));
    let text = format!(
        "the query has been limited by the cluster administrator, and is being run more frequently than the allowed \
         frequency {frequency} against tenant {tenant} ({id})"
    );
    Error::new(ErrorKind::LimitReached, text).with_id(id)
}

#[cfg(test)]
mod tests {
    use norn_promql::parser::{ParseOptions, parse};

    use super::*;

    #[test]
    fn a_limited_query_pauses_for_its_tenant() {
        let minute = Duration::from_secs(60);
        let rules = [LimitedQuery { query: "sum(up)".to_owned(), allowed_frequency: minute }];
        let limited = LimitedQueries::default();
        let [one, two] = ["one", "two"].map(|id| TenantId::parse(id).unwrap());
        let admit = |tenant: &TenantId, text: &str, seconds: u64| {
            let expr = parse(text, &ParseOptions::all()).unwrap();
            let admitted = limited.admit(tenant, &rules, &expr, Duration::from_secs(seconds));
            admitted.map_err(|error| error.message().to_owned())
        };
        assert_eq!(admit(&one, "sum( up )", 0), Ok(()));
        assert_eq!(
            admit(&one, "sum(up)", 59).unwrap_err(),
            "the query has been limited by the cluster administrator, and is being run more frequently than the allowed \
             frequency 1m0s against tenant one (err-mimir-query-limited)"
        );
        assert_eq!(admit(&two, "sum(up)", 59), Ok(()));
        assert_eq!(admit(&one, "up", 59), Ok(()));
        assert_eq!(admit(&one, "sum(up)", 60), Ok(()));
        assert!(admit(&one, "sum(up)", 61).is_err());
    }
}
