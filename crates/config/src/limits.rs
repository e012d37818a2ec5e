//! What a tenant may do, and how its data is treated.
//!
//! The keys are those of the `limits` block. A tenant's limits are the defaults of the process overlaid with the
//! keys of its section in the runtime configuration. Zero means "no limit", or "off", where a field does not say
//! otherwise; "cluster-wide" limits are divided among the healthy processes that apply them.

mod rules;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

pub use rules::{BlockedQuery, BlockedRequest, LimitedQuery, QueryParameter};

use crate::metrics::MetricsConfig;
use crate::relabel::RelabelConfig;
use crate::section::{FieldError, FromSettings, Source, choices, section};

section! {
    /// What a tenant may do, and how its data is treated.
    pub struct Limits {
        /// Write requests per second, cluster-wide.
        pub request_rate: f64,
        /// Write requests at once, per distributor.
        pub request_burst_size: u64,
        /// Samples, exemplars and metadata per second, cluster-wide.
        pub ingestion_rate: f64,
        /// Samples, exemplars and metadata at once, per distributor.
        pub ingestion_burst_size: u64,
        /// The burst as a multiple of the local rate, instead of [`Self::ingestion_burst_size`], if above zero.
        pub ingestion_burst_factor: f64,
        /// Whether samples of highly available pairs are deduplicated.
        pub accept_ha_samples: bool,
        /// The label that names a pair.
        pub ha_cluster_label: String,
        /// The label that names one of a pair; removed from deduplicated series.
        pub ha_replica_label: String,
        /// Most pairs.
        pub ha_max_clusters: u64,
        /// The least time between updates of an elected replica's timestamp.
        pub ha_tracker_update_timeout: Duration,
        /// Up to this is added at random to that time.
        pub ha_tracker_update_timeout_jitter_max: Duration,
        /// After which silence another replica is elected, by wall clock.
        pub ha_tracker_failover_timeout: Duration,
        /// After which silence another replica is elected, by timestamps of samples.
        pub ha_tracker_sample_failover_timeout: Duration,
        /// Labels to remove from all series, after relabelling.
        pub drop_labels: Vec<String>,
        /// Longest name of a label, in bytes.
        pub max_label_name_length: usize,
        /// Longest value of a label, in bytes.
        pub max_label_value_length: usize,
        /// What happens to a longer value.
        pub label_value_length_over_limit_strategy: LabelValueStrategy,
        /// Most labels of a series.
        pub max_label_names_per_series: usize,
        /// Most labels of a series whose name ends in `_info`.
        pub max_label_names_per_info_series: usize,
        /// Longest name, unit or help of metadata, in bytes.
        pub max_metadata_length: usize,
        /// Most buckets of a native histogram.
        pub max_native_histogram_buckets: usize,
        /// Most exemplars of one series in a request.
        pub max_exemplars_per_series_per_request: usize,
        /// Whether native histograms with more buckets lose resolution instead of being refused.
        pub reduce_native_histogram_over_max_buckets: bool,
        /// How far in the future a sample may be.
        pub creation_grace_period: Duration,
        /// How old a sample may be, beyond [`Self::out_of_order_time_window`].
        pub past_grace_period: Duration,
        /// Whether metadata needs a metric name.
        pub enforce_metadata_metric_name: bool,
        /// Relabelling rules for all series.
        pub metric_relabel_configs: Vec<RelabelConfig>,
        /// Most series in memory, cluster-wide, before replication.
        pub max_global_series_per_user: u64,
        /// Most series of one metric in memory, cluster-wide, before replication.
        pub max_global_series_per_metric: u64,
        /// Most metrics with metadata, cluster-wide.
        pub max_global_metadata_per_user: u64,
        /// Most different metadata of one metric, cluster-wide.
        pub max_global_metadata_per_metric: u64,
        /// Exemplars kept, cluster-wide; zero keeps none.
        pub max_global_exemplars_per_user: u64,
        /// Whether out-of-order exemplars are dropped silently.
        pub ignore_ooo_exemplars: bool,
        /// Series in memory from which on the head is cut early.
        pub early_head_compaction_owned_series_threshold: u64,
        /// The share of series that an early cut has to free, in percent.
        pub early_head_compaction_min_estimated_series_reduction_percentage: u64,
        /// Whether native histograms are taken; if not they are dropped silently.
        pub native_histograms_ingestion_enabled: bool,
        /// Selectors by name whose active series are counted.
        pub active_series_custom_trackers: BTreeMap<String, String>,
        /// Further such selectors; they win over equal names.
        pub active_series_additional_custom_trackers: BTreeMap<String, String>,
        /// Most further selectors.
        pub max_active_series_additional_custom_trackers: usize,
        /// How much older than the newest sample a sample may be.
        pub out_of_order_time_window: Duration,
        /// Whether blocks of out-of-order samples are labelled and compacted apart.
        pub out_of_order_blocks_external_label_enabled: bool,
        /// Most chunks of a query.
        pub max_fetched_chunks_per_query: u64,
        /// Most series of a query.
        pub max_fetched_series_per_query: u64,
        /// Most bytes of chunks of a query.
        pub max_fetched_chunk_bytes_per_query: u64,
        /// Most memory of a query, in bytes.
        pub max_estimated_memory_consumption_per_query: u64,
        /// How far back a query may look; earlier parts are cut off.
        pub max_query_lookback: Duration,
        /// Longest part of a split query, in the querier.
        pub max_partial_query_length: Duration,
        /// Parts of one query that run at once.
        pub max_query_parallelism: usize,
        /// Longest time range of queries for labels and series; earlier parts are cut off.
        pub max_labels_query_length: Duration,
        /// Most series that a query for series returns.
        pub max_series_query_limit: usize,
        /// Most names that a query for label names returns.
        pub max_label_names_limit: usize,
        /// Most values that a query for label values returns.
        pub max_label_values_limit: usize,
        /// Results younger than this are not cached.
        pub max_cache_freshness: Duration,
        /// Shards of a query; 0 and 1 do not shard.
        pub query_sharding_total_shards: u32,
        /// Most sharded parts of one query.
        pub query_sharding_max_sharded_queries: usize,
        /// A longer regular expression keeps a query from being sharded, in bytes.
        pub query_sharding_max_regexp_size_bytes: usize,
        /// Ingesters are asked only for younger samples; zero always asks.
        pub query_ingesters_within: Duration,
        /// Whether the metric's name is removed at the end of an evaluation only.
        pub enable_delayed_name_removal: bool,
        /// Longest query, before it is split.
        pub max_total_query_length: Duration,
        /// How long results are cached.
        pub results_cache_ttl: Duration,
        /// How long results within [`Self::out_of_order_time_window`] are cached.
        pub results_cache_ttl_for_out_of_order_time_window: Duration,
        /// How long errors are cached.
        pub results_cache_ttl_for_errors: Duration,
        /// Whether queries whose times are no multiples of the step are cached.
        pub cache_unaligned_requests: bool,
        /// Longest query expression, in bytes.
        pub max_query_expression_size_bytes: usize,
        /// Queries that are refused.
        pub blocked_queries: Vec<BlockedQuery>,
        /// Queries that may run only so often.
        pub limited_queries: Vec<LimitedQuery>,
        /// HTTP requests that are refused.
        pub blocked_requests: Vec<BlockedRequest>,
        /// Whether start and end are rounded down to multiples of the step.
        pub align_queries_with_step: bool,
        /// Experimental functions that may be used; `all` is all.
        pub enabled_promql_experimental_functions: Vec<String>,
        /// Extended range selectors that may be used: `smoothed`, `anchored` or `all`.
        pub enabled_promql_extended_range_selectors: Vec<String>,
        /// Whether ranges include their start, as in Prometheus 2.
        pub prom2_range_compat: bool,
        /// Whether matchers that change nothing are left out of queries for labels.
        pub labels_query_optimizer_enabled: bool,
        /// Whether the cardinality API is served.
        pub cardinality_analysis_enabled: bool,
        /// Most bytes of names and values in an answer about label names.
        pub label_names_and_values_results_max_size_bytes: u64,
        /// Most label names in a request about label values.
        pub label_values_max_cardinality_label_names_per_request: usize,
        /// The largest `limit` of the cardinality API.
        pub cardinality_analysis_max_results: usize,
        /// Most bytes of an answer with active series.
        pub active_series_results_max_size_bytes: u64,
        /// Most rules of a group; shown to the tenant.
        pub ruler_max_rules_per_rule_group: u64,
        /// Most groups of rules; shown to the tenant.
        pub ruler_max_rule_groups_per_tenant: u64,
        /// How long samples are kept; zero keeps them for ever.
        pub compactor_blocks_retention_period: Duration,
        /// Shards that blocks are split into; zero does not split.
        pub compactor_split_and_merge_shards: u32,
        /// Groups of blocks that are split at once.
        pub compactor_split_groups: u32,
        /// After which silence the rests of an upload are deleted.
        pub compactor_partial_block_deletion_delay: Duration,
        /// Blocks that were uploaded longer ago are not compacted.
        pub compactor_max_lookback: Duration,
        /// Files of one block that are uploaded at once.
        pub compactor_max_per_block_upload_concurrency: usize,
        /// Whether names of OTLP metrics get suffixes of unit and type.
        pub otel_metric_suffixes_enabled: bool,
        /// Whether the start of an OTLP counter becomes a sample of zero.
        pub otel_created_timestamp_zero_ingestion_enabled: bool,
        /// Resource attributes that become labels of every OTLP series.
        pub promote_otel_resource_attributes: Vec<String>,
        /// Whether `target_info` keeps the attributes of the service.
        pub otel_keep_identifying_resource_attributes: bool,
        /// Whether explicit OTLP histograms become native ones with custom buckets.
        pub otel_convert_histograms_to_nhcb: bool,
        /// Whether the scope of OTLP metrics becomes labels.
        pub otel_promote_scope_metadata: bool,
        /// Whether OTLP deltas are stored as they are.
        pub otel_native_delta_ingestion: bool,
        /// How OTLP names become names of metrics and labels.
        pub otel_translation_strategy: OtelTranslation,
        /// Whether OTLP labels that begin with one underscore get the prefix `key_`.
        pub otel_label_name_underscore_sanitization: bool,
        /// Whether repeated underscores of OTLP labels stay.
        pub otel_label_name_preserve_multiple_underscores: bool,
        /// Which names are valid.
        pub name_validation_scheme: NameValidation,
    }
}

