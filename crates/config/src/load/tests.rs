use std::io::Write;

use super::*;
use crate::limits::NameValidation;
use crate::process::Signal;
use crate::section::Source;
use crate::table::Category;
use crate::value::Value;

/// A folder with a configuration file.
struct Case {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Environment::default() }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn load_as(&self, dialect: Dialect, text: &str, flags: &[&str]) -> Result<Loaded, String> {
        let file = self.file("c.yaml", text);
        let mut arguments = vec![format!("-config.file={file}")];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let line = CommandLine::parse(&arguments, dialect.table()).map_err(|error| error.to_string())?;
        load(dialect, &line, &self.environment)
            .map_err(|error| error.to_string().replace(self.folder.path().to_str().unwrap(), "DIR"))
    }

    fn load(&self, text: &str, flags: &[&str]) -> Result<Loaded, String> {
        self.load_as(Dialect::Mimir, text, flags)
    }
}

#[test]
fn precedence_is_default_common_file_common_flag_flag() {
    let case = Case::new();
    let check = |text: &str, flags: &[&str], path: &str, expected: &str| {
        // Rules and blocks may not share a folder, as they would here if the ruler ran.
        let flags = [&["-target=ingester"], flags].concat();
        let loaded = case.load(text, &flags).unwrap();
        assert_eq!(loaded.settings.value(path), Some(&Value::Text(expected.to_owned())), "{text} {flags:?}");
    };
    let dir = "blocks_storage.filesystem.dir";
    check("", &[], dir, "blocks");
    check("common: {storage: {filesystem: {dir: c}}}", &[], dir, "c");
    check("common: {storage: {filesystem: {dir: c}}}\nblocks_storage: {filesystem: {dir: b}}", &[], dir, "b");
    check("blocks_storage: {filesystem: {dir: b}}\ncommon: {storage: {filesystem: {dir: c}}}", &[], dir, "b");
    check("blocks_storage: {filesystem: {dir: b}}", &["-common.storage.filesystem.dir=f"], dir, "f");
    let both = ["-blocks-storage.filesystem.dir=g", "-common.storage.filesystem.dir=f"];
    check("blocks_storage: {filesystem: {dir: b}}", &both, dir, "g");
    check("", &both, "ruler_storage.filesystem.dir", "f");
    check("server: {log_level: warn}", &["-log.level", "error"], "server.log_level", "error");
    check("server: {log_level: warn}", &["-log.level=error", "--log.level=debug"], "server.log_level", "debug");
    check("server: {log_level: null}", &[], "server.log_level", "info");
    let label = "common: {client_cluster_validation: {label: x}}";
    check(label, &[], "querier.store_gateway_client.cluster_validation.label", "x");
    check(label, &[], "frontend.client_cluster_validation.label", "x");
    check(label, &[], "server.cluster_validation.label", "");
}

#[test]
fn several_files_are_merged_from_left_to_right() {
    let case = Case::new();
    let first = case.file("1.yaml", "limits: {ingestion_rate: 1, ingestion_burst_size: 2}\nserver: {log_level: warn}");
    let second = case.file("2.yaml", "limits: {ingestion_rate: 3}");
    let line = CommandLine::parse(&[format!("-config.file={first},{second}")], Dialect::Mimir.table()).unwrap();
    let loaded = load(Dialect::Mimir, &line, &case.environment).unwrap();
    assert_eq!((loaded.metrics.limits.ingestion_rate, loaded.metrics.limits.ingestion_burst_size), (3.0, 2));
    assert!(loaded.file_bytes.ends_with(b"{ingestion_rate: 3}"));
}

