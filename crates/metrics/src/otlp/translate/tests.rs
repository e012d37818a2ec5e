use std::ops::ControlFlow;

use norn_rpc::otlp::json;
use serde_json::{Value, json};

use super::*;

/// All that a translation shows, in readable form and in order.
#[derive(Default)]
struct Shown {
    series: Vec<String>,
    metadata: Vec<String>,
}

impl<'a> WriteVisitor<'a> for Shown {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut line = labels.join(",");
        for sample in &series.samples {
            line += &format!(" {}@{}", sample.value, sample.timestamp_ms);
        }
        for histogram in &series.histograms {
            line += &format!(" histogram@{}", histogram.timestamp_ms);
        }
        for exemplar in &series.exemplars {
            let pairs = series.exemplar_labels[exemplar.labels.clone()].iter();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pairs: Vec<_> = pairs.map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
            line += &format!(" #{}@{} {}", exemplar.value, exemplar.timestamp_ms, pairs.join(","));
        }
        if series.created_ms != 0 {
            line += &format!(" since {}", series.created_ms);
        }
        self.series.push(line);
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, metadata: DecodedMetadata<'a>) {
        let DecodedMetadata { family, metric_type, help, unit } = metadata;
        self.metadata.push(format!("{family} {metric_type:?} {help} {unit}"));
    }
}

/// A request of these metrics of one scope, of a resource with these attributes.
fn request(attributes: &Value, metrics: Value) -> String {
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "1.2", "attributes": attributes_of(&[("scope.attr", "s")])},
            "metrics": metrics,
        }],
    }]})
    .to_string()
}

fn attributes_of(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn translated(body: &str, rules: &TranslationRules) -> (Shown, Option<String>) {
    let request = json::decode(body.as_bytes()).unwrap();
    let translated = translate(&request, rules);
    let mut shown = Shown::default();
    translated.series.show(&mut shown).unwrap();
    (shown, translated.first_error)
}

fn check(metrics: Value, rules: &TranslationRules, expected: &[&str]) {
    let (shown, error) = translated(&request(&json!([]), metrics), rules);
    assert_eq!((shown.series, error), (expected.iter().map(|line| line.to_string()).collect(), None));
}

const T: &str = "1793493000000999999";

#[test]
fn gauges_and_sums_are_series() {
    let rules = TranslationRules { keep_start_time: true, ..TranslationRules::default() };
    let point = json!({"timeUnixNano": T, "asInt": "5", "startTimeUnixNano": "7000000", "exemplars": [
        {"timeUnixNano": "1000000", "asDouble": 0.5, "traceId": "0aff", "spanId": "00",
         "filteredAttributes": attributes_of(&[("user.id", "u")])}]});
    check(json!([{"name": "a.b", "gauge": {"dataPoints": [point]}}]), &rules, &["__name__=a_b 5@1793493000000"]);
    let sum = |is_monotonic| json!([{"name": "s", "sum": {"aggregationTemporality": 2, "isMonotonic": is_monotonic, "dataPoints": [point]}}]);
    let exemplar = "#0.5@1 trace_id=0aff,user.id=u";
    check(sum(true), &rules, &[&format!("__name__=s 5@1793493000000 {exemplar} since 7")]);
    check(sum(false), &rules, &[&format!("__name__=s 5@1793493000000 {exemplar}")]);
    let default = TranslationRules::default();
    check(sum(true), &default, &[&format!("__name__=s 5@1793493000000 {exemplar}")]);
}

#[test]
fn points_with_equal_labels_are_samples_of_one_series() {
    let point = |nanos: u64, host: &str, value: f64| json!({"timeUnixNano": nanos.to_string(), "asDouble": value, "attributes": attributes_of(&[("host", host)])});
    let points = json!([point(1_000_000, "a", 1.0), point(1_000_000, "b", 2.0), point(2_000_000, "a", 3.0)]);
    let expected = ["__name__=g,host=a 1@1 3@2", "__name__=g,host=b 2@1"];
    check(json!([{"name": "g", "gauge": {"dataPoints": points}}]), &TranslationRules::default(), &expected);
}

#[test]
fn a_point_without_a_value_is_stale() {
    let metrics = json!([{"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": T, "flags": 1}]}}]);
    let (shown, _) = translated(&request(&json!([]), metrics), &TranslationRules::default());
    assert_eq!(shown.series, ["__name__=g NaN@1793493000000"]);
}