/// The defaults of Mimir.
impl Default for Limits {
    fn default() -> Self {
        static LIMITS: LazyLock<Limits> = LazyLock::new(|| MetricsConfig::default().limits);
        LIMITS.clone()
    }
}

impl Limits {
    /// Reads the limits below `limits.`.
    pub fn from_settings(source: &dyn Source) -> Result<Self, FieldError> {
        Self::read(source, "limits")
    }

    /// Checks what no single key can: combinations of limits.
    pub fn check(&self) -> Result<(), String> {
        let shortens = self.label_value_length_over_limit_strategy != LabelValueStrategy::Error;
        if shortens && self.max_label_value_length < LABEL_VALUE_HASH_BYTES {
            return Err(format!(
                "label_value_length_over_limit_strategy {} needs a max_label_value_length of at least \
                 {LABEL_VALUE_HASH_BYTES}, the length of the hash that takes the place of a value; it is {}",
                self.label_value_length_over_limit_strategy.as_str(),
                self.max_label_value_length,
            ));
        }
        for rule in &self.metric_relabel_configs {
            rule.check_names(self.name_validation_scheme)
                .map_err(|problem| format!("metric_relabel_configs: {problem}"))?;
        }
        let failover = self.ha_tracker_failover_timeout;
        let least = self.ha_tracker_update_timeout + self.ha_tracker_update_timeout_jitter_max + Duration::from_secs(1);
        if failover < least {
            return Err(format!(
                "ha_tracker_failover_timeout is {failover:?}, and has to be at least {least:?}: \
                 ha_tracker_update_timeout, ha_tracker_update_timeout_jitter_max, and one second"
            ));
        }
        Ok(())
    }
}

