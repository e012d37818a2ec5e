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

/// `/distributor/ha_tracker`.
pub fn routes(distributor: Arc<Distributor>, clock: SharedClock) -> Router {
    Router::new().route("/distributor/ha_tracker", get(ha_tracker)).with_state((distributor, clock))
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
