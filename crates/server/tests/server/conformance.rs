//! What the real server answered, for the part of it that is decided here.

use std::path::PathBuf;

use axum::Router;
use axum::routing::{get, post};
use norn_server::tenant::{Tenancy, Tenant, Tenants};
use serde_json::Value;

use crate::common::{Server, options};

fn cases(group: &str) -> Vec<Value> {
    let folder = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder that holds golden/");
    let file = PathBuf::from(folder).join("golden/metrics/cases").join(format!("{group}.jsonl"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
#[ignore = "needs the recorded answers, in the folder that NORN_CONFORMANCE names"]
async fn tenants_are_refused_as_the_original_refuses_them() {
    let read = get(|_: Tenants| async { "fine" });
    let write = post(|_: Tenant| async { "fine" });
    let mut routes = Router::new();
    for path in ["query", "labels", "metadata", "cardinality/label_names", "cardinality/active_series"] {
        routes = routes.route(&format!("/prometheus/api/v1/{path}"), read.clone());
    }
    let routes =
        routes.route("/api/v1/user_limits", read).route("/api/v1/push", write.clone()).route("/otlp/v1/metrics", write);
    let server = Server::start(options(), |app| app.api(Tenancy::by_header().protect(routes))).await;
    let mut checked = 0;
    for case in cases("tenancy") {
        let tenant = case["headers"]["X-Scope-OrgID"].as_str();
        let header = tenant.map_or_else(String::new, |tenant| format!("X-Scope-OrgID: {tenant}\r\n"));
        let (method, path) = (case["method"].as_str().unwrap(), case["path"].as_str().unwrap());
        let answer = server.request(method, path, &header).await;
        let name = &case["name"];
        match &case["status"] {
            Value::Array(allowed) => assert!(allowed.contains(&answer.status.into()), "{name}: {}", answer.status),
            status => assert_eq!(*status, answer.status, "{name}: {}", answer.text()),
        }
        if let Some(part) = case["error_contains"].as_str() {
            assert!(answer.text().contains(part), "{name}: {:?} is not in {:?}", part, answer.text());
        }
        checked += 1;
    }
    assert!(checked > 40, "only {checked} cases were found");
}
