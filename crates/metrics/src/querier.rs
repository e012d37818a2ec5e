//! The querier: one store of series over ingesters and store-gateways, for one tenant or several.
//!
//! Which of the two is asked follows from the time asked for: ingesters hold what is recent, store-gateways what has
//! been in the bucket for a while, and between the two limits both are asked and doubles removed. With several
//! tenants each series gets the label `__tenant_id__`.

pub mod federation;
pub mod limited;

use std::collections::BTreeSet;
use std::sync::Arc;

use norn_base::clock::SharedClock;
use norn_base::{Error, Result};
use norn_model::estimate::SeriesCount;
use norn_model::merge::{Precedence, merge_sources};
use norn_model::select::{
    BatchSource, SeriesExemplars, SeriesOrder, SeriesRequest, SeriesSource, SeriesStore, TimeRange,
};
use norn_model::write::MetricMetadata;
use norn_model::{Labels, Matcher, TenantId};
use norn_server::tenant::Tenants;

use crate::concurrency::{all_or_first_error, at_most};
use crate::reader::{IngesterReader, LabelRequest, NameList, SeriesReader};
use federation::{TENANT_LABEL, split_tenants};
use limited::{FetchLimits, LimitedSource};

/// From when on samples are asked of whom, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceTimes {
    /// Ingesters are asked for what is younger; 0: always.
    pub ingesters_within_ms: i64,
    /// Store-gateways are asked for what is older; 0: always.
    pub store_after_ms: i64,
    /// Who is asked at all.
    pub choice: SourceChoice,
}

/// Who is asked for series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceChoice {
    /// Whoever may have some.
    #[default]
    All,
    /// Ingesters only.
    Ingesters,
    /// Store-gateways only.
    StoreGateways,
}

/// Reads the series of tenants from all who hold some.
#[derive(Clone)]
pub struct Querier {
    ingesters: Arc<dyn IngesterReader>,
    store: Arc<dyn SeriesReader>,
    clock: SharedClock,
}

/// Who asks, and what a single query may take.
#[derive(Debug, Clone)]
pub struct ReadScope {
    /// One or several.
    pub tenants: Tenants,
    /// Of whom to ask what.
    pub times: SourceTimes,
    /// How much one query may fetch.
    pub fetch: FetchLimits,
    /// How many tenants are asked for labels at once.
    pub tenants_at_once: usize,
}

impl ReadScope {
    /// Whether answers carry the label `__tenant_id__`.
    pub fn is_federated(&self) -> bool {
        self.tenants.is_federated()
    }
}

impl Querier {
    /// A querier over these sources.
    pub fn new(ingesters: Arc<dyn IngesterReader>, store: Arc<dyn SeriesReader>, clock: SharedClock) -> Self {
        Self { ingesters, store, clock }
    }

    /// The series of a scope, for one query: what it fetches is counted together.
    pub fn store_for(&self, scope: ReadScope) -> Arc<dyn SeriesStore> {
        let counts = Arc::new(limited::FetchCounts::default());
        Arc::new(ScopedStore { querier: self.clone(), scope, counts })
    }

    /// The ingesters, for what only they know.
    pub fn ingesters(&self) -> &Arc<dyn IngesterReader> {
        &self.ingesters
    }

    fn sources(&self, times: SourceTimes, range: TimeRange) -> Vec<&dyn SeriesReader> {
        let now_ms = self.clock.now_ms();
        let mut readers: Vec<&dyn SeriesReader> = Vec::with_capacity(2);
        let SourceTimes { ingesters_within_ms, store_after_ms, choice } = times;
        let recent = ingesters_within_ms == 0 || range.end_ms >= now_ms.saturating_sub(ingesters_within_ms);
        if recent && choice != SourceChoice::StoreGateways {
            readers.push(&*self.ingesters);
        }
        let older = store_after_ms == 0 || range.start_ms < now_ms.saturating_sub(store_after_ms);
        if older && choice != SourceChoice::Ingesters {
            readers.push(&*self.store);
        }
        readers
    }

    fn select(&self, tenant: &TenantId, times: SourceTimes, mut request: SeriesRequest) -> Box<dyn SeriesSource> {
        let readers = self.sources(times, request.range);
        match readers.as_slice() {
            [] => Box::new(BatchSource::default()),
            [reader] => reader.select(tenant, request),
            readers => {
                request.order = SeriesOrder::ByHash;
                merge_sources(
                    readers.iter().map(|reader| reader.select(tenant, request.clone())).collect(),
                    Precedence::Greatest,
                )
            }
        }
    }

    /// About how much a query has to read for one of its selectors. Cost: no chunk is read.
    pub async fn estimate(&self, scope: &ReadScope, request: &SeriesRequest) -> Result<SeriesCount> {
        let mut count = SeriesCount::default();
        for (tenant, selectors) in federation::split_selectors(scope, std::slice::from_ref(&request.matchers))? {
            for matchers in selectors {
                let inner = federation::inner_request(request, matchers);
                let mut of_tenant = SeriesCount::default();
                for reader in self.sources(scope.times, request.range) {
                    of_tenant = of_tenant.beside(reader.estimate(&tenant, inner.clone()).await?);
                }
                count = count.and(of_tenant);
            }
        }
        Ok(count)
    }

