//! The recorded answers of the original, for all that is decided before the ingesters.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use norn_config::limits::LabelValueStrategy;
use norn_config::relabel::RelabelConfig;
use norn_config::yaml;
use norn_rpc::otlp::AnyValue;
use parking_lot::Mutex;
use serde_json::Value;

use super::tests::{send, setup};
use super::*;
use crate::distributor::client::WriteClient;
use crate::distributor::rules::WriteRules;
use norn_model::write::WriteBatch;

/// Lines of a file of the recorded corpus.
fn corpus(path: &str) -> Vec<Value> {
    let root = std::env::var("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder that holds golden/");
    let path = PathBuf::from(root).join("golden/metrics").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.starts_with('#')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The body of a recorded request.
fn body(case: &Value) -> Vec<u8> {
    if let Some(text) = case.get("body_b64") {
        let value = serde_json::from_value(serde_json::json!({ "bytesValue": text })).unwrap();
        let AnyValue::Bytes(bytes) = value else { panic!("{text} is no base64") };
        return bytes.into_owned();
    }
    case.get("body").map_or_else(Vec::new, |body| body.to_string().into_bytes())
}

/// The limits of the recorded tenants, as `config/overrides.yaml` has them.
fn rules_of(tenant: &str) -> WriteRules {
    let mut rules =
        WriteRules { exemplars: true, ingestion_rate: 1e7, ingestion_burst: 10_000_000, ..WriteRules::default() };
    match tenant {
        "golden-push-past" => rules.past_max = Some(Duration::from_secs(3600)),
        "golden-push-limits" => {
            (rules.labels_max, rules.label_name_bytes_max, rules.label_value_bytes_max) = (5, 20, 30);
            (rules.metadata_bytes_max, rules.histogram_buckets_max, rules.reduce_histograms) = (40, 4, false);
        }
        "golden-push-reduce" => rules.histogram_buckets_max = 4,
        "golden-push-drop" => {
            (rules.label_value_bytes_max, rules.label_value_strategy) = (80, LabelValueStrategy::Drop);
        }
        "golden-push-utf8" => rules.utf8_names = true,
        "golden-push-relabel" => {
            rules.drop_labels = vec!["secret".to_owned()];
            let text = "[{source_labels: [__name__], regex: dropped_.*, action: drop}, \
                        {source_labels: [a], target_label: b, replacement: 'new-$1'}]";
            let node = yaml::parse(text, "overrides.yaml", "test").unwrap();
            rules.relabel = node.items().unwrap().iter().map(|node| RelabelConfig::from_node(node).unwrap()).collect();
        }
        "golden-otlp-suffix" => rules.otlp.suffixes = true,
        "golden-otlp-utf8" => {
            (rules.utf8_names, rules.otlp.suffixes, rules.otlp.escape) = (true, true, false);
        }
        "golden-otlp-promote" => {
            let promoted = ["deployment.environment", "host.name", "service.name"];
            rules.otlp.promoted_attributes = promoted.map(str::to_owned).to_vec();
            rules.otlp.keep_identifying_attributes = true;
            rules.otlp.custom_buckets = true;
            rules.otlp.promote_scope = true;
        }
        "golden-otlp-deltaok" => rules.otlp.accept_delta = true,
        _ => {}
    }
    rules
}

/// Keeps the label sets of what it is sent.
#[derive(Default)]
struct LabelSets(Mutex<BTreeSet<String>>);

#[async_trait::async_trait]
impl WriteClient for LabelSets {
    async fn push(&self, _tenant: &TenantId, batch: Arc<WriteBatch>) -> norn_base::Result<()> {
        let json = |labels: norn_model::labels::LabelsRef<'_>| {
            let pairs = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            Value::Object(pairs.collect()).to_string()
        };
        self.0.lock().extend(batch.iter().map(|series| json(series.labels)));
        Ok(())
    }
}

/// Sends a recorded request; the client sees what would be stored.
async fn replay(case: &Value, client: Arc<LabelSets>) -> super::tests::Answered {
    let headers = case["headers"].as_object().unwrap();
    let tenant = headers["X-Scope-OrgID"].as_str().unwrap();
    let others = headers.iter().filter(|(name, _)| *name != "X-Scope-OrgID");
    let others: Vec<_> = others.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let router = setup(client, rules_of(tenant), 104_857_600);
    send(router, case["path"].as_str().unwrap(), &others, body(case)).await
}

/// What differs from the recorded answer, if anything does.
fn difference(case: &Value, status: u16, text: &str) -> Option<String> {
    let expected_status = case["status"].as_u64();
    let expected_text = case.get("error_contains").and_then(Value::as_str).unwrap_or("");
    let said = serde_json::from_str::<Value>(text).ok();
    let said = said.as_ref().and_then(|said| said.get("message")).and_then(Value::as_str).unwrap_or(text);
    // Of the one answer in protobuf the recorded text starts with its tags, escaped.
    let expected_text = expected_text.split_once("\u{12}[").map_or(expected_text, |(_, message)| message);
    let is_same = expected_status == Some(u64::from(status)) && said.contains(expected_text);
    (!is_same).then(|| format!("{}: {status} {said}\n  not {expected_status:?} {expected_text}", case["name"]))
}

async fn check(path: &str) {
    let mut differences = Vec::new();
    let mut count = 0;
    for case in corpus(path) {
        let recorded = case["expect"].to_string();
        if recorded.contains("send data to ingesters") {
            continue;
        }
        count += 1;
        let answered = replay(&case, Arc::default()).await;
        differences.extend(difference(&case, answered.status, answered.text().trim_end()));
    }
    assert!(count > 0 && differences.is_empty(), "{count} cases, different:\n{}", differences.join("\n"));
}

#[tokio::test]
#[ignore = "needs the recorded answers, in NORN_CONFORMANCE"]
async fn push_errors_are_the_recorded_ones() {
    check("cases/push-errors.jsonl").await;
}

#[tokio::test]
#[ignore = "needs the recorded answers, in NORN_CONFORMANCE"]
async fn otlp_errors_are_the_recorded_ones() {
    check("cases/otlp-errors.jsonl").await;
}

/// The series that the recorded OTLP requests of a tenant become.
async fn series_of(tenant: &str) -> BTreeSet<String> {
    let client = Arc::new(LabelSets::default());
    for request in corpus("dataset/50-otlp.jsonl") {
        if request["headers"]["X-Scope-OrgID"] == tenant {
            assert_eq!(replay(&request, client.clone()).await.status, 200);
        }
    }
    client.0.lock().clone()
}

#[tokio::test]
#[ignore = "needs the recorded answers, in NORN_CONFORMANCE"]
async fn otlp_becomes_the_recorded_series() {
    let mut count = 0;
    for case in corpus("cases/otlp.jsonl") {
        let tenant = case["headers"]["X-Scope-OrgID"].as_str().unwrap();
        let label_sets = series_of(tenant).await;
        let parsed = label_sets.iter().map(|labels| serde_json::from_str::<Value>(labels).unwrap());
        let found: BTreeSet<String> = match case["path"].as_str().unwrap() {
            "/prometheus/api/v1/series" => label_sets.clone(),
            "/prometheus/api/v1/label/__name__/values" => parsed.map(|labels| labels["__name__"].to_string()).collect(),
            "/prometheus/api/v1/labels" => {
                let names = parsed.flat_map(|labels| labels.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
                names.map(|name| Value::from(name).to_string()).collect()
            }
            _ => continue,
        };
        count += 1;
        let recorded: BTreeSet<_> = case["expect"]["data"].as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(found, recorded, "{}", case["name"]);
    }
    assert!(count > 0);
}
