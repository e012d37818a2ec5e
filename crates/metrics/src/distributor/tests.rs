use std::time::Duration;

use async_trait::async_trait;
use norn_base::ErrorKind;
use norn_base::clock::ManualClock;
use norn_base::random::SeededRandom;
use norn_config::limits::LabelValueStrategy;
use norn_model::sample::Sample;
use norn_model::write::{Exemplar, MetricMetadata, MetricType};
use norn_model::{Labels, Matcher};
use norn_rpc::remote_write::encode;
use norn_rpc::wire;

use super::ha::store::MemoryHaStore;
use super::rules::HaRules;
use super::*;

const NOW_MS: i64 = 1_793_494_800_000;

/// Keeps what it is sent, and answers what it is told to.
#[derive(Default)]
struct Recorder {
    batches: Mutex<Vec<WriteBatch>>,
    answer: Mutex<Option<Error>>,
}

#[async_trait]
impl WriteClient for Recorder {
    async fn push(&self, _tenant: &TenantId, batch: Arc<WriteBatch>) -> Result<()> {
        self.batches.lock().push(WriteBatch::clone(&batch));
        self.answer.lock().take().map_or(Ok(()), Err)
    }
}

struct Setup {
    clock: Arc<ManualClock>,
    client: Arc<Recorder>,
    registry: prometheus_client::registry::Registry,
    distributor: Distributor,
}

impl Setup {
    fn new(change: impl FnOnce(&mut WriteRules)) -> Self {
        Self::with_settings(DistributorSettings { ha_enabled: true, ..DistributorSettings::default() }, change)
    }

    fn with_settings(settings: DistributorSettings, change: impl FnOnce(&mut WriteRules)) -> Self {
        let mut rules = WriteRules { exemplars: true, ..WriteRules::default() };
        change(&mut rules);
        let clock = ManualClock::at(NOW_MS);
        let client = Arc::new(Recorder::default());
        let mut registry = prometheus_client::registry::Registry::default();
        let distributor = Distributor::new(
            settings,
            Arc::new(rules),
            clock.clone(),
            SeededRandom::shared(1),
            Arc::new(MemoryHaStore::default()),
            client.clone(),
            DistributorMetrics::register(&mut registry),
        );
        Self { clock, client, registry, distributor }
    }

    async fn push(&self, body: &[u8]) -> PushOutcome {
        let tenant = TenantId::anonymous();
        self.distributor.push_remote_write(&tenant, Version::V1, body, PushOptions::default()).await
    }

    /// Status and text of the error, or nothing.
    async fn error(&self, body: &[u8]) -> Option<(u16, String)> {
        let error = self.push(body).await.result.err()?;
        Some((error.http_status(), error.message().to_owned()))
    }

    /// All series that were stored, as selectors with their values.
    fn stored(&self) -> Vec<String> {
        let mut stored = Vec::new();
        for batch in self.client.batches.lock().iter() {
            for series in batch.iter() {
                let values: Vec<_> = series.samples.iter().map(|sample| sample.value).collect();
                stored.push(format!("{:?} {values:?}", series.labels));
            }
        }
        stored
    }

    /// The value of a metric, given as it is printed.
    fn metric(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }
}

/// A request with one sample for each of these label sets.
fn request(series: &[&[(&str, &str)]]) -> Vec<u8> {
    let mut body = Vec::new();
    for labels in series {
        put_series(&mut body, labels, &[(NOW_MS, 1.0)]);
    }
    body
}

fn put_series(body: &mut Vec<u8>, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    wire::put_message(body, 1, |message| {
        for (name, value) in labels {
            wire::put_message(message, 1, |label| {
                wire::put_text(label, 1, name);
                wire::put_text(label, 2, value);
            });
        }
        for (timestamp_ms, value) in samples {
            wire::put_message(message, 2, |sample| {
                wire::put_double(sample, 1, *value);
                wire::put_uint(sample, 2, timestamp_ms.cast_unsigned());
            });
        }
    });
}

