//! `/ingester/tsdb_metrics`: what one tenant holds in this ingester, under the names of Prometheus' storage, for those
//! who know that from a Prometheus of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use norn_base::{Error, ErrorKind};
use norn_server::errors::HttpError;
use norn_server::tenant::Tenant;

use super::Ingester;

/// The version of the text format, as Prometheus names it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// To be wrapped by the tenant middleware.
pub(super) fn routes(ingester: Arc<Ingester>) -> Router {
    Router::new().route("/ingester/tsdb_metrics", get(tsdb_metrics)).with_state(ingester)
}

async fn tsdb_metrics(State(ingester): State<Arc<Ingester>>, Tenant(id): Tenant) -> Result<Response, HttpError> {
    let tenant = ingester.database()?.tenant(&id);
    let tenant = tenant.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("tenant {id} has no data here")))?;
    let stats = tenant.head().stats();
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: String| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    };
    let series = stats.series.to_string();
    metric("prometheus_tsdb_head_series", "gauge", "Series in memory.", series);
    let created = stats.created_series.to_string();
    metric("prometheus_tsdb_head_series_created_total", "counter", "Series that were ever put into memory.", created);
    let time = |time_ms: Option<i64>| time_ms.unwrap_or(0).to_string();
    let (min, max) = (time(stats.min_ms), time(stats.max_ms));
    metric("prometheus_tsdb_head_min_time", "gauge", "The oldest sample in memory, in milliseconds.", min);
    metric("prometheus_tsdb_head_max_time", "gauge", "The youngest sample in memory, in milliseconds.", max);
    let blocks = tenant.blocks().len().to_string();
    metric("prometheus_tsdb_blocks_loaded", "gauge", "Blocks on this ingester's disk.", blocks);
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
