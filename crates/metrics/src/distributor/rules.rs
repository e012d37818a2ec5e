//! A tenant's limits in the form in which samples are held against them.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use norn_config::limits::{LabelValueStrategy, Limits, NameValidation};
use norn_config::relabel::RelabelConfig;
use norn_model::TenantId;
use parking_lot::RwLock;

use crate::otlp::rules::TranslationRules;

/// Tells what a tenant may send. Asked once for each request, so it has to be cheap.
pub trait TenantRules: Send + Sync {
    /// The rules of this moment.
    fn rules(&self, tenant: &TenantId) -> Arc<WriteRules>;
}

/// What a tenant may send, and what becomes of it. Zero is "no limit" where a field does not say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteRules {
    /// Requests per second, over all distributors.
    pub request_rate: f64,
    /// Requests at once, per distributor.
    pub request_burst: u64,
    /// Samples, exemplars and metadata per second, over all distributors. Zero is zero.
    pub ingestion_rate: f64,
    /// Samples, exemplars and metadata at once, per distributor.
    pub ingestion_burst: u64,
    /// If above zero, the burst as a multiple of one distributor's share of the rate.
    pub ingestion_burst_factor: f64,
    /// How samples of highly available pairs are deduplicated, if they are.
    pub ha: Option<HaRules>,
    /// Relabelling.
    pub relabel: Vec<RelabelConfig>,
    /// Labels to remove after relabelling.
    pub drop_labels: Vec<String>,
    /// Longest name of a label.
    pub label_name_bytes_max: usize,
    /// Longest value of a label.
    pub label_value_bytes_max: usize,
    /// What becomes of a longer value.
    pub label_value_strategy: LabelValueStrategy,
    /// Most labels of a series.
    pub labels_max: usize,
    /// Most labels of a series whose name ends in `_info`.
    pub info_labels_max: usize,
    /// Whether names are any UTF-8, or of the characters that Prometheus has always known.
    pub utf8_names: bool,
    /// Longest family, unit and help of metadata.
    pub metadata_bytes_max: usize,
    /// Whether metadata without a family is refused.
    pub metadata_needs_family: bool,
    /// Most buckets of a native histogram.
    pub histogram_buckets_max: usize,
    /// Whether a histogram with more buckets loses resolution instead of being refused.
    pub reduce_histograms: bool,
    /// Whether native histograms are stored; if not they are dropped silently.
    pub native_histograms: bool,
    /// Whether exemplars are stored; if not they are dropped silently.
    pub exemplars: bool,
    /// Most exemplars of one series in a request.
    pub series_exemplars_max: usize,
    /// How far in the future a sample may lie.
    pub future_max: Duration,
    /// How far in the past a sample may lie.
    pub past_max: Option<Duration>,
    /// How OTLP becomes series.
    pub otlp: TranslationRules,
}

/// How samples of a highly available pair are deduplicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaRules {
    /// The label that names the pair.
    pub cluster_label: String,
    /// The label that names one of the pair.
    pub replica_label: String,
    /// Most pairs; zero is no limit.
    pub clusters_max: u64,
    /// The least time between two updates of the elected replica's timestamp.
    pub update_timeout: Duration,
    /// Up to this is added to that time, so that not all are updated at once.
    pub update_jitter_max: Duration,
    /// After which silence, by the clock, another replica is elected.
    pub failover_timeout: Duration,
    /// After which silence, by the timestamps of samples, another replica is elected; zero is off.
    pub sample_failover_timeout: Duration,
}

