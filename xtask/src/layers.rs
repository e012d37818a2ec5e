//! Dependencies point down: what a crate must not reach, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{Package, packages};

/// `(crate, what it must not reach, why)`.
const FORBIDDEN: [(&str, &[&str], &str); 9] = [
    ("norn-base", &["norn-model", "norn-config"], "everything stands on base"),
    ("norn-model", &["axum", "object_store", "norn-config"], "the model knows no I/O"),
    ("norn-gotext", &["tokio", "norn-base"], "text needs nothing but text"),
    (
        "norn-promql",
        &["norn-tsdb", "norn-bucket", "norn-server", "norn-wal", "axum", "object_store"],
        "a language never sees a block or a socket",
    ),
    (
        "norn-tsdb",
        &["norn-promql", "norn-bucket", "norn-server", "axum", "object_store"],
        "a store never sees a query language or a socket",
    ),
    ("norn-wal", &["norn-model", "norn-tsdb", "axum"], "the log carries opaque records"),
    ("norn-bucket", &["norn-model", "norn-tsdb", "norn-server"], "a bucket holds objects, whatever they are"),
    ("norn-query", &["norn-promql", "norn-tsdb", "norn-metrics", "axum"], "the frontend knows no query language"),
    ("norn-server", &["norn-metrics", "norn-tsdb", "norn-promql"], "the server knows no role"),
];

pub(crate) fn check() -> Result<(), String> {
    let packages = packages()?;
    let mut problems = Vec::new();
    for (from, forbidden, why) in FORBIDDEN {
        let Some(reached) = reached_from(&packages, from) else {
            problems.push(format!("there is no crate {from}"));
            continue;
        };
        for name in forbidden.iter().filter(|name| reached.contains(**name)) {
            problems.push(format!("{from} reaches {name}: {why}"));
        }
    }
    for package in packages.values().filter(|package| package.is_member) {
        let needs_binary = package.needs.iter().filter_map(|id| packages.get(id)).any(|need| need.name == "norn");
        if needs_binary {
            problems.push(format!("{} needs the binary: nothing depends on it", package.name));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn reached_from<'a>(packages: &'a BTreeMap<String, Package>, name: &str) -> Option<BTreeSet<&'a str>> {
    let (start, _) = packages.iter().find(|(_, package)| package.name == name && package.is_member)?;
    let mut seen = BTreeSet::new();
    let mut pending = vec![start.as_str()];
    while let Some(id) = pending.pop() {
        let Some(package) = packages.get(id) else { continue };
        for need in &package.needs {
            if seen.insert(need.as_str()) {
                pending.push(need);
            }
        }
    }
    Some(seen.into_iter().filter_map(|id| Some(packages.get(id)?.name.as_str())).collect())
}
