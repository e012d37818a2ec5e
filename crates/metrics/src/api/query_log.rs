//! The line that is logged of every query, with what it took: the dashboard of slow queries reads it.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use norn_base::Result;
use norn_promql::plan::QueryTime;
use norn_promql::value::QueryStats;
use norn_server::tenant::Tenants;

use super::ApiState;
use crate::frontend::effort::{Answered, Effort};

/// What is kept of a header's value, in bytes.
const HEADER_BYTES_MAX: usize = 200;

/// What the handler of a query knows of it. Stands in the extensions of the answer.
#[derive(Debug, Clone)]
pub(super) struct QueryFacts {
    /// The query as it was asked.
    pub(super) text: String,
    /// For when.
    pub(super) time: QueryTime,
    /// What was read for it.
    pub(super) read: QueryStats,
    /// What it took.
    pub(super) effort: Effort,
    /// Why it failed.
    pub(super) error: Option<String>,
}

impl QueryFacts {
    /// What is known once a query was answered, or not.
    pub(super) fn of(text: &str, time: QueryTime, answered: &Result<Answered>) -> Self {
        let (read, effort, error) = match answered {
            Ok(answered) => (answered.result.stats, answered.effort, None),
            Err(error) => (QueryStats::default(), Effort::default(), Some(error.message().to_owned())),
        };
        Self { text: text.to_owned(), time, read, effort, error }
    }
}

/// Logs a query when its answer is known.
pub(super) async fn log_query(
    State(frontend): State<ApiState>,
    tenants: Tenants,
    request: Request,
    next: Next,
) -> Response {
    let settings = frontend.settings();
    if !settings.query_stats {
        return next.run(request).await;
    }
    let started = frontend.monotonic();
    let line = Line {
        user: tenants.joined(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        user_agent: text_of(request.headers(), header::USER_AGENT.as_str()),
        headers: selected(request.headers(), &settings.logged_headers),
    };
    let response = next.run(request).await;
    line.write(&response, frontend.monotonic().saturating_sub(started), frontend.now_ms());
    response
}

struct Line {
    user: String,
    method: Method,
    path: String,
    user_agent: Option<String>,
    headers: Option<String>,
}

impl Line {
    fn write(&self, response: &Response, took: Duration, now_ms: i64) {
        let Self { user, method, path, user_agent, headers } = self;
        let route_name = path.trim_matches('/').replace('/', "_");
        let status_code = response.status().as_u16();
        let response_size_bytes = response.body().size_hint().exact();
        let status = match status_code {
            499 => "canceled",
            504 => "timeout",
            400.. => "failed",
            _ => "success",
        };
        let response_time = go_duration(took);
        let facts = response.extensions().get::<QueryFacts>();
        let Some(QueryFacts { text, time, read, effort, error }) = facts else {
            tracing::info!(
                component = "query-frontend", user, %method, path, route_name, user_agent, status_code, response_time,
                response_size_bytes, headers, status, "query stats"
            );
            return;
        };
        let step = match time {
            QueryTime::Range { step_ms, .. } => Some(seconds(*step_ms)),
            QueryTime::Instant { .. } => None,
        };
        tracing::info!(
            component = "query-frontend",
            user,
            %method,
            path,
            route_name,
            user_agent,
            status_code,
            response_time,
            response_size_bytes,
            query_wall_time_seconds = effort.wall.as_secs_f64(),
            fetched_series_count = read.series,
            samples_processed = read.samples,
            queue_time_seconds = effort.queued.as_secs_f64(),
            sharded_queries = effort.shards,
            split_queries = effort.splits,
            results_cache_hit_bytes = effort.cache_hit_bytes,
            results_cache_miss_bytes = effort.cache_miss_bytes,
            param_query = text,
            param_start = seconds(time.start_ms()),
            param_end = seconds(time.end_ms()),
            param_step = step,
            length = go_duration(milliseconds(time.end_ms().saturating_sub(time.start_ms()))),
            time_since_min_time = go_duration(milliseconds(now_ms.saturating_sub(time.start_ms()))),
            time_since_max_time = go_duration(milliseconds(now_ms.saturating_sub(time.end_ms()))),
            headers,
            status,
            err = error,
            "query stats"
        );
    }
}

fn seconds(time_ms: i64) -> f64 {
    time_ms as f64 / 1000.0
}

/// A length of time; what lies in the future is none.
fn milliseconds(length_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(length_ms).unwrap_or(0))
}

fn go_duration(duration: Duration) -> String {
    norn_gotext::duration::format_go(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(String::from_utf8_lossy(&value[..value.len().min(HEADER_BYTES_MAX)]).into_owned())
}

/// The headers that the operator wants to see, `name: value` each; none where the request has none of them.
fn selected(headers: &HeaderMap, names: &[String]) -> Option<String> {
    let found = names.iter().filter_map(|name| Some(format!("{name}: {}", text_of(headers, name)?)));
    let found: Vec<String> = found.collect();
    (!found.is_empty()).then(|| found.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_headers_are_shown() {
        let mut headers = HeaderMap::new();
        headers.insert("x-dashboard-uid", "abc".parse().unwrap());
        headers.insert("x-panel-id", "7".parse().unwrap());
        headers.insert("authorization", "secret".parse().unwrap());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |wanted: &[&str], expected: Option<&str>| {
            assert_eq!(selected(&headers, &names(wanted)).as_deref(), expected, "{wanted:?}");
        };
        check(&[], None);
        check(&["X-None"], None);
        check(&["X-Panel-Id", "X-Dashboard-Uid"], Some("X-Panel-Id: 7; X-Dashboard-Uid: abc"));
    }

    #[test]
    fn times_are_lengths() {
        assert_eq!(go_duration(milliseconds(90_500)), "1m30.5s");
        assert_eq!(go_duration(milliseconds(-5)), "0s");
        assert_eq!(seconds(1500), 1.5);
    }
}
