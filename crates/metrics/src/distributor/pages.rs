//! Pages of the distributor for operators.

use std::sync::Arc;

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

type Shared = (Arc<Distributor>, SharedClock);

/// `/distributor/all_user_stats` and `/distributor/ha_tracker`.
pub fn routes(distributor: Arc<Distributor>, clock: SharedClock) -> Router {
    Router::new()
        .route("/distributor/all_user_stats", get(all_user_stats))
        .route("/distributor/ha_tracker", get(ha_tracker))
        .with_state((distributor, clock))
}

async fn all_user_stats(State((distributor, clock)): State<Shared>, headers: HeaderMap) -> Response {
    let stats = distributor.tenant_stats();
    if wants_json(&headers) {
        let stats: Vec<_> = stats
            .iter()
            .map(|(tenant, stats)| {
                json!({
                    "userID": tenant.as_str(),
                    "ingestionRate": stats.api_samples_per_second + stats.rule_samples_per_second,
                    "APIIngestionRate": stats.api_samples_per_second,
                    "RuleIngestionRate": stats.rule_samples_per_second,
                })
            })
            .collect();
        let answer = json!({"now": format_rfc3339(clock.now_ms()), "stats": stats, "replicationFactor": 1});
        return Json(answer).into_response();
    }
    let rows = stats.iter().map(|(tenant, stats)| {
        vec![
            tenant.to_string(),
            format!("{:.1}", stats.api_samples_per_second),
            format!("{:.1}", stats.rule_samples_per_second),
        ]
    });
    let columns = ["Tenant", "Samples per second from clients", "Samples per second from rules"];
    Html(page("Usage of all tenants", &table(&columns, rows))).into_response()
}

async fn ha_tracker(State((distributor, clock)): State<Shared>, headers: HeaderMap) -> Response {
    let elections = distributor.ha_tracker().elections();
    if wants_json(&headers) {
        let elected: Vec<_> = elections
            .iter()
            .map(|(key, replica)| {
                json!({
                    "userID": key.tenant.as_str(),
                    "cluster": key.cluster,
                    "replica": replica.replica,
                    "lastElectionTime": format_rfc3339(replica.elected_at_ms),
                    "electedLastSeenTime": format_rfc3339(replica.received_at_ms),
                })
            })
            .collect();
        return Json(json!({"now": format_rfc3339(clock.now_ms()), "elected": elected})).into_response();
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
