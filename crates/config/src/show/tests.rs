use super::*;
use crate::environment::Environment;
use crate::flags::CommandLine;
use crate::load::load;
use crate::settings::Settings;

fn settings(flags: &[&str]) -> Settings {
    let arguments: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let line = CommandLine::parse(&arguments, Dialect::Mimir.table()).unwrap();
    load(Dialect::Mimir, &line, &Environment::default()).unwrap().settings
}

#[test]
fn the_configuration_is_shown_in_the_order_of_the_table_and_without_secrets() {
    let flags = [
        "-server.http-listen-port=81",
        "-blocks-storage.s3.secret-access-key=hunter2",
        "-querier.max-query-lookback=30d",
        "-querier.timeout=90s",
        "-distributor.drop-label=a",
        "-distributor.drop-label=b",
        "-ingester.active-series-custom-trackers=x:{a=\"b\"};y:{c=\"d\"}",
        "-alertmanager.notification-rate-limit-per-integration={\"email\": 2.5}",
        "-compactor.block-ranges=1h,2h",
    ];
    let expected = "\
server:
  http_listen_port: 81
querier:
  timeout: 1m30s
limits:
  drop_labels:
    - a
    - b
  active_series_custom_trackers:
    x: \"{a=\\\"b\\\"}\"
    \"y\": \"{c=\\\"d\\\"}\"
  max_query_lookback: 30d
  alertmanager_notification_rate_limit_per_integration:
    email: 2.5
blocks_storage:
  s3:
    secret_access_key: \"********\"
compactor:
  block_ranges:
    - 1h0m0s
    - 2h0m0s
";
    assert_eq!(config(&settings(&flags), Mode::Diff), expected);
    assert_eq!(config(&settings(&[]), Mode::Diff), "{}\n");
}

#[test]
fn what_is_shown_loads_again_as_the_same() {
    for dialect in [Dialect::Mimir, Dialect::Norn] {
        let folder = tempfile::tempdir().unwrap();
        let shown = config(&Settings::defaults(dialect, &Environment::default()), Mode::Full);
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, &shown).unwrap();
        let line = CommandLine { config_files: vec![file.to_str().unwrap().to_owned()], ..CommandLine::default() };
        let loaded = load(dialect, &line, &Environment::default()).unwrap();
        assert_eq!(config(&loaded.settings, Mode::Full), shown);
        assert_eq!(config(&loaded.settings, Mode::Diff), "{}\n");
        assert_eq!(config(&loaded.settings, Mode::Defaults), shown);
    }
}

#[test]
fn the_help_has_the_flags_with_types_and_defaults() {
    let text = help(Dialect::Mimir, false);
    let check = |flag: &str, expected: &str| {
        let text = help(Dialect::Mimir, true);
        let start = text.find(&format!("  -{flag} ")).unwrap();
        let entry = text[start..].lines().nth(1).unwrap().trim();
        assert_eq!(entry, expected, "{flag}");
    };
    check(
        "server.http-listen-port",
        "The port of the HTTP listener; 0 lets the system choose. YAML: server.http_listen_port. (default 8080)",
    );
    check(
        "validation.past-grace-period",
        "How old a sample may be, beyond out_of_order_time_window. YAML: limits.past_grace_period. (default 0s)",
    );
    check("memberlist.bind-port", "YAML: memberlist.bind_port. No effect yet, for want of: cluster. (default 7946)");
    assert!(!text.contains("-memberlist.bind-port") && text.contains("-server.http-listen-port"), "{text}");
    assert!(help(Dialect::Norn, false).contains("-data-dir string"));
}

#[test]
fn coverage_counts_every_setting_once() {
    let text = coverage(Dialect::Mimir);
    let numbers: Vec<usize> =
        text.lines().next().unwrap().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1..].iter().sum::<usize>());
    assert!(text.contains("  cluster\n"), "{text}");
}
