use super::*;
use crate::section::FromValue;
use crate::value::Value;
use crate::yaml::parse;

fn read<T: FromValue>(text: &str) -> Result<T, String> {
    T::from_value(&Value::Tree(parse(text, "f", "rules").unwrap()))
}

#[test]
fn rules_are_read() {
    let queries: Vec<BlockedQuery> =
        read("[{pattern: up, time_range_longer_than: 1d, unaligned_range_queries: true}, {}]").unwrap();
    assert_eq!((queries[0].pattern.as_str(), queries[0].regex, queries[1].pattern.as_str()), ("up", false, ""));
    assert_eq!(queries[0].time_range_longer_than, Duration::from_secs(86_400));
    let limited: Vec<LimitedQuery> = read("[{query: up, allowed_frequency: 1m}]").unwrap();
    assert_eq!(limited, [LimitedQuery { query: "up".to_owned(), allowed_frequency: Duration::from_secs(60) }]);
    let requests: Vec<BlockedRequest> =
        read("[{path: /a, method: GET, query_params: {q: {value: x.*, is_regexp: true}, r: {value: 1}}}]").unwrap();
    assert_eq!((requests[0].path.as_str(), requests[0].method.as_str()), ("/a", "GET"));
    assert_eq!(requests[0].query_params["q"], QueryParameter { value: "x.*".to_owned(), is_regexp: true });
    assert_eq!(requests[0].query_params["r"].value, "1");
    assert_eq!(Vec::<LimitedQuery>::from_value(&Value::Absent), Ok(Vec::new()));
}

#[test]
fn faults_in_rules_have_places() {
    let check = |error: String, expected: &str| assert_eq!(error, expected);
    check(
        read::<Vec<BlockedQuery>>("[{regex: maybe}]").unwrap_err(),
        "f:1:10: regex: expected a boolean (true or false), found \"maybe\"",
    );
    check(read::<Vec<LimitedQuery>>("{query: a}").unwrap_err(), "f:1:1: expected a list, found a map");
    check(
        read::<Vec<BlockedRequest>>("[{query_params: {q: x}}]").unwrap_err(),
        "f:1:21: expected a map, found a single value",
    );
}

#[test]
fn the_defaults_hold_together() {
    let limits = Limits::default();
    assert_eq!(limits.check(), Ok(()));
    assert_eq!((limits.ingestion_rate, limits.max_global_series_per_user), (10_000.0, 150_000));
}
