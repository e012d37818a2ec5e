//! OTLP over gRPC: `opentelemetry.proto.collector.metrics.v1.MetricsService`.
//!
//! The message is the body of OTLP over HTTP, and is treated alike. The answers differ where the protocol has words
//! for them: what was stored in part is a partial success whatever the cause, and a refusal that a retry would change
//! says when to retry.
//!
//! Source: opentelemetry-proto, `docs/specification.md`, "OTLP/gRPC".

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use norn_base::random::SharedRandom;
use norn_base::{Error, ErrorKind, Result};
use norn_rpc::otlp::protobuf;
use norn_rpc::status::ExportResponse;
use norn_server::body::BodyReader;
use norn_server::errors::{RetryAfter, status_of};
use norn_server::grpc::unary::{self, UnaryError};
use norn_server::tenant::Tenants;

use super::Distributor;
use super::http::otlp_body_error;

/// What the operator decides about the service.
#[derive(Debug, Clone)]
pub struct GrpcSettings {
    /// Largest OTLP request, on the wire and decompressed.
    pub otlp_bytes_max: usize,
    /// When refused clients are told to come back.
    pub retry_after: RetryAfter,
}

struct Shared {
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    random: SharedRandom,
    settings: GrpcSettings,
}

/// The service, to be wrapped by the tenant middleware and to be mounted without a path prefix.
pub fn routes(
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    random: SharedRandom,
    settings: GrpcSettings,
) -> Router {
    Router::new()
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(export))
        .with_state(Arc::new(Shared { distributor, bodies, random, settings }))
}

async fn export(State(shared): State<Arc<Shared>>, tenants: Tenants, headers: HeaderMap, body: Body) -> Response {
    match shared.export(&tenants, &headers, body).await {
        Ok(response) => unary::reply(&response.encode()),
        Err(error) => unary::failure(&shared.retryable(error, &headers)),
    }
}

impl Shared {
    async fn export(&self, tenants: &Tenants, headers: &HeaderMap, body: Body) -> Result<ExportResponse> {
        let tenant = tenants.single()?;
        let mut admission = self.distributor.admit(tenant)?;
        let received = unary::receive(&self.bodies, headers, body, self.settings.otlp_bytes_max).await;
        let message = received.map_err(|error| match error {
            UnaryError::Body(error) => otlp_body_error(error),
            other => other.into(),
        })?;
        admission.add_bytes(message.len() as u64)?;
        let request = protobuf::decode(&message).map_err(|error| Error::bad_request(error.to_string()))?;
        match self.distributor.push_otlp(tenant, &request).await.result {
            Ok(()) => Ok(ExportResponse::default()),
            Err(error) if error.rest_accepted() => {
                Ok(ExportResponse { error_message: error.message().to_owned(), rejected_data_points: 0 })
            }
            Err(error) => Err(error),
        }
    }

    /// Says of a failure that a retry may change it, where that is so. Clients take `Internal` for final.
    fn retryable(&self, error: Error, request: &HeaderMap) -> Error {
        let pause = self.settings.retry_after.pause(status_of(&error), request, &*self.random);
        let error = match error.kind() {
            ErrorKind::Internal => Error::unavailable(error.message().to_owned()).with_source(error),
            _ => error,
        };
        match pause {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests;