#[test]
fn explicit_histograms_are_classic_or_native() {
    let point = json!({"timeUnixNano": T, "count": "9", "sum": 2.5, "bucketCounts": ["1", "4", "4"],
        "explicitBounds": [0.1, 5], "exemplars": [{"timeUnixNano": "1000000", "asDouble": 5.0, "traceId": "01"}]});
    let metrics = json!([{"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}]);
    let expected = [
        "__name__=h_sum 2.5@1793493000000",
        "__name__=h_count 9@1793493000000",
        "__name__=h_bucket,le=0.1 1@1793493000000",
        "__name__=h_bucket,le=5 5@1793493000000 #5@1 trace_id=01",
        "__name__=h_bucket,le=+Inf 9@1793493000000",
    ];
    check(metrics.clone(), &TranslationRules::default(), &expected);
    let native = TranslationRules { custom_buckets: true, ..TranslationRules::default() };
    check(metrics, &native, &["__name__=h histogram@1793493000000 #5@1 trace_id=01"]);

    let bare = json!({"timeUnixNano": T, "count": 3});
    let metrics = json!([{"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [bare]}}]);
    let expected = ["__name__=h_count 3@1793493000000", "__name__=h_bucket,le=+Inf 3@1793493000000"];
    check(metrics, &TranslationRules::default(), &expected);
}

#[test]
fn summaries_are_quantiles_sum_and_count() {
    let point = json!({"timeUnixNano": T, "count": 4, "sum": 8, "quantileValues": [{"quantile": 0.99, "value": 7.25}]});
    let expected = [
        "__name__=q_sum 8@1793493000000",
        "__name__=q_count 4@1793493000000",
        "__name__=q,quantile=0.99 7.25@1793493000000",
    ];
    check(json!([{"name": "q", "summary": {"dataPoints": [point]}}]), &TranslationRules::default(), &expected);
}

const SERVICE: [(&str, &str); 5] = [
    ("service.name", "checkout"),
    ("service.namespace", "shop"),
    ("service.instance.id", "i-1"),
    ("host.name", "node"),
    ("deployment.environment", "prod"),
];

fn gauge_at(seconds: &[u64]) -> Value {
    let point = |second: &u64| {
        json!({"timeUnixNano": (second * 1_000_000_000).to_string(), "asDouble": 1,
        "attributes": attributes_of(&[("host.name", "mine"), ("job", "other"), ("a-b", "2"), ("a.b", "1")])})
    };
    json!([{"name": "g", "gauge": {"dataPoints": seconds.iter().map(point).collect::<Value>()}}])
}

#[test]
fn resources_name_the_target() {
    let (shown, _) = translated(&request(&attributes_of(&SERVICE), gauge_at(&[0, 420])), &TranslationRules::default());
    let expected = [
        "__name__=g,a_b=2;1,host_name=mine,instance=i-1,job=shop/checkout 1@0 1@420000",
        "__name__=target_info,deployment_environment=prod,host_name=node,instance=i-1,job=shop/checkout \
         1@0 1@150000 1@300000 1@420000",
    ];
    assert_eq!(shown.series, expected);
}

#[test]
fn resource_and_scope_become_labels_where_the_tenant_wants_them() {
    let rules = TranslationRules {
        promoted_attributes: ["host.name", "deployment.environment", "service.name"].map(str::to_owned).to_vec(),
        keep_identifying_attributes: true,
        promote_scope: true,
        ..TranslationRules::default()
    };
    let (shown, _) = translated(&request(&attributes_of(&SERVICE), gauge_at(&[0])), &rules);
    let expected = [
        "__name__=g,a_b=2;1,deployment_environment=prod,host_name=mine,instance=i-1,job=shop/checkout,\
         otel_scope_name=lib,otel_scope_schema_url=,otel_scope_scope_attr=s,otel_scope_version=1.2,\
         service_name=checkout 1@0",
        "__name__=target_info,deployment_environment=prod,host_name=node,instance=i-1,job=shop/checkout,\
         service_instance_id=i-1,service_name=checkout,service_namespace=shop 1@0",
    ];
    assert_eq!(shown.series, expected);
}

#[test]
fn target_info_is_left_out_where_it_says_nothing() {
    let check = |attributes: &[(&str, &str)], expected| {
        let body = request(&attributes_of(attributes), gauge_at(&[1]));
        let (shown, _) = translated(&body, &TranslationRules::default());
        assert_eq!(shown.series.len() - 1, expected, "{attributes:?}");
    };
    check(&SERVICE, 1);
    check(&SERVICE[..3], 0);
    check(&SERVICE[3..], 0);
    check(&[], 0);
}

#[test]
fn target_info_of_a_wide_request_is_bounded() {
    let body = request(&attributes_of(&SERVICE), gauge_at(&[0, 1_793_493_000]));
    let (shown, _) = translated(&body, &TranslationRules::default());
    assert_eq!(shown.series[1].matches(" 1@").count(), TARGET_INFO_SAMPLES_MAX + 1);
    assert!(shown.series[1].ends_with("1@1793493000000"));
}

#[test]
fn what_cannot_be_translated_is_named() {
    let check = |metric: Value, rules: &TranslationRules, expected: Option<&str>| {
        let good = json!({"name": "good", "gauge": {"dataPoints": [{"timeUnixNano": T}]}});
        let (shown, error) = translated(&request(&json!([]), json!([metric, good])), rules);
        assert_eq!(error.as_deref(), expected);
        assert!(shown.series.contains(&"__name__=good 0@1793493000000".to_owned()));
    };
    let default = TranslationRules::default();
    let delta_allowed = TranslationRules { accept_delta: true, ..TranslationRules::default() };
    let delta = json!({"name": "delta.requests", "sum": {"aggregationTemporality": 1, "dataPoints": [{}]}});
    let message = "invalid temporality and type combination for metric \"delta.requests\"";
    check(delta.clone(), &default, Some(message));
    check(delta, &delta_allowed, None);
    let unspecified = json!({"name": "x", "sum": {"dataPoints": [{}]}});
    let message = "invalid temporality and type combination for metric \"x\"";
    check(unspecified, &delta_allowed, Some(message));
    let nothing = json!({"name": "otlp.nodata"});
    let message = "could not get aggregation temporality for otlp.nodata as it has unsupported metric type Empty";
    check(nothing, &default, Some(message));
    let empty = json!({"name": "x.y", "gauge": {}});
    check(empty, &default, Some("empty data points. x.y is dropped"));
    let coarse =
        json!({"name": "x", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{"scale": -10}]}});
    let message = "cannot convert exponential to native histogram. Scale must be >= -4, was -10";
    check(coarse, &default, Some(message));
}

#[test]
fn families_have_metadata() {
    let metrics = json!([
        {"name": "g", "unit": "By", "description": "d", "gauge": {"dataPoints": [{}]}},
        {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{}]}},
        {"name": "u", "sum": {"aggregationTemporality": 2, "dataPoints": [{}]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{}]}},
        {"name": "q", "summary": {"dataPoints": [{}]}},
    ]);
    let (shown, _) = translated(&request(&json!([]), metrics), &TranslationRules::default());
    assert_eq!(shown.metadata, ["g Gauge d bytes", "c Counter  ", "u Gauge  ", "e Histogram  ", "q Summary  "]);
}
