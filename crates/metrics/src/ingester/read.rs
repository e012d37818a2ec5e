//! What an ingester is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use norn_base::Result;
use norn_model::estimate::{SeriesCount, SeriesEstimate};
use norn_model::select::{
    BatchSource, MetadataList, SeriesExemplars, SeriesRequest, SeriesSource, SeriesStore, TimeRange,
};
use norn_model::{Labels, Matcher, TenantId};
use norn_tsdb::database::Tenant;
use norn_tsdb::head::query::HistogramCounts;

use super::Ingester;
use crate::reader::{
    CountMethod, HistogramBuckets, IngesterReader, LabelCardinality, LabelRequest, NameList, SeriesReader, TenantStats,
};

impl Ingester {
    /// A tenant's storage; `None` where the tenant has sent nothing.
    fn tenant(&self, tenant: &TenantId) -> Result<Option<Arc<Tenant>>> {
        Ok(self.database()?.tenant(tenant))
    }

    /// Asks a tenant's storage on the pool for computing. A tenant without one has the default answer.
    async fn ask<T: Default + Send + 'static>(
        &self,
        tenant: &TenantId,
        ask: impl FnOnce(&Tenant) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.tenant(tenant)? {
            Some(tenant) => self.pool.compute(move || ask(&tenant)).await?,
            None => Ok(T::default()),
        }
    }

    /// Since when a series has to have had a sample to be active, in seconds since the Unix epoch.
    pub(super) fn active_since_s(&self) -> u32 {
        let idle_s = i64::try_from(self.settings.active_idle_after.as_secs()).unwrap_or(i64::MAX);
        u32::try_from((self.clock.now_ms() / 1000).saturating_sub(idle_s)).unwrap_or(0)
    }

    fn since(&self, method: CountMethod) -> Option<u32> {
        (method == CountMethod::Active).then(|| self.active_since_s())
    }
}

/// Asks once for each selector, or once for all series, and puts the answers together.
fn union(request: &LabelRequest, ask: impl Fn(&[Matcher], TimeRange) -> Result<Vec<String>>) -> Result<NameList> {
    let any = [Vec::new()];
    let selectors = if request.selectors.is_empty() { &any[..] } else { &request.selectors };
    let mut names = BTreeSet::new();
    for matchers in selectors {
        names.extend(ask(matchers, request.range)?);
    }
    Ok(NameList { names: names.into_iter().collect(), warnings: Vec::new() })
}

#[async_trait]
impl SeriesReader for Arc<Ingester> {
    fn select(&self, tenant: &TenantId, request: SeriesRequest) -> Box<dyn SeriesSource> {
        match self.tenant(tenant) {
            Ok(Some(tenant)) => tenant.select(request),
            Ok(None) => Box::new(BatchSource::default()),
            Err(error) => Box::new(crate::reader::FailedSource::new(error)),
        }
    }

    async fn estimate(&self, tenant: &TenantId, request: SeriesRequest) -> Result<SeriesCount> {
        self.ask(tenant, move |tenant| tenant.estimate(&request)).await
    }

    async fn label_names(&self, tenant: &TenantId, request: LabelRequest) -> Result<NameList> {
        self.ask(tenant, move |tenant| union(&request, |matchers, range| tenant.label_names(matchers, range))).await
    }

    async fn label_values(&self, tenant: &TenantId, name: &str, request: LabelRequest) -> Result<NameList> {
        let name = name.to_owned();
        let ask = move |tenant: &Tenant| union(&request, |matchers, range| tenant.label_values(&name, matchers, range));
        self.ask(tenant, ask).await
    }
}

#[async_trait]
impl IngesterReader for Arc<Ingester> {
    async fn exemplars(
        &self,
        tenant: &TenantId,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>> {
        let selectors = selectors.to_vec();
        self.ask(tenant, move |tenant| Ok(tenant.head().exemplars(&selectors, range))).await
    }

    async fn metadata(&self, tenant: &TenantId, family: Option<&str>) -> Result<MetadataList> {
        let family = family.map(str::to_owned);
        self.ask(tenant, move |tenant| Ok(tenant.head().metadata(family.as_deref()))).await
    }

    async fn label_cardinality(
        &self,
        tenant: &TenantId,
        names: &[String],
        matchers: &[Matcher],
        method: CountMethod,
    ) -> Result<Vec<LabelCardinality>> {
        let (names, matchers, since) = (names.to_vec(), matchers.to_vec(), self.since(method));
        let ask = move |tenant: &Tenant| {
            let head = tenant.head();
            let names =
                if names.is_empty() { head.label_cardinality(&matchers, since).into_keys().collect() } else { names };
            let counted = names.into_iter().map(|name| {
                let values = head.value_cardinality(&name, &matchers, since).into_iter();
                let series_by_value = values.map(|count| (count.value, count.series as u64)).collect();
                LabelCardinality { name, series_by_value }
            });
            Ok(counted.filter(|label| !label.series_by_value.is_empty()).collect())
        };
        self.ask(tenant, ask).await
    }

    async fn series_count(&self, tenant: &TenantId, matchers: &[Matcher], method: CountMethod) -> Result<u64> {
        let (matchers, since) = (matchers.to_vec(), self.since(method));
        self.ask(tenant, move |tenant| Ok(tenant.head().count_series(&matchers, since) as u64)).await
    }

    async fn active_series(&self, tenant: &TenantId, matchers: &[Matcher]) -> Result<Vec<Labels>> {
        let (matchers, since) = (matchers.to_vec(), self.active_since_s());
        self.ask(tenant, move |tenant| Ok(tenant.head().active_series(&matchers, since))).await
    }

    async fn active_histograms(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<BTreeMap<String, HistogramBuckets>> {
        let (matchers, since) = (matchers.to_vec(), self.active_since_s());
        let ask = move |tenant: &Tenant| {
            let counted = tenant.head().active_histograms(&matchers, since).into_iter();
            Ok(counted.map(|(metric, counts)| (metric, buckets_of(counts))).collect())
        };
        self.ask(tenant, ask).await
    }

    async fn tenant_stats(&self, tenant: &TenantId) -> Result<TenantStats> {
        let ask = |tenant: &Tenant| Ok(TenantStats { series: tenant.head().series_count(), ..TenantStats::default() });
        self.ask(tenant, ask).await
    }
}

fn buckets_of(counts: HistogramCounts) -> HistogramBuckets {
    let HistogramCounts { series, buckets, min_buckets, max_buckets } = counts;
    HistogramBuckets {
        series: series as u64,
        buckets: buckets as u64,
        min_buckets: min_buckets as u64,
        max_buckets: max_buckets as u64,
    }
}
