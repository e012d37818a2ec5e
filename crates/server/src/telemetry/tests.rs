use prometheus_client::metrics::counter::Counter;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

fn registry() -> MetricsRegistry {
    let registry = MetricsRegistry::default();
    let discarded = registry.counters::<Reason>("cortex_discarded_samples", "Discarded samples.");
    discarded.get_or_create(&Reason { reason: "a \"quoted\" } one\n".to_owned() }).inc_by(3);
    registry.histogram("request_seconds", "Durations", &[0.5, 1.0]).observe(0.75);
    registry.gauge("cortex_build_info", "Build").set(1);
    registry
}

#[test]
fn the_old_text_format_names_counters_whole() {
    let expected = r##"# HELP cortex_discarded_samples_total Discarded samples.
# TYPE cortex_discarded_samples_total counter
cortex_discarded_samples_total{reason="a \"quoted\" } one\n"} 3
# HELP request_seconds Durations.
# TYPE request_seconds histogram
request_seconds_sum 0.75
request_seconds_count 1
request_seconds_bucket{le="0.5"} 0
request_seconds_bucket{le="1"} 1
request_seconds_bucket{le="+Inf"} 1
# HELP cortex_build_info Build.
# TYPE cortex_build_info gauge
cortex_build_info 1
"##;
    assert_eq!(registry().prometheus_text(&[]), expected);
}

#[test]
fn scrapers_choose_families_and_format() {
    let names = ["cortex_discarded_samples_total".to_owned(), "cortex_build_info".to_owned()];
    let text = registry().prometheus_text(&names);
    assert_eq!(text.matches("# TYPE").count(), 2);
    assert!(!text.contains("request_seconds"));
    let openmetrics = registry().openmetrics(&names[..1]);
    assert!(openmetrics.starts_with("# HELP cortex_discarded_samples Discarded samples.\n"), "{openmetrics}");
    assert!(openmetrics.ends_with("3\n# EOF\n"), "{openmetrics}");
    let mut headers = HeaderMap::new();
    let type_of = |headers: &HeaderMap| registry().respond(headers, &[]).headers()["content-type"].clone();
    assert_eq!(type_of(&headers), "text/plain; version=0.0.4; charset=utf-8");
    headers.insert(header::ACCEPT, "application/openmetrics-text;version=1.0.0,*/*;q=0.1".parse().unwrap());
    assert_eq!(type_of(&headers), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

#[test]
fn samples_are_what_a_scraper_would_store() {
    let samples = registry().samples();
    let find = |name: &str| samples.iter().find(|sample| sample.labels[0].1 == name).unwrap();
    let discarded = find("cortex_discarded_samples_total");
    assert_eq!(discarded.labels[1], ("reason".to_owned(), "a \"quoted\" } one\n".to_owned()));
    assert_eq!(discarded.value, 3.0);
    assert_eq!(find("request_seconds_bucket").labels[1], ("le".to_owned(), "0.5".to_owned()));
    assert_eq!(samples.len(), 7);
}

#[test]
#[should_panic(expected = "metric twice is registered twice")]
fn a_name_belongs_to_one_metric() {
    let registry = MetricsRegistry::default();
    registry.register("twice", "First", Counter::<u64>::default());
    registry.register("twice", "Second", Counter::<u64>::default());
}

#[test]
fn the_process_reports_itself() {
    let registry = MetricsRegistry::default();
    registry.register_collector(Box::new(ProcessCollector));
    let samples = registry.samples();
    let value = |name: &str| samples.iter().find(|sample| sample.labels[0].1 == name).map(|sample| sample.value);
    assert!(value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e5));
    assert!(value("process_open_fds").is_some_and(|count| count >= 3.0));
    assert!(value("process_start_time_seconds").is_some_and(|seconds| seconds > 1.6e9));
    assert!(value("process_cpu_seconds_total").is_some_and(|seconds| seconds >= 0.0));
}

#[test]
fn resources_report_themselves() {
    let registry = MetricsRegistry::default();
    let budget = norn_base::memory::MemoryBudget::new("bodies", 100);
    budget.acquire(30).unwrap();
    budget.acquire(80).unwrap_err();
    let pool = norn_base::pool::ComputePool::start(2, 8).unwrap();
    registry.register_collector(Box::new(ResourceCollector { budgets: vec![budget], pool }));
    let version = prometheus_client::metrics::info::Info::new(vec![("version", "1.2.3")]);
    registry.register("cortex_build", "Build", version);
    let text = registry.prometheus_text(&[]);
    for line in [
        "norn_memory_used_bytes{owner=\"bodies\"} 30.0",
        "norn_memory_limit_bytes{owner=\"bodies\"} 100.0",
        "norn_memory_refused_total{owner=\"bodies\"} 1",
        "norn_compute_threads 2.0",
        "norn_compute_panicked_tasks_total 0",
        "# TYPE cortex_build_info gauge",
        "cortex_build_info{version=\"1.2.3\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
