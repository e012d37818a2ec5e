//! HTTP: routing, tenants, bodies, limits of time, shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use norn_base::memory::MemoryBudget;
use norn_base::pool::ComputePool;
use norn_base::{Error, ErrorKind};
use norn_model::TenantId;
use norn_server::app::App;
use norn_server::body::{BodyLimits, BodyReader};
use norn_server::errors::HttpError;
use norn_server::listener::{ConnectionMetrics, ListenError, Listener, ListenerOptions, Timeouts};
use norn_server::telemetry::MetricsRegistry;
use norn_server::tenant::{Tenancy, Tenant, Tenants};
use tokio::sync::Notify;

use crate::common::{Server, options};

fn hello(app: App) -> App {
    app.admin(Router::new().route("/", get(|| async { "hello" })))
}

fn with_timeouts(timeouts: Timeouts) -> ListenerOptions {
    ListenerOptions { timeouts, ..options() }
}

const PATIENT: Timeouts = Timeouts { header: LONG, read: Some(LONG), write: Some(LONG), idle: Some(LONG) };
const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn http1_connections_are_kept_and_counted() {
    let server = Server::start(options(), hello).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    server.expect_metric("cortex_tcp_connections{protocol=\"http\"}", 1.0).await;
    let durations =
        "cortex_request_duration_seconds_count{method=\"GET\",route=\"root\",status_code=\"200\",ws=\"false\"}";
    server.expect_metric(durations, 3.0).await;
    server.expect_metric("cortex_inflight_requests{method=\"GET\",route=\"root\"}", 0.0).await;
    drop(client);
    server.expect_metric("cortex_tcp_connections{protocol=\"http\"}", 0.0).await;
    assert_eq!(server.metric("cortex_tcp_connections_limit{protocol=\"http\"}"), Some(0.0));
}