#[test]
fn faults_name_file_line_column_and_the_nearest_name() {
    let case = Case::new();
    let check = |text: &str, expected: &str| {
        let expected = format!("error loading config from DIR/c.yaml: DIR/c.yaml:{expected}");
        assert_eq!(case.load(text, &[]).unwrap_err(), expected, "{text}");
    };
    check(
        "server:\n  htp_listen_port: 1",
        "2:3: unknown key server.htp_listen_port, did you mean server.http_listen_port?",
    );
    check("sever: {}", "1:1: unknown key sever, did you mean server?");
    check("a:\n  b: 1", "1:1: unknown key a");
    check(
        "server: {replication_factor: 3}",
        "1:10: unknown key server.replication_factor, did you mean ingester.ring.replication_factor?",
    );
    check("server: {http_listen_port: x}", r#"1:28: server.http_listen_port: expected an integer, found "x""#);
    check(
        "server: {http_listen_port: '80'}",
        r#"1:28: server.http_listen_port: expected an integer, found the quoted text "80""#,
    );
    check("multitenancy_enabled: 1", r#"1:23: multitenancy_enabled: expected a boolean (true or false), found "1""#);
    check("server: {log_level: [a]}", "1:21: server.log_level: expected a single value, found a list");
    check("server: 5", "1:9: expected a map, found a single value");
    check("limits: {drop_labels: a}", "1:23: limits.drop_labels: expected a list, found a single value");
    check(
        "querier:\n  timeout: 5",
        "2:12: querier.timeout: \"5\" is not a duration: expected a number and a unit (ns, us, ms, s, m, h, d, w, y), such as 5m",
    );
    check("a: 1\na: 2", "2:1: key a is already set on line 1");
}

#[test]
fn values_that_do_not_fit_the_model_name_their_origin() {
    let case = Case::new();
    let check = |text: &str, flags: &[&str], expected: &str| {
        assert_eq!(case.load(text, flags).unwrap_err(), format!("error validating config: {expected}"), "{text}");
    };
    let choices = r#"expected one of ["debug", "info", "warn", "error"]"#;
    let problem = format!("server.log_level: unknown value \"loud\", {choices}");
    check("server: {log_level: loud}", &[], &format!("DIR/c.yaml:1:10: {problem}"));
    check("", &["-log.level=loud"], &format!("-log.level: {problem}"));
    check(
        "",
        &["-server.http-listen-port=70000"],
        "-server.http-listen-port: server.http_listen_port: 70000 is above the maximum of 65535",
    );
    check(
        "limits: {blocked_queries: [{patern: x}]}",
        &[],
        "DIR/c.yaml:1:10: limits.blocked_queries: DIR/c.yaml:1:29: unknown field patern, did you mean pattern?",
    );
    check(
        "limits:\n  metric_relabel_configs:\n    - action: fly",
        &[],
        "DIR/c.yaml:2:3: limits.metric_relabel_configs: DIR/c.yaml:3:7: unknown relabel action \"fly\"",
    );
    check(
        "limits:\n  metric_relabel_configs:\n    - target_label: a-b",
        &[],
        "metric_relabel_configs: \"a-b\" is invalid 'target_label' for replace action",
    );
}

#[test]
fn combinations_are_checked() {
    let case = Case::new();
    let check = |text: &str, expected: &str| {
        assert_eq!(case.load(text, &[]).unwrap_err(), format!("error validating config: {expected}"), "{text}");
    };
    let s3 = "blocks_storage: {backend: s3}";
    check(s3, "blocks_storage.backend: norn does not have the object store \"s3\" yet; use \"filesystem\"");
    let same = "common: {storage: {backend: s3, s3: {bucket_name: b}}}\nalertmanager_storage: {storage_prefix: a}";
    check(
        same,
        "ruler_storage: S3 bucket name and storage prefix cannot be the same as the one used in blocks storage config",
    );
    check("ingester: {ring: {replication_factor: 0}}", "ingester.ring.replication_factor has to be at least 1");
    check("api: {prometheus_http_prefix: x}", "api.prometheus_http_prefix: \"x\" has to begin with a slash");
    check(
        "distributor: {retry_after_header: {max_backoff: 5s}}",
        "distributor.retry_after_header: min_backoff (6s) has to be at least 1s, and max_backoff (5s) at least \
         min_backoff",
    );
    check(
        "ingester: {ring: {kvstore: {store: consul}}}",
        "ingester.ring.kvstore.store: norn does not have the key-value store \"consul\" yet; use \"memberlist\" or \"inmemory\"",
    );
    check(
        "compactor: {data_dir: ./tsdb/x}",
        "the configured tsdb directory \"./tsdb/\" cannot overlap with the configured compactor data directory \"./tsdb/x\"; please set different paths, also ensuring one is not a subdirectory of the other one",
    );
    check(
        "querier: {timeout: 3m}",
        "querier timeout (180s) must be lower than or equal to HTTP server write timeout (120s)",
    );
    check(
        "ingester: {push_grpc_method_enabled: false}",
        "cannot disable Push gRPC method in ingester, while ingest storage (-ingest-storage.enabled) is not enabled",
    );
    check(
        "limits: {query_ingesters_within: 1h}",
        "query_store_after (43200s) must be lower than query_ingesters_within (3600s): samples between them would not be found",
    );
    check(
        "compactor: {block_ranges: [2h, 5h]}",
        "compactor block range periods should be divisible by the previous one, but 18000s is not divisible by 7200s",
    );
    check(
        "limits: {ha_tracker_failover_timeout: 20s}",
        "ha_tracker_failover_timeout is 20s, and has to be at least 21s: ha_tracker_update_timeout, ha_tracker_update_timeout_jitter_max, and one second",
    );
    assert!(case.load("limits: {query_ingesters_within: 1m}\nquerier: {query_store_after: 0s}", &[]).is_ok());
    // Only roles that run own their folders.
    assert!(case.load("compactor: {data_dir: ./tsdb/x}", &["-target=ingester,distributor"]).is_ok());
    assert!(case.load("ruler: {rule_path: ./tsdb/x}", &[]).is_ok());
    assert!(case.load("ruler: {rule_path: ./tsdb/x}\nruler_storage: {storage_prefix: x}", &[]).is_err());
}

#[test]
fn keys_of_earlier_versions_warn_and_say_what_replaces_them() {
    let case = Case::new();
    let text = "frontend:\n  downstream_url: http://x\n  results_cache: {redis: {endpoint: x}}\n";
    let loaded = case.load(text, &["-querier.frontend-address", "x:1"]).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| warning.message.clone()).collect();
    let folder = case.folder.path().display();
    let expected = [
        "-querier.frontend-address is not supported any more; queriers work for the query-scheduler: use \
         frontend_worker.scheduler_address"
            .to_owned(),
        format!(
            "{folder}/c.yaml:2:3: frontend.downstream_url is not supported any more; the query-frontend reads through \
             the query-scheduler: remove it"
        ),
        format!(
            "{folder}/c.yaml:3:19: frontend.results_cache.redis is not supported any more; there is no Redis cache: \
             use memcached, or remove it"
        ),
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn settings_without_effect_warn_once_for_each_reason() {
    let case = Case::new();
    let text = "memberlist: {bind_port: 1, join_members: [a]}\nusage_stats: {enabled: false}\n\
                ingest_storage: {enabled: true}\nserver: {grpc_server_num_workers: 100}";
    let warnings: Vec<String> = case.load(text, &[]).unwrap().warnings.iter().map(Warning::to_string).collect();
    let expected = [
        "ingest_storage.enabled (no effect yet: norn replicates over the ring until it has an ingest log)",
        "memberlist.join_members, memberlist.bind_port (no effect yet, for want of: cluster)",
        "usage_stats.enabled (no effect: norn reports nothing to anyone)",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn changed_settings_are_known_by_category() {
    let text = "frontend: {cache_samples_processed_stats: true}\ndistributor: {reactive_limiter: {enabled: true}}";
    let settings = Case::new().load(text, &[]).unwrap().settings;
    let paths = |category| settings.changed(category).map(|setting| setting.path).collect::<Vec<_>>();
    assert_eq!(paths(Category::Deprecated), ["frontend.cache_samples_processed_stats"]);
    assert_eq!(paths(Category::Experimental), ["distributor.reactive_limiter.enabled"]);
    assert_eq!(paths(Category::Basic), Vec::<&str>::new());
}

/// The shape of the configuration that the golden answers were recorded with.
const MONOLITH: &str = "
target: all
usage_stats:
  enabled: false
activity_tracker:
  filepath: ${DATA}/activity.log
server:
  http_listen_address: 127.0.0.1
  http_listen_port: ${PORT}
  grpc_listen_port: ${GRPC_PORT:19095}
  log_level: warn
memberlist:
  bind_addr: [127.0.0.1]
tenant_federation:
  enabled: true
runtime_config:
  file: $OVERRIDES
  period: 5s
ingester:
  ring:
    instance_addr: 127.0.0.1
    instance_id: ingester-1  # part of messages
    replication_factor: 1
    min_ready_duration: 0s
  metadata_retain_period: 24h
querier:
  query_store_after: 0s
blocks_storage:
  backend: filesystem
  filesystem:
    dir: ${DATA}/bucket
  tsdb:
    dir: ${DATA}/tsdb
    ship_interval: 5s
    head_compaction_idle_timeout: 0s
  bucket_store:
    sync_dir: ${DATA}/sync
    ignore_blocks_within: 0s
    bucket_index:
      update_on_error_interval: 5s
compactor:
  data_dir: ${DATA}/compactor
  compaction_interval: ${INTERVAL:1h}
  first_level_compaction_wait_period: 0s
limits:
  query_ingesters_within: ${WITHIN:13h}
  ingestion_rate: 10000000
  max_global_series_per_user: 0
  compactor_blocks_retention_period: 0s
";

#[test]
fn a_monolith_with_variables_is_loaded() {
    let mut case = Case::new();
    for (name, value) in [("DATA", "/data"), ("PORT", "1234"), ("OVERRIDES", "a.yaml,b.yaml\n")] {
        case.environment.variables.insert(name.to_owned(), value.to_owned());
    }
    let loaded = case.load(MONOLITH, &["-config.expand-env=true"]).unwrap();
    let metrics = &loaded.metrics;
    assert_eq!((metrics.server.http_listen_port, metrics.server.grpc_listen_port), (1234, 19095));
    assert_eq!(metrics.blocks_storage.tsdb.dir.to_str(), Some("/data/tsdb"));
    assert_eq!(metrics.runtime_config.file, ["a.yaml", "b.yaml"]);
    assert_eq!(metrics.ingester.ring.instance_id, "ingester-1");
    assert_eq!(metrics.distributor.retry_after_header.min_backoff.as_secs(), 6);
    assert_eq!(metrics.limits.ingestion_rate, 1e7);
    assert_eq!(metrics.limits.name_validation_scheme, NameValidation::Legacy);
    assert_eq!(metrics.compactor.block_ranges.len(), 3);
    let error = case.load(MONOLITH, &[]).unwrap_err();
    assert!(error.contains("server.http_listen_port: expected an integer, found \"${PORT}\""), "{error}");
}

#[test]
fn a_monolith_of_flow_maps_is_loaded() {
    let text = "
multitenancy_enabled: false
common: {storage: {backend: filesystem, filesystem: {dir: /d/common}}}
blocks_storage: {storage_prefix: blocks, tsdb: {dir: /d/tsdb}, bucket_store: {sync_dir: /d/sync}}
compactor: {data_dir: /d/compactor, sharding_ring: {kvstore: {store: inmemory}, instance_addr: 127.0.0.1}}
ruler_storage: {backend: filesystem, filesystem: {dir: /d/rules}}
limits: {max_global_series_per_user: 0, ingestion_rate: 1e9, ingestion_burst_size: 1000000000, request_rate: 0}
";
    let metrics = Case::new().load(text, &[]).unwrap().metrics;
    assert!(!metrics.multitenancy_enabled);
    assert_eq!(metrics.blocks_storage.filesystem.dir.to_str(), Some("/d/common"));
    assert_eq!((metrics.limits.ingestion_rate, metrics.limits.ingestion_burst_size), (1e9, 1_000_000_000));
}

#[test]
fn the_own_mode_has_own_defaults_and_one_folder() {
    let case = Case::new();
    let metrics = case.load_as(Dialect::Norn, "", &[]).unwrap().metrics;
    assert!(!metrics.multitenancy_enabled);
    assert_eq!(metrics.blocks_storage.tsdb.dir.to_str(), Some("./norn-data/tsdb"));
    assert_eq!(metrics.server.http_listen_extra_ports, Some(vec![9009, 4318]));
    assert!(metrics.ingester.ring.min_ready_duration.is_zero());
    let flags = ["-data-dir=/var/lib/norn/", "-compactor.data-dir=/tmp/c", "-signals=metrics"];
    let loaded = case.load_as(Dialect::Norn, "", &flags).unwrap();
    assert_eq!(loaded.metrics.blocks_storage.tsdb.dir.to_str(), Some("/var/lib/norn/tsdb"));
    assert_eq!(loaded.metrics.compactor.data_dir.to_str(), Some("/tmp/c"));
    assert_eq!(loaded.process.signals, [Signal::Metrics]);
    assert_eq!(loaded.warnings, [], "folders that follow data_dir are not changed");
    let error = case.load_as(Dialect::Norn, "", &["-signals=metrics,logz"]).unwrap_err();
    assert!(error.contains("-signals: signals: unknown value \"logz\""), "{error}");
    assert_eq!(case.load("", &[]).unwrap().metrics.server.http_listen_extra_ports, None);
}

#[test]
fn the_command_line_decides_what_happens() {
    let environment = Environment::default();
    let start = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        super::start(Dialect::Mimir, &arguments, &environment)
    };
    let printed = |arguments: &[&str]| match start(arguments) {
        Outcome::Print(printed) => printed,
        other => panic!("{other:?}"),
    };
    assert!(matches!(start(&[]), Outcome::Run(_)));
    assert!(matches!(start(&["-version"]), Outcome::Version));
    assert!(matches!(start(&["-modules", "-target=ingester"]), Outcome::Modules(_)));
    let help = printed(&["-h"]);
    assert_eq!((help.exit_code, help.to_stderr), (2, false));
    assert!(!help.text.contains("-compactor.compaction-interval"));
    assert!(printed(&["-help-all"]).text.contains("-compactor.compaction-interval duration"));
    let config = printed(&["-print.config", "-server.http-listen-port=81"]);
    assert!(config.exit_code == 0 && config.text.contains("  http_listen_port: 81\n"));
    let unknown = printed(&["-server.http-listen-prt=81"]);
    let expected = "flag provided but not defined: -server.http-listen-prt (did you mean -server.http-listen-port?)\n\
                    Run with -help to get a list of available parameters\n";
    assert_eq!(unknown, Printed::failure(expected.to_owned(), 2));
    assert_eq!(printed(&["-config.file=/does/not/exist"]).exit_code, 1);
}

/// Loads a file of the reference material after replacing some texts in it.
fn load_reference(file: &str, replacements: &[(&str, &str)], variables: &[(&str, &str)]) -> Loaded {
    let folder =
        std::env::var("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder of the reference material");
    let mut text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    for (from, to) in replacements {
        text = text.replace(from, to);
    }
    let mut case = Case::new();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.replace("FOLDER", &folder));
    case.environment.variables = variables.iter().map(owned).collect();
    case.load(&text, &["-config.expand-env"]).unwrap()
}

#[test]
#[ignore = "needs NORN_CONFORMANCE, the folder of the reference material"]
fn the_reference_configurations_are_loaded() {
    let variables = [
        ("GOLDEN_DATA", "/data"),
        ("GOLDEN_HTTP_PORT", "8001"),
        ("GOLDEN_GRPC_PORT", "8002"),
        ("GOLDEN_GOSSIP_PORT", "8003"),
        ("GOLDEN_OVERRIDES", "FOLDER/golden/metrics/config/overrides.yaml"),
        ("GOLDEN_COMPACTION_INTERVAL", "1h"),
        ("GOLDEN_QUERY_INGESTERS_WITHIN", "13h"),
    ];
    let loaded = load_reference("golden/metrics/config/mimir.yaml", &[], &variables);
    assert_eq!(loaded.metrics.server.http_listen_port, 8001);
    let overrides = crate::overrides::Overrides::load(&loaded.settings).unwrap();
    assert_eq!(overrides.runtime().tenants.len(), 22);
    let templates = [("RECENT{12h|0s}", "12h"), ("RECENT{13h|1m}", "13h"), ("DATA", "/data")];
    let loaded = load_reference("load/mimir.yaml", &templates, &[]);
    assert_eq!(loaded.metrics.limits.ingestion_rate, 1e9);
}
