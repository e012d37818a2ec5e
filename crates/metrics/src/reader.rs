//! What a querier asks of those who hold series. Implemented by the roles themselves, in one process, and by their
//! remote clients.

use std::collections::BTreeMap;

use async_trait::async_trait;
use std::task::{Context, Poll};

use norn_base::{Error, Result};
use norn_model::estimate::SeriesCount;
use norn_model::select::{MetadataList, SeriesBatch, SeriesExemplars, SeriesRequest, SeriesSource, TimeRange};
use norn_model::{Labels, Matcher, TenantId};

/// Names or values, and what went wrong without ending the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameList {
    /// Ascending, unique.
    pub names: Vec<String>,
    /// Shown to the client.
    pub warnings: Vec<String>,
}

/// A question for label names, or for the values of one label.
#[derive(Debug, Clone)]
pub struct LabelRequest {
    /// Alternatives: a series counts where all matchers of one list hold. Empty: every series counts.
    pub selectors: Vec<Vec<Matcher>>,
    /// Only series with samples in this range; stores may be coarser and look at whole blocks or heads.
    pub range: TimeRange,
    /// The most names wanted; 0 is no limit.
    pub limit: usize,
}

/// Holds series of many tenants: ingesters the recent ones, store-gateways those in the bucket.
#[async_trait]
pub trait SeriesReader: Send + Sync {
    /// Opens a stream of matching series. Dropping it cancels the work.
    fn select(&self, tenant: &TenantId, request: SeriesRequest) -> Box<dyn SeriesSource>;

    /// About how much there is to read for a request, of which only matchers and range count.
    async fn estimate(&self, tenant: &TenantId, request: SeriesRequest) -> Result<SeriesCount>;

    /// Names of labels of matching series.
    async fn label_names(&self, tenant: &TenantId, request: LabelRequest) -> Result<NameList>;

    /// Values of the label `name` of matching series.
    async fn label_values(&self, tenant: &TenantId, name: &str, request: LabelRequest) -> Result<NameList>;
}

/// How series are counted by the cardinality API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CountMethod {
    /// All series in memory.
    #[default]
    InMemory,
    /// Those with a recent sample.
    Active,
}

/// Values of a label and how many series have each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelCardinality {
    /// The label.
    pub name: String,
    /// `(value, series)`, ascending by value.
    pub series_by_value: Vec<(String, u64)>,
}

/// What only ingesters know.
#[async_trait]
pub trait IngesterReader: SeriesReader {
    /// Exemplars of series that match one of the selectors, in a range. Series ascend by labels.
    async fn exemplars(
        &self,
        tenant: &TenantId,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>>;

    /// Metadata of one family, or of all.
    async fn metadata(&self, tenant: &TenantId, family: Option<&str>) -> Result<MetadataList>;

    /// For each label its values with the number of matching series that have it. An empty list of names: all labels.
    async fn label_cardinality(
        &self,
        tenant: &TenantId,
        names: &[String],
        matchers: &[Matcher],
        method: CountMethod,
    ) -> Result<Vec<LabelCardinality>>;

    /// How many series match.
    async fn series_count(&self, tenant: &TenantId, matchers: &[Matcher], method: CountMethod) -> Result<u64>;

    /// Series with a recent sample that match, in ascending order.
    async fn active_series(&self, tenant: &TenantId, matchers: &[Matcher]) -> Result<Vec<Labels>>;

    /// Metrics whose recent samples are native histograms, by name.
    async fn active_histograms(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<BTreeMap<String, HistogramBuckets>>;

    /// How much the tenant sends and holds.
    async fn tenant_stats(&self, tenant: &TenantId) -> Result<TenantStats>;
}

/// The buckets of a metric's native histograms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistogramBuckets {
    /// Series with such a histogram.
    pub series: u64,
    /// Buckets of all of them.
    pub buckets: u64,
    /// The fewest buckets of one.
    pub min_buckets: u64,
    /// The most buckets of one.
    pub max_buckets: u64,
}

/// How much a tenant sends and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TenantStats {
    /// Samples per second that came from clients.
    pub api_ingestion_rate: f64,
    /// Samples per second that came from rules.
    pub rule_ingestion_rate: f64,
    /// Series in memory.
    pub series: u64,
}

/// A stream that fails at once.
pub struct FailedSource {
    error: Option<Error>,
}

impl FailedSource {
    /// A stream that fails with this error.
    pub fn new(error: Error) -> Self {
        Self { error: Some(error) }
    }
}

impl SeriesSource for FailedSource {
    fn poll_batch(&mut self, _context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        Poll::Ready(self.error.take().map_or(Ok(false), Err))
    }
}