#[tokio::test]
async fn http2_without_tls_shares_the_port() {
    let server = Server::start(options(), hello).await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    server.tasks.spawn_until_stopped("client", async move {
        connection.await.unwrap();
    });
    let request = Request::get("http://norn/").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn paths_are_matched_as_they_are_encoded_below_the_prefix() {
    let rules = get(|Path((namespace, group)): Path<(String, String)>| async move { format!("{namespace} {group}") });
    let build = |app: App| app.api(Router::new().route("/rules/{namespace}/{group}", rules));
    let server = Server::start_at(options(), "/edge/", build).await;
    assert_eq!(server.get("/edge/rules/a%2Fb/c", "").await.text(), "a/b c");
    assert_eq!(server.get("/rules/a/c", "").await.text(), "404 page not found\n");
    assert_eq!(server.get("/edge/rules/a/c/", "").await.status, 404);
    let mut client = server.connect().await;
    client
        .send(b"HEAD /edge/rules/a/c HTTP/1.1\r\nhost: norn\r\n\r\nPOST /edge/rules/a/c HTTP/1.1\r\nhost: norn\r\n\r\n")
        .await;
    assert_eq!([client.answer_without_body().await.status, client.answer().await.status], [405, 405]);
    let series = "cortex_request_duration_seconds_count{method=\"GET\",route=\"edge_rules_namespace_group\",\
                  status_code=\"200\",ws=\"false\"}";
    server.expect_metric(series, 1.0).await;
}

#[tokio::test]
async fn tenants_come_from_the_header() {
    let routes = || {
        Router::new()
            .route("/read", get(|tenants: Tenants| async move { tenants.joined() }))
            .route("/write", get(|Tenant(tenant): Tenant| async move { tenant.to_string() }))
    };
    let server = Server::start(options(), |app| app.api(Tenancy::by_header().protect(routes()))).await;
    let check = async |path: &str, tenant: Option<&str>, status: u16, text: &str| {
        let header = tenant.map_or(String::new(), |tenant| format!("X-Scope-OrgID: {tenant}\r\n"));
        let answer = server.get(path, &header).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{path} {tenant:?}");
    };
    check("/read", None, 401, "no org id\n").await;
    check("/read", Some(""), 401, "no org id\n").await;
    check("/read", Some("golden "), 200, "golden").await;
    check("/read", Some("b|a|b"), 200, "a|b").await;
    check("/write", Some("a"), 200, "a").await;
    check("/write", Some("a|b"), 400, "multiple org IDs present\n").await;
    check("/write", Some("a b"), 401, "tenant ID 'a b' contains unsupported character ' '\n").await;
    let fixed = Tenancy::fixed(TenantId::anonymous());
    let server = Server::start(options(), |app| app.api(fixed.protect(routes()))).await;
    assert_eq!(server.get("/write", "X-Scope-OrgID: a|b\r\n").await.text(), "anonymous");
}

#[tokio::test]
async fn large_answers_are_compressed_but_for_writes() {
    let routes = |path: &str| Router::new().route(path, get(|| async { "x".repeat(100_000) }));
    let build = |app: App| {
        app.api(routes("/read")).push(routes("/write")).admin(Router::new().route("/", get(|| async { "small" })))
    };
    let server = Server::start(options(), build).await;
    let accept = "accept-encoding: gzip\r\n";
    let compressed = server.get("/read", accept).await;
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(compressed.body.len() < 10_000);
    for (path, headers) in [("/read", ""), ("/write", accept), ("/", accept)] {
        assert_eq!(server.get(path, headers).await.header("content-encoding"), None, "{path}");
    }
}

async fn echo_len(State(reader): State<BodyReader>, headers: HeaderMap, body: Body) -> Result<String, HttpError> {
    let bytes = reader.read(&headers, body, BodyLimits::both(1_000_000)).await?;
    Ok(bytes.len().to_string())
}

async fn body_server(options: ListenerOptions) -> Server {
    let reader = BodyReader::new(MemoryBudget::new("bodies", 4 << 20), ComputePool::start(1, 8).unwrap());
    let routes = Router::new().route("/push", post(echo_len)).with_state(reader);
    Server::start(options, |app| app.push(routes)).await
}

#[tokio::test]
async fn bodies_are_decoded_and_bombs_are_not() {
    let server = body_server(options()).await;
    let check = async |headers: &str, body: &[u8], expected: (u16, &str)| {
        let mut client = server.connect().await;
        client.send(format!("POST /push HTTP/1.1\r\nhost: norn\r\n{headers}\r\n").as_bytes()).await;
        client.send(body).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), expected, "{headers}");
    };
    let snappy = snap::raw::Encoder::new().compress_vec(&[7; 300_000]).unwrap();
    let length = |body: &[u8]| format!("content-encoding: snappy\r\ncontent-length: {}\r\n", body.len());
    check(&length(&snappy), &snappy, (200, "300000")).await;
    check("transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", (200, "3")).await;
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 3_000_000]).unwrap();
    let too_large = "the request body of 3000000 bytes (uncompressed) is larger than the allowed 1000000 bytes\n";
    check(&length(&bomb), &bomb, (413, too_large)).await;
    let claimed = "the request body of 2000000 bytes is larger than the allowed 1000000 bytes\n";
    check("content-length: 2000000\r\n", b"", (413, claimed)).await;
    let unknown = "unsupported content encoding \"br\", expected one of identity, gzip, deflate, zstd, lz4, snappy\n";
    check("content-encoding: br\r\ncontent-length: 1\r\n", b"x", (415, unknown)).await;
    let corrupt = "decompress snappy: snappy: corrupt input\n";
    check("content-encoding: snappy\r\ncontent-length: 3\r\n", b"xyz", (400, corrupt)).await;
}

