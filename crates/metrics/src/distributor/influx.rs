//! Influx line protocol over HTTP: what Telegraf and its kin write.
//!
//! Each number or boolean of a line becomes a sample of its own series, named after measurement and field. Off
//! unless the operator wants it.

mod line;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_base::{Error, Result};
use norn_model::TenantId;
use norn_server::body::{BodyError, BodyLimits, BodyReader, Encoding};
use norn_server::errors::{RetryAfter, plain_error, status_of};
use norn_server::tenant::Tenant;

pub(super) use self::line::Lines;

use super::Distributor;

/// What the operator decides about the API.
#[derive(Debug, Clone)]
pub struct InfluxSettings {
    /// Largest request, on the wire and decompressed.
    pub bytes_max: usize,
    /// When refused clients are told to come back.
    pub retry_after: RetryAfter,
}

struct Shared {
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    clock: SharedClock,
    random: SharedRandom,
    settings: InfluxSettings,
}

/// The route, to be wrapped by the tenant middleware.
pub fn routes(
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    clock: SharedClock,
    random: SharedRandom,
    settings: InfluxSettings,
) -> Router {
    Router::new().route("/api/v1/push/influx/write", post(write)).with_state(Arc::new(Shared {
        distributor,
        bodies,
        clock,
        random,
        settings,
    }))
}

async fn write(
    State(shared): State<Arc<Shared>>,
    Tenant(tenant): Tenant,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match shared.write(&tenant, query.as_deref().unwrap_or(""), &headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => match shared.settings.retry_after.pause(status_of(&error), &headers, &*shared.random) {
            Some(pause) => plain_error(&error.with_retry_after(pause)),
            None => plain_error(&error),
        },
    }
}

impl Shared {
    async fn write(&self, tenant: &TenantId, query: &str, headers: &HeaderMap, body: Body) -> Result<()> {
        let precision = query.split('&').find_map(|pair| pair.strip_prefix("precision=")).unwrap_or("ns");
        let mut admission = self.distributor.admit(tenant)?;
        let limits = BodyLimits::both(self.settings.bytes_max);
        let is_gzip = headers.get(http::header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
        let encoding = if is_gzip { Encoding::Gzip } else { Encoding::Identity };
        let body = self.bodies.read_as(encoding, body, limits).await.map_err(body_error)?;
        admission.add_bytes(body.len() as u64)?;
        let lines = Lines::parse(&body, precision, self.clock.now_ms())?;
        self.distributor.push_influx(tenant, &lines).await.result
    }
}

fn body_error(error: BodyError) -> Error {
    let is_too_large = matches!(error, BodyError::TooLarge { .. });
    let error = Error::from(error);
    if is_too_large { error.with_http_status(400) } else { error }
}

#[cfg(test)]
mod tests;
