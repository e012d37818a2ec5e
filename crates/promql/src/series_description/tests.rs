use super::*;

/// The values in a short form: `_`, floats as Rust prints them, histograms as `h(count,sum)`.
fn values(text: &str) -> String {
    let series = match parse_series_description(text) {
        Ok(series) => series,
        Err(error) => return error.to_string().replace(" parse error:", ""),
    };
    let mut shown = Vec::new();
    for value in series.values {
        shown.push(match value {
            SequenceValue::Omitted => "_".to_owned(),
            SequenceValue::Float(value) if norn_model::sample::is_stale(value) => "stale".to_owned(),
            SequenceValue::Float(value) => value.to_string(),
            SequenceValue::Histogram(histogram) => format!("h({},{})", histogram.count, histogram.sum),
        });
    }
    shown.join(" ")
}

#[test]
fn label_sets() {
    let check = |text: &str, expected: &str| {
        assert_eq!(format!("{:?}", parse_metric(text).unwrap()), expected);
    };
    check("up", r#"{__name__="up"}"#);
    check("a:b{x='1',y=\"2\",}", r#"{__name__="a:b", x="1", y="2"}"#);
    check("{}", "{}");
    check(r#"{"utf8.name", "l.x"="v"}"#, r#"{__name__="utf8.name", l.x="v"}"#);
    assert!(parse_metric("up{a!=\"b\"}").is_err());
    assert!(parse_metric("up 1").is_err());
}

#[test]
fn floats() {
    let check = |text: &str, expected: &str| assert_eq!(values(&format!("m {text}")), expected, "{text}");
    check("", "");
    check("1 -1.5e3 +2 .5 NaN Inf -Inf", "1 -1500 2 0.5 NaN inf -inf");
    check("_ stale _x2 1", "_ stale _ _ 1");
    check("1x2", "1 1 1");
    check("0x3", "0 0 0 0");
    check("1+2x3", "1 3 5 7");
    check("10-5x2\t-2-1x1", "10 5 0 -2 -3");
    check("010", "8");
    check("1e3x1", "1000 1000");
    check("1+2", "1:6: expected \"x\" and how often");
    check("1x", "1:5: invalid repetition in series values: \"\"");
    check("1x99999999", "1:13: invalid repetition in series values: \"99999999\"");
    check("foo", "1:3: error parsing number: strconv.ParseFloat: parsing \"foo\": invalid syntax");
    check("1_", "1:3: error parsing number: strconv.ParseFloat: parsing \"1_\": invalid syntax");
}

#[test]
fn histograms() {
    let check = |text: &str, expected: &str| assert_eq!(values(&format!("m{{}} {text}")), expected, "{text}");
    check("{{}}", "h(0,0)");
    check("{{ count:2 sum:-1.5 }} {{count:1}}x1", "h(2,-1.5) h(1,0) h(1,0)");
    check("{{count:1 sum:1}}+{{count:2 sum:3}}x2", "h(1,1) h(3,4) h(5,7)");
    check("{{count:5 sum:5}}-{{count:1 sum:2}}x1", "h(5,5) h(4,3)");
    check("{{schema:1}}+{{schema:0}}x1", "1:32: error combining histograms: cannot merge from schema 0 to 1");
    check("{{sum:1 sum:2}}", "1:16: duplicate key \"sum\" in histogram");
    check("{{foo:1}}", "1:11: bad histogram descriptor found: \"foo\"");
    check("{{sum}}", "1:10: bad histogram descriptor found: \"sum\"");

    let text = "m {{schema:2 z_bucket:1 z_bucket_w:0.5 buckets:[5 1.5] offset:-3 n_buckets:[1] n_offset:2 \
                custom_values:[1 2] counter_reset_hint:gauge}}";
    let series = parse_series_description(text).unwrap();
    assert!(series.names_reset_hint);
    let [SequenceValue::Histogram(histogram)] = &series.values[..] else { panic!("one histogram") };
    assert_eq!(format!("{:?}", histogram.positive_spans), "[Span { offset: -3, length: 2 }]");
    assert_eq!(format!("{:?}", histogram.negative_spans), "[Span { offset: 2, length: 1 }]");
    assert_eq!(histogram.positive_buckets, [5.0, 1.5]);
    assert_eq!(histogram.negative_buckets, [1.0]);
    assert_eq!(&histogram.custom_values[..], [1.0, 2.0]);
    assert_eq!((histogram.schema, histogram.zero_count, histogram.zero_threshold), (2, 1.0, 0.5));
    assert_eq!(histogram.reset_hint, norn_model::histogram::ResetHint::Gauge);
}
