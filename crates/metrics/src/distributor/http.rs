//! The HTTP API of the way in: remote write and OTLP.
//!
//! What a body says and what becomes of it is decided by the [`Distributor`]; here bodies are received, and its answer
//! takes the form that each protocol's clients expect.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use norn_base::random::SharedRandom;
use norn_base::{Error, ErrorKind};
use norn_model::TenantId;
use norn_rpc::otlp::{json, protobuf};
use norn_rpc::status::{ExportResponse, Status};
use norn_server::body::{BodyError, BodyLimits, BodyReader, Encoding};
use norn_server::errors::{RetryAfter, decorate, plain_error, status_of};
use norn_server::tenant::Tenant;

use super::{Distributor, PushOptions, PushOutcome, Tally, Version, errors};
use crate::otlp::translate::PARSE_ERROR_ID;

/// What the operator decides about the API.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Largest remote write request, on the wire and decompressed.
    pub write_bytes_max: usize,
    /// Largest OTLP request, on the wire and decompressed.
    pub otlp_bytes_max: usize,
    /// Whether OTLP is also taken on `/v1/metrics`, where OpenTelemetry's clients send it unless they are told a path.
    pub otlp_short_path: bool,
    /// When refused clients are told to come back.
    pub retry_after: RetryAfter,
    /// A request may ask, with a header, that names of labels are not checked.
    pub skip_label_names_header: bool,
    /// A request may ask, with a header, that the number of labels is not checked.
    pub skip_label_count_header: bool,
}

/// What the handlers share.
struct Shared {
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    random: SharedRandom,
    settings: HttpSettings,
}

const SKIP_LABEL_NAMES: HeaderName = HeaderName::from_static("x-mimir-skiplabelnamevalidation");
const SKIP_LABEL_COUNT: HeaderName = HeaderName::from_static("x-mimir-skiplabelcountvalidation");
const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The routes, to be wrapped by the tenant middleware.
pub fn routes(
    distributor: Arc<Distributor>,
    bodies: BodyReader,
    random: SharedRandom,
    settings: HttpSettings,
) -> Router {
    let mut router = Router::new().route("/api/v1/push", post(push)).route("/otlp/v1/metrics", post(push_otlp));
    if settings.otlp_short_path {
        router = router.route("/v1/metrics", post(push_otlp));
    }
    router.with_state(Arc::new(Shared { distributor, bodies, random, settings }))
}

async fn push(State(shared): State<Arc<Shared>>, Tenant(tenant): Tenant, headers: HeaderMap, body: Body) -> Response {
    let version = match version(&headers) {
        Ok(version) => version,
        Err(error) => return plain_error(&error),
    };
    let outcome = match shared.receive_write(&tenant, version, &headers, body).await {
        Ok(outcome) => outcome,
        Err(error) => PushOutcome::failed(Tally::default(), error),
    };
    let mut response = match outcome.result {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => plain_error(&shared.with_pause(error, &headers)),
    };
    if version == Version::V2 {
        let received = outcome.received;
        let counts = response.headers_mut();
        counts.insert(SAMPLES_WRITTEN, HeaderValue::from(received.samples));
        counts.insert(HISTOGRAMS_WRITTEN, HeaderValue::from(received.histograms));
        counts.insert(EXEMPLARS_WRITTEN, HeaderValue::from(received.exemplars));
    }
    response
}

impl Shared {
    async fn receive_write(
        &self,
        tenant: &TenantId,
        version: Version,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<PushOutcome, Error> {
        let mut admission = self.distributor.admit(tenant)?;
        let limits = BodyLimits::both(self.settings.write_bytes_max);
        // Whatever Content-Encoding says: there is only one.
        let body = self.bodies.read_as(Encoding::Snappy, body, limits).await.map_err(write_body_error)?;
        admission.add_bytes(body.len() as u64)?;
        let asks = |name: HeaderName| headers.get(name).is_some_and(|value| value == "true");
        let options = PushOptions {
            may_skip_label_names: self.settings.skip_label_names_header && asks(SKIP_LABEL_NAMES),
            may_skip_label_count: self.settings.skip_label_count_header && asks(SKIP_LABEL_COUNT),
            by_rule: false,
        };
        // Decoding and appending take about a millisecond together, and happen in one go on one thread.
        let (distributor, tenant) = (self.distributor.clone(), tenant.clone());
        let push = async move { distributor.push_remote_write(&tenant, version, &body, options).await };
        self.bodies.pool().run(push).await
    }

    /// Tells a client that may come back when to do so.
    fn with_pause(&self, error: Error, request: &HeaderMap) -> Error {
        match self.settings.retry_after.pause(status_of(&error), request, &*self.random) {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        }
    }
}

/// Which version of remote write the content type names. Everything but a clear word for 2.0 is 1.0.
fn version(headers: &HeaderMap) -> Result<Version, Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Version::V1) };
    let value = String::from_utf8_lossy(value.as_bytes());
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let mut message = "";
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let Some((name, value)) = parameter.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::bad_request(format!("mime: invalid media parameter in content type {value}")));
        };
        if name.eq_ignore_ascii_case("proto") {
            message = value.trim_matches('"');
        }
    }
    if !media_type.eq_ignore_ascii_case(PROTOBUF) {
        return Ok(Version::V1);
    }
    match message {
        "" | "prometheus.WriteRequest" => Ok(Version::V1),
        "io.prometheus.write.v2.Request" => Ok(Version::V2),
        _ => Err(Error::bad_request(format!(
            "got {value} content type; expected prometheus.WriteRequest or io.prometheus.write.v2.Request"
        ))),
    }
}