impl WriteRules {
    /// Derives the rules from a tenant's limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            request_rate: limits.request_rate,
            request_burst: limits.request_burst_size,
            ingestion_rate: limits.ingestion_rate,
            ingestion_burst: limits.ingestion_burst_size,
            ingestion_burst_factor: limits.ingestion_burst_factor,
            ha: limits.accept_ha_samples.then(|| HaRules::new(limits)),
            relabel: limits.metric_relabel_configs.clone(),
            drop_labels: limits.drop_labels.clone(),
            label_name_bytes_max: limits.max_label_name_length,
            label_value_bytes_max: limits.max_label_value_length,
            label_value_strategy: limits.label_value_length_over_limit_strategy,
            labels_max: limits.max_label_names_per_series,
            info_labels_max: limits.max_label_names_per_info_series,
            utf8_names: limits.name_validation_scheme == NameValidation::Utf8,
            metadata_bytes_max: limits.max_metadata_length,
            metadata_needs_family: limits.enforce_metadata_metric_name,
            histogram_buckets_max: limits.max_native_histogram_buckets,
            reduce_histograms: limits.reduce_native_histogram_over_max_buckets,
            native_histograms: limits.native_histograms_ingestion_enabled,
            exemplars: limits.max_global_exemplars_per_user > 0,
            series_exemplars_max: limits.max_exemplars_per_series_per_request,
            future_max: limits.creation_grace_period,
            past_max: (!limits.past_grace_period.is_zero())
                .then(|| limits.past_grace_period + limits.out_of_order_time_window),
            otlp: TranslationRules::new(limits),
        }
    }
}

impl HaRules {
    fn new(limits: &Limits) -> Self {
        Self {
            cluster_label: limits.ha_cluster_label.clone(),
            replica_label: limits.ha_replica_label.clone(),
            clusters_max: limits.ha_max_clusters,
            update_timeout: limits.ha_tracker_update_timeout,
            update_jitter_max: limits.ha_tracker_update_timeout_jitter_max,
            failover_timeout: limits.ha_tracker_failover_timeout,
            sample_failover_timeout: limits.ha_tracker_sample_failover_timeout,
        }
    }
}

impl Default for HaRules {
    fn default() -> Self {
        Self {
            cluster_label: "cluster".to_owned(),
            replica_label: "__replica__".to_owned(),
            clusters_max: 100,
            update_timeout: Duration::from_secs(15),
            update_jitter_max: Duration::from_secs(5),
            failover_timeout: Duration::from_secs(30),
            sample_failover_timeout: Duration::ZERO,
        }
    }
}

/// The documented defaults of the original.
impl Default for WriteRules {
    fn default() -> Self {
        Self {
            request_rate: 0.0,
            request_burst: 0,
            ingestion_rate: 10_000.0,
            ingestion_burst: 200_000,
            ingestion_burst_factor: 0.0,
            ha: None,
            relabel: Vec::new(),
            drop_labels: Vec::new(),
            label_name_bytes_max: 1024,
            label_value_bytes_max: 2048,
            label_value_strategy: LabelValueStrategy::Error,
            labels_max: 30,
            info_labels_max: 80,
            utf8_names: false,
            metadata_bytes_max: 1024,
            metadata_needs_family: true,
            histogram_buckets_max: 0,
            reduce_histograms: true,
            native_histograms: true,
            exemplars: false,
            series_exemplars_max: 0,
            future_max: Duration::from_secs(600),
            past_max: None,
            otlp: TranslationRules::default(),
        }
    }
}

/// Rules that follow limits which may be reloaded at any time; derived anew only when they were.
pub struct ReloadedRules<L> {
    limits: L,
    derived: RwLock<HashMap<TenantId, Derived>>,
}

/// Rules, and the limits that they were derived from.
struct Derived {
    limits: Arc<Limits>,
    rules: Arc<WriteRules>,
}

impl<L: Fn(&TenantId) -> Arc<Limits> + Send + Sync> ReloadedRules<L> {
    /// `limits` returns the same `Arc` for as long as a tenant's limits stay the same.
    pub fn new(limits: L) -> Self {
        Self { limits, derived: RwLock::default() }
    }
}

impl<L: Fn(&TenantId) -> Arc<Limits> + Send + Sync> TenantRules for ReloadedRules<L> {
    fn rules(&self, tenant: &TenantId) -> Arc<WriteRules> {
        let limits = (self.limits)(tenant);
        if let Some(derived) = self.derived.read().get(tenant)
            && Arc::ptr_eq(&derived.limits, &limits)
        {
            return derived.rules.clone();
        }
        let rules = Arc::new(WriteRules::new(&limits));
        let derived = Derived { limits, rules: rules.clone() };
        self.derived.write().insert(tenant.clone(), derived);
        rules
    }
}

#[cfg(test)]
mod tests;
