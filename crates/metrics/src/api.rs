//! The Prometheus API of the metrics signal, below a prefix (`/prometheus`).
//!
//! Handlers decode parameters, find out what the tenants may do, ask the frontend or the querier, and write JSON. What
//! they refuse, they refuse with Prometheus' words.

pub mod accept;
pub mod analyze;
pub mod cardinality;
pub mod encode;
pub mod envelope;
mod guard;
pub mod labels;
pub mod parameters;
pub mod query;
mod query_log;
pub mod remote_read;
pub mod status;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router, middleware};

use crate::frontend::Frontend;
use envelope::ApiError;
use guard::{BodyLimit, has_form, read_form};
use parameters::Parameters;

/// What all handlers share.
pub type ApiState = Arc<Frontend>;

/// Routes that belong to a tenant, below `prefix`, which is empty or begins with a slash and does not end with one.
pub fn tenant_routes(prefix: &str, frontend: ApiState) -> Router {
    let (get, both) = (MethodFilter::GET, MethodFilter::GET.or(MethodFilter::POST));
    let path = |name: &str| format!("{prefix}/api/v1/{name}");
    let body_bytes_max = frontend.settings().body_bytes_max;
    let queries = Router::new()
        .route(&path("query"), on(both, query::instant))
        .route(&path("query_range"), on(both, query::range))
        .route_layer(middleware::from_fn_with_state(frontend.clone(), query_log::log_query));
    queries
        .route(&path("query_exemplars"), on(both, query::exemplars))
        .route(&path("format_query"), on(both, query::format))
        .route(&path("series"), on(both, labels::series))
        .route(&path("labels"), on(both, labels::names))
        .route(&path("label/{name}/values"), on(get, labels::values))
        .route(&path("metadata"), on(get, labels::metadata))
        .route(&path("cardinality/label_names"), on(both, cardinality::label_names))
        .route(&path("cardinality/label_values"), on(both, cardinality::label_values))
        .route(&path("cardinality/active_series"), on(both, cardinality::active_series))
        .route(&path("cardinality/active_native_histogram_metrics"), on(both, cardinality::active_native_histograms))
        .route(&path("rules"), on(get, status::no_rules))
        .route(&path("alerts"), on(get, status::no_alerts))
        .route_layer(middleware::from_fn(accept::negotiate))
        .route(&path("read"), on(MethodFilter::POST, remote_read::read))
        // Not below the prefix, as in the original.
        .route("/api/v1/analyze", on(MethodFilter::POST, analyze::analyze))
        .route_layer(middleware::from_fn_with_state(frontend.clone(), guard::refuse_blocked))
        .layer(Extension(BodyLimit(body_bytes_max)))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(frontend)
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let url_query = request.uri().query().unwrap_or("").to_owned();
        if !has_form(request.method(), request.headers()) {
            return Self::parse(&url_query, b"").map_err(|error| ApiError(error).into_response());
        }
        let limit = request.extensions().get().copied();
        let form = read_form(request.into_body(), limit).await.map_err(|error| ApiError(error).into_response())?;
        Self::parse(&url_query, &form).map_err(|error| ApiError(error).into_response())
    }
}
