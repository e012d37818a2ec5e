use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use norn_base::clock::ManualClock;
use norn_base::tasks::Stop;
use tower::ServiceExt;

use super::*;
use crate::services::{Part, Running, Services};

fn admin() -> (Router, Services) {
    admin_with(true)
}

fn admin_with(instrumentation: bool) -> (Router, Services) {
    let (admin, services) = pages(instrumentation);
    (admin.router(), services)
}

fn pages(instrumentation: bool) -> (Admin, Services) {
    let part = Part::new("distributor", &[], |_| async { Ok(Running::passive()) });
    let services = Services::new(vec![part]).unwrap();
    let registry = MetricsRegistry::default();
    registry.counter("cortex_first", "First").inc();
    registry.counter("cortex_second", "Second").inc();
    let admin = Admin {
        title: "norn <1>".to_owned(),
        path_prefix: "edge/".to_owned(),
        services: services.view(),
        registry,
        clock: ManualClock::at(1_793_491_200_000),
        instrumentation,
        config: Arc::new(|mode| Ok(format!("mode: {}\n", mode.unwrap_or("full")))),
        runtime_config: None,
        profiler: None,
        links: COMMON_LINKS.to_vec(),
        guides: vec![Guide { section: "Send", text: "Agents", snippet: "url: {base}/push".to_owned() }],
    };
    (admin, services)
}

async fn get(router: &Router, path: &str, accept: &str) -> (u16, String) {
    let request =
        Request::get(path).header("accept", accept).header("host", "norn.test:1<").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn pages_tell_people_and_programs() {
    let (router, _services) = admin();
    let (status, index) = get(&router, "/", "text/html").await;
    assert_eq!(status, 200);
    assert!(index.contains("<h1>norn &lt;1&gt;</h1>"), "{index}");
    assert!(index.contains("<a href=\"/edge/config?mode=diff\">"), "{index}");
    assert!(index.contains("<span class=\"waiting\">distributor: New</span>"), "{index}");
    assert!(index.contains("<p>Agents</p><pre>url: http://norn.test:1&lt;/edge/push</pre>"), "{index}");
    assert_eq!(
        get(&router, "/services", "application/json, */*").await.1,
        r#"{"now":"2026-11-01T00:00:00.000Z","services":[{"name":"distributor","status":"New"}]}"#
    );
    assert!(get(&router, "/services", "text/html").await.1.contains("<td>distributor</td><td>New</td>"));
    assert_eq!(get(&router, "/config?mode=diff", "").await, (200, "mode: diff\n".to_owned()));
    assert_eq!(get(&router, "/config", "").await.1, "mode: full\n");
    assert_eq!(get(&router, "/runtime_config", "").await.0, 404);
    assert_eq!(get(&router, "/api/v1/status/flags", "").await.1, r#"{"data":{},"status":"success"}"#);
    assert_eq!(get(&router, "/debug/pprof/heap", "").await.0, 501);
    assert!(get(&router, "/debug/pprof/threads", "").await.1.lines().count() > 1);
}

#[tokio::test]
async fn metrics_and_threads_are_not_shown_where_that_is_not_wanted() {
    let (router, _services) = admin_with(false);
    for (path, expected) in [("/metrics", 404), ("/debug/pprof/threads", 404), ("/services", 200)] {
        assert_eq!(get(&router, path, "").await.0, expected, "{path}");
    }
}

/// Answers with what it was asked for.
struct Echo;

impl Profiler for Echo {
    fn cpu(&self, duration: std::time::Duration) -> ProfileFuture {
        Box::pin(async move { Ok(format!("cpu {duration:?}").into_bytes()) })
    }

    fn heap(&self) -> ProfileFuture {
        Box::pin(async { Err(norn_base::Error::new(norn_base::ErrorKind::Conflict, "busy")) })
    }
}

#[tokio::test]
async fn profiles_are_those_of_the_profiler() {
    let (admin, _services) = pages(true);
    let router = Admin { profiler: Some(Arc::new(Echo)), ..admin }.router();
    let check = async |path: &str, status: u16, body: &str| {
        assert_eq!(get(&router, path, "").await, (status, body.to_owned()), "{path}");
    };
    check("/debug/pprof/profile", 200, "cpu 30s").await;
    check("/debug/pprof/profile?seconds=300", 200, "cpu 300s").await;
    check("/debug/pprof/heap", 409, "busy\n").await;
    for wrong in ["0", "301", "-1", "1.5", "x"] {
        let text = format!("seconds is {wrong:?}; it has to be from 1 to 300\n");
        check(&format!("/debug/pprof/profile?seconds={wrong}"), 400, &text).await;
    }
    for path in ["/debug/pprof", "/debug/pprof/"] {
        let page = get(&router, path, "text/html").await.1;
        assert!(page.contains("<a href=\"/edge/debug/pprof/profile\">"), "{page}");
    }
}

#[tokio::test]
async fn metrics_are_filtered_by_name() {
    let (router, _services) = admin();
    let (_, all) = get(&router, "/metrics", "").await;
    assert!(all.contains("cortex_first_total 1\n") && all.contains("cortex_second_total 1\n"), "{all}");
    let (_, some) = get(&router, "/metrics?name%5B%5D=cortex_second_total", "").await;
    assert!(!some.contains("cortex_first") && some.contains("cortex_second_total 1\n"), "{some}");
}

#[tokio::test]
async fn readiness_follows_the_services() {
    let (router, services) = admin();
    let reason = "Some services are not Running:\ndistributor: New\n";
    assert_eq!(get(&router, "/ready", "").await, (503, reason.to_owned()));
    let view = services.view();
    let stop = Stop::new();
    let watch = async {
        let mut changes = view.changes();
        while view.readiness().is_err() {
            changes.changed().await.unwrap();
        }
        assert_eq!(get(&router, "/ready", "").await, (200, "ready".to_owned()));
        stop.request();
    };
    let second = std::time::Duration::from_secs(1);
    let (result, ()) = tokio::join!(services.run(stop.requested(), std::time::Duration::ZERO, second), watch);
    result.unwrap();
    assert_eq!(get(&router, "/ready", "").await, (503, "Application is stopping\n".to_owned()));
}
