//! The `common` block: what several sections inherit.

use crate::table::Table;
use crate::value::Value;

/// The sections that inherit from `common.storage`.
const STORAGES: [&str; 3] = ["blocks_storage", "ruler_storage", "alertmanager_storage"];

/// The values that settings inherit from those of `common` among `given`, with the origin of the latter.
pub(super) fn inherited<T: Clone>(table: &Table, given: &[(usize, Value, T)]) -> std::vec::IntoIter<(usize, Value, T)> {
    let mut values = Vec::new();
    for (index, value, origin) in given {
        for heir in heirs(table, table.settings()[*index].path) {
            values.push((heir, value.clone(), origin.clone()));
        }
    }
    values.into_iter()
}

/// The rows that inherit from the setting at `path`.
fn heirs(table: &Table, path: &str) -> Vec<usize> {
    if let Some(key) = path.strip_prefix("common.storage.") {
        let heir = |section: &&str| table.index_of(&format!("{section}.{key}"));
        return STORAGES.iter().filter_map(heir).collect();
    }
    let Some(key) = path.strip_prefix("common.client_cluster_validation.") else { return Vec::new() };
    let suffixes = [format!(".cluster_validation.{key}"), format!(".client_cluster_validation.{key}")];
    let inherits = |path: &str| {
        let of_client = suffixes.iter().any(|suffix| path.ends_with(suffix));
        of_client && !path.starts_with("server.") && !path.starts_with("common.")
    };
    let rows = table.settings().iter().enumerate();
    rows.filter(|(_, setting)| inherits(setting.path)).map(|(index, _)| index).collect()
}
