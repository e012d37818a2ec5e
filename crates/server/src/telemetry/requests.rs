//! Every request, counted and logged.
//!
//! One middleware around all routes measures what the dashboards read, `cortex_request_duration_seconds` and its
//! neighbours, and writes a line for requests that failed. A request ends when its last byte was handed to the
//! connection, or when the client went away; its answer's body is wrapped to see that.
//!
//! The label `route` is the pattern that matched, never the path: paths hold ids. The handles of a route's metrics are found by
//! one look into a table, without building strings.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::{Router, middleware};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body::{Frame, SizeHint};
use norn_base::Error;
use norn_base::clock::SharedClock;
use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tracing::Level;

use super::{DURATION_BUCKETS, Histograms, MetricsRegistry};
use crate::errors::{self, FailureChain};
use crate::tenant::{ORG_ID, is_grpc};

/// Buckets of message sizes, in bytes.
const MESSAGE_BUCKETS: &[f64] = {
    const MIB: f64 = (1 << 20) as f64;
    &[MIB, 2.5 * MIB, 5.0 * MIB, 10.0 * MIB, 25.0 * MIB, 50.0 * MIB, 100.0 * MIB, 250.0 * MIB]
};

/// More routes than this are all called `other`: gRPC paths come from clients, and a label must stay bounded.
const ROUTES_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    method: String,
    route: Arc<str>,
    status_code: String,
    ws: String,
}

/// The metrics of all requests of a process.
#[derive(Debug)]
pub struct RequestMetrics {
    durations: Histograms<DurationLabels>,
    inflight: Family<RouteLabels, Gauge>,
    request_bytes: Histograms<RouteLabels>,
    response_bytes: Histograms<RouteLabels>,
    // By method and matched path; only ever grows, to ROUTES_MAX.
    routes: RwLock<HashMap<Method, HashMap<String, Arc<Route>>>>,
}

/// The handles of one method and route.
#[derive(Debug)]
struct Route {
    method: String,
    name: Arc<str>,
    inflight: Gauge,
    request_bytes: Histogram,
    response_bytes: Histogram,
    // A handful: one for each status that the route has answered with.
    durations: Mutex<Vec<(Outcome, Histogram)>>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    status: StatusLabel,
    websocket: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusLabel {
    Http(u16),
    Grpc(i32),
}

impl RequestMetrics {
    /// Registers the metrics.
    pub fn register(registry: &MetricsRegistry) -> Arc<Self> {
        Arc::new(Self {
            durations: registry.histograms(
                "cortex_request_duration_seconds",
                "Time (in seconds) spent serving HTTP requests",
                DURATION_BUCKETS,
            ),
            inflight: registry.gauges("cortex_inflight_requests", "Current number of inflight requests"),
            request_bytes: registry.histograms(
                "cortex_request_message_bytes",
                "Size (in bytes) of messages received in the request",
                MESSAGE_BUCKETS,
            ),
            response_bytes: registry.histograms(
                "cortex_response_message_bytes",
                "Size (in bytes) of messages sent in response",
                MESSAGE_BUCKETS,
            ),
            routes: RwLock::default(),
        })
    }

    fn route(&self, method: &Method, pattern: &str, grpc: bool) -> Arc<Route> {
        let method = bounded(method);
        if let Some(route) = self.routes.read().get(method).and_then(|routes| routes.get(pattern)) {
            return route.clone();
        }
        let mut routes = self.routes.write();
        let full = routes.values().map(HashMap::len).sum::<usize>() >= ROUTES_MAX;
        let pattern = if full { unmatched(grpc) } else { pattern };
        if let Some(route) = routes.get(method).and_then(|routes| routes.get(pattern)) {
            return route.clone();
        }
        let labels = RouteLabels {
            method: if grpc { "gRPC".to_owned() } else { method.to_string() },
            route: if grpc { pattern.into() } else { route_name(pattern).into() },
        };
        let route = Arc::new(Route {
            inflight: self.inflight.get_or_create_owned(&labels),
            request_bytes: self.request_bytes.get_or_create_owned(&labels),
            response_bytes: self.response_bytes.get_or_create_owned(&labels),
            durations: Mutex::default(),
            method: labels.method,
            name: labels.route,
        });
        routes.entry(method.clone()).or_default().insert(pattern.to_owned(), route.clone());
        route
    }

