//! Every request, counted and logged.
//!
//! One middleware around all routes. A request ends when its last byte was handed to the connection, or when the client
//! went away; its answer's body is wrapped to see that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::{Router, middleware};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use norn_base::Error;
use norn_base::clock::SharedClock;

use super::request_log::{Ended, RequestLine, RequestLog};
use super::requests::{Outcome, RequestMetrics, Route, StatusLabel, unmatched};
use crate::errors::{self, Expected, FailureChain};
use crate::tenant::is_grpc;

/// Measures and logs the requests of the routers that it wraps.
#[derive(Debug, Clone)]
pub struct RequestObserver {
    metrics: Arc<RequestMetrics>,
    clock: SharedClock,
    log: Arc<RequestLog>,
}

impl RequestObserver {
    /// An observer; `clock` measures durations.
    pub fn new(metrics: Arc<RequestMetrics>, clock: SharedClock) -> Self {
        Self { metrics, clock, log: Arc::default() }
    }

    /// Logs requests so, instead of as the default says.
    #[must_use]
    pub fn with_log(mut self, log: RequestLog) -> Self {
        self.log = Arc::new(log);
        self
    }

    /// Wraps all routes of a router and its fallback. To be called last, so that it sees all that happens inside.
    pub fn wrap<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(middleware::from_fn_with_state(self.clone(), observe))
    }
}

async fn observe(State(observer): State<RequestObserver>, request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let matched = request.extensions().get::<MatchedPath>();
    let pattern = match matched {
        Some(_) if grpc => request.uri().path(),
        Some(path) => path.as_str(),
        None => unmatched(grpc),
    };
    let route = observer.metrics.route(request.method(), pattern, grpc);
    if let Some(size) = request.body().size_hint().exact() {
        route.request_bytes.observe(size as f64);
    }
    route.inflight.inc();
    let websocket = request.headers().get(header::UPGRADE).is_some_and(|value| value.as_bytes() == b"websocket");
    let mut watch = Watch {
        line: observer.log.start(&request),
        started: observer.clock.monotonic(),
        observer,
        route,
        // A client that went away before there was an answer.
        outcome: Outcome { status: if grpc { StatusLabel::Grpc(1) } else { StatusLabel::Http(499) }, websocket },
        chain: None,
        expected: false,
        response_bytes: 0,
    };
    let response = run_caught(next, request, grpc).await;
    watch.chain = response.extensions().get::<FailureChain>().cloned();
    watch.expected = response.extensions().get::<Expected>().is_some();
    if grpc {
        // A code in the headers is final; otherwise it comes with the trailers.
        if let Some(code) = grpc_code(response.headers()) {
            watch.outcome.status = StatusLabel::Grpc(code);
        }
    } else {
        watch.outcome.status = StatusLabel::Http(response.status().as_u16());
    }
    response.map(|body| Body::new(WatchedBody { body, watch }))
}

/// Runs the handler; if it panics, this request fails and no other.
async fn run_caught(next: Next, request: Request, grpc: bool) -> Response {
    let mut handler = pin!(next.run(request));
    let polled =
        std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        });
    match polled.await {
        Some(response) => response,
        // What it said stands in the log, where the process's panic hook has put it.
        None => {
            let error = Error::internal("the request failed because of a bug in norn");
            if grpc { errors::grpc::to_status(&error).into_http() } else { errors::plain_error(&error) }
        }
    }
}

fn grpc_code(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// One request from its start to its end; the end is when this is dropped.
#[derive(Debug)]
struct Watch {
    observer: RequestObserver,
    route: Arc<Route>,
    line: RequestLine,
    started: Duration,
    outcome: Outcome,
    chain: Option<FailureChain>,
    expected: bool,
    response_bytes: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.route.inflight.dec();
        let duration = self.observer.clock.monotonic().saturating_sub(self.started);
        self.observer.metrics.observe_duration(&self.route, self.outcome, duration);
        self.route.response_bytes.observe(self.response_bytes as f64);
        let status = self.outcome.status;
        let ended = Ended {
            route: &self.route.name,
            status,
            failed: status.is_failure() && !self.expected,
            duration,
            chain: self.chain.as_ref(),
        };
        self.observer.log.write(&self.line, &ended);
    }
}

/// Passes a body on and sees its end.
struct WatchedBody {
    body: Body,
    watch: Watch,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(bytes) = frame.data_ref() {
                self.watch.response_bytes += bytes.len() as u64;
            }
            if let Some(code) = frame.trailers_ref().and_then(grpc_code) {
                self.watch.outcome.status = StatusLabel::Grpc(code);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
