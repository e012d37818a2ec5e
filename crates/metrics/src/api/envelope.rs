//! The JSON envelope of Prometheus' API, and errors in it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use norn_base::{Error, ErrorKind};
use serde::Serialize;

/// What a handler answers with: a response, or an error that becomes an envelope.
pub type ApiResult = Result<Response, ApiError>;

/// An error in Prometheus' envelope.
#[derive(Debug)]
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The word for an error's kind, and the status that goes with it.
fn error_type(error: &Error) -> (&'static str, u16) {
    match error.kind() {
        ErrorKind::BadRequest | ErrorKind::Unauthenticated | ErrorKind::Conflict => ("bad_data", 400),
        ErrorKind::Unprocessable => ("execution", 422),
        ErrorKind::NotFound => ("not_found", 404),
        ErrorKind::TooLarge => ("too_large_entry", 413),
        ErrorKind::LimitReached => ("too_many_requests", 429),
        ErrorKind::Canceled => ("canceled", 499),
        ErrorKind::Timeout => ("timeout", 503),
        ErrorKind::Unavailable => ("unavailable", 503),
        ErrorKind::Unimplemented | ErrorKind::Corrupt | ErrorKind::Internal => ("internal", 500),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEnvelope<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (error_type, status) = error_type(&self.0);
        if status >= 500 {
            tracing::warn!(error = %self.0.chain(), "query request failed");
        }
        let envelope = ErrorEnvelope { status: "error", error_type, error: self.0.message() };
        let body = serde_json::to_vec(&envelope).expect("an envelope of strings can be written as JSON");
        json_response(status, body)
    }
}

/// A response with JSON in it.
pub fn json_response(status: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `{"status":"success","data":…}` with the warnings there are.
pub fn success<T: Serialize>(data: &T, warnings: &[String]) -> Response {
    let mut body = br#"{"status":"success","data":"#.to_vec();
    serde_json::to_writer(&mut body, data).expect("answers can be written as JSON");
    finish(body, warnings, &[])
}

/// Ends an envelope whose `data` is written.
pub fn finish(mut body: Vec<u8>, warnings: &[String], infos: &[String]) -> Response {
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            body.extend_from_slice(format!(",\"{name}\":").as_bytes());
            serde_json::to_writer(&mut body, texts).expect("strings can be written as JSON");
        }
    }
    body.push(b'}');
    json_response(200, body)
}
