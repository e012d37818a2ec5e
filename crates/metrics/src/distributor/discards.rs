//! Why something was not stored: the reasons that metrics and errors name.

/// Why a sample, an exemplar or metadata was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the metrics' label")]
pub enum Reason {
    MissingMetricName,
    MetricNameInvalid,
    MaxLabelNamesPerSeries,
    MaxLabelNamesPerInfoSeries,
    LabelInvalid,
    LabelNameTooLong,
    LabelValueInvalid,
    LabelValueTooLong,
    DuplicateLabelNames,
    TooFarInFuture,
    TooFarInPast,
    SampleDuplicateTimestamp,
    InvalidNativeHistogramSchema,
    MaxNativeHistogramBuckets,
    RateLimited,
    TooManyHaClusters,
    OtlpParseError,
    ExemplarLabelsMissing,
    ExemplarLabelsTooLong,
    ExemplarLabelsBlank,
    ExemplarTimestampInvalid,
    ExemplarTooOld,
    ExemplarTooFarInFuture,
    TooManyExemplarsPerSeries,
    MetricNameTooLong,
    UnitTooLong,
}

impl Reason {
    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::MetricNameInvalid => "metric_name_invalid",
            Self::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Self::MaxLabelNamesPerInfoSeries => "max_label_names_per_info_series",
            Self::LabelInvalid => "label_invalid",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueInvalid => "label_value_invalid",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::DuplicateLabelNames => "duplicate_label_names",
            Self::TooFarInFuture => "too_far_in_future",
            Self::TooFarInPast => "too_far_in_past",
            Self::SampleDuplicateTimestamp => "sample_duplicate_timestamp",
            Self::InvalidNativeHistogramSchema => "invalid_native_histogram_schema",
            Self::MaxNativeHistogramBuckets => "max_native_histogram_buckets",
            Self::RateLimited => "rate_limited",
            Self::TooManyHaClusters => "too_many_ha_clusters",
            Self::OtlpParseError => "otlp_parse_error",
            Self::ExemplarLabelsMissing => "exemplar_labels_missing",
            Self::ExemplarLabelsTooLong => "exemplar_labels_too_long",
            Self::ExemplarLabelsBlank => "exemplar_labels_blank",
            Self::ExemplarTimestampInvalid => "exemplar_timestamp_invalid",
            Self::ExemplarTooOld => "exemplar_too_old",
            Self::ExemplarTooFarInFuture => "exemplar_too_far_in_future",
            Self::TooManyExemplarsPerSeries => "too_many_exemplars_per_series_per_request",
            Self::MetricNameTooLong => "metric_name_too_long",
            Self::UnitTooLong => "unit_too_long",
        }
    }
}

/// How many were discarded in one request, and why.
///
/// Counted apart from the metrics, because a request that turns out to be damaged at its end must leave no trace.
#[derive(Debug, Clone, Default)]
pub struct Discards {
    /// Float samples and histograms.
    pub samples: Counts,
    /// Exemplars.
    pub exemplars: Counts,
    /// Metadata.
    pub metadata: Counts,
}

/// A count for each reason; nothing is allocated before the first one.
#[derive(Debug, Clone, Default)]
pub struct Counts(Vec<(Reason, u64)>);

impl Counts {
    /// Adds to the count of a reason.
    pub fn add(&mut self, reason: Reason, count: u64) {
        if count == 0 {
            return;
        }
        match self.0.iter_mut().find(|entry| entry.0 == reason) {
            Some(entry) => entry.1 += count,
            None => self.0.push((reason, count)),
        }
    }

    /// The reasons that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().copied()
    }
}
