//! Pages and calls of the ingester for operators.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use norn_base::{Error, Result};
use norn_gotext::time::format_rfc3339;
use norn_model::TenantId;
use norn_server::admin::{page, table, wants_json};
use norn_server::errors::HttpError;
use serde_json::json;

use super::Ingester;
use crate::api::parameters::Parameters;

type Shared = State<Arc<Ingester>>;

pub(super) fn routes(ingester: Arc<Ingester>) -> Router {
    Router::new()
        .route("/ingester/flush", get(flush).post(flush))
        .route("/ingester/shutdown", post(shutdown))
        .route("/ingester/prepare-shutdown", get(prepared).post(prepare_shutdown).delete(unprepare_shutdown))
        .route("/ingester/tenants", get(tenants))
        .route("/ingester/tsdb/{tenant}", get(tenant_page))
        .with_state(ingester)
}

async fn flush(State(ingester): Shared, RawQuery(query): RawQuery) -> Result<StatusCode, HttpError> {
    let parameters = Parameters::parse(query.as_deref().unwrap_or(""), b"")?;
    let mut tenants = Vec::new();
    for tenant in parameters.all("tenant") {
        tenants.push(TenantId::parse(tenant).map_err(|error| Error::bad_request(error.to_string()))?);
    }
    let tenants = (!tenants.is_empty()).then_some(tenants);
    if parameters.get("wait") == Some("true") {
        ingester.flush(tenants).await?;
    } else {
        ingester.database()?;
        tokio::spawn(async move {
            if let Err(error) = ingester.flush(tenants).await {
                tracing::error!(error = %error.chain(), "flush failed");
            }
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Flushes and stops taking samples. The process goes on and is not ready.
async fn shutdown(State(ingester): Shared) -> Result<StatusCode, HttpError> {
    ingester.flush_at_stop.store(true, Ordering::Release);
    ingester.stop().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prepared(State(ingester): Shared) -> &'static str {
    if ingester.flush_at_stop.load(Ordering::Acquire) { "set" } else { "unset" }
}

async fn prepare_shutdown(State(ingester): Shared) -> Result<StatusCode, HttpError> {
    ingester.prepare_shutdown(true)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unprepare_shutdown(State(ingester): Shared) -> Result<StatusCode, HttpError> {
    ingester.prepare_shutdown(false)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tenants(State(ingester): Shared, headers: HeaderMap) -> Result<Response, HttpError> {
    let database = ingester.database()?;
    let tenants: Vec<_> = database.tenants().iter().filter_map(|tenant| database.tenant(tenant)).collect();
    let time = |time_ms: Option<i64>| time_ms.map_or_else(|| "-".to_owned(), format_rfc3339);
    if wants_json(&headers) {
        let tenants: Vec<_> = tenants
            .iter()
            .map(|tenant| {
                let stats = tenant.head().stats();
                json!({
                    "tenant": tenant.id().as_str(),
                    "blocks": tenant.blocks().len(),
                    "minTime": time(stats.min_ms),
                    "maxTime": time(stats.max_ms),
                    "series": stats.series,
                })
            })
            .collect();
        return Ok(Json(json!({"now": format_rfc3339(ingester.clock.now_ms()), "tenants": tenants})).into_response());
    }
    let rows = tenants.iter().map(|tenant| {
        let stats = tenant.head().stats();
        vec![
            tenant.id().to_string(),
            stats.series.to_string(),
            tenant.blocks().len().to_string(),
            time(stats.min_ms),
            time(stats.max_ms),
        ]
    });
    let columns = ["Tenant", "Series in memory", "Local blocks", "Oldest in memory", "Newest in memory"];
    Ok(Html(page("Tenants of the ingester", &table(&columns, rows))).into_response())
}

async fn tenant_page(State(ingester): Shared, Path(tenant): Path<String>) -> Result<Html<String>, HttpError> {
    let id = TenantId::parse(&tenant).map_err(|error| Error::bad_request(error.to_string()))?;
    let tenant = ingester.database()?.tenant(&id);
    let tenant =
        tenant.ok_or_else(|| Error::new(norn_base::ErrorKind::NotFound, format!("tenant {id} has no data here")))?;
    let rows = tenant.blocks().into_iter().map(|block| {
        let meta = block.reader.meta();
        vec![
            meta.ulid.to_string(),
            format_rfc3339(meta.min_time),
            format_rfc3339(meta.max_time),
            meta.stats.num_series.to_string(),
            meta.stats.num_samples.to_string(),
        ]
    });
    let columns = ["Block", "From", "To", "Series", "Samples"];
    Ok(Html(page(&format!("Storage of tenant {id}"), &table(&columns, rows))))
}
