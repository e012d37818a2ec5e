//! Checks that every setting with an effect is read by somebody.
//!
//! The table of settings says of each setting which field of the configuration model it sets. A field that nothing
//! outside of the configuration's crate reads would be a setting that silently does nothing. The check is textual: it
//! looks for each part of the field's path where fields are read, so a section that nobody opens fails too. It cannot
//! tell apart fields of equal names in different sections; that is the price of not needing a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The tables of settings.
const TABLES: [&str; 3] = ["mimir/settings.tsv", "mimir/hidden.tsv", "own/settings.tsv"];

/// Checks this workspace.
pub(crate) fn check_workspace() -> Result<(), String> {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// Lists the settings whose fields nobody reads, as an error. `root` is the folder of the workspace.
fn check(root: &Path) -> Result<(), String> {
    let fields = fields_with_effect(&root.join("crates/config/src"))?;
    let mut used = BTreeSet::new();
    for entry in read_dir(&root.join("crates"))? {
        if entry.file_name().is_some_and(|name| name != "config") {
            collect_members(&entry.join("src"), &mut used)?;
        }
    }
    let mut unread = Vec::new();
    for (field, setting) in &fields {
        if let Some(part) = field.split('.').find(|part| !used.contains(*part)) {
            unread.push(format!("{setting}: nothing outside of crates/config reads .{part}"));
        }
    }
    if unread.is_empty() {
        return Ok(());
    }
    let remedy = "read the field, or say in the table of settings why the setting has no effect";
    Err(format!("{} settings have no effect; {remedy}:\n{}", unread.len(), unread.join("\n")))
}

/// The fields of the model, each with the first setting that sets it.
fn fields_with_effect(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut fields = BTreeMap::new();
    for table in TABLES {
        for line in read(&folder.join(table))?.lines() {
            let mut columns = line.split('\t');
            let (Some(setting), Some(coverage)) = (columns.next(), columns.next_back()) else { continue };
            if let Some(field) = coverage.strip_prefix("effect:") {
                fields.entry(field.to_owned()).or_insert_with(|| setting.to_owned());
            }
        }
    }
    if fields.is_empty() { Err(format!("{}: no setting has an effect", folder.display())) } else { Ok(fields) }
}

/// Adds every `name` that is read in the sources below a folder.
fn collect_members(folder: &Path, used: &mut BTreeSet<String>) -> Result<(), String> {
    for path in read_dir(folder)? {
        if path.is_dir() {
            collect_members(&path, used)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            members(&read(&path)?, used);
        }
    }
    Ok(())
}

/// Adds every `name` that stands after a point, methods (`name(`) excepted, and every field that a `let` takes out of
/// a struct. Comments do not count.
fn members(source: &str, used: &mut BTreeSet<String>) {
    let without_comments: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = without_comments.join("\n");
    for piece in code.split('.').skip(1) {
        let (name, rest) = leading_name(piece);
        if !name.is_empty() && !rest.starts_with('(') {
            used.insert(name.to_owned());
        }
    }
    for statement in code.split("let ").skip(1) {
        let pattern = statement.split(['=', ';']).next().unwrap_or_default();
        let Some((_, fields)) = pattern.split_once('{') else { continue };
        for field in fields.split(['{', '}', ',']) {
            let (name, _) = leading_name(field.trim_start());
            if !name.is_empty() {
                used.insert(name.to_owned());
            }
        }
    }
}

fn leading_name(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    text.split_at(end.unwrap_or(text.len()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The entries of a folder; none if there is no such folder.
fn read_dir(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        paths.push(entry.map_err(|error| format!("{}: {error}", folder.display()))?.path());
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_what_stands_after_a_point_or_is_taken_out_of_a_struct() {
        let mut used = BTreeSet::new();
        members("x = config.server.http_port; // .ignored\n    .wrapped\nx.call(y.z).await?; 1..2", &mut used);
        let expected = ["2", "await", "http_port", "server", "wrapped", "z"];
        assert_eq!(used, expected.map(str::to_owned).into_iter().collect());
        used.clear();
        members("let Limits { rate, burst: size, .. } = limits; let x = Limits { other };", &mut used);
        let expected = ["burst", "rate"];
        assert_eq!(used, expected.map(str::to_owned).into_iter().collect());
    }

    #[test]
    fn every_setting_that_nobody_reads_is_listed() {
        let root = std::env::temp_dir().join(format!("norn-config-coverage-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let row = |path: &str, coverage: &str| format!("{path}\t-\tint\t0\tbasic\t{coverage}\n");
        let table = [row("a.x", "effect:a.x"), row("a.y", "effect:a.y"), row("b.x", "effect:b.x"), row("c", "later:d")];
        write("crates/config/src/mimir/settings.tsv", &format!("# rows\n{}", table.concat()));
        write("crates/config/src/mimir/hidden.tsv", "");
        write("crates/config/src/own/settings.tsv", "");
        write("crates/config/src/lib.rs", "config.b.y");
        write("crates/role/src/deep/lib.rs", "let a = &config.a; a.x");
        let expected = "2 settings have no effect; read the field, or say in the table of settings why the setting has \
                        no effect:\na.y: nothing outside of crates/config reads .y\n\
                        b.x: nothing outside of crates/config reads .b";
        assert_eq!(check(&root), Err(expected.to_owned()));
        write("crates/role/src/lib.rs", "config.b; config.y");
        assert_eq!(check(&root), Ok(()));
        fs::remove_dir_all(root).unwrap();
    }
}
