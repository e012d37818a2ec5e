//! Flags, help and configuration files, as a user meets them.

use crate::harness::program;

/// Runs norn to its end: exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = program().args(arguments).current_dir(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_version_is_printed() {
    for flag in ["-version", "--version"] {
        let (code, out, _) = run(&[flag]);
        assert_eq!(code, Some(0));
        assert!(out.contains(env!("CARGO_PKG_VERSION")), "{out}");
    }
}

#[test]
fn help_names_flags_and_ends_with_2() {
    let (code, basic, _) = run(&["mimir", "-help"]);
    assert_eq!(code, Some(2));
    assert!(basic.contains("-config.file") && basic.contains("-target"), "{basic}");
    let (code, all, _) = run(&["mimir", "-help-all"]);
    assert_eq!(code, Some(2));
    assert!(all.len() > basic.len());
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_one() {
    let (code, _, err) = run(&["mimir", "-server.http-listen-prot=1"]);
    assert_ne!(code, Some(0));
    assert!(err.contains("server.http-listen-port"), "{err}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mimir.yaml");
    std::fs::write(&file, "server:\n  http_listen_prot: 80\n").unwrap();
    let (code, _, err) = run(&["mimir", &format!("-config.file={}", file.display())]);
    assert_eq!(code, Some(1));
    assert!(err.contains("mimir.yaml") && err.contains("http_listen_port") && err.contains(":2"), "{err}");
}

#[test]
fn modules_and_targets_are_listed() {
    for flag in ["-modules", "-list-targets"] {
        let (code, out, err) = run(&[flag]);
        assert_eq!(code, Some(0), "{err}");
        for role in ["all", "distributor", "ingester", "querier", "compactor"] {
            assert!(out.lines().any(|line| line.split_whitespace().next() == Some(role)), "{role} is missing: {out}");
        }
    }
}

#[test]
fn a_target_that_comes_later_says_so() {
    let (code, _, err) = run(&["mimir", "-target=alertmanager"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("alertmanager"), "{err}");
}

#[test]
fn the_configuration_is_printed_checked_and_converted() {
    let (code, out, err) = run(&["mimir", "-print.config"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("http_listen_port: 8080"), "{out}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mimir.yaml");
    std::fs::write(&file, "multitenancy_enabled: false\n").unwrap();
    let path = file.to_str().unwrap();
    let (code, _, err) = run(&["config", "check", path]);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(&["config", "convert", "--from", "mimir", path]);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, _) = run(&["config", "coverage"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("effect"), "{out}");
}

#[test]
fn a_file_that_is_no_yaml_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mimir.yaml");
    let check = |text: &str, expected: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let (code, _, err) = run(&["mimir", &format!("-config.file={}", file.display())]);
        assert_eq!(code, Some(1), "{text}: {err}");
        assert!(expected.iter().all(|part| err.contains(part)), "{text}: {err}");
    };
    check("server:\n  http_listen_port: [80\n", &["mimir.yaml"]);
    check("server:\n  http_listen_port: many\n", &["mimir.yaml", "http_listen_port", "many"]);
    check("limits:\n  ingestion_rate: {}\n", &["mimir.yaml", "ingestion_rate"]);
    check("- a list\n", &["mimir.yaml"]);
    let (code, _, err) = run(&["mimir", "-config.file=absent.yaml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("absent.yaml"), "{err}");
}

#[test]
fn a_flag_with_a_wrong_value_is_named() {
    for (flag, expected) in [
        ("-server.http-listen-port=many", "server.http-listen-port"),
        ("-querier.timeout=soon", "querier.timeout"),
        ("-auth.multitenancy-enabled=perhaps", "auth.multitenancy-enabled"),
    ] {
        let (code, _, err) = run(&["mimir", flag]);
        assert!(matches!(code, Some(1 | 2)), "{flag}: {code:?}");
        assert!(err.contains(expected), "{flag}: {err}");
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_and_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ports = [format!("-server.http-listen-port={port}"), "-server.grpc-listen-port=0".to_owned()];
    let (code, _, err) = run(&["-server.http-listen-address=127.0.0.1", &ports[0], &ports[1]]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&port.to_string()), "{err}");
}