#[tokio::test]
async fn one_bad_series_does_not_sink_its_request() {
    let setup = Setup::new(|_| {});
    let body = request(&[
        &[("__name__", "good"), ("a", "1")],
        &[("a", "1")],
        &[("__name__", "bad-name")],
        &[("z", "1"), ("__name__", "unsorted"), ("e", "")],
        &[("e", "")],
        &[],
    ]);
    let error = setup.push(&body).await.result.unwrap_err();
    assert_eq!(error.message(), "received series has no metric name (err-mimir-missing-metric-name)");
    assert!(error.rest_accepted());
    let expected = [r#"{__name__="good", a="1"} [1.0]"#, r#"{__name__="unsorted", z="1"} [1.0]"#];
    assert_eq!(setup.stored(), expected);
    let discarded = |reason: &str| {
        setup.metric(&format!("cortex_discarded_samples_total{{group=\"\",reason=\"{reason}\",user=\"anonymous\"}}"))
    };
    assert_eq!(discarded("missing_metric_name").as_deref(), Some("1"));
    assert_eq!(discarded("metric_name_invalid").as_deref(), Some("1"));
    let counter = |name: &str| setup.metric(&format!("cortex_distributor_{name}{{user=\"anonymous\"}}"));
    assert_eq!(counter("samples_in_total").as_deref(), Some("6"));
    assert_eq!(counter("received_samples_total").as_deref(), Some("2"));
    assert_eq!(
        setup.metric("cortex_distributor_requests_in_total{user=\"anonymous\",version=\"1.0\"}").as_deref(),
        Some("1")
    );
    assert_eq!(counter("latest_seen_sample_timestamp_seconds").as_deref(), Some("1793494800.0"));
}

#[tokio::test]
async fn a_body_that_is_damaged_at_its_end_leaves_no_trace() {
    let setup = Setup::new(|_| {});
    let mut body = request(&[&[("__name__", "good")], &[("a", "1")]]);
    body.extend_from_slice(b"\x0a\x7f");
    assert_eq!(setup.error(&body).await, Some((400, "unexpected EOF".to_owned())));
    assert!(setup.stored().is_empty());
    assert_eq!(setup.metric("cortex_distributor_samples_in_total{user=\"anonymous\"}").as_deref(), Some("0"));
}

#[tokio::test]
async fn samples_outside_the_window_are_dropped_alone() {
    let setup = Setup::new(|rules| rules.past_max = Some(Duration::from_secs(3600)));
    let mut body = Vec::new();
    let times = [NOW_MS - 3_600_001, NOW_MS - 3_600_000, NOW_MS + 600_000, NOW_MS + 600_001];
    put_series(&mut body, &[("__name__", "m"), ("a", "b")], &times.map(|time| (time, 1.0)));
    let (status, message) = setup.error(&body).await.unwrap();
    assert_eq!(status, 400);
    assert_eq!(
        message,
        "received a sample whose timestamp is too far in the past, timestamp: 1793491199999 series: 'm' \
         (err-mimir-too-far-in-past). To adjust the related per-tenant limit, configure \
         -validation.past-grace-period, or contact your service administrator."
    );
    assert_eq!(setup.stored(), [r#"{__name__="m", a="b"} [1.0, 1.0]"#]);
}

#[tokio::test]
async fn of_equal_times_in_one_series_the_first_stays() {
    let setup = Setup::new(|_| {});
    let mut body = Vec::new();
    let times = [0, 0, -5, 1, -5];
    let samples: Vec<_> = times.iter().zip(1..).map(|(time, value)| (NOW_MS + time, f64::from(value))).collect();
    put_series(&mut body, &[("__name__", "m")], &samples);
    assert_eq!(setup.error(&body).await, None);
    assert_eq!(setup.stored(), [r#"{__name__="m"} [1.0, 3.0, 4.0]"#]);
    let metric = "cortex_discarded_samples_total{group=\"\",reason=\"sample_duplicate_timestamp\",user=\"anonymous\"}";
    assert_eq!(setup.metric(metric).as_deref(), Some("2"));
}

#[tokio::test]
async fn the_rate_refuses_whole_requests() {
    let setup = Setup::new(|rules| (rules.ingestion_rate, rules.ingestion_burst) = (2.0, 3));
    let two = request(&[&[("__name__", "a")], &[("__name__", "b")], &[]]);
    assert_eq!(setup.error(&two).await, None);
    let (status, message) = setup.error(&two).await.unwrap();
    assert!(status == 429 && message.contains("set to 2 items/s with a maximum allowed burst of 3."), "{message}");
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(setup.error(&two).await, None);
    assert_eq!(setup.stored().len(), 4);
    let metric = "cortex_discarded_samples_total{group=\"\",reason=\"rate_limited\",user=\"anonymous\"}";
    assert_eq!(setup.metric(metric).as_deref(), Some("2"));
}

#[tokio::test]
async fn several_distributors_share_the_rate_but_not_the_burst() {
    let setup = Setup::new(|rules| (rules.ingestion_rate, rules.ingestion_burst) = (4.0, 2));
    setup.distributor.set_healthy_distributors(4);
    let two = request(&[&[("__name__", "a")], &[("__name__", "b")]]);
    assert_eq!(setup.error(&two).await, None);
    setup.clock.advance(Duration::from_secs(1));
    assert!(setup.error(&two).await.is_some());
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(setup.error(&two).await, None);
}

#[tokio::test]
async fn requests_are_admitted_up_to_the_limits() {
    let settings =
        DistributorSettings { inflight_requests_max: 2, inflight_bytes_max: 10, ..DistributorSettings::default() };
    let setup = Setup::with_settings(settings, |rules| (rules.request_rate, rules.request_burst) = (1.0, 3));
    let tenant = TenantId::anonymous();
    let admit = || setup.distributor.admit(&tenant);
    let id = |result: Result<Admission<'_>>| result.map(drop).unwrap_err().id();

    let mut first = admit().unwrap();
    let second = admit().unwrap();
    assert_eq!(id(admit()), Some("err-mimir-distributor-max-inflight-push-requests"));
    first.add_bytes(10).unwrap();
    drop(second);
    let mut third = admit().unwrap();
    assert_eq!(third.add_bytes(1).unwrap_err().id(), Some("err-mimir-distributor-max-inflight-push-requests-bytes"));
    drop((first, third));
    assert_eq!(id(admit()), Some("err-mimir-tenant-max-request-rate"));
    setup.clock.advance(Duration::from_secs(1));
    assert!(admit().is_ok());
    setup.distributor.stop();
    assert_eq!(admit().unwrap_err().http_status(), 500);
    assert_eq!(setup.metric("cortex_distributor_inflight_push_requests").as_deref(), Some("0"));
    let rejected = "cortex_distributor_instance_rejected_requests_total\
                    {reason=\"distributor-max-inflight-push-requests\"}";
    assert_eq!(setup.metric(rejected).as_deref(), Some("1"));
}

#[tokio::test]
async fn the_process_refuses_what_is_above_its_rate() {
    let settings = DistributorSettings { ingestion_rate_max: 1.5, ..DistributorSettings::default() };
    let setup = Setup::with_settings(settings, |_| {});
    setup.push(&request(&[&[("__name__", "a")], &[("__name__", "b")]])).await.result.unwrap();
    setup.clock.advance(Duration::from_secs(1));
    let error = setup.distributor.admit(&TenantId::anonymous()).unwrap_err();
    assert_eq!(error.id(), Some("err-mimir-distributor-max-ingestion-rate"));
}

#[tokio::test]
async fn limits_of_the_process_may_be_replaced() {
    let setup = Setup::new(|_| {});
    let tenant = TenantId::anonymous();
    let held = setup.distributor.admit(&tenant).unwrap();
    let limits = DistributorInstanceLimits {
        max_ingestion_rate: 0.0,
        max_inflight_push_requests: 1,
        max_inflight_push_requests_bytes: 0,
    };
    setup.distributor.set_instance_limits(&limits);
    let error = setup.distributor.admit(&tenant).unwrap_err();
    assert_eq!(error.id(), Some("err-mimir-distributor-max-inflight-push-requests"));
    let shown = "cortex_distributor_instance_limits{limit=\"max_inflight_push_requests\"}";
    assert_eq!(setup.metric(shown).as_deref(), Some("1.0"));
    drop(held);
    assert!(setup.distributor.admit(&tenant).is_ok());
}

#[tokio::test]
async fn pairs_are_deduplicated_and_lose_their_replica_label() {
    let setup = Setup::new(|rules| rules.ha = Some(HaRules::default()));
    let sample = |replica| {
        request(&[
            &[("__name__", "m"), ("__replica__", replica), ("cluster", "c")],
            &[("__name__", "n"), ("__replica__", replica)],
        ])
    };
    assert_eq!(setup.error(&sample("a")).await, None);
    let outcome = setup.push(&sample("b")).await;
    assert_eq!(outcome.received.samples, 2);
    let error = outcome.result.unwrap_err();
    let expected = "replicas did not match, rejecting sample: replica=b, elected=a";
    assert_eq!((error.http_status(), error.message()), (202, expected));
    assert_eq!(setup.stored(), [r#"{__name__="m", cluster="c"} [1.0]"#, r#"{__name__="n"} [1.0]"#]);
    let deduped = "cortex_distributor_deduped_samples_total{user=\"anonymous\",cluster=\"c\"}";
    assert_eq!(setup.metric(deduped).as_deref(), Some("2"));

    // Without the labels of a pair there is nothing to deduplicate, and nothing is stripped.
    assert_eq!(setup.error(&request(&[&[("__name__", "m"), ("__replica__", "b")]])).await, None);
    assert_eq!(setup.stored().last().unwrap(), r#"{__name__="m", __replica__="b"} [1.0]"#);
    let non_ha = "cortex_distributor_non_ha_samples_received_total{user=\"anonymous\"}";
    assert_eq!(setup.metric(non_ha).as_deref(), Some("1"));
}

#[tokio::test]
async fn labels_are_dropped_and_shortened() {
    let setup = Setup::new(|rules| {
        rules.drop_labels = vec!["secret".to_owned()];
        rules.label_value_strategy = LabelValueStrategy::Truncate;
        rules.label_value_bytes_max = 72;
    });
    let long = "x".repeat(100);
    let body = request(&[&[("secret", "s"), ("__name__", "m"), ("a", &long)], &[("secret", "s")]]);
    assert_eq!(setup.error(&body).await, None);
    let hash = "(hash:58f49f86224fc9467549c0954fb0b9dc706e6728023bb7bd88b7958cf2115ac8)";
    assert_eq!(setup.stored(), [format!(r#"{{__name__="m", a="x{hash}"}} [1.0]"#)]);
}

#[tokio::test]
async fn exemplars_are_kept_with_their_series() {
    let mut batch = WriteBatch::default();
    let labels = Labels::from_pairs([("__name__", "m")]);
    let mut writer = batch.push_series(labels.as_ref(), 0);
    writer.sample(Sample { timestamp_ms: NOW_MS, value: 1.0 });
    for age_ms in [0, 300_000, 300_001, -600_001] {
        let labels = Labels::from_pairs([("trace_id", "1")]);
        writer.exemplar(Exemplar { timestamp_ms: NOW_MS - age_ms, value: 1.0, labels });
    }
    let body = encode::encode(&batch);
    let kept = async |setup: &Setup| {
        setup.push(&body).await.result.unwrap();
        let batches = setup.client.batches.lock();
        batches[0].series(0).exemplars.iter().map(|exemplar| NOW_MS - exemplar.timestamp_ms).collect::<Vec<_>>()
    };
    let setup = Setup::new(|_| {});
    assert_eq!(kept(&setup).await, [0, 300_000]);
    let discarded = |reason: &str| {
        setup.metric(&format!("cortex_discarded_exemplars_total{{reason=\"{reason}\",user=\"anonymous\"}}"))
    };
    assert_eq!(discarded("exemplar_too_old").as_deref(), Some("1"));
    assert_eq!(discarded("exemplar_too_far_in_future").as_deref(), Some("1"));
    assert_eq!(kept(&Setup::new(|rules| rules.series_exemplars_max = 1)).await, [0]);
    assert_eq!(kept(&Setup::new(|rules| rules.exemplars = false)).await, Vec::<i64>::new());
}

#[tokio::test]
async fn metadata_is_checked_and_cut() {
    let setup = Setup::new(|rules| rules.metadata_bytes_max = 5);
    let mut batch = WriteBatch::default();
    for (family, help) in [("short", "ääää"), ("longer", ""), ("", "x")] {
        let (family, help) = (family.to_owned(), help.to_owned());
        batch.metadata.push(MetricMetadata { family, metric_type: MetricType::Gauge, help, unit: String::new() });
    }
    let (status, message) = setup.error(&encode::encode(&batch)).await.unwrap();
    assert_eq!(status, 400);
    assert_eq!(
        message,
        "received a metric metadata whose metric name length exceeds the limit, metric name: 'longer' \
         (err-mimir-metric-name-too-long). To adjust the related per-tenant limit, configure \
         -validation.max-metadata-length, or contact your service administrator."
    );
    let batches = setup.client.batches.lock();
    let stored: Vec<_> = batches[0].metadata.iter().map(|metadata| (&*metadata.family, &*metadata.help)).collect();
    assert_eq!(stored, [("short", "ää")]);
}

#[tokio::test]
async fn what_the_ingesters_refuse_is_told_apart() {
    let setup = Setup::new(|_| {});
    let refused = Error::bad_request("out of order").with_rest_accepted();
    *setup.client.answer.lock() = Some(refused);
    let outcome = setup.push(&request(&[&[("__name__", "m")], &[("a", "1")]])).await;
    assert!(outcome.refused_by_ingester);
    assert_eq!(outcome.result.unwrap_err().message(), "out of order");

    *setup.client.answer.lock() = Some(Error::unavailable("no ingester"));
    let outcome = setup.push(&request(&[&[("__name__", "m")]])).await;
    assert!(!outcome.refused_by_ingester);
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn batches_have_ids_that_count_up() {
    let setup = Setup::new(|_| {});
    for _ in 0..3 {
        setup.push(&request(&[&[("__name__", "m")]])).await.result.unwrap();
        setup.push(&request(&[])).await.result.unwrap();
    }
    let batches = setup.client.batches.lock();
    let sequences: Vec<_> = batches.iter().map(|batch| batch.id.sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
    assert_eq!(batches[0].id.incarnation, batches[2].id.incarnation);
}

#[tokio::test]
async fn own_batches_are_taken_and_counted() {
    let setup = Setup::new(|_| {});
    let mut batch = WriteBatch::default();
    for name in ["a", "b"] {
        let mut writer = batch.push_pairs(&[("__name__", name)], 0);
        writer.sample(Sample { timestamp_ms: NOW_MS, value: 2.0 });
    }
    let options = PushOptions { by_rule: true, ..PushOptions::default() };
    setup.distributor.push_batch(&TenantId::anonymous(), &batch, options).await.result.unwrap();
    assert_eq!(setup.stored().len(), 2);
    setup.clock.advance(Duration::from_secs(15));
    let stats = setup.distributor.tenant_stats();
    let expected = TenantStats { samples: 2, api_samples_per_second: 0.0, rule_samples_per_second: 2.0 / 15.0 };
    assert_eq!(stats, [(TenantId::anonymous(), expected)]);
}

#[tokio::test]
async fn validation_is_skipped_only_on_request() {
    let setup = Setup::new(|rules| rules.labels_max = 1);
    let mut body = request(&[&[("__name__", "m"), ("bad-label", "1")]]);
    let push = async |body: &[u8], may| {
        let options = PushOptions { may_skip_label_names: may, may_skip_label_count: may, by_rule: false };
        let tenant = TenantId::anonymous();
        setup.distributor.push_remote_write(&tenant, Version::V1, body, options).await.result.is_ok()
    };
    assert!(!push(&body, true).await);
    wire::put_uint(&mut body, 1000, 1);
    wire::put_uint(&mut body, 1001, 1);
    assert!(push(&body, true).await);
    assert!(!push(&body, false).await);
}

#[tokio::test]
async fn otlp_stores_what_it_can_translate() {
    let setup = Setup::new(|_| {});
    let json = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a.b","gauge":{"dataPoints":[{"timeUnixNano":"1793494800000000000","asDouble":3}]}},
        {"name":"","gauge":{"dataPoints":[{"asDouble":3},{"asDouble":4}]}}]}]}]}"#;
    let request = norn_rpc::otlp::json::decode(json.as_bytes()).unwrap();
    let outcome = setup.distributor.push_otlp(&TenantId::anonymous(), &request).await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.message(), "otlp parse error: normalization for metric \"\" resulted in empty name");
    assert_eq!(setup.stored(), [r#"{__name__="a_b"} [3.0]"#]);
    let metric = "cortex_discarded_samples_total{group=\"\",reason=\"otlp_parse_error\",user=\"anonymous\"}";
    assert_eq!(setup.metric(metric).as_deref(), Some("2"));
    let matcher = Matcher::equal("__name__", "a_b");
    assert!(matcher.matches_labels(setup.client.batches.lock()[0].series(0).labels));
}