    /// Names of the labels of matching series.
    pub async fn label_names(&self, scope: &ReadScope, request: LabelRequest) -> Result<NameList> {
        let mut names = BTreeSet::new();
        let mut warnings = BTreeSet::new();
        let split = federation::split_selectors(scope, &request.selectors)?;
        if scope.is_federated() && !split.is_empty() {
            names.insert(TENANT_LABEL.to_owned());
        }
        let ask = |(tenant, selectors)| {
            let request = LabelRequest { selectors, ..request.clone() };
            async move {
                let mut lists = Vec::new();
                for reader in self.sources(scope.times, request.range) {
                    lists.push(reader.label_names(&tenant, request.clone()).await?);
                }
                Ok::<_, Error>(lists)
            }
        };
        for list in all_or_first_error(at_most(scope.tenants_at_once, split, ask).await)?.into_iter().flatten() {
            names.extend(list.names.into_iter().map(|name| federation::outer_name(scope, name)));
            warnings.extend(list.warnings);
        }
        Ok(cut(names, warnings, request.limit))
    }

    /// Values of a label of matching series.
    pub async fn label_values(&self, scope: &ReadScope, name: &str, request: LabelRequest) -> Result<NameList> {
        let mut values = BTreeSet::new();
        let mut warnings = BTreeSet::new();
        let split = federation::split_selectors(scope, &request.selectors)?;
        if scope.is_federated() && name == TENANT_LABEL {
            values.extend(split.iter().map(|(tenant, _)| tenant.to_string()));
            return Ok(cut(values, warnings, request.limit));
        }
        let ask = |(tenant, selectors)| {
            let request = LabelRequest { selectors, ..request.clone() };
            async move {
                let mut lists = Vec::new();
                for reader in self.sources(scope.times, request.range) {
                    let inner_name = federation::inner_name(scope, name);
                    lists.push(reader.label_values(&tenant, inner_name, request.clone()).await?);
                }
                Ok::<_, Error>(lists)
            }
        };
        for list in all_or_first_error(at_most(scope.tenants_at_once, split, ask).await)?.into_iter().flatten() {
            values.extend(list.names);
            warnings.extend(list.warnings);
        }
        Ok(cut(values, warnings, request.limit))
    }

    /// Label sets of series that match one of the selectors, at most `limit` of them where that is not 0.
    pub async fn series(&self, scope: &ReadScope, request: LabelRequest) -> Result<(Vec<Labels>, Vec<String>)> {
        let store = self.store_for(scope.clone());
        let mut found = BTreeSet::new();
        let mut warnings = Vec::new();
        for matchers in request.selectors {
            let mut selected = SeriesRequest::new(matchers, request.range);
            selected.labels_only = true;
            let mut source = store.select(selected);
            let mut batch = norn_model::select::SeriesBatch::default();
            while std::future::poll_fn(|context| source.poll_batch(context, &mut batch)).await? {
                found.extend(batch.iter().map(|series| series.labels.clone()));
            }
            warnings.extend(source.warnings());
        }
        let mut series: Vec<_> = found.into_iter().collect();
        if request.limit > 0 && series.len() > request.limit {
            series.truncate(request.limit);
            warnings.push("results truncated due to limit".to_owned());
        }
        Ok((series, warnings))
    }

    /// Exemplars of series that match one of the selectors, by labels.
    pub async fn exemplars(
        &self,
        scope: &ReadScope,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>> {
        let mut answer = Vec::new();
        for (tenant, selectors) in federation::split_selectors(scope, selectors)? {
            for mut series in self.ingesters.exemplars(&tenant, &selectors, range).await? {
                if scope.is_federated() {
                    series.labels = federation::outer_labels(&series.labels, &tenant);
                }
                answer.push(series);
            }
        }
        answer.sort_by(|left, right| left.labels.cmp(&right.labels));
        Ok(answer)
    }

    /// What is known about metric families; of all of them where none is named.
    pub async fn metadata(&self, scope: &ReadScope, family: Option<&str>) -> Result<Vec<MetricMetadata>> {
        let mut answer = Vec::new();
        for tenant in scope.tenants.ids() {
            for metadata in self.ingesters.metadata(tenant, family).await? {
                if !answer.contains(&metadata) {
                    answer.push(metadata);
                }
            }
        }
        Ok(answer)
    }
}

fn cut(names: BTreeSet<String>, warnings: BTreeSet<String>, limit: usize) -> NameList {
    let mut warnings: Vec<_> = warnings.into_iter().collect();
    let mut names: Vec<_> = names.into_iter().collect();
    if limit > 0 && names.len() > limit {
        names.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    NameList { names, warnings }
}

/// What one query reads from.
struct ScopedStore {
    querier: Querier,
    scope: ReadScope,
    counts: Arc<limited::FetchCounts>,
}

impl SeriesStore for ScopedStore {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        let source = if self.scope.is_federated() {
            let (tenants, matchers) = split_tenants(self.scope.tenants.ids(), &request.matchers);
            let sources = tenants.into_iter().map(|tenant| {
                let inner = federation::inner_request(&request, matchers.clone());
                let source = self.querier.select(&tenant, self.scope.times, inner);
                federation::label_source(source, tenant)
            });
            federation::chain(sources.collect())
        } else {
            self.querier.select(&self.scope.tenants.ids()[0], self.scope.times, request)
        };
        Box::new(LimitedSource::new(source, self.scope.fetch, self.counts.clone()))
    }
}
