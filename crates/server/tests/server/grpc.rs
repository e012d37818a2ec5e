//! gRPC beside HTTP on one port.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use norn_base::tasks::Stop;
use norn_server::grpc::{base_services, follow_readiness};
use norn_server::listener::ListenerOptions;
use norn_server::services::{Part, Running, Services};
use norn_server::tenant::Tenancy;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::Server;

async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap()
}

fn options() -> ListenerOptions {
    ListenerOptions { address: "127.0.0.1".to_owned(), ..ListenerOptions::grpc(0) }
}

async fn health(channel: &Channel) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: String::new() };
    Ok(HealthClient::new(channel.clone()).check(request).await?.into_inner().status())
}

#[tokio::test]
async fn health_follows_readiness_on_the_port_of_http() {
    let (services, reporter) = base_services(&[]).unwrap();
    let server = Server::start(options(), |app| {
        app.admin(Router::new().route("/ready", get(|| async { "ready" }))).grpc(services)
    })
    .await;
    assert_eq!(server.get("/ready", "").await.text(), "ready");
    assert_eq!(server.get("/nowhere", "").await.text(), "404 page not found\n");
    let process = Services::new(vec![Part::new("api", &[], |_| async { Ok(Running::passive()) })]).unwrap();
    let (view, channel) = (process.view(), channel(&server).await);
    server.tasks.spawn_until_stopped("health", follow_readiness(view, reporter, Duration::from_secs(1)));
    let stop = Stop::new();
    let watch = async {
        reaches(&channel, ServingStatus::Serving).await;
        stop.request();
    };
    let (result, ()) = tokio::join!(process.run(stop.requested(), Duration::ZERO, Duration::from_secs(1)), watch);
    result.unwrap();
    reaches(&channel, ServingStatus::NotServing).await;
    let series = "cortex_request_duration_seconds_count{method=\"gRPC\",route=\"/grpc.health.v1.Health/Check\",\
                  status_code=\"OK\",ws=\"false\"}";
    assert!(server.metric(series).is_some_and(|count| count >= 1.0));
}

async fn reaches(channel: &Channel, expected: ServingStatus) {
    let reached = async { while health(channel).await.unwrap() != expected {} };
    tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap();
}

#[tokio::test]
async fn what_nobody_serves_is_unimplemented() {
    let server = Server::start(options(), |app| app).await;
    let status = health(&channel(&server).await).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, "unknown method /grpc.health.v1.Health/Check"));
    let series = "cortex_request_duration_seconds_count{method=\"gRPC\",route=\"other\",status_code=\"Unimplemented\",\
                  ws=\"false\"}";
    server.expect_metric(series, 1.0).await;
}

#[tokio::test]
async fn a_call_without_tenant_is_unauthenticated() {
    let (services, _reporter) = base_services(&[]).unwrap();
    let router = services.into_axum_router().reset_fallback();
    let server = Server::start(options(), |app| app.grpc_router(Tenancy::by_header().protect(router))).await;
    let status = health(&channel(&server).await).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no org id"));
}
