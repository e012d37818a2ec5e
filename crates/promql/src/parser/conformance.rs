//! The parser against recorded facts: which texts Prometheus accepts, and the messages of a real server.

use std::path::PathBuf;

use super::*;

/// Inputs that are listed as accepted, and are not by Prometheus: two were cut short when they were copied, and
/// two ask for what the language does not have.
const NOT_TO_ACCEPT: [&str; 4] = ["{'foo\\'bar', ", "`", "irate(foo[2i])", "start(foo)"];

/// The recorded server prints the `{}` in this query as nothing before it parses it again, and stumbles over that.
const NOT_TO_REFUSE: &str = "info(svc_requests_total, {})";

fn lines(path: &str) -> Vec<serde_json::Value> {
    let folder = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder of recorded facts");
    let path = PathBuf::from(folder).join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("each line is a JSON object")).collect()
}

#[test]
#[ignore = "reads recorded facts from the folder NORN_CONFORMANCE"]
fn inputs_are_accepted_or_refused_as_by_prometheus() {
    let mut wrong = Vec::new();
    for case in lines("promqltest/parse-inputs.jsonl") {
        let input = case["input"].as_str().unwrap();
        if NOT_TO_ACCEPT.contains(&input) {
            continue;
        }
        let result = parse(input, &ParseOptions::all());
        if result.is_err() != case["fail"].as_bool().unwrap() {
            wrong.push(format!("{input}: {:?}", result.map(|_| "accepted").map_err(|error| error.to_string())));
        }
    }
    assert!(wrong.is_empty(), "{} inputs:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "reads recorded facts from the folder NORN_CONFORMANCE"]
fn messages_are_those_of_the_server() {
    const PREFIX: &str = "invalid parameter \"query\": ";
    let mut wrong = Vec::new();
    // The recorded server has everything on but `fill`.
    let options = ParseOptions { fill_modifiers: false, matcher_alternatives: false, ..ParseOptions::all() };
    for (query, case) in recorded_queries(&["/query", "/query_range"]) {
        let error = case["expect"]["error"].as_str().unwrap_or_default();
        let recorded = error.strip_prefix(PREFIX).filter(|error| error.contains("parse error:"));
        // Of several wrong parameters the server names another one first.
        let is_about_another = error.starts_with("invalid parameter") && !error.starts_with(PREFIX);
        if is_about_another || query == NOT_TO_REFUSE {
            continue;
        }
        let found = parse(&query, &options).err().map(|error| error.to_string());
        if found.as_deref() != recorded {
            wrong.push(format!("{query}\n  recorded {recorded:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} queries:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "reads recorded facts from the folder NORN_CONFORMANCE"]
fn queries_are_formatted_as_by_the_server() {
    let recorded = recorded_queries(&["/format_query"]);
    assert!(!recorded.is_empty());
    for (query, case) in recorded {
        let found = parse(&query, &ParseOptions::all()).map(|expr| crate::printer::pretty(&expr));
        let expected = case["expect"]["data"].as_str();
        assert_eq!(found.as_deref().ok(), expected, "{query}");
    }
}

#[test]
#[ignore = "reads recorded facts from the folder NORN_CONFORMANCE"]
fn recorded_queries_print_and_parse_again() {
    for (query, _) in recorded_queries(&["/query", "/query_range", "/format_query"]) {
        let Ok(expr) = parse(&query, &ParseOptions::all()) else { continue };
        for printed in [expr.to_string(), crate::printer::pretty(&expr)] {
            let again = parse(&printed, &ParseOptions::all()).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(again.to_string(), expr.to_string(), "{query}");
        }
    }
}

/// All recorded requests whose path ends so, with their queries.
fn recorded_queries(paths: &[&str]) -> Vec<(String, serde_json::Value)> {
    let folder = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder of recorded facts");
    let cases = PathBuf::from(folder).join("golden/metrics/cases");
    let mut found = Vec::new();
    for file in std::fs::read_dir(cases).expect("the folder holds recorded cases") {
        let name = file.unwrap().file_name().into_string().unwrap();
        for case in lines(&format!("golden/metrics/cases/{name}")) {
            let parameters = if case["params"].is_object() { &case["params"] } else { &case["form"] };
            let path = case["path"].as_str().unwrap_or_default();
            if let Some(query) = parameters["query"].as_str().filter(|_| paths.iter().any(|end| path.ends_with(end))) {
                found.push((query.to_owned(), case.clone()));
            }
        }
    }
    found
}
