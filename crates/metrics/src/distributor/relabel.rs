//! Prometheus' relabelling rules, applied.
//!
//! Source: Prometheus `model/relabel/relabel.go`.

use norn_config::relabel::{RelabelAction, RelabelConfig};
use norn_model::TenantId;

/// What the rules may look at beside the labels of the series; it is no label of the result.
const TENANT_LABEL: &str = "__meta_tenant_id";

/// Changes `labels`, which are in any order. Returns whether the series is kept.
pub(super) fn apply(rules: &[RelabelConfig], tenant: &TenantId, labels: &mut Vec<(String, String)>) -> bool {
    if rules.is_empty() {
        return true;
    }
    set(labels, TENANT_LABEL, tenant.as_str().to_owned());
    let is_kept = rules.iter().all(|rule| apply_rule(rule, labels));
    labels.retain(|label| label.0 != TENANT_LABEL);
    is_kept
}

fn apply_rule(rule: &RelabelConfig, labels: &mut Vec<(String, String)>) -> bool {
    let source: Vec<_> = rule.source_labels.iter().map(|name| get(labels, name)).collect();
    let source = source.join(&rule.separator);
    match rule.action {
        RelabelAction::Keep => return rule.regex.is_match(&source),
        RelabelAction::Drop => return !rule.regex.is_match(&source),
        RelabelAction::KeepEqual => return get(labels, &rule.target_label) == source,
        RelabelAction::DropEqual => return get(labels, &rule.target_label) != source,
        RelabelAction::Replace => replace(rule, &source, labels),
        RelabelAction::HashMod => set(labels, &rule.target_label, hash_mod(&source, rule.modulus).to_string()),
        RelabelAction::Lowercase => set(labels, &rule.target_label, source.to_lowercase()),
        RelabelAction::Uppercase => set(labels, &rule.target_label, source.to_uppercase()),
        RelabelAction::LabelMap => {
            for (name, value) in labels.clone() {
                if let Some(name) = rule.regex.expand(&name, &rule.replacement) {
                    set(labels, &name, value);
                }
            }
        }
        RelabelAction::LabelDrop => labels.retain(|label| !rule.regex.is_match(&label.0)),
        RelabelAction::LabelKeep => labels.retain(|label| rule.regex.is_match(&label.0)),
    }
    true
}

fn replace(rule: &RelabelConfig, source: &str, labels: &mut Vec<(String, String)>) {
    let Some(value) = rule.regex.expand(source, &rule.replacement) else { return };
    let Some(target) = rule.regex.expand(source, &rule.target_label) else { return };
    // A target that the pattern did not fill in names no label.
    if !target.is_empty() {
        set(labels, &target, value);
    }
}

/// The last eight bytes of the MD5 sum as a number, modulo `modulus`.
fn hash_mod(source: &str, modulus: u64) -> u64 {
    super::md5::last_word(source.as_bytes()) % modulus.max(1)
}

fn get<'l>(labels: &'l [(String, String)], name: &str) -> &'l str {
    labels.iter().find(|label| label.0 == name).map_or("", |label| label.1.as_str())
}

/// Sets a label; an empty value removes it.
fn set(labels: &mut Vec<(String, String)>, name: &str, value: String) {
    if value.is_empty() {
        return labels.retain(|label| label.0 != name);
    }
    match labels.iter_mut().find(|label| label.0 == name) {
        Some(label) => label.1 = value,
        None => labels.push((name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests;
