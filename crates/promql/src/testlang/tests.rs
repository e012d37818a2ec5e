use std::path::PathBuf;

use super::*;

/// Runs a script. Returns how many queries passed and the lines of those that did not.
fn run(script: &str) -> (usize, Vec<usize>) {
    let report = run_file("test", script, &Settings::default());
    (report.passed, report.failures.iter().map(|failure| failure.line).collect())
}

#[test]
fn right_answers_pass_and_wrong_ones_do_not() {
    let script = "
        load 30s
          http_requests_total{job=\"api\"} 0+30x10

        # a comment ends a block
        eval instant at 5m rate(http_requests_total[5m])
          {job=\"api\"} 1

        eval instant at 5m rate(http_requests_total[5m])
          {job=\"api\"} 2

        eval instant at 5m rate(http_requests_total[5m])

        eval range from 0 to 1m step 30s http_requests_total
          http_requests_total{job=\"api\"} 0 30 60

        eval range from 0 to 1m step 30s http_requests_total
          http_requests_total{job=\"api\"} 0 _ 60

        eval instant at 1m 1 + 1
          2

        eval instant at 1m \"text\"
          expect string `text`

        clear

        eval instant at 5m http_requests_total
    ";
    assert_eq!(run(script), (5, vec![9, 12, 17]));
}

#[test]
fn failures_and_annotations_are_checked() {
    let script = "
        load 1m
          m{job=\"a\"} 1 2 3
          m{job=\"b\"} 1 2 3

        eval instant at 1m sum(
          expect fail

        eval instant at 1m m
          expect fail

        eval instant at 1m m * on() m
          expect fail regex: found duplicate series

        eval instant at 2m rate(m[2m])
          expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (1:6)
          expect no_warn
          {job=\"a\"} 0.016666666666666666
          {job=\"b\"} 0.016666666666666666

        eval instant at 2m rate(m[2m])
          expect no_info
          {job=\"a\"} 0.016666666666666666
          {job=\"b\"} 0.016666666666666666

        nonsense
    ";
    assert_eq!(run(script), (3, vec![9, 21, 26]));
}

#[test]
fn start_timestamps_and_native_forms_are_loaded() {
    let script = "
        load 1m
          c_total@st -30s _ -30s
          c_total 4 5 6

        eval instant at 2m start_timestamp(c_total)
          {} 90

        clear
        load_with_nhcb 1m
          h_bucket{le=\"1\"} 1
          h_bucket{le=\"+Inf\"} 3
          h_count 3
          h_sum 7

        eval instant at 0 h
          h {{schema:-53 count:3 sum:7 custom_values:[1] buckets:[1 2]}}
    ";
    assert_eq!(run(script), (2, vec![]));
}

#[test]
#[ignore = "needs Prometheus' scripts: NORN_CONFORMANCE names the folder that holds promqltest/"]
fn promqltest_conformance() {
    let root = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE is not set");
    let folder = PathBuf::from(root).join("promqltest");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no scripts", folder.display());
    let only = std::env::var("NORN_CONFORMANCE_FILE").unwrap_or_default();
    let mut failed = 0;
    let mut table = String::new();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let report = run_file(&name, &std::fs::read_to_string(file).unwrap(), &Settings::default());
        for failure in &report.failures {
            println!("{name}: {failure}\n");
        }
        failed += report.failures.len();
        table.push_str(&format!("{name:<28} {:>5} passed {:>5} failed\n", report.passed, report.failures.len()));
    }
    println!("{table}");
    assert_eq!(failed, 0, "queries failed");
}
