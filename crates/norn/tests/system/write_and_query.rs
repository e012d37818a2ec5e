//! What is written can be queried: at once, after a kill, after a flush, and from the bucket alone.

use norn_base::clock::SystemClock;
use norn_model::write::WriteBatch;
use norn_model::{Labels, Sample};

use crate::client::Headers;
use crate::harness::Norn;

/// The tenant of tests that have one; without multi-tenancy it is ignored.
pub(crate) const TENANT: &str = "tests";
pub(crate) const HEADERS: Headers<'static> = &[("X-Scope-OrgID", TENANT)];

/// A remote write of `series` series with one sample each at `timestamp_ms`.
pub(crate) fn remote_write(series: std::ops::Range<usize>, timestamp_ms: i64, value: impl Fn(usize) -> f64) -> Vec<u8> {
    let mut batch = WriteBatch::default();
    for index in series {
        let number = index.to_string();
        let labels = Labels::from_pairs([("__name__", "system_test_total"), ("number", &number), ("job", "test")]);
        batch.push_series(labels.as_ref(), 0).sample(Sample { timestamp_ms, value: value(index) });
    }
    norn_rpc::snappy::encode(&norn_rpc::remote_write::encode::encode(&batch))
}

pub(crate) fn push(norn: &Norn, body: &[u8]) {
    let answer = norn.request("POST", "/api/v1/push", HEADERS, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The answer to an instant query.
pub(crate) fn query(norn: &Norn, query: &str, time_ms: i64) -> serde_json::Value {
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let path = format!("/prometheus/api/v1/query?query={query}&time={}", time_ms / 1000);
    let answer = norn.request("GET", &path, HEADERS, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What an instant query would do.
fn analyze(norn: &Norn, query: &str, time_ms: i64) -> serde_json::Value {
    let path = format!("/api/v1/analyze?query={query}&time={}", time_ms / 1000);
    let answer = norn.request("POST", &path, HEADERS, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The values of an instant query's vector, ascending.
pub(crate) fn values(norn: &Norn, text: &str, time_ms: i64) -> Vec<f64> {
    let answer = query(norn, text, time_ms);
    let result = answer["data"]["result"].as_array().expect("a vector");
    let mut values: Vec<f64> =
        result.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn what_is_written_is_answered_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut norn = Norn::start(folder.path(), &[]);
    // Norn's own metrics are there too, so what is much older than they are would be refused.
    let start_ms = SystemClock::shared().now_ms() / 15_000 * 15_000 - 600_000;
    for step in 0..20 {
        push(&norn, &remote_write(0..50, start_ms + step * 15_000, |index| index as f64 + step as f64));
    }
    let end_ms = start_ms + 19 * 15_000;
    let check = |norn: &Norn, what: &str| {
        assert_eq!(values(norn, "count(system_test_total)", end_ms), [50.0], "{what}");
        assert_eq!(
            values(norn, "sum(system_test_total)", end_ms),
            [(0..50).sum::<i32>() as f64 + 50.0 * 19.0],
            "{what}"
        );
        assert_eq!(values(norn, "count_over_time(system_test_total{number=\"7\"}[1h])", end_ms), [20.0], "{what}");
        let estimate = &analyze(norn, "sum(system_test_total)", end_ms)["estimate"];
        assert_eq!(estimate["series"], 50, "{what}: {estimate}");
        // Of 1000 samples. What has been flushed may lie with the ingester and in the bucket, and the chunks of norn's own
        // metrics, which are in the same block, make the average chunk smaller.
        let samples = estimate["samples"].as_u64().unwrap();
        assert!((250..=2100).contains(&samples), "{what}: {estimate}");
    };
    check(&norn, "at once");

    norn.kill();
    let mut norn = Norn::start(folder.path(), &[]);
    check(&norn, "after a kill");

    assert_eq!(norn.request("POST", "/ingester/flush?wait=true", &[], b"").status, 204);
    check(&norn, "after a flush");
    assert_eq!(norn.terminate(), Some(0));
    let norn = Norn::start(folder.path(), &[]);
    check(&norn, "after a restart");
}

#[test]
fn norn_stores_its_own_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let norn = Norn::start(folder.path(), &[]);
    let answer = norn.get("/metrics");
    assert!(answer.text().contains("norn_build_info"), "{}", answer.text());
}

#[test]
fn wrong_requests_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let norn = Norn::start(folder.path(), &[]);
    let refused = norn.request("POST", "/api/v1/push", &[], b"this is not snappy");
    assert_eq!(refused.status, 400, "{}", refused.text());
    let refused = norn.get("/prometheus/api/v1/query?query=sum(");
    assert_eq!(refused.status, 400);
    let expected = "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis";
    assert_eq!(refused.json()["error"], expected);
}
