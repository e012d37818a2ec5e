//! The parser against recorded facts: which texts Prometheus accepts, and the messages of a real server.

use std::path::PathBuf;

use super::*;

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
    let folder = std::env::var_os("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder of recorded facts");
    let cases = PathBuf::from(folder).join("golden/metrics/cases");
    let mut wrong = Vec::new();
    // The recorded server has everything on but `fill`.
    let options = ParseOptions { fill_modifiers: false, ..ParseOptions::all() };
    for file in std::fs::read_dir(cases).expect("the folder holds recorded cases") {
        let name = file.unwrap().file_name().into_string().unwrap();
        for case in lines(&format!("golden/metrics/cases/{name}")) {
            let parameters = if case["params"].is_object() { &case["params"] } else { &case["form"] };
            let path = case["path"].as_str().unwrap_or_default();
            let is_query = path.ends_with("/query") || path.ends_with("/query_range");
            let Some(query) = parameters["query"].as_str().filter(|_| is_query) else { continue };
            let recorded = case["expect"]["error"].as_str().and_then(|error| error.strip_prefix(PREFIX));
            let recorded = recorded.filter(|error| error.contains("parse error:"));
            let found = parse(query, &options).err().map(|error| error.to_string());
            if found.as_deref() != recorded {
                wrong.push(format!("{name}: {query}\n  recorded {recorded:?}\n  found    {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} queries:\n{}", wrong.len(), wrong.join("\n"));
}
