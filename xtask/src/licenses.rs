//! Licences of all dependencies, and crates in more than one version. Reads nothing but cargo's own metadata.

use std::collections::BTreeMap;

use crate::metadata::packages;

/// Licences that may be combined with Apache-2.0 in one binary.
const ALLOWED: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "MPL-2.0",
    "BSL-1.0",
    "MIT-0",
];

/// Crates that stand in the graph twice, because two of our dependencies want different versions. A crate that is not
/// named here fails the check; one that is named and no longer doubled does, too.
const DOUBLED: &[&str] =
    &["base64", "cpufeatures", "getrandom", "itertools", "rand", "rand_core", "syn", "synstructure"];

pub(crate) fn check() -> Result<(), String> {
    let packages = packages()?;
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.values() {
        versions.entry(&package.name).or_default().push(&package.version);
        let allowed = package.license.as_deref().is_some_and(is_allowed);
        if !allowed {
            let license = package.license.as_deref().unwrap_or("none");
            problems.push(format!("{} {}: licence {license}", package.name, package.version));
        }
    }
    for (name, versions) in &versions {
        match (versions.len() > 1, DOUBLED.contains(name)) {
            (true, false) => problems.push(format!("{name} stands in the graph as {}", versions.join(" and "))),
            (false, true) => problems.push(format!("{name} is listed as doubled and is not")),
            _ => {}
        }
    }
    for name in DOUBLED.iter().filter(|name| !versions.contains_key(**name)) {
        problems.push(format!("{name} is listed as doubled and is not there"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Whether an SPDX expression can be met with allowed licences. `OR` offers a choice, `AND` asks for all.
fn is_allowed(expression: &str) -> bool {
    // Older manifests write `MIT/Apache-2.0`.
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|all| all.split(" OR ").any(|one| ALLOWED.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions_are_met_or_not() {
        for good in ["MIT", "MIT/Apache-2.0", "GPL-2.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["AGPL-3.0", "MIT AND GPL-3.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
