//! What samples, histograms, exemplars and metadata may look like.

use std::collections::HashSet;
use std::time::Duration;

use norn_base::{Error, ErrorKind};
use norn_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use norn_model::write::{HistogramSample, WriteHistogram};
use norn_rpc::remote_write::DecodedMetadata;

use super::discards::Reason;
use super::errors;
use super::rules::WriteRules;
use super::validation::{format_series, truncated};

/// The times between which a sample has to lie, in milliseconds since the Unix epoch, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeWindow {
    min_ms: i64,
    max_ms: i64,
}

impl TimeWindow {
    /// The window that the rules leave open at `now_ms`.
    pub(super) fn new(rules: &WriteRules, now_ms: i64) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            min_ms: rules.past_max.map_or(i64::MIN, |past| now_ms.saturating_sub(millis(past))),
            max_ms: now_ms.saturating_add(millis(rules.future_max)),
        }
    }

    #[inline]
    pub(super) fn check(self, timestamp_ms: i64) -> Result<(), Reason> {
        if timestamp_ms > self.max_ms {
            Err(Reason::TooFarInFuture)
        } else if timestamp_ms < self.min_ms {
            Err(Reason::TooFarInPast)
        } else {
            Ok(())
        }
    }
}

/// Finds the samples whose time occurred before in the same series. Of those the first one counts.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    seen: HashSet<i64>,
    is_ascending: bool,
}

impl Duplicates {
    /// For the samples of one series at `times`. Cost: one pass where times ascend, as they nearly always do.
    pub(super) fn new(times: impl Iterator<Item = i64>) -> Self {
        Self { is_ascending: times.is_sorted_by(|left, right| left < right), ..Self::default() }
    }

    /// Whether this time occurred before.
    pub(super) fn is_duplicate(&mut self, timestamp_ms: i64) -> bool {
        !self.is_ascending && !self.seen.insert(timestamp_ms)
    }
}

/// Why a histogram is refused.
pub(super) struct HistogramViolation {
    pub(super) reason: Reason,
    kind: HistogramFault,
}

enum HistogramFault {
    Schema(i32),
    Buckets { buckets: usize },
    CannotReduce { buckets: usize },
    CannotReduceCustom { buckets: usize },
}

/// Checks a histogram, and lowers its resolution if it has too many buckets and the rules say so.
pub(super) fn fit_histogram(sample: &mut HistogramSample, rules: &WriteRules) -> Result<(), HistogramViolation> {
    let schema = schema_of(&sample.histogram);
    if schema != CUSTOM_BUCKETS_SCHEMA && !(-4..=8).contains(&schema) {
        let kind = HistogramFault::Schema(schema);
        return Err(HistogramViolation { reason: Reason::InvalidNativeHistogramSchema, kind });
    }
    let limit = rules.histogram_buckets_max;
    let buckets = bucket_count(&sample.histogram);
    if limit == 0 || buckets <= limit {
        return Ok(());
    }
    let too_many = |kind| HistogramViolation { reason: Reason::MaxNativeHistogramBuckets, kind };
    if !rules.reduce_histograms {
        return Err(too_many(HistogramFault::Buckets { buckets }));
    }
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return Err(too_many(HistogramFault::CannotReduceCustom { buckets }));
    }
    // The original was seen to go on until there are fewer buckets than allowed, not just as many.
    for schema in (-4..schema).rev() {
        match &mut sample.histogram {
            WriteHistogram::Integer(histogram) => histogram.reduce_resolution(schema),
            WriteHistogram::Float(histogram) => histogram.reduce_resolution(schema),
        }
        if bucket_count(&sample.histogram) < limit {
            return Ok(());
        }
    }
    Err(too_many(HistogramFault::CannotReduce { buckets: bucket_count(&sample.histogram) }))
}

fn schema_of(histogram: &WriteHistogram) -> i32 {
    match histogram {
        WriteHistogram::Integer(histogram) => histogram.schema,
        WriteHistogram::Float(histogram) => histogram.schema,
    }
}

/// How many buckets are written out, the zero bucket not counted.
fn bucket_count(histogram: &WriteHistogram) -> usize {
    match histogram {
        WriteHistogram::Integer(histogram) => histogram.positive_deltas.len() + histogram.negative_deltas.len(),
        WriteHistogram::Float(histogram) => histogram.positive_buckets.len() + histogram.negative_buckets.len(),
    }
}

impl HistogramViolation {
    /// The error that a client gets to see.
    pub(super) fn error(&self, timestamp_ms: i64, labels: &[(&str, &str)], rules: &WriteRules) -> Error {
        let limit = rules.histogram_buckets_max;
        let (what, id, buckets) = match self.kind {
            HistogramFault::Schema(schema) => {
                let message = format!("received a native histogram sample with an invalid schema: {schema}");
                return errors::plain(ErrorKind::BadRequest, "err-mimir-invalid-native-histogram-schema", message);
            }
            HistogramFault::Buckets { buckets } => {
                ("too many buckets", "err-mimir-max-native-histogram-buckets", buckets)
            }
            HistogramFault::CannotReduce { buckets } => {
                ("too many buckets and cannot reduce", "err-mimir-not-reducible-native-histogram", buckets)
            }
            HistogramFault::CannotReduceCustom { buckets } => (
                "more custom buckets than the limit",
                "err-mimir-native-histogram-custom-buckets-not-reducible",
                buckets,
            ),
        };
        let message = format!(
            "received a native histogram sample with {what}, timestamp: {timestamp_ms} series: {}, buckets: \
             {buckets}, limit: {limit}",
            format_series(labels)
        );
        let flags = ["validation.max-native-histogram-buckets"];
        errors::tenant_limit(ErrorKind::BadRequest, id, message, &flags)
    }
}

/// Why metadata is refused.
pub(super) fn check_metadata(metadata: DecodedMetadata<'_>, rules: &WriteRules) -> Result<(), (Reason, Error)> {
    let bad = ErrorKind::BadRequest;
    let flags = ["validation.max-metadata-length"];
    let family = truncated(metadata.family);
    if rules.metadata_needs_family && metadata.family.is_empty() {
        let message = "received a metric metadata with no metric name";
        let error = errors::plain(bad, "err-mimir-metadata-missing-metric-name", message);
        return Err((Reason::MissingMetricName, error));
    }
    if metadata.family.len() > rules.metadata_bytes_max {
        let message =
            format!("received a metric metadata whose metric name length exceeds the limit, metric name: '{family}'");
        let error = errors::tenant_limit(bad, "err-mimir-metric-name-too-long", message, &flags);
        return Err((Reason::MetricNameTooLong, error));
    }
    if metadata.unit.len() > rules.metadata_bytes_max {
        let message = format!(
            "received a metric metadata whose unit name length exceeds the limit, unit: '{}' metric name: '{family}'",
            truncated(metadata.unit)
        );
        let error = errors::tenant_limit(bad, "err-mimir-unit-too-long", message, &flags);
        return Err((Reason::UnitTooLong, error));
    }
    Ok(())
}

/// The longest start of `text` that has at most `bytes_max` bytes and ends between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests;
