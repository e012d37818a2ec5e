use super::*;

fn run_with(text: &str, arguments: &[&str]) -> Printed {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    arguments.push(file.to_owned());
    let mut printed = run(&arguments, &Environment::default());
    printed.text = printed.text.replace(file, "FILE");
    printed
}

#[test]
fn a_file_is_checked() {
    let good = run_with("server: {http_listen_port: 1}\nusage_stats: {enabled: false}", &["check", "--from", "mimir"]);
    let expected = "warning: usage_stats.enabled (no effect: norn reports nothing to anyone)\nFILE: ok\n";
    assert_eq!(good, Printed::answer(expected.to_owned(), 0));
    let bad = run_with("sever: 1", &["check"]);
    let expected = "error loading config from FILE: FILE:1:1: unknown key sever, did you mean server?\n";
    assert_eq!(bad, Printed::failure(expected.to_owned(), 1));
    assert_eq!(run_with("data_dir: /d", &["check"]).exit_code, 0);
    assert_eq!(run_with("data_dir: /d", &["check", "--from=mimir"]).exit_code, 1);
}

#[test]
fn a_file_is_converted_so_that_norn_does_the_same() {
    let text = "blocks_storage: {tsdb: {dir: /d, stripe_size: 1}}\nmemberlist: {bind_port: 1}\n\
                frontend: {downstream_url: x}\nlimits: {ingestion_rate: 1e9}";
    let printed = run_with(text, &["convert", "--from=mimir"]);
    assert_eq!(printed.exit_code, 0, "{}", printed.text);
    let check = |line: &str| assert!(printed.text.lines().any(|found| found == line), "{line}\n{}", printed.text);
    check("# norn's own form of the mimir configuration FILE.");
    check(
        "# FILE:3:12: frontend.downstream_url is not supported any more; the query-frontend reads through the query-scheduler: remove it",
    );
    check("# blocks_storage.tsdb.stripe_size (no effect: it tunes the locks of a hash map of the original)");
    check("multitenancy_enabled: true");
    check("    dir: /d");
    check("    dir: blocks");
    check("  bind_port: 1");
    check("  max_global_series_per_user: 150000");
    assert!(!printed.text.contains("stripe_size:") && !printed.text.contains("ingestion_rate"), "{}", printed.text);
    // The result is a configuration of norn's own mode with the same values.
    let again = run_with(&printed.text, &["convert", "--from=norn"]);
    let keys = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!(keys(&again.text), keys(&printed.text));
}

#[test]
fn variables_are_filled_in_on_demand() {
    let text = "server: {http_listen_port: \"${PORT:81}\"}";
    assert_eq!(run_with(text, &["check"]).exit_code, 1);
    let text = "server: {http_listen_port: ${PORT:81}}";
    assert_eq!(run_with(text, &["check", "-expand-env"]).exit_code, 0);
    let text = "limits: {metric_relabel_configs: [{target_label: a, replacement: $1}]}";
    assert!(run_with(text, &["convert", "--from=mimir"]).text.contains("replacement: $1"));
}

#[test]
fn mistaken_commands_show_how_it_is_done() {
    let check = |arguments: &[&str], expected: &str| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let printed = run(&arguments, &Environment::default());
        assert_eq!((printed.exit_code, printed.text.lines().next()), (2, Some(expected)), "{arguments:?}");
    };
    check(&[], "a command is missing");
    check(&["fly"], "there is no command \"fly\"");
    check(&["check"], "a configuration file is missing");
    check(&["check", "--from", "cortex", "f"], "there is no dialect \"cortex\"");
    check(&["check", "--form", "f"], "there is no option --form");
    check(&["check", "f", "--from"], "there is no dialect \"\"");
    let coverage = run(&["coverage".to_owned()], &Environment::default());
    assert!(coverage.exit_code == 0 && coverage.text.contains("have an effect"));
}
