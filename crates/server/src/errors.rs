//! How a failure leaves the process: as an HTTP answer or as a gRPC status.
//!
//! The kind, the status and the text come from the [`Error`]; here they only change their form. A client sees the
//! message; the chain of causes travels with the answer inside the process ([`FailureChain`]), so that the request log
//! prints it once, with tenant and route beside it.

pub mod grpc;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use norn_base::random::Random;
use norn_base::{Error, ErrorKind};

/// The header with which a client says how often it has tried, starting at 1.
pub const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");

/// An error as the answer of a handler: `async fn handler() -> Result<_, HttpError>`.
#[derive(Debug)]
pub struct HttpError(pub Error);

impl<E: Into<Error>> From<E> for HttpError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        plain_error(&self.0)
    }
}

/// The error's message and causes, kept in the extensions of an answer for the request log.
#[derive(Debug, Clone)]
pub struct FailureChain(pub Arc<str>);

/// Marks an answer whose status is no failure, whatever its number: the request log does not warn of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected;

/// The answer of everything but the query API: the message as plain text and a newline, as Go's servers write it.
pub fn plain_error(error: &Error) -> Response {
    let mut response = plain_text(status_of(error), error.message());
    decorate(&mut response, error);
    response
}

/// A text with a trailing newline that a browser does not sniff for HTML.
pub fn plain_text(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Adds to an answer what every form of it has: when to come back, and the chain for the request log. For APIs with
/// bodies of their own.
pub fn decorate(response: &mut Response, error: &Error) {
    if let Some(after) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds_up(after)));
    }
    response.extensions_mut().insert(FailureChain(error.chain().into()));
}

/// The HTTP status of an error.
pub fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The `errorType` of Prometheus' query API that belongs to an error.
///
/// Source: Prometheus `web/api/v1/api.go`.
pub fn prometheus_error_type(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::BadRequest | ErrorKind::Unauthenticated => "bad_data",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Unprocessable | ErrorKind::Conflict | ErrorKind::Unimplemented => "execution",
        ErrorKind::Canceled => "canceled",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::LimitReached => "too_many_requests",
        ErrorKind::TooLarge => "too_large_entry",
        ErrorKind::Corrupt | ErrorKind::Internal => "internal",
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// How long a client whose write failed stays away: longer with each attempt, and never all clients equally long.
#[derive(Debug, Clone, Copy)]
pub struct RetryAfter {
    /// Whether clients are told at all.
    pub enabled: bool,
    /// The pause after the first attempt, and the shortest one.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self { enabled: true, base: Duration::from_secs(6), max: Duration::from_secs(96) }
    }
}

impl RetryAfter {
    /// The pause after a failure of `kind`: `base · 2^(attempt - 1)`, give or take a half, between `base` and `max`,
    /// in whole seconds. `None` where a retry changes nothing, or where this is switched off.
    pub fn pause(&self, status: StatusCode, request: &HeaderMap, random: &dyn Random) -> Option<Duration> {
        if !self.enabled || !(status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()) {
            return None;
        }
        let attempt = request.get(RETRY_ATTEMPT).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let doublings = attempt.unwrap_or(1).clamp(1, 32) - 1;
        let exact = (self.base.as_secs_f64() * f64::from(doublings).exp2()).min(self.max.as_secs_f64());
        let jittered = exact * (0.5 + random.next_f64());
        let bounded = jittered.clamp(self.base.as_secs_f64(), self.max.as_secs_f64());
        Some(Duration::from_secs_f64(bounded.round()))
    }
}

#[cfg(test)]
mod tests {
    use norn_base::random::SeededRandom;

    use super::*;

    #[test]
    fn an_error_is_its_message_and_a_newline() {
        let error = Error::new(ErrorKind::Unauthenticated, "no org id").with_source("a cause");
        let response = HttpError(error).into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(&*response.extensions().get::<FailureChain>().unwrap().0, "no org id: a cause");
        let limited = Error::new(ErrorKind::LimitReached, "slow down").with_retry_after(Duration::from_millis(1500));
        assert_eq!(plain_error(&limited).headers()["retry-after"], "2");
    }

    #[test]
    fn pauses_grow_and_stay_in_their_bounds() {
        fn check(attempt: Option<&str>, status: u16, expected_secs: Option<std::ops::RangeInclusive<u64>>) {
            let mut headers = HeaderMap::new();
            if let Some(attempt) = attempt {
                headers.insert(RETRY_ATTEMPT, attempt.parse().unwrap());
            }
            let random = SeededRandom::shared(7);
            let status = StatusCode::from_u16(status).unwrap();
            for _ in 0..100 {
                let pause = RetryAfter::default().pause(status, &headers, &*random).map(|pause| pause.as_secs());
                match &expected_secs {
                    Some(range) => assert!(range.contains(&pause.unwrap()), "{attempt:?}: {pause:?}"),
                    None => assert_eq!(pause, None),
                }
            }
        }
        check(None, 429, Some(6..=9));
        check(Some("2"), 503, Some(6..=18));
        check(Some("3"), 500, Some(12..=36));
        check(Some("4000000000"), 500, Some(48..=96));
        check(Some("-1"), 500, Some(6..=9));
        check(None, 400, None);
    }
}
