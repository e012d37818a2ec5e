//! What is counted of requests: `cortex_request_duration_seconds` and its neighbours.
//!
//! The label `route` is the pattern that matched, never the path: paths hold ids. The handles of a route's metrics
//! are found by one look into a table, without building strings.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::Method;
use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{DURATION_BUCKETS, Histograms, MetricsRegistry};

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
pub(super) struct Route {
    method: String,
    /// The label.
    pub(super) name: Arc<str>,
    pub(super) inflight: Gauge,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    // A handful: one for each status that the route has answered with.
    durations: Mutex<Vec<(Outcome, Histogram)>>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: StatusLabel,
    pub(super) websocket: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusLabel {
    Http(u16),
    /// The number of a code.
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

    /// The handles of a route; its first request makes them.
    pub(super) fn route(&self, method: &Method, pattern: &str, grpc: bool) -> Arc<Route> {
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

    pub(super) fn observe_duration(&self, route: &Route, outcome: Outcome, duration: Duration) {
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
    pub(super) fn text(self) -> String {
        match self {
            Self::Http(status) => status.to_string(),
            Self::Grpc(code) => grpc_code_name(code).to_owned(),
        }
    }

    /// Whether someone who runs norn should know.
    pub(super) fn is_failure(self) -> bool {
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
pub(super) fn unmatched(grpc: bool) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