#[tokio::test]
async fn slow_headers_bodies_and_idle_connections_are_cut() {
    let server = Server::start(with_timeouts(Timeouts { header: SHORT, ..PATIENT }), hello).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send(b"GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(silent.closed().await, b"");
    assert_eq!(slow.closed().await, b"");

    let server = Server::start(with_timeouts(Timeouts { idle: Some(SHORT), ..PATIENT }), hello).await;
    let mut idle = server.connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    assert_eq!(idle.closed().await, b"");

    let server = body_server(with_timeouts(Timeouts { read: Some(SHORT), ..PATIENT })).await;
    let mut slow_body = server.connect().await;
    slow_body.send(b"POST /push HTTP/1.1\r\nhost: norn\r\ncontent-length: 9\r\n\r\nabc").await;
    assert_eq!(slow_body.answer().await.status, 408);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let never = Router::new().route("/", get(std::future::pending::<()>));
    let timeouts = Timeouts { write: Some(SHORT), ..PATIENT };
    let server = Server::start(with_timeouts(timeouts), |app| app.admin(never)).await;
    assert_eq!(server.get("/", "").await.status, 504);
}

#[tokio::test]
async fn websockets_outlive_the_limits_of_time() {
    let echo = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let upgrade = get(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let timeouts = Timeouts { header: LONG, read: Some(SHORT), write: Some(SHORT), idle: Some(SHORT) };
    let server = Server::start(with_timeouts(timeouts), |app| app.admin(Router::new().route("/tail", upgrade))).await;
    let mut client = server.connect().await;
    client
        .send(
            b"GET /tail HTTP/1.1\r\nhost: norn\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer_without_body().await.status, 101);
    let waited = tokio::time::timeout(3 * SHORT, client.closed()).await;
    assert!(waited.is_err(), "the connection was cut");
    // A text frame of two bytes, masked with zeros as RFC 6455 lets clients, and the answer, which is not masked.
    client.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
    assert_eq!(client.bytes(4).await, [0x81, 0x02, b'h', b'i']);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = Server::start(ListenerOptions { connections_max: 1, ..options() }, hello).await;
    let mut first = server.connect().await;
    assert_eq!(first.get("/").await.status, 200);
    let mut second = server.connect().await;
    second.send(b"GET / HTTP/1.1\r\nhost: norn\r\n\r\n").await;
    let waiting = tokio::time::timeout(SHORT, second.answer()).await;
    assert!(waiting.is_err());
    drop(first);
    assert_eq!(second.answer().await.status, 200);
    assert_eq!(server.metric("cortex_tcp_connections_limit{protocol=\"http\"}"), Some(1.0));
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_closes_the_rest() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (of_handler, of_release) = (entered.clone(), release.clone());
    let slow = get(move || async move {
        of_handler.notify_one();
        of_release.notified().await;
        "done"
    });
    let server = Server::start(options(), |app| hello(app).api(Router::new().route("/slow", slow))).await;
    let mut idle = server.connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = server.connect().await;
    busy.send(b"GET /slow HTTP/1.1\r\nhost: norn\r\n\r\n").await;
    entered.notified().await;
    server.stop.request();
    assert_eq!(idle.closed().await, b"");
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    release.notify_one();
    let answer = busy.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "done"));
    assert_eq!(busy.closed().await, b"");
    assert!(server.tasks.stop(LONG).await.is_empty());
}

#[tokio::test]
async fn connections_close_at_a_farewell_and_at_their_age() {
    let server = Server::start(options(), hello).await;
    let mut client = server.connect().await;
    assert_eq!(client.get("/").await.header("connection"), None);
    server.farewell.request();
    assert_eq!(client.get("/").await.header("connection"), Some("close"));
    assert_eq!(client.closed().await, b"");
    assert_eq!(server.get("/", "").await.status, 200);

    let never = Router::new().route("/never", get(std::future::pending::<()>));
    let aged = ListenerOptions { age_max: Some(10 * SHORT), age_grace: Some(SHORT), ..options() };
    let server = Server::start(aged, |app| hello(app).api(never)).await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    assert_eq!(idle.get("/").await.status, 200);
    busy.send(b"GET /never HTTP/1.1\r\nhost: norn\r\n\r\n").await;
    assert_eq!(idle.closed().await, b"");
    assert_eq!(busy.closed().await, b"");
}

#[tokio::test]
async fn a_port_that_is_taken_says_so() {
    let server = Server::start(options(), hello).await;
    let metrics = ConnectionMetrics::register(&MetricsRegistry::default());
    let again = ListenerOptions { port: server.address.port(), ..options() };
    let bound = Listener::bind(again, norn_base::clock::SystemClock::shared(), &metrics).await;
    let error = bound.unwrap_err();
    assert!(matches!(error, ListenError::Taken { .. }));
    let port = server.address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "http address 127.0.0.1:{port} is already in use: stop what listens there, or choose another with \
             -server.http-listen-port"
        )
    );
}

#[tokio::test]
async fn failures_are_measured_with_their_status() {
    let failing = get(|| async { Err::<(), _>(HttpError(Error::new(ErrorKind::LimitReached, "slow down"))) });
    let server = Server::start(options(), |app| app.api(Router::new().route("/api/v1/{name}", failing))).await;
    assert_eq!(server.get("/api/v1/x", "").await.text(), "slow down\n");
    assert_eq!(server.get("/nowhere", "").await.status, 404);
    for (route, status) in [("api_v1_name", 429), ("other", 404)] {
        let series = format!(
            "cortex_request_duration_seconds_count{{method=\"GET\",route=\"{route}\",status_code=\"{status}\",ws=\"false\"}}"
        );
        server.expect_metric(&series, 1.0).await;
    }
}