    fn observe_duration(&self, route: &Route, outcome: Outcome, duration: Duration) {
        let mut durations = route.durations.lock();
        if let Some((_, histogram)) = durations.iter().find(|(known, _)| *known == outcome) {
            return histogram.observe(duration.as_secs_f64());
        }
        let histogram = self.durations.get_or_create_owned(&DurationLabels {
            method: route.method.clone(),
            route: route.name.clone(),
            status_code: outcome.status.text(),
            ws: outcome.websocket.to_string(),
        });
        histogram.observe(duration.as_secs_f64());
        durations.push((outcome, histogram));
    }
}

impl StatusLabel {
    fn text(self) -> String {
        match self {
            Self::Http(status) => status.to_string(),
            Self::Grpc(code) => grpc_code_name(code).to_owned(),
        }
    }

    /// Whether someone who runs norn should know.
    fn is_failure(self) -> bool {
        match self {
            Self::Http(status) => status >= 500,
            // Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss.
            Self::Grpc(code) => matches!(code, 2 | 4 | 13 | 14 | 15),
        }
    }
}

/// The codes as Go's libraries write them.
fn grpc_code_name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|index| NAMES.get(index)).unwrap_or(&"Unknown")
}

/// Methods are labels too: those that a client made up share one.
fn bounded(method: &Method) -> &Method {
    static OTHER: LazyLock<Method> =
        LazyLock::new(|| Method::from_bytes(b"OTHER").expect("upper case letters are a method"));
    let known = matches!(
        *method,
        Method::GET
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::HEAD
            | Method::OPTIONS
            | Method::PATCH
            | Method::CONNECT
            | Method::TRACE
    );
    if known { method } else { &OTHER }
}

/// The pattern of requests that no route takes: not one of a path, and not the same for both kinds of requests.
fn unmatched(grpc: bool) -> &'static str {
    if grpc { "other" } else { "" }
}

/// `/api/v1/label/{name}/values` becomes `api_v1_label_name_values`; no pattern is `other`.
fn route_name(pattern: &str) -> String {
    let bare: String =
        pattern.trim_start_matches('/').chars().filter(|character| !"{}*".contains(*character)).collect();
    match bare.as_str() {
        "" if pattern.is_empty() => "other".to_owned(),
        "" => "root".to_owned(),
        _ => bare.replace('/', "_"),
    }
}

/// Measures and logs the requests of the routers that it wraps.
#[derive(Debug, Clone)]
pub struct RequestObserver {
    metrics: Arc<RequestMetrics>,
    clock: SharedClock,
    log_at_info: bool,
}

impl RequestObserver {
    /// An observer; `clock` measures durations.
    pub fn new(metrics: Arc<RequestMetrics>, clock: SharedClock) -> Self {
        Self { metrics, clock, log_at_info: false }
    }

    /// Logs requests that did not fail at level info instead of debug.
    #[must_use]
    pub fn with_log_at_info(mut self, log_at_info: bool) -> Self {
        self.log_at_info = log_at_info;
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
        line: RequestLine {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            tenant: tenant_of(request.headers()),
        },
        started: observer.clock.monotonic(),
        observer,
        route,
        // A client that went away before there was an answer.
        outcome: Outcome { status: if grpc { StatusLabel::Grpc(1) } else { StatusLabel::Http(499) }, websocket },
        chain: None,
        response_bytes: 0,
    };
    let response = run_caught(next, request, grpc).await;
    watch.chain = response.extensions().get::<FailureChain>().cloned();
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

/// The header as it came, for the log; it is checked elsewhere.
fn tenant_of(headers: &HeaderMap) -> String {
    let value = headers.get(ORG_ID).map_or(&b""[..], |value| value.as_bytes());
    String::from_utf8_lossy(&value[..value.len().min(200)]).into_owned()
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
    response_bytes: u64,
}

#[derive(Debug)]
struct RequestLine {
    method: Method,
    path: String,
    tenant: String,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.route.inflight.dec();
        let duration = self.observer.clock.monotonic().saturating_sub(self.started);
        self.observer.metrics.observe_duration(&self.route, self.outcome, duration);
        self.route.response_bytes.observe(self.response_bytes as f64);
        self.log(duration);
    }
}

