use proptest::prelude::*;

use super::*;
use crate::wire;

fn text<'a>(value: &str) -> AnyValue<'a> {
    AnyValue::Text(Cow::Owned(value.to_owned()))
}

fn key_value<'a>(key: &str, value: AnyValue<'a>) -> KeyValue<'a> {
    KeyValue { key: Cow::Owned(key.to_owned()), value }
}

/// A request that uses every message, as JSON.
const JSON: &str = r#"{"resourceMetrics": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}], "unknown": [1]},
    "scopeMetrics": [{"scope": {"name": "n", "version": "v"}, "schemaUrl": "u", "metrics": [
        {"name": "g", "unit": "By", "description": "d", "gauge": {"dataPoints": [
            {"timeUnixNano": "1793493000000999999", "asDouble": 1.5, "flags": 1,
             "exemplars": [{"timeUnixNano": 5, "asInt": "-7", "traceId": "0aFf", "spanId": null}]}]}},
        {"name": "s", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "isMonotonic": true,
            "dataPoints": [{"asInt": -3}]}},
        {"name": "h", "histogram": {"aggregation_temporality": 2, "data_points": [
            {"count": "3", "sum": "NaN", "bucketCounts": ["1", 2], "explicitBounds": [0.5]}]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {"count": 3, "scale": -1, "zeroCount": "1", "positive": {"offset": 2, "bucketCounts": [2]}}]}},
        {"name": "q", "summary": {"dataPoints": [{"quantileValues": [{"quantile": 0.5, "value": "Infinity"}]}]}}
    ]}]}]}"#;

fn expected_metrics<'a>() -> Vec<Metric<'a>> {
    let named = |name: &str| Metric { name: Cow::Owned(name.to_owned()), ..Metric::default() };
    let exemplar =
        Exemplar { time_unix_nano: 5, as_int: Some(-7), trace_id: Cow::Owned(vec![0x0a, 0xff]), ..Exemplar::default() };
    let number = NumberPoint {
        time_unix_nano: 1_793_493_000_000_999_999,
        as_double: Some(1.5),
        flags: 1,
        exemplars: vec![exemplar],
        ..NumberPoint::default()
    };
    let integer = NumberPoint { as_int: Some(-3), ..NumberPoint::default() };
    let explicit = ExplicitPoint {
        count: 3,
        sum: Some(f64::INFINITY),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..ExplicitPoint::default()
    };
    let exponential = ExponentialPoint {
        count: 3,
        scale: -1,
        zero_count: 1,
        positive: Buckets { offset: 2, bucket_counts: vec![2] },
        ..ExponentialPoint::default()
    };
    let quantile_values = vec![QuantileValue { quantile: 0.5, value: f64::INFINITY }];
    let cumulative = Temporality::Cumulative;
    vec![
        Metric {
            unit: "By".into(),
            description: "d".into(),
            gauge: Some(Gauge { data_points: vec![number] }),
            ..named("g")
        },
        Metric {
            sum: Some(Sum { data_points: vec![integer], temporality: Temporality::Delta, is_monotonic: true }),
            ..named("s")
        },
        Metric {
            histogram: Some(ExplicitHistogram { data_points: vec![explicit], temporality: cumulative }),
            ..named("h")
        },
        Metric {
            exponential_histogram: Some(ExponentialHistogram {
                data_points: vec![exponential],
                temporality: cumulative,
            }),
            ..named("e")
        },
        Metric {
            summary: Some(Summary { data_points: vec![SummaryPoint { quantile_values, ..SummaryPoint::default() }] }),
            ..named("q")
        },
    ]
}

#[test]
fn json_is_read() {
    // NaN is not equal to itself.
    let body = JSON.replace("\"NaN\"", "\"Infinity\"");
    let request = json::decode(body.as_bytes()).unwrap();
    let resource = &request.resource_metrics[0];
    assert_eq!(resource.resource.attributes, [key_value("service.name", text("s"))]);
    let scope = &resource.scope_metrics[0];
    assert_eq!((&*scope.scope.name, &*scope.scope.version, &*scope.schema_url), ("n", "v", "u"));
    assert_eq!(scope.metrics, expected_metrics());
    let with_nan = json::decode(JSON.as_bytes()).unwrap();
    let histogram = with_nan.resource_metrics[0].scope_metrics[0].metrics[2].histogram.clone();
    assert!(histogram.unwrap().data_points[0].sum.unwrap().is_nan());
}

