use super::*;

fn rules() -> WriteRules {
    WriteRules {
        labels_max: 3,
        info_labels_max: 4,
        label_name_bytes_max: 10,
        label_value_bytes_max: 12,
        ..WriteRules::default()
    }
}

/// The message for these labels, sorted as they would be, under `rules` or variants of them; empty if they are fine.
fn message(labels: &[(&str, &str)], rules: &WriteRules, is_otlp: bool) -> String {
    let mut labels = labels.to_vec();
    labels.sort_by_key(|label| label.0);
    let check = LabelCheck { rules, skip_names: false, skip_count: false, is_otlp };
    match check.check(&labels) {
        Ok(()) => String::new(),
        Err(violation) => check.error(violation, &labels).message().to_owned(),
    }
}

fn with_flag(message: &str, flag: &str) -> String {
    format!(
        "{message}. To adjust the related per-tenant limit, configure -{flag}, or contact your service administrator."
    )
}

#[test]
fn errors_are_the_originals() {
    let check = |labels: &[(&str, &str)], expected: &str| assert_eq!(message(labels, &rules(), false), expected);
    check(&[("__name__", "ok"), ("a", "b")], "");
    check(&[], "received series has no metric name (err-mimir-missing-metric-name)");
    check(&[("a", "b")], "received series has no metric name (err-mimir-missing-metric-name)");
    check(
        &[("__name__", "bad.näme")],
        "received a series with invalid metric name: 'bad.nme' (err-mimir-metric-name-invalid)",
    );
    check(
        &[("__name__", "1bad")],
        "received a series with invalid metric name: '1bad' (err-mimir-metric-name-invalid)",
    );
    for (name, quoted) in [("bad-label", "bad-label"), ("a.b", "a.b"), ("1bad", "1bad"), ("", ""), ("a:b", "a:b")] {
        check(
            &[("__name__", "ok"), (name, "b\"")],
            &format!(
                "received a series with an invalid label: '{quoted}' series: 'ok{{{quoted}=\"b\\\"\"}}' \
                 (err-mimir-label-invalid)"
            ),
        );
    }
    check(
        &[("__name__", "ok"), ("a", "b"), ("a", "c")],
        "received a series with duplicate label name, label: 'a' series: 'ok{a=\"b\", a=\"c\"}' \
         (err-mimir-duplicate-label-names)",
    );
    check(
        &[("__name__", "ok"), ("__name__", "ok2"), ("a", "c")],
        "received a series with duplicate label name, label: '__name__' series: 'ok{__name__=\"ok2\", a=\"c\"}' \
         (err-mimir-duplicate-label-names)",
    );
    check(
        &[("__name__", "ok"), ("a234567890b", "x")],
        &with_flag(
            "received a series whose label name length exceeds the limit, label: 'a234567890b' series: \
             'ok{a234567890b=\"x\"}' (err-mimir-label-name-too-long)",
            "validation.max-length-label-name",
        ),
    );
    check(
        &[("__name__", "ok"), ("a", "1234567890123")],
        &with_flag(
            "received a series whose label value length of 13 exceeds the limit of 12, label: 'a', value: \
             '1234567890123' (truncated) series: 'ok{a=\"1234567890123\"}' (err-mimir-label-value-too-long)",
            "validation.max-length-label-value",
        ),
    );
    check(
        &[("__name__", "ok"), ("a", "1"), ("b", "1"), ("c", "1")],
        &with_flag(
            "received a series whose number of labels exceeds the limit (actual: 4, limit: 3) series: \
             'ok{a=\"1\", b=\"1\", c=\"1\"}' (err-mimir-max-label-names-per-series)",
            "validation.max-label-names-per-series",
        ),
    );
    check(&[("__name__", "x_info"), ("a", "1"), ("b", "1"), ("c", "1")], "");
    check(
        &[("__name__", "x_info"), ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")],
        &with_flag(
            "received an info series whose number of labels exceeds the limit (actual: 5, limit: 4) series: \
             'x_info{a=\"1\", b=\"1\", c=\"1\", d=\"1\"}' (err-mimir-max-label-names-per-info-series)",
            "validation.max-label-names-per-info-series",
        ),
    );
}

#[test]
fn utf8_names_are_taken_where_the_tenant_wants_them() {
    let rules = WriteRules { utf8_names: true, ..WriteRules::default() };
    assert_eq!(message(&[("__name__", "größe.x"), ("a-b", "1")], &rules, false), "");
    let empty = message(&[("__name__", "ok"), ("", "x")], &rules, false);
    assert_eq!(empty, "received a series with an invalid label: '' series: 'ok{=\"x\"}' (err-mimir-label-invalid)");
}

#[test]
fn otlp_users_hear_of_attributes() {
    let text = message(&[("__name__", "ok"), ("a", "1234567890123")], &rules(), true);
    assert_eq!(
        text,
        "received a metric whose attribute value length of 13 exceeds the limit of 12, attribute: 'a', value: \
         '1234567890123' (truncated) metric: 'ok{a=\"1234567890123\"}'. See: \
         https://grafana.com/docs/grafana-cloud/send-data/otlp/otlp-format-considerations/#metrics-ingestion-limits"
    );
}

#[test]
fn long_series_are_cut_with_an_ellipsis() {
    let rules = WriteRules { labels_max: 1, ..WriteRules::default() };
    let long = "ä".repeat(300);
    let text = message(&[("__name__", "ok"), ("a", &long)], &rules, false);
    let expected = format!("series: 'ok{{a=\"{}…' (err-mimir-max-label-names-per-series)", "ä".repeat(194));
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn broken_labels_are_named_in_the_order_of_the_checks() {
    let rules = WriteRules { utf8_names: true, label_value_bytes_max: 5, ..WriteRules::default() };
    let check = LabelCheck { rules: &rules, skip_names: false, skip_count: false, is_otlp: false };
    let told = |labels: &[(&str, &str)], broken: &[(bool, bool)]| {
        check.error(check.check_broken(labels, broken), labels).message().to_owned()
    };
    assert_eq!(
        told(&[("__name__", "ok"), ("a", "x\u{fffd}y")], &[(false, false), (false, true)]),
        "received a series with invalid value in label 'a': 'x\u{fffd}y' metric: 'ok' (err-mimir-label-value-invalid)"
    );
    assert_eq!(
        told(&[("__name__", "ok"), ("a\u{fffd}", "xy")], &[(false, false), (true, false)]),
        "received a series with an invalid label: 'a\u{fffd}' series: 'ok{a\u{fffd}=\"xy\"}' (err-mimir-label-invalid)"
    );
    let earlier = [("__name__", "ok"), ("a", "123456"), ("b", "\u{fffd}")];
    let text = told(&earlier, &[(false, false), (false, false), (false, true)]);
    assert!(text.starts_with("received a series whose label value length of 6"), "{text}");
}

#[test]
fn series_are_printed_as_selectors() {
    let check = |labels: &[(&str, &str)], expected| assert_eq!(format_series(labels), expected);
    check(&[], "{}");
    check(&[("__name__", "m")], "m");
    check(&[("a", "b")], "{a=\"b\"}");
    check(&[("A", "1"), ("__name__", "m")], "m{A=\"1\"}");
}
