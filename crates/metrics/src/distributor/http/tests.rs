use async_trait::async_trait;
use http::Request;
use http_body_util::BodyExt;
use norn_base::clock::ManualClock;
use norn_base::memory::MemoryBudget;
use norn_base::pool::ComputePool;
use norn_base::random::SeededRandom;
use norn_model::write::WriteBatch;
use norn_rpc::{snappy, wire};
use norn_server::tenant::Tenancy;
use tower::ServiceExt;

use super::*;
use crate::distributor::DistributorSettings;
use crate::distributor::client::WriteClient;
use crate::distributor::ha::store::MemoryHaStore;
use crate::distributor::metrics::DistributorMetrics;
use crate::distributor::rules::WriteRules;

/// Answers every batch alike.
pub(in crate::distributor) struct Answer(pub(in crate::distributor) fn() -> norn_base::Result<()>);

#[async_trait]
impl WriteClient for Answer {
    async fn push(&self, _tenant: &TenantId, _batch: Arc<WriteBatch>) -> norn_base::Result<()> {
        (self.0)()
    }
}

/// A distributor with these rules, in front of this client.
pub(in crate::distributor) fn distributor(client: Arc<dyn WriteClient>, rules: WriteRules) -> Arc<Distributor> {
    Arc::new(Distributor::new(
        DistributorSettings::default(),
        Arc::new(rules),
        ManualClock::at(1_795_000_000_000),
        SeededRandom::shared(1),
        Arc::new(MemoryHaStore::default()),
        client,
        DistributorMetrics::default(),
    ))
}

/// Reads bodies without a limit of their own.
pub(in crate::distributor) fn bodies() -> BodyReader {
    BodyReader::new(MemoryBudget::new("bodies", u64::MAX), ComputePool::start(1, 8).unwrap())
}

/// The routes of a distributor with these rules, in front of this client.
pub(super) fn setup(client: Arc<dyn WriteClient>, rules: WriteRules, bytes_max: usize) -> Router {
    let settings = HttpSettings {
        write_bytes_max: bytes_max,
        otlp_bytes_max: bytes_max,
        otlp_short_path: true,
        retry_after: RetryAfter::default(),
        skip_label_names_header: false,
        skip_label_count_header: false,
    };
    let router = routes(distributor(client, rules), bodies(), SeededRandom::shared(1), settings);
    Tenancy::by_header().protect(router)
}

fn router(answer: fn() -> norn_base::Result<()>, change: impl FnOnce(&mut WriteRules)) -> Router {
    let mut rules = WriteRules::default();
    change(&mut rules);
    setup(Arc::new(Answer(answer)), rules, 10_000)
}

pub(in crate::distributor) struct Answered {
    pub(in crate::distributor) status: u16,
    headers: HeaderMap,
    pub(in crate::distributor) body: Vec<u8>,
    trailers: HeaderMap,
}

impl Answered {
    pub(in crate::distributor) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(in crate::distributor) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status of a gRPC call: in the headers where there is no message, else behind it.
    pub(in crate::distributor) fn grpc_status(&self) -> Option<&str> {
        let trailer = self.trailers.get("grpc-status").map(|value| value.to_str().unwrap());
        trailer.or_else(|| self.header("grpc-status"))
    }
}

pub(in crate::distributor) async fn send(
    router: Router,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answered {
    let mut request = Request::post(path).body(Body::from(body)).unwrap();
    request.headers_mut().insert("x-scope-orgid", HeaderValue::from_static("t"));
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes().to_vec();
    Answered { status: parts.status.as_u16(), headers: parts.headers, body, trailers }
}

fn stored() -> norn_base::Result<()> {
    Ok(())
}

fn refused() -> norn_base::Result<()> {
    Err(Error::bad_request("out of order").with_rest_accepted())
}

fn unavailable() -> norn_base::Result<()> {
    Err(Error::unavailable("no ingester"))
}

fn timed_out() -> norn_base::Result<()> {
    Err(Error::internal("context deadline exceeded"))
}

/// A request of version 2.0 with two samples of a series of this name.
fn request2(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for symbol in ["", "__name__", name] {
        wire::put_bytes(&mut body, 4, symbol.as_bytes());
    }
    wire::put_message(&mut body, 5, |series| {
        wire::put_packed_varints(series, 1, [1, 2].into_iter());
        for timestamp_ms in [1, 2] {
            wire::put_message(series, 2, |sample| wire::put_uint(sample, 2, timestamp_ms));
        }
    });
    snappy::encode(&body)
}

fn request1(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_message(&mut body, 1, |series| {
        wire::put_message(series, 1, |label| {
            wire::put_text(label, 1, "__name__");
            wire::put_text(label, 2, name);
        });
        wire::put_message(series, 2, |sample| wire::put_uint(sample, 2, 1));
    });
    snappy::encode(&body)
}

const V2: (&str, &str) = ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");

#[tokio::test]
async fn the_content_type_chooses_the_version() {
    let check = async |content_type: &str, body: Vec<u8>, status, text: &str| {
        let headers = [("Content-Type", content_type)];
        let answered = send(router(stored, |_| {}), "/api/v1/push", &headers, body).await;
        assert_eq!((answered.status, answered.text().as_str()), (status, text), "{content_type}");
    };
    check("application/x-protobuf", request1("m"), 200, "").await;
    check("application/x-protobuf;proto=prometheus.WriteRequest", request1("m"), 200, "").await;
    check("text/plain", request1("m"), 200, "").await;
    check(V2.1, request2("m"), 200, "").await;
    check(
        "application/x-protobuf",
        request2("m"),
        400,
        "proto: Remote Write 2.0 field Symbols in non-Remote Write 2.0 message\n",
    )
    .await;
    check(
        "application/x-protobuf;proto=foo.Bar",
        request1("m"),
        400,
        "got application/x-protobuf;proto=foo.Bar content type; expected prometheus.WriteRequest or \
         io.prometheus.write.v2.Request\n",
    )
    .await;
    let answered = send(router(stored, |_| {}), "/api/v1/push", &[("Content-Type", "a/b; proto")], vec![]).await;
    assert_eq!(answered.status, 400);
}

#[tokio::test]
async fn version_2_hears_what_arrived_even_of_a_failure() {
    for (name, status) in [("m", 200), ("bad-name", 400)] {
        let answered = send(router(stored, |_| {}), "/api/v1/push", &[V2], request2(name)).await;
        assert_eq!(answered.status, status);
        assert_eq!(answered.header("x-prometheus-remote-write-samples-written"), Some("2"));
        assert_eq!(answered.header("x-prometheus-remote-write-histograms-written"), Some("0"));
    }
    let answered = send(router(stored, |_| {}), "/api/v1/push", &[], request1("m")).await;
    assert_eq!(answered.header("x-prometheus-remote-write-samples-written"), None);
}

#[tokio::test]
async fn bodies_are_limited_before_they_are_unpacked() {
    let lie = b"\xff\xff\xff\xff\x0fxxxxxxxxxx".to_vec();
    let answered = send(router(stored, |_| {}), "/api/v1/push", &[], lie).await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.text(),
        "the incoming push request has been rejected because its message size of 4294967295 bytes (uncompressed) is \
         larger than the allowed limit of 10000 bytes (err-mimir-distributor-max-write-message-size). To adjust the \
         related limit, configure -distributor.max-recv-msg-size, or contact your service administrator.\n"
    );
    let answered = send(router(stored, |_| {}), "/api/v1/push", &[], b"this is not snappy".to_vec()).await;
    assert_eq!((answered.status, answered.text().starts_with("decompress snappy: ")), (400, true));
}

