//! What cargo knows about the workspace and its dependencies.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// One package of the dependency graph.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Ids of the packages that it needs to run: neither for its build nor for its tests.
    pub(crate) needs: Vec<String>,
    pub(crate) is_member: bool,
}

/// The resolved graph for this platform, by package id.
pub(crate) fn packages() -> Result<BTreeMap<String, Package>, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let members: Vec<&str> = list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();

    let mut packages = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let id = text(&package["id"]);
        packages.insert(
            id.clone(),
            Package {
                name: text(&package["name"]),
                version: text(&package["version"]),
                license: package["license"].as_str().map(str::to_owned),
                needs: Vec::new(),
                is_member: members.contains(&id.as_str()),
            },
        );
    }
    // The graph holds only what is resolved for the platform; other packages are left out below.
    let mut resolved = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let id = text(&node["id"]);
        let Some(mut package) = packages.remove(&id) else { continue };
        for dependency in list(&node["deps"]) {
            if list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()) {
                package.needs.push(text(&dependency["pkg"]));
            }
        }
        resolved.insert(id, package);
    }
    Ok(resolved)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