impl Watch {
    fn log(&self, duration: Duration) {
        let failed = self.outcome.status.is_failure();
        let wanted = match (failed, self.observer.log_at_info) {
            (true, _) => tracing::enabled!(Level::WARN),
            (false, true) => tracing::enabled!(Level::INFO),
            (false, false) => tracing::enabled!(Level::DEBUG),
        };
        if !wanted {
            return;
        }
        let RequestLine { method, path, tenant } = &self.line;
        let (route, status) = (&*self.route.name, self.outcome.status.text());
        let duration_ms = duration.as_secs_f64() * 1000.0;
        let err = self.chain.as_ref().map(|chain| &*chain.0);
        if failed {
            tracing::warn!(%method, path, route, user = tenant, status, duration_ms, err, "request failed");
        } else if self.observer.log_at_info {
            tracing::info!(%method, path, route, user = tenant, status, duration_ms, err, "request");
        } else {
            tracing::debug!(%method, path, route, user = tenant, status, duration_ms, err, "request");
        }
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
mod tests {
    use axum::routing::get;
    use norn_base::ErrorKind;
    use norn_base::clock::ManualClock;
    use tower::ServiceExt;

    use super::*;
    use crate::errors::HttpError;
    use crate::logging::tests::Lines;

    /// Sends one request through `router` and drops the answer.
    async fn send(router: &Router, path: &str) {
        let request = Request::get(path).header(ORG_ID, "team-a").body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }

    #[tokio::test]
    async fn failed_requests_are_logged_with_their_causes() {
        let lines = Lines::default();
        let _guard = lines.collect();
        let clock = ManualClock::at(0);
        let of_handler = clock.clone();
        let broken = move || async move {
            of_handler.advance(Duration::from_millis(1500));
            let error = Error::new(ErrorKind::Unavailable, "no ingester").with_source("connection refused");
            Err::<(), _>(HttpError(error))
        };
        let registry = MetricsRegistry::default();
        let observer = RequestObserver::new(RequestMetrics::register(&registry), clock);
        let routes = Router::new().route("/api/{name}", get(broken)).route("/fine", get(|| async { "fine" }));
        let router = observer.wrap(routes);
        send(&router, "/api/x").await;
        send(&router, "/fine").await;
        let text = lines.text();
        let (_, line) = text.split_once("level=").unwrap();
        assert_eq!(
            line,
            "warn msg=\"request failed\" method=GET path=/api/x route=api_name user=team-a status=503 \
             duration_ms=1500 err=\"no ingester: connection refused\"\n"
        );
        let labels = "{method=\"GET\",route=\"api_name\",status_code=\"503\",ws=\"false\"}";
        let sum = format!("cortex_request_duration_seconds_sum{labels} 1.5\n");
        assert!(registry.prometheus_text(&[]).contains(&sum));
    }

    #[test]
    fn routes_are_bounded() {
        let metrics = RequestMetrics::register(&MetricsRegistry::default());
        for number in 0..2 * ROUTES_MAX {
            metrics.route(&Method::POST, &format!("/service.Name/{number}"), true);
        }
        assert_eq!(&*metrics.route(&Method::POST, "/service.Name/late", true).name, "other");
        assert_eq!(&*metrics.route(&Method::GET, "/late", false).name, "other");
        assert_eq!(&*metrics.route(&Method::POST, "/service.Name/7", true).name, "/service.Name/7");
        for number in 0..5 {
            let method = Method::from_bytes(format!("MADEUP{number}").as_bytes()).unwrap();
            assert_eq!(metrics.route(&method, "", false).method, "OTHER");
        }
    }

    #[tokio::test]
    async fn a_panic_fails_only_its_own_request() {
        let broken = get(|| async {
            if std::hint::black_box(true) {
                panic!("expected by this test")
            }
        });
        let registry = MetricsRegistry::default();
        let observer = RequestObserver::new(RequestMetrics::register(&registry), ManualClock::at(0));
        let router = observer.wrap(Router::new().route("/", broken));
        for _ in 0..2 {
            send(&router, "/").await;
        }
        let series =
            "cortex_request_duration_seconds_count{method=\"GET\",route=\"root\",status_code=\"500\",ws=\"false\"} 2\n";
        assert!(registry.prometheus_text(&[]).contains(series));
    }

    #[test]
    fn routes_are_named_after_their_patterns() {
        fn check(pattern: &str, expected: &str) {
            assert_eq!(route_name(pattern), expected);
        }
        check("/api/v1/push", "api_v1_push");
        check("/prometheus/api/v1/label/{name}/values", "prometheus_api_v1_label_name_values");
        check("/ui/{*path}", "ui_path");
        check("/", "root");
        check("", "other");
    }
}
