use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::environment::Environment;
use crate::limits::{LabelValueStrategy, NameValidation};
use crate::settings::Origin;
use crate::table::Dialect;
use crate::value::Value;

/// A folder with runtime configuration files, and settings that name them.
struct Case {
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Case {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Dialect::Mimir, &Environment::default());
        let paths: Vec<String> =
            names.iter().map(|name| folder.path().join(name).to_str().unwrap().to_owned()).collect();
        let index = settings.table().index_of("runtime_config.file").unwrap();
        settings.set(index, Value::Text(paths.join(",")), Origin::Default);
        Self { folder, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn load(&self) -> Result<Arc<Overrides>, String> {
        Overrides::load(&self.settings).map_err(|error| self.anonymous(error))
    }

    fn reload(&self, overrides: &Overrides) -> Result<bool, String> {
        overrides.reload_if_changed().map_err(|error| self.anonymous(error))
    }

    fn anonymous(&self, error: OverridesError) -> String {
        error.to_string().replace(self.folder.path().to_str().unwrap(), "DIR")
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

#[test]
fn a_tenants_keys_are_laid_over_the_defaults() {
    let mut case = Case::new(&["o.yaml"]);
    let index = case.settings.table().index_of("limits.max_global_series_per_metric").unwrap();
    case.settings.set(index, Value::Integer(77), Origin::Default);
    case.write(
        "o.yaml",
        "
overrides:
  golden:
    name_validation_scheme: utf8
    enabled_promql_experimental_functions: all
  limited:
    max_total_query_length: 2h
    compactor_blocks_retention_period: 1y
    blocked_queries:
      - pattern: \".*forbidden.*\"
        regex: true
        reason: because
    drop_labels: [secret]
    max_label_value_length: 80
    label_value_length_over_limit_strategy: truncate
    promote_otel_resource_attributes: \"host.name, service.name\"
    active_series_custom_trackers: {a: '{b=\"c\"}'}
    metric_relabel_configs:
      - source_labels: [a]
        target_label: b
        replacement: \"new-$1\"
  empty:
ingester_limits: {max_series: 5}
distributor_limits:
  max_ingestion_rate: 7.5
multi_kv_config: {primary: memberlist}
",
    );
    let overrides = case.load().unwrap();
    let limits = overrides.limits(&tenant("limited"));
    assert_eq!(limits.max_total_query_length, Duration::from_secs(7200));
    assert_eq!(limits.compactor_blocks_retention_period, Duration::from_secs(365 * 86_400));
    assert_eq!((limits.blocked_queries[0].regex, limits.blocked_queries[0].reason.as_str()), (true, "because"));
    assert_eq!(limits.drop_labels, ["secret"]);
    assert_eq!(limits.label_value_length_over_limit_strategy, LabelValueStrategy::Truncate);
    assert_eq!(limits.promote_otel_resource_attributes, ["host.name", "service.name"]);
    assert_eq!(limits.active_series_custom_trackers["a"], "{b=\"c\"}");
    assert_eq!(limits.metric_relabel_configs[0].replacement, "new-$1");
    assert_eq!(limits.max_global_series_per_metric, 77);
    assert_eq!(overrides.limits(&tenant("golden")).name_validation_scheme, NameValidation::Utf8);
    assert_eq!(overrides.limits(&tenant("empty")), overrides.limits(&tenant("other")));
    let runtime = overrides.runtime();
    let configured = crate::metrics::MetricsConfig::default();
    let ingester = runtime.ingester_limits.as_ref().unwrap().over(&configured.ingester.instance_limits);
    assert_eq!((ingester.max_series, ingester.max_inflight_push_requests), (5, 30_000));
    let distributor = runtime.distributor_limits.as_ref().unwrap().over(&configured.distributor.instance_limits);
    assert_eq!((distributor.max_ingestion_rate, distributor.max_inflight_push_requests), (7.5, 2000));
    assert!(runtime.to_yaml().unwrap().contains("ingester_limits:\n  max_series: 5\n"));
}

#[test]
fn files_are_merged_and_may_be_compressed() {
    let case = Case::new(&["a.yaml", "b.yaml.gz"]);
    case.write("a.yaml", "overrides: {t: {ingestion_rate: 1, ingestion_burst_size: 2}, u: {ingestion_rate: 3}}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"overrides: {t: {ingestion_rate: 9}}").unwrap();
    std::fs::write(case.path("b.yaml.gz"), encoder.finish().unwrap()).unwrap();
    let overrides = case.load().unwrap();
    let limits = overrides.limits(&tenant("t"));
    assert_eq!((limits.ingestion_rate, limits.ingestion_burst_size), (9.0, 2));
    assert_eq!(overrides.limits(&tenant("u")).ingestion_rate, 3.0);
}

#[test]
fn a_broken_file_leaves_what_was_loaded_last() {
    let case = Case::new(&["o.yaml"]);
    case.write("o.yaml", "overrides: {t: {ingestion_rate: 1}}");
    let overrides = case.load().unwrap();
    assert_eq!(case.reload(&overrides), Ok(false));
    case.write("o.yaml", "overrides:\n  t:\n    ingestion_rat: 2");
    let expected = "DIR/o.yaml:3:5: unknown key limits.ingestion_rat, did you mean limits.ingestion_rate?";
    assert_eq!(case.reload(&overrides), Err(expected.to_owned()));
    assert_eq!(case.reload(&overrides), Ok(false), "the same fault is told once");
    assert_eq!(overrides.status(), ReloadStatus { last_successful: false, reloads: 1, failures: 1 });
    assert_eq!(overrides.limits(&tenant("t")).ingestion_rate, 1.0);
    case.write("o.yaml", "overrides: {t: {ingestion_rate: 3}}");
    assert_eq!(case.reload(&overrides), Ok(true));
    assert_eq!(overrides.status(), ReloadStatus { last_successful: true, reloads: 2, failures: 1 });
    assert_eq!(overrides.limits(&tenant("t")).ingestion_rate, 3.0);
    std::fs::remove_file(case.path("o.yaml")).unwrap();
    assert_eq!(case.reload(&overrides), Err("read runtime configuration DIR/o.yaml".to_owned()));
    assert_eq!(overrides.limits(&tenant("t")).ingestion_rate, 3.0);
    case.write("o.yaml", "overrides: {t: {ingestion_rate: 3}}");
    assert_eq!(case.reload(&overrides), Ok(true), "the file is back");
    assert!(overrides.status().last_successful);
}

#[test]
fn a_file_that_returns_to_what_is_loaded_counts_as_taken() {
    let case = Case::new(&["o.yaml"]);
    case.write("o.yaml", "overrides: {}");
    let overrides = case.load().unwrap();
    case.write("o.yaml", "overrides: 5");
    assert!(case.reload(&overrides).is_err());
    case.write("o.yaml", "overrides: {}");
    assert_eq!(case.reload(&overrides), Ok(true));
    assert!(overrides.status().last_successful);
}

#[test]
fn faults_are_named() {
    let case = Case::new(&["o.yaml"]);
    let check = |text: &str, expected: &str| {
        case.write("o.yaml", text);
        assert_eq!(case.load().unwrap_err(), expected, "{text}");
    };
    check("overides: {}", "DIR/o.yaml:1:1: unknown field overides, did you mean overrides?");
    check("a: 1\n---\nb: 1", "DIR/o.yaml:2:1: the provided runtime configuration contains multiple documents");
    check(
        "overrides: {t: {max_label_name_length: x}}",
        "DIR/o.yaml:1:40: limits.max_label_name_length: expected an integer, found \"x\"",
    );
    check(
        "overrides: {t: {label_value_length_over_limit_strategy: drop, max_label_value_length: 70}}",
        "overrides of tenant t: label_value_length_over_limit_strategy drop needs a max_label_value_length of at \
         least 71, the length of the hash that takes the place of a value; it is 70",
    );
    check("ingester_limits: {max_serie: 1}", "DIR/o.yaml:1:19: unknown field max_serie, did you mean max_series?");
}

#[test]
fn no_file_is_no_overrides() {
    let overrides = Case::new(&[]).load().unwrap();
    assert!(!overrides.has_files());
    assert!(!overrides.reload_if_changed().unwrap());
    assert_eq!(*overrides.limits(&tenant("t")), Limits::default());
    assert_eq!(overrides.runtime().to_yaml(), None);
}