fn write_body_error(error: BodyError) -> Error {
    match error {
        BodyError::TooLarge { size_bytes, limit_bytes, decompressed } => {
            let form = if decompressed { "uncompressed" } else { "compressed" };
            let size = size_bytes.map_or_else(String::new, |size| format!(" of {size} bytes"));
            let message = format!(
                "the incoming push request has been rejected because its message size{size} ({form}) is larger than \
                 the allowed limit of {limit_bytes} bytes"
            );
            let id = "err-mimir-distributor-max-write-message-size";
            errors::process_limit(ErrorKind::BadRequest, id, message, "distributor.max-recv-msg-size")
        }
        other => other.into(),
    }
}

async fn push_otlp(
    State(shared): State<Arc<Shared>>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let is_json = content_type == JSON.as_bytes();
    let outcome = match shared.receive_otlp(&tenant, &headers, body).await {
        Ok(outcome) => outcome,
        Err(error) => return shared.otlp_error(error, &headers, is_json, true),
    };
    let response = match outcome.result {
        Ok(()) => ExportResponse::default(),
        // The ingesters refused some samples: that is a partial success, and a retry would not help.
        Err(error) if outcome.refused_by_ingester => {
            ExportResponse { error_message: error.message().to_owned(), rejected_data_points: 0 }
        }
        Err(error) => {
            let by_translation = error.id() == Some(PARSE_ERROR_ID);
            return shared.otlp_error(error, &headers, is_json, by_translation);
        }
    };
    let body = if is_json { response.to_json().into_bytes() } else { response.encode() };
    typed(StatusCode::OK, body, is_json)
}

impl Shared {
    async fn receive_otlp(&self, tenant: &TenantId, headers: &HeaderMap, body: Body) -> Result<PushOutcome, Error> {
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let is_json = match content_type {
            content_type if content_type == JSON.as_bytes() => true,
            content_type if content_type == PROTOBUF.as_bytes() => false,
            other => {
                let message = format!(
                    "unsupported content type: {}, supported: [{JSON}, {PROTOBUF}]",
                    String::from_utf8_lossy(other)
                );
                return Err(Error::bad_request(message).with_http_status(415));
            }
        };
        let encoding = otlp_encoding(headers)?;
        let mut admission = self.distributor.admit(tenant)?;
        let limits = BodyLimits::both(self.settings.otlp_bytes_max);
        let body = self.bodies.read_as(encoding, body, limits).await.map_err(otlp_body_error)?;
        admission.add_bytes(body.len() as u64)?;
        let request = if is_json {
            json::decode(&body).map_err(|error| Error::bad_request(error.to_string()))?
        } else {
            protobuf::decode(&body).map_err(|error| Error::bad_request(error.to_string()))?
        };
        Ok(self.distributor.push_otlp(tenant, &request).await)
    }

    /// A failure as `google.rpc.Status`. Its code is the HTTP status where the request itself was at fault, and
    /// gRPC's code where the distributor refused what it said.
    fn otlp_error(&self, error: Error, request: &HeaderMap, is_json: bool, code_is_status: bool) -> Response {
        let error = self.with_pause(error, request);
        let mut http_status = status_of(&error);
        // Clients retry 502, 503 and 504, and no other failure of a server.
        if http_status.is_server_error() && !matches!(http_status.as_u16(), 502..=504) {
            http_status = StatusCode::SERVICE_UNAVAILABLE;
        }
        let code = if code_is_status { i32::from(http_status.as_u16()) } else { error.grpc_code() };
        let status = Status { code, message: error.message().to_owned() };
        let body =
            if is_json { serde_json::to_vec(&status).expect("a number and a text are JSON") } else { status.encode() };
        let mut response = typed(http_status, body, is_json);
        decorate(&mut response, &error);
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn typed(status: StatusCode, body: Vec<u8>, is_json: bool) -> Response {
    let content_type = HeaderValue::from_static(if is_json { JSON } else { PROTOBUF });
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn otlp_encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let value = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    Ok(match value {
        b"" => Encoding::Identity,
        b"gzip" => Encoding::Gzip,
        b"lz4" => Encoding::Lz4,
        b"zstd" => Encoding::Zstd,
        other => {
            let message = format!(
                "unsupported compression: {}. Only \"gzip\", \"lz4\", \"zstd\", or no compression supported",
                String::from_utf8_lossy(other)
            );
            return Err(Error::bad_request(message).with_http_status(415));
        }
    })
}

pub(super) fn otlp_body_error(error: BodyError) -> Error {
    match error {
        BodyError::TooLarge { size_bytes, limit_bytes, .. } => {
            let size = size_bytes.map_or_else(String::new, |size| format!(" of {size} bytes"));
            let message = format!(
                "the incoming OTLP request has been rejected because its message size{size} is larger than the \
                 allowed limit of {limit_bytes} bytes"
            );
            let id = "err-mimir-distributor-max-otlp-request-size";
            errors::process_limit(ErrorKind::TooLarge, id, message, "distributor.max-otlp-request-size")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(super) mod tests;