/// The length of `(hash:…)`, which takes the place of a label's value or of its end, in bytes.
const LABEL_VALUE_HASH_BYTES: usize = 71;

choices! {
    /// What happens to a label's value that is too long.
    pub enum LabelValueStrategy {
        /// The series is refused.
        Error = "error",
        /// The value is cut, and ends with a hash of the whole.
        Truncate = "truncate",
        /// The value is a hash of the whole.
        Drop = "drop",
    }
}

choices! {
    /// Which names of metrics and labels are valid.
    pub enum NameValidation {
        /// Letters, digits, underscores; in names of metrics also colons.
        Legacy = "legacy",
        /// Any UTF-8.
        Utf8 = "utf8",
    }
}

choices! {
    /// How OTLP names become names of metrics and labels.
    pub enum OtelTranslation {
        /// As [`NameValidation`] and [`Limits::otel_metric_suffixes_enabled`] say.
        Derived = "",
        /// Underscores for other characters, and suffixes.
        UnderscoreEscapingWithSuffixes = "UnderscoreEscapingWithSuffixes",
        /// Underscores for other characters, no suffixes.
        UnderscoreEscapingWithoutSuffixes = "UnderscoreEscapingWithoutSuffixes",
        /// All characters stay, and suffixes.
        NoUtf8EscapingWithSuffixes = "NoUTF8EscapingWithSuffixes",
        /// Names stay as they are.
        NoTranslation = "NoTranslation",
    }
}

#[cfg(test)]
mod tests;
