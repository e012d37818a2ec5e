//! Pages of the store-gateway for operators.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use norn_base::Error;
use norn_gotext::time::format_rfc3339;
use norn_model::TenantId;
use norn_server::admin::{page, table, wants_json};
use norn_server::errors::plain_error;
use serde_json::json;

use super::{BlockState, StoreGateway};

pub(super) fn routes(gateway: Arc<StoreGateway>) -> Router {
    Router::new()
        .route("/store-gateway/tenants", get(tenants))
        .route("/store-gateway/tenant/{tenant}/blocks", get(blocks))
        .with_state(gateway)
}

async fn tenants(State(gateway): State<Arc<StoreGateway>>, headers: HeaderMap) -> Response {
    let tenants = gateway.tenants();
    if wants_json(&headers) {
        let names: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
        return Json(json!({"now": format_rfc3339(gateway.clock.now_ms()), "tenants": names})).into_response();
    }
    let rows = tenants.iter().map(|tenant| vec![tenant.to_string(), gateway.blocks(tenant).len().to_string()]);
    Html(page("Tenants of the store-gateway", &table(&["Tenant", "Blocks"], rows))).into_response()
}

async fn blocks(State(gateway): State<Arc<StoreGateway>>, Path(tenant): Path<String>, headers: HeaderMap) -> Response {
    let tenant = match TenantId::parse(&tenant) {
        Ok(tenant) => tenant,
        Err(error) => return plain_error(&Error::bad_request(error.to_string())),
    };
    let blocks = gateway.blocks(&tenant);
    if wants_json(&headers) {
        let now = format_rfc3339(gateway.clock.now_ms());
        return Json(json!({"now": now, "tenant": tenant.as_str(), "metas": blocks})).into_response();
    }
    let columns = ["Block", "From", "To", "Level", "Source", "State"];
    Html(page(&format!("Blocks of {tenant}"), &table(&columns, blocks.iter().map(row)))).into_response()
}

fn row(block: &BlockState) -> Vec<String> {
    let state = match (&block.damage, block.deletion_time_ms, block.is_open) {
        (Some(damage), _, _) => damage.clone(),
        (None, Some(marked_ms), _) => format!("marked for deletion at {}", format_rfc3339(marked_ms)),
        (None, None, true) => "open".to_owned(),
        (None, None, false) => "closed".to_owned(),
    };
    vec![
        block.entry.block_id.clone(),
        format_rfc3339(block.entry.min_time),
        format_rfc3339(block.entry.max_time),
        block.entry.compaction_level.to_string(),
        block.entry.source.clone(),
        state,
    ]
}