#[test]
fn values_of_attributes_are_read_from_json() {
    let check = |value: &str, expected: AnyValue<'_>| {
        let json =
            format!(r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}"#);
        let request = json::decode(json.as_bytes()).unwrap();
        assert_eq!(request.resource_metrics[0].resource.attributes[0].value, expected, "{value}");
    };
    check(r#"{"stringValue":"x"}"#, text("x"));
    check(r#"{"boolValue":false}"#, AnyValue::Bool(false));
    check(r#"{"intValue":"-5"}"#, AnyValue::Int(-5));
    check(r#"{"int_value":5}"#, AnyValue::Int(5));
    check(r#"{"doubleValue":"-Infinity"}"#, AnyValue::Double(f64::NEG_INFINITY));
    check(r#"{"bytesValue":"AQI="}"#, AnyValue::Bytes(Cow::Borrowed(&[1, 2])));
    check(r#"{"arrayValue":{}}"#, AnyValue::List(vec![]));
    check(
        r#"{"arrayValue":{"values":[{"intValue":1},null]}}"#,
        AnyValue::List(vec![AnyValue::Int(1), AnyValue::Empty]),
    );
    let map = AnyValue::Map(vec![key_value("n", AnyValue::Bool(true))]);
    check(r#"{"kvlistValue":{"values":[{"key":"n","value":{"boolValue":true}}]}}"#, map);
    check("{}", AnyValue::Empty);
    check("null", AnyValue::Empty);
}

#[test]
fn what_is_not_there_may_be_null() {
    let check = |json: &str| assert!(json::decode(json.as_bytes()).is_ok(), "{json}");
    check("{}");
    check(r#"{"resourceMetrics":null,"nonsense":1}"#);
    check(r#"{"resourceMetrics":[{"resource":null,"scopeMetrics":[{"scope":null,"metrics":[{"sum":null}]}]}]}"#);
    check(r#"{"resource_metrics":[{"scope_metrics":[{"metrics":[{"sum":{"dataPoints":[{"asInt":null}]}}]}]}]}"#);
}

#[test]
fn wrong_json_is_refused() {
    let point = |point: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}}"#
        )
    };
    let check = |json: &str| assert!(json::decode(json.as_bytes()).is_err(), "{json}");
    check("{");
    check(&point(r#"{"timeUnixNano":"-1"}"#));
    check(&point(r#"{"timeUnixNano":1.5}"#));
    check(&point(r#"{"asDouble":"one"}"#));
    check(&point(r#"{"exemplars":[{"traceId":"0af"}]}"#));
}

/// Writes a request of which the wire decoder has to read the same as the JSON decoder from [`JSON`].
fn metrics_on_the_wire() -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_message(&mut body, 1, |resource_metrics| {
        wire::put_message(resource_metrics, 2, |scope| {
            wire::put_message(scope, 1, |scope| wire::put_text(scope, 1, "n"));
            for metric in expected_metrics() {
                wire::put_message(scope, 2, |into| put_metric(into, &metric));
            }
        });
    });
    body
}

fn put_metric(into: &mut Vec<u8>, metric: &Metric<'_>) {
    wire::put_text(into, 1, &metric.name);
    wire::put_text(into, 2, &metric.description);
    wire::put_text(into, 3, &metric.unit);
    let fixed64 = |into: &mut Vec<u8>, number, value: u64| wire::put_double(into, number, f64::from_bits(value));
    if metric.gauge.is_some() {
        wire::put_message(into, 5, |gauge| {
            wire::put_message(gauge, 1, |point| {
                fixed64(point, 3, 1_793_493_000_000_999_999);
                wire::put_double(point, 4, 1.5);
                wire::put_uint(point, 8, 1);
                wire::put_message(point, 5, |exemplar| {
                    fixed64(exemplar, 2, 5);
                    wire::put_bytes(exemplar, 5, &[0x0a, 0xff]);
                    fixed64(exemplar, 6, (-7i64).cast_unsigned());
                });
            });
        });
    }
    if metric.sum.is_some() {
        wire::put_message(into, 7, |sum| {
            wire::put_message(sum, 1, |point| fixed64(point, 6, (-3i64).cast_unsigned()));
            wire::put_uint(sum, 2, 1);
            wire::put_uint(sum, 3, 1);
        });
    }
    if metric.histogram.is_some() {
        wire::put_message(into, 9, |histogram| {
            wire::put_message(histogram, 1, |point| {
                fixed64(point, 4, 3);
                wire::put_double(point, 5, f64::INFINITY);
                wire::put_packed_doubles(point, 6, &[f64::from_bits(1), f64::from_bits(2)]);
                wire::put_double(point, 7, 0.5);
            });
            wire::put_uint(histogram, 2, 2);
        });
    }
    if metric.exponential_histogram.is_some() {
        wire::put_message(into, 10, |histogram| {
            wire::put_message(histogram, 1, |point| {
                fixed64(point, 4, 3);
                wire::put_uint(point, 6, wire::zigzag(-1));
                fixed64(point, 7, 1);
                wire::put_message(point, 8, |buckets| {
                    wire::put_uint(buckets, 1, wire::zigzag(2));
                    wire::put_packed_varints(buckets, 2, [2].into_iter());
                });
            });
            wire::put_uint(histogram, 2, 2);
        });
    }
    if metric.summary.is_some() {
        wire::put_message(into, 11, |summary| {
            wire::put_message(summary, 1, |point| {
                wire::put_message(point, 6, |quantile| {
                    wire::put_double(quantile, 1, 0.5);
                    wire::put_double(quantile, 2, f64::INFINITY);
                });
            });
        });
    }
}

#[test]
fn the_wire_format_says_what_json_says() {
    let body = metrics_on_the_wire();
    let request = protobuf::decode(&body).unwrap();
    assert_eq!(request.resource_metrics[0].scope_metrics[0].metrics, expected_metrics());
}

/// A resource with one attribute, whose value is in `depth` lists.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = Vec::new();
    wire::put_text(&mut value, 1, "x");
    for _ in 0..depth {
        let mut list = Vec::new();
        wire::put_message(&mut list, 5, |values| wire::put_bytes(values, 1, &value));
        value = list;
    }
    let mut body = Vec::new();
    wire::put_message(&mut body, 1, |resource_metrics| {
        wire::put_message(resource_metrics, 1, |resource| {
            wire::put_message(resource, 1, |pair| wire::put_bytes(pair, 2, &value));
        });
    });
    body
}

#[test]
fn values_nest_only_so_deep() {
    assert!(protobuf::decode(&nested(60)).is_ok());
    assert_eq!(protobuf::decode(&nested(10_000)), Err(wire::WireError::TooDeep));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = protobuf::decode(&body);
        let _ = json::decode(&body);
    }

    #[test]
    fn no_damage_makes_the_decoders_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = metrics_on_the_wire();
        let index = at.index(body.len());
        body[index] = byte;
        let _ = protobuf::decode(&body);
        let mut body = JSON.as_bytes().to_vec();
        let index = at.index(body.len());
        body[index] = byte;
        let _ = json::decode(&body);
    }
}
