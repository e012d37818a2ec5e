//! Queries over several tenants: their series get the label `__tenant_id__`, and matchers on it choose tenants.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::labels::LabelsBuilder;
use norn_model::select::{Projection, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource};
use norn_model::{Labels, Matcher, TenantId};

use super::ReadScope;

/// The label that names the tenant.
pub const TENANT_LABEL: &str = "__tenant_id__";

/// What a label of that name in the data becomes.
pub const ORIGINAL_TENANT_LABEL: &str = "original___tenant_id__";

/// Tenants that matchers on `__tenant_id__` leave, and the other matchers, those on `original___tenant_id__` turned
/// to the data's own name.
pub fn split_tenants(tenants: &[TenantId], matchers: &[Matcher]) -> (Vec<TenantId>, Vec<Matcher>) {
    let (on_tenant, others): (Vec<_>, Vec<_>) =
        matchers.iter().cloned().partition(|matcher| matcher.name() == TENANT_LABEL);
    let chosen = |tenant: &&TenantId| on_tenant.iter().all(|matcher| matcher.matches(tenant.as_str()));
    let inner = others.into_iter().map(|matcher| match matcher.name() {
        ORIGINAL_TENANT_LABEL => matcher.renamed(TENANT_LABEL),
        _ => matcher,
    });
    (tenants.iter().filter(chosen).cloned().collect(), inner.collect())
}

/// For each tenant of the scope the selectors that concern it. A tenant that no selector concerns is left out.
pub fn split_selectors(scope: &ReadScope, selectors: &[Vec<Matcher>]) -> Result<Vec<(TenantId, Vec<Vec<Matcher>>)>> {
    if !scope.is_federated() || selectors.is_empty() {
        return Ok(scope.tenants.ids().iter().map(|tenant| (tenant.clone(), selectors.to_vec())).collect());
    }
    let mut split: Vec<(TenantId, Vec<Vec<Matcher>>)> = Vec::new();
    for tenant in scope.tenants.ids() {
        let mut kept = Vec::new();
        for matchers in selectors {
            let (tenants, inner) = split_tenants(std::slice::from_ref(tenant), matchers);
            if !tenants.is_empty() {
                kept.push(inner);
            }
        }
        if !kept.is_empty() {
            split.push((tenant.clone(), kept));
        }
    }
    Ok(split)
}

/// The request that goes to a single tenant's sources. All labels are asked for, since the hash of the labelled series
/// is made from them.
pub fn inner_request(request: &SeriesRequest, matchers: Vec<Matcher>) -> SeriesRequest {
    SeriesRequest { matchers, projection: Projection::All, order: SeriesOrder::Any, ..request.clone() }
}

/// A label's name in the data, from its name in the answer.
pub fn inner_name<'a>(scope: &ReadScope, name: &'a str) -> &'a str {
    if scope.is_federated() && name == ORIGINAL_TENANT_LABEL { TENANT_LABEL } else { name }
}

/// A label's name in the answer, from its name in the data.
pub fn outer_name(scope: &ReadScope, name: String) -> String {
    if scope.is_federated() && name == TENANT_LABEL { ORIGINAL_TENANT_LABEL.to_owned() } else { name }
}

/// A series' labels with that of its tenant.
pub fn outer_labels(labels: &Labels, tenant: &TenantId) -> Labels {
    let mut builder = LabelsBuilder::from(labels);
    if let Some(original) = labels.get(TENANT_LABEL) {
        builder.set(ORIGINAL_TENANT_LABEL, original);
    }
    builder.set(TENANT_LABEL, tenant.as_str());
    builder.build()
}

/// Adds the tenant's label to all that a source yields.
pub fn label_source(source: Box<dyn SeriesSource>, tenant: TenantId) -> Box<dyn SeriesSource> {
    Box::new(LabelledSource { source, tenant })
}

struct LabelledSource {
    source: Box<dyn SeriesSource>,
    tenant: TenantId,
}

impl SeriesSource for LabelledSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        let polled = self.source.poll_batch(context, batch);
        if let Poll::Ready(Ok(true)) = polled {
            batch.relabel(|labels| outer_labels(labels, &self.tenant));
        }
        polled
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }
}

/// One source after the other.
pub fn chain(sources: Vec<Box<dyn SeriesSource>>) -> Box<dyn SeriesSource> {
    Box::new(ChainedSource { waiting: sources.into(), ended: Vec::new() })
}

struct ChainedSource {
    waiting: VecDeque<Box<dyn SeriesSource>>,
    /// Kept for their warnings.
    ended: Vec<Box<dyn SeriesSource>>,
}

impl SeriesSource for ChainedSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        while let Some(source) = self.waiting.front_mut() {
            match source.poll_batch(context, batch) {
                Poll::Ready(Ok(false)) => self.ended.extend(self.waiting.pop_front()),
                other => return other,
            }
        }
        batch.clear();
        Poll::Ready(Ok(false))
    }

    fn warnings(&self) -> Vec<String> {
        self.ended.iter().chain(&self.waiting).flat_map(|source| source.warnings()).collect()
    }
}
