use norn_promql::parser::{ParseOptions, parse};

use super::*;

const NOW_MS: i64 = 1_795_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn limits(change: impl FnOnce(&mut Limits)) -> ReadLimits {
    let mut limits = Limits { max_cache_freshness: Duration::from_secs(600), ..Limits::default() };
    change(&mut limits);
    ReadLimits::of(std::iter::once(Arc::new(limits)))
}

fn expr(text: &str) -> Expr {
    parse(text, &ParseOptions::all()).unwrap()
}

#[test]
fn only_results_that_stay_are_kept() {
    let check = |text: &str, start_minutes_ago: i64, expected: bool| {
        let start_ms = NOW_MS - NOW_MS % MINUTE_MS - start_minutes_ago * MINUTE_MS;
        let range = StepRange { start_ms, end_ms: start_ms + 10 * MINUTE_MS, step_ms: MINUTE_MS };
        assert_eq!(limits(|_| {}).is_cacheable(&expr(text), range, NOW_MS), expected, "{text}");
    };
    check("rate(a[5m])", 60, true);
    check("rate(a[5m])", 10, true);
    check("rate(a[5m])", 9, false);
    check("a offset 5m", 60, true);
    check("a offset -5m", 60, false);
    check("a @ 1000", 60, true);
    check(&format!("a @ {}", NOW_MS / 1000), 60, false);
    check(&format!("a @ {}", NOW_MS / 1000 - 3000), 60, false);
    check("a @ end()", 60, false);
    check("rate(a[step()])", 60, false);
}

#[test]
fn steps_that_will_not_be_met_again_are_kept_only_where_that_is_wanted() {
    let range = StepRange { start_ms: 30_000, end_ms: 630_000, step_ms: MINUTE_MS };
    assert!(!limits(|_| {}).is_cacheable(&expr("a"), range, NOW_MS));
    assert!(limits(|limits| limits.cache_unaligned_requests = true).is_cacheable(&expr("a"), range, NOW_MS));
}

#[test]
fn queries_that_read_much_are_divided() {
    let check = |text: &str, minutes: i64, parts: usize, wanted: Option<u32>, expected: u32| {
        let time = QueryTime::Range { start_ms: 0, end_ms: minutes * MINUTE_MS, step_ms: MINUTE_MS };
        let limits = limits(|limits| {
            limits.query_sharding_total_shards = 16;
            limits.query_sharding_max_sharded_queries = 128;
            limits.query_sharding_max_regexp_size_bytes = 10;
        });
        assert_eq!(limits.shards_of(&expr(text), time, parts, wanted), expected, "{text}");
    };
    check("sum(a)", 30, 1, None, 16);
    check("sum(a)", 29, 1, None, 0);
    check("sum(rate(a[5m]))", 25, 1, None, 16);
    check("sum(a)", 5, 1, Some(4), 4);
    check("sum(a)", 60, 1, Some(0), 0);
    check("sum(a)", 60, 32, None, 4);
    check("sum(a)", 60, 200, None, 0);
    check("sum(a{b=~\"short.*\"})", 60, 1, None, 16);
    check("sum(a{b=~\"much too long.*\"})", 60, 1, Some(4), 0);
}

#[test]
fn a_limit_of_zero_does_not_limit_parts() {
    let time = QueryTime::Range { start_ms: 0, end_ms: 60 * MINUTE_MS, step_ms: MINUTE_MS };
    let limits = limits(|limits| {
        limits.query_sharding_max_sharded_queries = 0;
        limits.query_sharding_max_regexp_size_bytes = 0;
        limits.query_sharding_total_shards = 3;
    });
    assert_eq!(limits.shards_of(&expr("sum(a{b=~\"any length will do.*\"})"), time, 1000, None), 3);
}

#[test]
fn times_are_aligned_where_that_is_wanted() {
    let range = |start_ms, end_ms| QueryTime::Range { start_ms, end_ms, step_ms: 10_000 };
    let aligning = limits(|limits| limits.align_queries_with_step = true);
    assert_eq!(aligning.aligned(range(10_001, 39_999)), range(10_000, 30_000));
    assert_eq!(aligning.aligned(range(-1, 0)), range(-10_000, 0));
    assert_eq!(aligning.aligned(QueryTime::Instant { time_ms: 3 }), QueryTime::Instant { time_ms: 3 });
    assert_eq!(limits(|_| {}).aligned(range(10_001, 39_999)), range(10_001, 39_999));
}

#[test]
fn parts_of_a_query_have_a_length() {
    let limits = limits(|limits| limits.max_partial_query_length = Duration::from_secs(60));
    let part = |length_ms: i64| limits.check_part(StepRange { start_ms: 5, end_ms: 5 + length_ms, step_ms: 1 });
    assert!(part(60_000).is_ok());
    let error = part(60_001).unwrap_err();
    assert_eq!((error.kind(), error.id()), (ErrorKind::Unprocessable, Some("err-mimir-max-query-length")));
    let expected = "the query time range exceeds the limit (query length: 1m0.001s, limit: 1m0s) \
                    (err-mimir-max-query-length). To adjust";
    assert!(error.message().starts_with(expected), "{}", error.message());
}
