use norn_model::histogram::{Histogram, ResetHint, Span};

use super::*;

fn histogram(schema: i32, deltas: &[i64]) -> HistogramSample {
    let length = deltas.len() as u32;
    let histogram = Histogram {
        reset_hint: ResetHint::Unknown,
        schema,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 91,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length }],
        negative_spans: vec![],
        positive_deltas: deltas.to_vec(),
        negative_deltas: vec![],
        custom_values: vec![1.0; deltas.len()].into(),
    };
    HistogramSample { timestamp_ms: 5, histogram: WriteHistogram::Integer(histogram) }
}

fn rules(histogram_buckets_max: usize, reduce_histograms: bool) -> WriteRules {
    WriteRules { histogram_buckets_max, reduce_histograms, ..WriteRules::default() }
}

/// The schema after the check, or the error's text.
fn fit(mut sample: HistogramSample, rules: &WriteRules) -> Result<i32, String> {
    match fit_histogram(&mut sample, rules) {
        Ok(()) => Ok(schema_of(&sample.histogram)),
        Err(violation) => {
            let error = violation.error(sample.timestamp_ms, &[("__name__", "m"), ("a", "1")], rules);
            Err(error.message().split(". To adjust").next().unwrap().to_owned())
        }
    }
}

#[test]
fn histograms_lose_resolution_until_they_fit() {
    let check = |schema, deltas: &[i64], limit, expected: Result<i32, &str>| {
        let fitted = fit(histogram(schema, deltas), &rules(limit, true));
        assert_eq!(fitted, expected.map_err(str::to_owned));
    };
    check(2, &[1; 13], 0, Ok(2));
    check(2, &[1; 13], 13, Ok(2));
    // 13 buckets become 7, 4, 3.
    check(2, &[1; 13], 4, Ok(-1));
    check(8, &[1], 1, Ok(8));
    check(
        9,
        &[1],
        0,
        Err("received a native histogram sample with an invalid schema: 9 (err-mimir-invalid-native-histogram-schema)"),
    );
    check(
        -5,
        &[1],
        0,
        Err(
            "received a native histogram sample with an invalid schema: -5 (err-mimir-invalid-native-histogram-schema)",
        ),
    );
    check(
        -3,
        &[1; 200],
        3,
        Err("received a native histogram sample with too many buckets and cannot reduce, timestamp: 5 series: \
             m{a=\"1\"}, buckets: 101, limit: 3 (err-mimir-not-reducible-native-histogram)"),
    );
    check(
        CUSTOM_BUCKETS_SCHEMA,
        &[1; 5],
        4,
        Err("received a native histogram sample with more custom buckets than the limit, timestamp: 5 series: \
             m{a=\"1\"}, buckets: 5, limit: 4 (err-mimir-native-histogram-custom-buckets-not-reducible)"),
    );
}

#[test]
fn histograms_are_refused_where_they_must_not_be_reduced() {
    let refused = fit(histogram(2, &[1; 5]), &rules(4, false));
    let expected = "received a native histogram sample with too many buckets, timestamp: 5 series: m{a=\"1\"}, \
                    buckets: 5, limit: 4 (err-mimir-max-native-histogram-buckets)";
    assert_eq!(refused, Err(expected.to_owned()));
}

#[test]
fn windows_include_their_ends() {
    let rules = WriteRules { past_max: Some(Duration::from_secs(1)), ..WriteRules::default() };
    let window = TimeWindow::new(&rules, 10_000);
    let check = |timestamp_ms, expected| assert_eq!(window.check(timestamp_ms), expected);
    check(8_999, Err(Reason::TooFarInPast));
    check(9_000, Ok(()));
    check(610_000, Ok(()));
    check(610_001, Err(Reason::TooFarInFuture));
    assert_eq!(TimeWindow::new(&WriteRules::default(), 0).check(i64::MIN), Ok(()));
}

#[test]
fn duplicates_are_found_in_any_order() {
    let check = |times: &[i64], expected: &[i64]| {
        let mut duplicates = Duplicates::new(times.iter().copied());
        let kept: Vec<_> = times.iter().copied().filter(|time| !duplicates.is_duplicate(*time)).collect();
        assert_eq!(kept, expected);
    };
    check(&[1, 2, 3], &[1, 2, 3]);
    check(&[1, 1], &[1]);
    check(&[3, 1, 3, 2, 1], &[3, 1, 2]);
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!((cut("äö", 3), cut("äö", 4), cut("", 1)), ("ä", "äö", ""));
}
