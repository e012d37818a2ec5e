//! From the text of runtime configuration files to a state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::instance::{DistributorInstanceOverrides, IngesterInstanceOverrides};
use super::{Contents, OverridesError, Runtime, TenantLimits};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::section::{FieldError, Source};
use crate::settings::{Settings, file};
use crate::value::Value;
use crate::yaml::{self, Fields, Node};

/// What the files are called in messages.
const WHAT: &str = "runtime configuration";

/// The limits of tenants that have none of their own.
pub(super) fn limits(settings: &Settings) -> Result<Limits, OverridesError> {
    let limits = Limits::from_settings(settings).map_err(|error| settings.locate(&error));
    let checked = limits.and_then(|limits| limits.check().map(|()| limits));
    checked.map_err(OverridesError::Defaults)
}

/// Merges the files and reads all that they say.
pub(super) fn runtime(base: &Settings, contents: &Contents) -> Result<Runtime, OverridesError> {
    let mut document = yaml::parse("", "", WHAT)?;
    for (name, text) in contents {
        document.merge(yaml::parse(text, name, WHAT)?);
    }
    let mut fields = Fields::of(&document)?;
    let overrides = fields.entries("overrides")?;
    let ingester_limits = fields.node("ingester_limits").map(IngesterInstanceOverrides::from_node).transpose()?;
    let distributor_limits =
        fields.node("distributor_limits").map(DistributorInstanceOverrides::from_node).transpose()?;
    // The switch between key-value stores has an effect only with a store of the kind "multi", which is refused.
    fields.node("multi_kv_config");
    fields.finish()?;
    let mut tenants = TenantLimits::default();
    for (tenant, node) in overrides {
        tenants.insert(tenant.to_owned(), Arc::new(tenant_limits(base, tenant, node)?));
    }
    let defaults = Arc::new(limits(base)?);
    Ok(Runtime { defaults, tenants, ingester_limits, distributor_limits, document: Some(document) })
}

/// The defaults with one tenant's section over them.
fn tenant_limits(base: &Settings, tenant: &str, node: &Node) -> Result<Limits, OverridesError> {
    let mut reader = file::Reader::new(base.table());
    reader.section("limits", node)?;
    let mut overlay = Overlay { base, values: BTreeMap::new() };
    for (index, value, _) in reader.values {
        overlay.set(index, value);
    }
    let at_tenant = |problem: String| OverridesError::Tenant { tenant: tenant.to_owned(), problem };
    let limits = Limits::from_settings(&overlay).map_err(|error: FieldError| at_tenant(error.to_string()))?;
    limits.check().map_err(at_tenant)?;
    Ok(limits)
}

/// Settings with some values replaced.
struct Overlay<'a> {
    base: &'a Settings,
    values: BTreeMap<usize, Value>,
}

impl Overlay<'_> {
    /// Replaces a value; a map's entries are laid over the default's.
    fn set(&mut self, index: usize, value: Value) {
        let is_map = self.base.table().settings()[index].kind == Kind::Map;
        let merged = match (self.base.get(index), value) {
            (Value::Map(entries), Value::Map(over)) if is_map => {
                let mut entries = entries.clone();
                entries.extend(over);
                Value::Map(entries)
            }
            (_, value) => value,
        };
        self.values.insert(index, merged);
    }
}

impl Source for Overlay<'_> {
    fn value(&self, path: &str) -> Option<&Value> {
        let index = self.base.table().index_of(path)?;
        Some(self.values.get(&index).unwrap_or_else(|| self.base.get(index)))
    }
}
