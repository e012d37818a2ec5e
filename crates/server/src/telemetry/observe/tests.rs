use axum::routing::get;
use http::Method;
use norn_base::ErrorKind;
use norn_base::clock::ManualClock;
use tower::ServiceExt;

use super::*;
use crate::errors::HttpError;
use crate::listener::PeerAddress;
use crate::logging::tests::Lines;
use crate::telemetry::{MetricsRegistry, SourceAddresses};
use crate::tenant::ORG_ID;

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
    let expected = || async { (http::StatusCode::SERVICE_UNAVAILABLE, axum::Extension(Expected)) };
    let routes = Router::new()
        .route("/api/{name}", get(broken))
        .route("/ready", get(expected))
        .route("/fine", get(|| async { "fine" }));
    let router = observer.wrap(routes);
    send(&router, "/api/x").await;
    send(&router, "/fine").await;
    send(&router, "/ready").await;
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

#[tokio::test]
async fn headers_and_addresses_are_logged_where_that_is_wanted() {
    let lines = Lines::default();
    let _guard = lines.collect();
    let registry = MetricsRegistry::default();
    let log = RequestLog {
        at_info: true,
        headers: true,
        headers_excluded: vec!["X-Secret".to_owned()],
        sources: Some(SourceAddresses::new(false, "", "").unwrap()),
    };
    let observer = RequestObserver::new(RequestMetrics::register(&registry), ManualClock::at(0)).with_log(log);
    let router = observer.wrap(Router::new().route("/", get(|| async { "fine" })));
    let mut request = Request::builder()
        .method(Method::GET)
        .header("accept", "text/html")
        .header("authorization", "Basic c2VjcmV0")
        .header("x-secret", "s")
        .header("x-forwarded-for", "10.0.0.1, 10.0.0.2")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(PeerAddress("192.168.1.1:5000".parse().unwrap()));
    router.oneshot(request).await.unwrap();
    let text = lines.text();
    let (_, line) = text.split_once("level=").unwrap();
    assert_eq!(
        line,
        "info msg=request method=GET path=/ route=root user=\"\" status=200 duration_ms=0 \
         sourceIPs=\"10.0.0.1, 192.168.1.1\" headers=\"accept: text/html; x-forwarded-for: 10.0.0.1, 10.0.0.2\"\n"
    );
}
