//! What a tenant decides about the translation.

use norn_config::limits::{Limits, NameValidation, OtelTranslation};

/// How OTLP becomes series. The default is the original's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslationRules {
    /// Names get suffixes of unit and type.
    pub suffixes: bool,
    /// Characters that Prometheus has not always known become underscores.
    pub escape: bool,
    /// Escaped names of labels that begin with one underscore get the prefix `key`.
    pub prefix_underscore: bool,
    /// Escaped names of labels keep several underscores in a row.
    pub keep_underscores: bool,
    /// Resource attributes that become labels of every series.
    pub promoted_attributes: Vec<String>,
    /// `target_info` keeps the attributes that name the service.
    pub keep_identifying_attributes: bool,
    /// The scope becomes labels.
    pub promote_scope: bool,
    /// Explicit histograms become native ones with custom buckets.
    pub custom_buckets: bool,
    /// Deltas are stored as they are; else they are refused.
    pub accept_delta: bool,
    /// The time at which a counter started is kept.
    pub keep_start_time: bool,
}

impl TranslationRules {
    /// Derives the rules from a tenant's limits.
    pub fn new(limits: &Limits) -> Self {
        let (escape, suffixes) = match limits.otel_translation_strategy {
            OtelTranslation::Derived => {
                (limits.name_validation_scheme == NameValidation::Legacy, limits.otel_metric_suffixes_enabled)
            }
            OtelTranslation::UnderscoreEscapingWithSuffixes => (true, true),
            OtelTranslation::UnderscoreEscapingWithoutSuffixes => (true, false),
            OtelTranslation::NoUtf8EscapingWithSuffixes => (false, true),
            OtelTranslation::NoTranslation => (false, false),
        };
        Self {
            suffixes,
            escape,
            prefix_underscore: limits.otel_label_name_underscore_sanitization,
            keep_underscores: limits.otel_label_name_preserve_multiple_underscores,
            promoted_attributes: limits.promote_otel_resource_attributes.clone(),
            keep_identifying_attributes: limits.otel_keep_identifying_resource_attributes,
            promote_scope: limits.otel_promote_scope_metadata,
            custom_buckets: limits.otel_convert_histograms_to_nhcb,
            accept_delta: limits.otel_native_delta_ingestion,
            keep_start_time: limits.otel_created_timestamp_zero_ingestion_enabled,
        }
    }
}

impl Default for TranslationRules {
    fn default() -> Self {
        Self {
            suffixes: false,
            escape: true,
            prefix_underscore: true,
            keep_underscores: true,
            promoted_attributes: Vec::new(),
            keep_identifying_attributes: false,
            promote_scope: false,
            custom_buckets: false,
            accept_delta: false,
            keep_start_time: false,
        }
    }
}
