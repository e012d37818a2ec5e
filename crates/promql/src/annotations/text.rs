//! The texts of annotations. Source: Prometheus `util/annotations/annotations.go`.

use std::fmt;

use norn_gotext::quote::quote;

use super::{Annotation, Severity};

impl<Text: AsRef<str>> fmt::Display for Annotation<Text> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.severity() {
            Severity::Warning => "PromQL warning: ",
            Severity::Info => "PromQL info: ",
        })?;
        match self.borrowed() {
            Annotation::InvalidQuantile { quantile } => {
                write!(formatter, "quantile value should be between 0 and 1, got {quantile}")
            }
            Annotation::InvalidRatio { ratio, capped_to } => {
                write!(formatter, "ratio value should be between -1 and 1, got {ratio}, capping to {capped_to}")
            }
            Annotation::BadBucketLabel { metric, label } => {
                write!(formatter, "bucket label \"le\" is missing or has a malformed value of {}", quote(label))?;
                for_metric(formatter, metric)
            }
            Annotation::MixedFloatsHistograms { metric } => {
                write!(formatter, "encountered a mix of histograms and floats for metric name {}", quote(metric))
            }
            Annotation::MixedFloatsHistogramsInAggregation => {
                formatter.write_str("encountered a mix of histograms and floats for aggregation")
            }
            Annotation::MixedClassicNativeHistograms { metric } => {
                formatter.write_str("vector contains a mix of classic and native histograms")?;
                for_metric(formatter, metric)
            }
            Annotation::NativeHistogramNotCounter { metric } => {
                write!(formatter, "this native histogram metric is not a counter: {}", quote(metric))
            }
            Annotation::NativeHistogramNotGauge { metric } => {
                write!(formatter, "this native histogram metric is not a gauge: {}", quote(metric))
            }
            Annotation::MixedExponentialCustomHistograms { metric } => write!(
                formatter,
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quote(metric)
            ),
            Annotation::IncompatibleBucketLayout { operator } => {
                write!(formatter, "incompatible bucket layout encountered for binary operator {operator}")
            }
            Annotation::SortInRangeQuery => {
                formatter.write_str("sort is ineffective for range queries since results are always ordered by labels")
            }
            Annotation::CounterResetCollision { operation } => {
                write!(formatter, "conflicting counter resets during histogram {}", operation.name())
            }
            Annotation::StartTimeOverlap { metric } => write!(
                formatter,
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                quote(metric)
            ),
            Annotation::PossibleNonCounter { metric } => write!(
                formatter,
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quote(metric)
            ),
            Annotation::PossibleNonCounterLabel { metric, label } => write!(
                formatter,
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", \
                 got {}: {}",
                quote(label),
                quote(metric)
            ),
            Annotation::ForcedMonotonicity { metric } => {
                formatter.write_str(
                    "input to histogram_quantile needed to be fixed for monotonicity (see \
                     https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                )?;
                for_metric(formatter, metric)
            }
            Annotation::IncompatibleTypes { left, operator, right } => write!(
                formatter,
                "incompatible sample types encountered for binary operator \"{operator}\": {left} {operator} {right}"
            ),
            Annotation::HistogramIgnoredInAggregation { aggregation } => {
                write!(formatter, "ignored histogram in {aggregation} aggregation")
            }
            Annotation::HistogramIgnoredInMixedRange { metric } => write!(
                formatter,
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                quote(metric)
            ),
            Annotation::QuantileNanResult { metric } => {
                formatter.write_str("input to histogram_quantile has NaN observations, result is NaN")?;
                for_metric(formatter, metric)
            }
            Annotation::QuantileNanSkew { metric } => {
                formatter.write_str("input to histogram_quantile has NaN observations, result is skewed higher")?;
                for_metric(formatter, metric)
            }
            Annotation::FractionNans { metric } => {
                formatter.write_str(
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                )?;
                for_metric(formatter, metric)
            }
            Annotation::MismatchedCustomBuckets { operation } => {
                write!(formatter, "mismatched custom buckets were reconciled during {}", operation.name())
            }
        }
    }
}

fn for_metric(formatter: &mut fmt::Formatter<'_>, metric: &str) -> fmt::Result {
    if metric.is_empty() { Ok(()) } else { write!(formatter, " for metric name {}", quote(metric)) }
}
