//! The Prometheus API of the metrics signal, below a prefix (`/prometheus`).
//!
//! Handlers decode parameters, find out what the tenants may do, ask the frontend or the querier, and write JSON. What
//! they refuse, they refuse with Prometheus' words.

pub mod cardinality;
pub mod encode;
pub mod envelope;
pub mod labels;
pub mod parameters;
pub mod query;
pub mod remote_read;
pub mod status;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use norn_base::{Error, ErrorKind};

use crate::frontend::Frontend;
use envelope::ApiError;
use parameters::{FORM_BYTES_MAX, Parameters};

/// What all handlers share.
pub type ApiState = Arc<Frontend>;

/// Routes that belong to a tenant, relative to the prefix.
pub fn tenant_routes(frontend: ApiState) -> Router {
    let both = MethodFilter::GET.or(MethodFilter::POST);
    Router::new()
        .route("/api/v1/query", on(both, query::instant))
        .route("/api/v1/query_range", on(both, query::range))
        .route("/api/v1/query_exemplars", on(both, query::exemplars))
        .route("/api/v1/format_query", on(both, query::format))
        .route("/api/v1/read", on(MethodFilter::POST, remote_read::read))
        .route("/api/v1/series", on(both, labels::series))
        .route("/api/v1/labels", on(both, labels::names))
        .route("/api/v1/label/{name}/values", on(MethodFilter::GET, labels::values))
        .route("/api/v1/metadata", on(MethodFilter::GET, labels::metadata))
        .route("/api/v1/cardinality/label_names", on(both, cardinality::label_names))
        .route("/api/v1/cardinality/label_values", on(both, cardinality::label_values))
        .route("/api/v1/cardinality/active_series", on(both, cardinality::active_series))
        .route("/api/v1/cardinality/active_native_histogram_metrics", on(both, cardinality::active_native_histograms))
        .route("/api/v1/rules", on(MethodFilter::GET, status::no_rules))
        .route("/api/v1/alerts", on(MethodFilter::GET, status::no_alerts))
        .with_state(frontend)
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let url_query = request.uri().query().unwrap_or("").to_owned();
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_form =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        if request.method() != Method::POST || !is_form {
            return Self::parse(&url_query, b"").map_err(|error| ApiError(error).into_response());
        }
        let request = request.map(|body| axum::body::Body::new(http_body_util::Limited::new(body, FORM_BYTES_MAX)));
        let body = Bytes::from_request(request, state).await.map_err(|_| {
            let text = format!("http: request body too large: the limit is {FORM_BYTES_MAX} bytes");
            ApiError(Error::new(ErrorKind::TooLarge, text)).into_response()
        })?;
        Self::parse(&url_query, &body).map_err(|error| ApiError(error).into_response())
    }
}
