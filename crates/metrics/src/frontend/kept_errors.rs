//! Errors that the same query will have again, kept for a while: a dashboard that is wrong asks every few seconds.
//!
//! Kept is only what follows from the query and its data. Refusals by a limit are decided before, and failures of a
//! process go away.

use std::time::Duration;

use norn_base::{Error, ErrorKind};
use norn_promql::plan::QueryTime;
use norn_server::tenant::Tenants;
use quick_cache::sync::Cache;

/// Errors that are kept at most; each is a query's text and a sentence.
const ERRORS_MAX: usize = 10_000;

/// What queries failed with, for as long as it is kept.
#[derive(Debug)]
pub struct KeptErrors {
    by_query: Cache<String, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    kind: ErrorKind,
    id: Option<&'static str>,
    message: String,
    /// On the monotonic clock.
    until: Duration,
}

impl Default for KeptErrors {
    fn default() -> Self {
        Self { by_query: Cache::new(ERRORS_MAX) }
    }
}

impl KeptErrors {
    /// The name under which the error of a query is kept.
    pub fn key(tenants: &Tenants, canonical: &str, time: QueryTime) -> String {
        let step_ms = match time {
            QueryTime::Range { step_ms, .. } => step_ms,
            QueryTime::Instant { .. } => 0,
        };
        format!("{}:{canonical}:{}:{}:{step_ms}", tenants.joined(), time.start_ms(), time.end_ms())
    }

    /// What the query failed with.
    pub fn look_up(&self, key: &str, now: Duration) -> Option<Error> {
        let Kept { kind, id, message, .. } = self.by_query.get(key).filter(|kept| kept.until > now)?;
        let error = Error::new(kind, message);
        Some(match id {
            Some(id) => error.with_id(id),
            None => error,
        })
    }

    /// Keeps what a query failed with, where it will fail so again.
    pub fn keep(&self, key: String, error: &Error, lifetime: Duration, now: Duration) {
        if !matches!(error.kind(), ErrorKind::BadRequest | ErrorKind::Unprocessable | ErrorKind::TooLarge) {
            return;
        }
        let (kind, id, message) = (error.kind(), error.id(), error.message().to_owned());
        self.by_query.insert(key, Kept { kind, id, message, until: now + lifetime });
    }
}

#[cfg(test)]
mod tests {
    use norn_model::TenantId;

    use super::*;

    #[test]
    fn what_will_fail_again_is_kept_for_a_while() {
        let kept = KeptErrors::default();
        let key = |time_ms| KeptErrors::key(&Tenants::one(TenantId::anonymous()), "a", QueryTime::Instant { time_ms });
        let lifetime = Duration::from_secs(5);
        let check = |error: Error, expected: bool| {
            kept.keep(key(1), &error, lifetime, Duration::ZERO);
            let found = kept.look_up(&key(1), Duration::from_secs(4));
            let found = found.map(|found| (found.kind(), found.id(), found.message().to_owned()));
            let given = (error.kind(), error.id(), error.message().to_owned());
            assert_eq!(found == Some(given), expected, "{error:?}");
        };
        check(Error::unavailable("gone"), false);
        check(Error::new(ErrorKind::LimitReached, "later"), false);
        check(Error::new(ErrorKind::Unprocessable, "too much").with_id("err-mimir-x"), true);
        assert!(kept.look_up(&key(1), lifetime).is_none(), "its time is over");
        assert!(kept.look_up(&key(2), Duration::ZERO).is_none(), "another time is another query");
    }
}
