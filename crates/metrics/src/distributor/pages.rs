//! Pages of the distributor for operators.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use norn_base::clock::SharedClock;
use norn_gotext::time::format_rfc3339;
use norn_server::admin::{page, table, wants_json};
use serde_json::json;

use super::Distributor;
use super::rules::HaRules;

type Shared = (Arc<Distributor>, SharedClock);

/// `/distributor/ha_tracker`.
pub fn routes(distributor: Arc<Distributor>, clock: SharedClock) -> Router {
    Router::new().route("/distributor/ha_tracker", get(ha_tracker)).with_state((distributor, clock))
}

async fn ha_tracker(State((distributor, clock)): State<Shared>, headers: HeaderMap) -> Response {
    let elections = distributor.ha_tracker().elections();
    let now_ms = clock.now_ms();
    if wants_json(&headers) {
        let elected = elections.iter().map(|(key, replica)| {
            let rules = distributor.rules.rules(&key.tenant);
            let from_now_ns = |timeout: fn(&HaRules) -> Duration| {
                let timeout = rules.ha.as_ref().map_or(Duration::ZERO, timeout);
                until_ns(replica.received_at_ms, timeout, now_ms)
            };
            json!({
                "userID": key.tenant.as_str(),
                "cluster": key.cluster,
                "replica": replica.replica,
                "lastElectionTime": format_rfc3339(replica.elected_at_ms),
                "electedLastSeenTime": format_rfc3339(replica.received_at_ms),
                "updateDuration": from_now_ns(|ha| ha.update_timeout),
                "failoverDuration": from_now_ns(|ha| ha.failover_timeout),
            })
        });
        let elected: Vec<_> = elected.collect();
        return Json(json!({"now": format_rfc3339(now_ms), "elected": elected})).into_response();
    }
    let rows = elections.iter().map(|(key, replica)| {
        vec![
            key.tenant.to_string(),
            key.cluster.clone(),
            replica.replica.clone(),
            format_rfc3339(replica.elected_at_ms),
            format_rfc3339(replica.received_at_ms),
        ]
    });
    let columns = ["Tenant", "Cluster", "Elected replica", "Elected at", "Last seen"];
    Html(page("Pairs of highly available senders", &table(&columns, rows))).into_response()
}

/// How long it is until a timeout that began at a time; negative where it has passed. In nanoseconds, as Go writes
/// durations in JSON.
fn until_ns(since_ms: i64, timeout: Duration, now_ms: i64) -> i64 {
    let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    since_ms.saturating_add(timeout_ms).saturating_sub(now_ms).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_count_down_and_go_on_below_zero() {
        assert_eq!(until_ns(1000, Duration::from_secs(30), 11_000), 20_000_000_000);
        assert_eq!(until_ns(1000, Duration::from_secs(5), 11_000), -5_000_000_000);
        assert_eq!(until_ns(i64::MAX, Duration::MAX, 0), i64::MAX);
    }
}