#[tokio::test]
async fn clients_that_may_come_back_are_told_when() {
    let answered = send(router(unavailable, |_| {}), "/api/v1/push", &[], request1("m")).await;
    assert_eq!(answered.status, 503);
    assert!(answered.header("retry-after").is_some());
    let answered = send(router(refused, |_| {}), "/api/v1/push", &[], request1("m")).await;
    assert_eq!((answered.status, answered.header("retry-after")), (400, None));
    let limited = router(stored, |rules| rules.ingestion_burst = 0);
    let answered = send(limited, "/api/v1/push", &[], request1("m")).await;
    assert_eq!(answered.status, 429);
    assert!(answered.header("retry-after").is_some());
}

const GAUGE: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
    {"name":"NAME","gauge":{"dataPoints":[{"timeUnixNano":"1793494800000000000","asDouble":1}]}}]}]}]}"#;

async fn send_otlp(answer: fn() -> norn_base::Result<()>, headers: &[(&str, &str)], name: &str) -> Answered {
    let body = GAUGE.replace("NAME", name).into_bytes();
    send(router(answer, |rules| rules.label_value_bytes_max = 20), "/otlp/v1/metrics", headers, body).await
}

const AS_JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn otlp_answers_in_the_form_of_the_request() {
    let check = async |answer, headers: &[(&str, &str)], name, status, body: &str| {
        let answered = send_otlp(answer, headers, name).await;
        assert_eq!((answered.status, answered.text().as_str()), (status, body));
        answered
    };
    check(stored, &[AS_JSON], "m", 200, "{}").await;
    let parse_error =
        r#"{"code":400,"message":"otlp parse error: normalization for metric \"\" resulted in empty name"}"#;
    let answered = check(stored, &[AS_JSON], "", 400, parse_error).await;
    assert_eq!(answered.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answered.header("content-type"), Some("application/json"));
    let partial = r#"{"partialSuccess":{"errorMessage":"out of order"}}"#;
    check(refused, &[AS_JSON], "m", 200, partial).await;
    check(timed_out, &[AS_JSON], "m", 503, r#"{"code":13,"message":"context deadline exceeded"}"#).await;
    let brotli = [AS_JSON, ("Content-Encoding", "br")];
    let unsupported = r#"{"code":415,"message":"unsupported compression: br. Only \"gzip\", \"lz4\", \"zstd\", or no compression supported"}"#;
    check(stored, &brotli, "m", 415, unsupported).await;

    let answered = send_otlp(stored, &[("Content-Type", "text/plain")], "m").await;
    assert_eq!(answered.status, 415);
    let message = "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]";
    assert_eq!(answered.body, Status { code: 415, message: message.to_owned() }.encode());

    let refused_by_limit = send_otlp(stored, &[AS_JSON], "a_name_that_is_too_long").await;
    assert_eq!(refused_by_limit.status, 400);
    assert!(refused_by_limit.text().starts_with(r#"{"code":3,"message":"received a metric whose attribute value"#));
}

#[tokio::test]
async fn otlp_in_protobuf_has_an_empty_answer() {
    let headers = [("Content-Type", "application/x-protobuf")];
    let answered = send(router(stored, |_| {}), "/otlp/v1/metrics", &headers, vec![]).await;
    assert_eq!((answered.status, answered.body.as_slice()), (200, &b""[..]));
    let answered = send(router(stored, |_| {}), "/otlp/v1/metrics", &headers, vec![0; 20_000]).await;
    assert_eq!(answered.status, 413);
}
