//! From attributes of a resource, a scope and a point to the labels of a series.

use norn_rpc::otlp::{AnyValue, KeyValue, Resource, ScopeMetrics};

use super::names::label_name;
use super::rules::TranslationRules;
use super::values;

/// Attributes that become `job` and `instance`, and so say who the target is.
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Labels under construction: each name once, in no order.
pub(super) type LabelPairs = Vec<(String, String)>;

/// What all points of one scope have in common, worked out once.
pub(super) struct Common {
    /// Promoted attributes of the resource, which yield to attributes of a point.
    promoted: LabelPairs,
    /// Labels that win over attributes of a point: the scope's, `job` and `instance`.
    fixed: LabelPairs,
}

impl Common {
    /// The common labels; an error where an attribute has no name that can be used.
    pub(super) fn new(
        resource: &Resource<'_>,
        scope: &ScopeMetrics<'_>,
        rules: &TranslationRules,
    ) -> Result<Self, String> {
        let mut promoted = LabelPairs::new();
        let mut attributes: Vec<_> = resource
            .attributes
            .iter()
            .filter(|pair| rules.promoted_attributes.iter().any(|name| *name == pair.key))
            .collect();
        attributes.sort_by(|left, right| left.key.cmp(&right.key));
        for pair in attributes {
            let name = label_name(&pair.key, rules)?;
            if get(&promoted, &name).is_none() {
                promoted.push((name, values::text(&pair.value)));
            }
        }
        let mut fixed = LabelPairs::new();
        if rules.promote_scope && !scope.scope.name.is_empty() {
            set(&mut fixed, "otel_scope_name", scope.scope.name.to_string());
            set(&mut fixed, "otel_scope_version", scope.scope.version.to_string());
            set(&mut fixed, "otel_scope_schema_url", scope.schema_url.to_string());
            for pair in &scope.scope.attributes {
                let name = label_name(&format!("otel_scope_{}", pair.key), rules)?;
                set(&mut fixed, &name, values::text(&pair.value));
            }
        }
        set_target(&mut fixed, resource);
        Ok(Self { promoted, fixed })
    }

    /// The labels of a point, without the metric's name. Attributes whose names become the same are joined by `;`,
    /// in the order of their own names.
    pub(super) fn labels(&self, attributes: &[KeyValue<'_>], rules: &TranslationRules) -> Result<LabelPairs, String> {
        let mut labels = joined(attributes.iter(), rules)?;
        for (name, value) in &self.promoted {
            if get(&labels, name).is_none() {
                labels.push((name.clone(), value.clone()));
            }
        }
        for (name, value) in &self.fixed {
            set(&mut labels, name, value.clone());
        }
        Ok(labels)
    }
}

/// The labels of `target_info`; `None` where it would say nothing, or nothing about a known target.
pub(super) fn target_info(resource: &Resource<'_>, rules: &TranslationRules) -> Result<Option<LabelPairs>, String> {
    let is_identifying =
        |pair: &&KeyValue<'_>| matches!(&*pair.key, SERVICE_NAME | SERVICE_NAMESPACE | SERVICE_INSTANCE);
    let has_target = resource.attributes.iter().any(|pair| matches!(&*pair.key, SERVICE_NAME | SERVICE_INSTANCE));
    if !has_target || resource.attributes.iter().all(|pair| is_identifying(&pair)) {
        return Ok(None);
    }
    let keep_all = rules.keep_identifying_attributes;
    let kept = resource.attributes.iter().filter(|pair| keep_all || !is_identifying(pair));
    let mut labels = joined(kept, rules)?;
    set_target(&mut labels, resource);
    Ok(Some(labels))
}

fn joined<'p, 'a: 'p>(
    attributes: impl Iterator<Item = &'p KeyValue<'a>>,
    rules: &TranslationRules,
) -> Result<LabelPairs, String> {
    let mut sorted: Vec<_> = attributes.collect();
    sorted.sort_by(|left, right| left.key.cmp(&right.key));
    let mut labels = LabelPairs::with_capacity(sorted.len() + 4);
    for pair in sorted {
        let (name, value) = (label_name(&pair.key, rules)?, values::text(&pair.value));
        match labels.iter_mut().find(|label| label.0 == name) {
            Some(label) => {
                label.1.push(';');
                label.1.push_str(&value);
            }
            None => labels.push((name, value)),
        }
    }
    Ok(labels)
}

fn set_target(labels: &mut LabelPairs, resource: &Resource<'_>) {
    let attribute = |name: &str| resource.attributes.iter().find(|pair| pair.key == name).map(|pair| &pair.value);
    let text = |value: &AnyValue<'_>| values::text(value);
    if let Some(name) = attribute(SERVICE_NAME).map(text) {
        let job = match attribute(SERVICE_NAMESPACE).map(text) {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        set(labels, "job", job);
    }
    if let Some(instance) = attribute(SERVICE_INSTANCE).map(text) {
        set(labels, "instance", instance);
    }
}

fn get<'l>(labels: &'l LabelPairs, name: &str) -> Option<&'l str> {
    labels.iter().find(|label| label.0 == name).map(|label| label.1.as_str())
}

/// Sets a label, also where there was one of that name.
pub(super) fn set(labels: &mut LabelPairs, name: &str, value: String) {
    match labels.iter_mut().find(|label| label.0 == name) {
        Some(label) => label.1 = value,
        None => labels.push((name.to_owned(), value)),
    }
}
