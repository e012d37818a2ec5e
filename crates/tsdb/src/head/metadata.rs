//! What is known about a tenant's metric families, kept until nobody has sent it for a while.

use std::collections::BTreeMap;

use norn_model::select::MetadataList;
use norn_model::write::MetricMetadata;

use super::rejection::{HeadLimits, Reason};

/// Metadata by family; writers may disagree, so a family has a list.
#[derive(Debug, Default)]
pub(crate) struct MetadataStore {
    families: BTreeMap<String, Vec<Seen>>,
}

#[derive(Debug)]
struct Seen {
    metadata: MetricMetadata,
    /// Seconds since the Unix epoch.
    last_s: u32,
}

impl MetadataStore {
    /// Whether this very metadata is there; then it counts as seen now.
    pub(crate) fn refresh(&mut self, metadata: &MetricMetadata, now_s: u32) -> bool {
        let Some(family) = self.families.get_mut(&metadata.family) else { return false };
        let known = family.iter_mut().find(|seen| seen.metadata == *metadata);
        known.map(|seen| seen.last_s = now_s).is_some()
    }

    /// Whether metadata that is not there yet may come in.
    pub(crate) fn check(&self, metadata: &MetricMetadata, limits: &HeadLimits) -> Result<(), Reason> {
        match self.families.get(&metadata.family) {
            None if limits.metadata > 0 && self.families.len() >= limits.metadata => {
                Err(Reason::MetadataLimit { limit: limits.metadata })
            }
            Some(family) if limits.metadata_per_metric > 0 && family.len() >= limits.metadata_per_metric => {
                Err(Reason::MetricMetadataLimit { limit: limits.metadata_per_metric })
            }
            _ => Ok(()),
        }
    }

    /// Adds metadata, unless it is there.
    pub(crate) fn add(&mut self, metadata: &MetricMetadata, now_s: u32) {
        if !self.refresh(metadata, now_s) {
            let family = self.families.entry(metadata.family.clone()).or_default();
            family.push(Seen { metadata: metadata.clone(), last_s: now_s });
        }
    }

    /// Forgets what nobody has sent since `before_s`.
    pub(crate) fn forget_before(&mut self, before_s: u32) {
        self.families.retain(|_, family| {
            family.retain(|seen| seen.last_s >= before_s);
            !family.is_empty()
        });
    }

    /// All metadata, families ascending; of one family, or of all.
    pub(crate) fn list(&self, family: Option<&str>) -> MetadataList {
        let entries = self.families.iter().filter(|entry| family.is_none_or(|family| entry.0 == family));
        entries.flat_map(|entry| entry.1.iter().map(|seen| seen.metadata.clone())).collect()
    }
}
