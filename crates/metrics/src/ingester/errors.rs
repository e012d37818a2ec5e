//! What the storage refuses, in the words of the original: identifier, message, and which sample it was.

use norn_base::{Error, ErrorKind};
use norn_gotext::duration::format_prometheus;
use norn_gotext::number::{FloatFormat, format_float};
use norn_gotext::time::format_rfc3339;
use norn_model::histogram::validate::HistogramError;
use norn_model::{Labels, TenantId};
use norn_tsdb::head::{Reason, Rejection};

/// The error of the first refusal of a batch whose rest was taken.
pub(super) fn refused(instance: &str, tenant: &TenantId, rejection: &Rejection) -> Error {
    let (id, message) = describe(rejection);
    let text = format!("failed pushing to ingester {instance}: user={tenant}: {message}");
    Error::new(ErrorKind::BadRequest, text).with_id(id).with_rest_accepted()
}

/// The error of a limit of this process that a request ran into.
pub(super) fn instance_limit(id: &str, what: &str, flag: &str) -> Error {
    let text = format!(
        "the write request has been rejected because the ingester exceeded {what} (err-mimir-ingester-{id}). To adjust the \
         related limit, configure -{flag}, or contact your service administrator."
    );
    Error::unavailable(text)
}

/// Whether a client is told. Exemplars that come out of order are dropped without a word.
pub(super) fn is_reported(reason: &Reason) -> bool {
    !matches!(reason, Reason::ExemplarOutOfOrder)
}

fn describe(rejection: &Rejection) -> (&'static str, String) {
    let Rejection { reason, labels, timestamp_ms, .. } = rejection;
    let affected = || {
        let time = format_rfc3339(*timestamp_ms);
        format!("The affected sample has timestamp {time} and is from series {}", describe_series(labels))
    };
    let sample = |id: &'static str, text: &str| (id, format!("{text} ({id}). {}", affected()));
    match reason {
        Reason::NoLabels => (
            "err-mimir-missing-metric-name",
            "received series has no labels (err-mimir-missing-metric-name)".to_owned(),
        ),
        Reason::HistogramSpansTooWide => {
            let id = "err-mimir-native-histogram-spans-buckets-mismatch";
            (id, format!("err: spans of the histogram reach beyond the buckets that exist ({id}). {}", affected()))
        }
        Reason::TooOld => {
            let text = "the sample has been rejected because its timestamp is too old";
            sample("err-mimir-sample-timestamp-too-old", text)
        }
        Reason::TooOldForWindow { window_ms } => {
            let window = format_prometheus(*window_ms);
            let text = format!(
                "the sample has been rejected because another sample with a more recent timestamp has already been \
                 ingested and this sample is beyond the out-of-order time window of {window}"
            );
            sample("err-mimir-sample-timestamp-too-old", &text)
        }
        Reason::OutOfOrder => {
            let text = "the sample has been rejected because another sample with a more recent timestamp has already \
                        been ingested and out-of-order samples are not allowed";
            sample("err-mimir-sample-out-of-order", text)
        }
        Reason::DuplicateTimestamp { existing, new } => {
            let text =
                format!("duplicate sample for timestamp {timestamp_ms}; {}", describe_duplicate(*existing, *new));
            sample("err-mimir-sample-duplicate-timestamp", &text)
        }
        Reason::InvalidHistogram(error) => describe_histogram(*error, labels, *timestamp_ms),
        Reason::SeriesLimit { .. }
        | Reason::MetricSeriesLimit { .. }
        | Reason::MetadataLimit { .. }
        | Reason::MetricMetadataLimit { .. } => describe_limit(reason, labels),
        Reason::ExemplarSeriesMissing => {
            let id = "err-mimir-exemplar-series-missing";
            let text = "the exemplar has been rejected because the related series has not been ingested yet";
            let (time, series) = (format_rfc3339(*timestamp_ms), describe_series(labels));
            (id, format!("{text} ({id}). The affected exemplar is for series {series} and has timestamp {time}"))
        }
        Reason::ExemplarOutOfOrder => {
            let (time, series) = (format_rfc3339(*timestamp_ms), describe_series(labels));
            (
                "err-mimir-exemplar-out-of-order",
                format!("err: out of order exemplar. timestamp={time}, series={series}"),
            )
        }
    }
}

fn describe_duplicate(existing: Option<f64>, new: Option<f64>) -> String {
    let float = |value: f64| format_float(value, FloatFormat::General);
    match (existing, new) {
        (Some(existing), Some(new)) => {
            format!("overrides not allowed: existing {}, new value {}", float(existing), float(new))
        }
        (None, Some(new)) => {
            format!("overrides not allowed: existing is a histogram, new value {}", float(new))
        }
        (_, None) => "overrides not allowed".to_owned(),
    }
}

fn describe_limit(reason: &Reason, labels: &Labels) -> (&'static str, String) {
    let remedy = "To adjust the related per-tenant limit, configure";
    let (id, text, flag) = match reason {
        Reason::SeriesLimit { limit } => (
            "err-mimir-max-series-per-user",
            format!("per-user series limit of {limit} exceeded"),
            "ingester.max-global-series-per-user",
        ),
        Reason::MetricSeriesLimit { limit } => (
            "err-mimir-max-series-per-metric",
            format!("per-metric series limit of {limit} exceeded"),
            "ingester.max-global-series-per-metric",
        ),
        Reason::MetadataLimit { limit } => (
            "err-mimir-max-metadata-per-user",
            format!("per-user metric metadata limit of {limit} exceeded"),
            "ingester.max-global-metadata-per-user",
        ),
        Reason::MetricMetadataLimit { limit } => (
            "err-mimir-max-metadata-per-metric",
            format!("per-metric metadata limit of {limit} exceeded"),
            "ingester.max-global-metadata-per-metric",
        ),
        _ => unreachable!("only limits come here"),
    };
    let whose = match reason {
        Reason::MetricSeriesLimit { .. } => format!(" This is for series {}", describe_series(labels)),
        Reason::MetricMetadataLimit { .. } => format!(" This is for metric {}", labels.metric_name()),
        _ => String::new(),
    };
    (id, format!("{text} ({id}). {remedy} -{flag}, or contact your service administrator.{whose}"))
}

fn describe_histogram(error: HistogramError, labels: &Labels, timestamp_ms: i64) -> (&'static str, String) {
    let id = match error {
        HistogramError::CountMismatch { .. } => "err-mimir-native-histogram-count-mismatch",
        HistogramError::CountNotBigEnough { .. } => "err-mimir-native-histogram-count-not-big-enough",
        HistogramError::NegativeCount { .. }
        | HistogramError::NegativeBucketCount { .. }
        | HistogramError::NegativeZeroCount { .. } => "err-mimir-native-histogram-negative-bucket-count",
        HistogramError::SpanNegativeOffset { .. } => "err-mimir-native-histogram-span-negative-offset",
        HistogramError::SpansBucketsMismatch { .. } => "err-mimir-native-histogram-spans-buckets-mismatch",
        HistogramError::CustomBoundsTooFew { .. } => "err-mimir-native-histogram-custom-buckets-mismatch",
        HistogramError::CustomBoundsUnsorted { .. } => "err-mimir-native-histogram-custom-buckets-invalid",
        HistogramError::CustomBoundsInfinite | HistogramError::CustomBoundsNan => {
            "err-mimir-native-histogram-custom-buckets-infinite"
        }
        HistogramError::InvalidSchema { .. } => "err-mimir-invalid-native-histogram-schema",
        HistogramError::CustomZeroCount
        | HistogramError::CustomZeroThreshold
        | HistogramError::CustomNegativeSpans
        | HistogramError::CustomNegativeBuckets
        | HistogramError::ExponentialCustomBounds => "err-mimir-native-histogram-custom-buckets-mismatch",
    };
    // This one message prints labels as Go prints a list of pairs.
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{{{name} {value}}}")).collect();
    let (time, series) = (format_rfc3339(timestamp_ms), pairs.join(" "));
    (id, format!("err: {error}. timestamp={time}, series=[{series}] ({id})"))
}

/// `name{label="value", …}`.
pub fn describe_series(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != norn_model::labels::METRIC_NAME)
        .map(|(name, value)| format!("{name}={}", norn_gotext::quote::quote(value)))
        .collect();
    match (labels.metric_name(), pairs.is_empty()) {
        (name, true) if !name.is_empty() => name.to_owned(),
        (name, _) => format!("{name}{{{}}}", pairs.join(", ")),
    }
}

/// The label `reason` under which a refused sample is counted.
pub(super) fn discard_reason(reason: &Reason) -> &'static str {
    match reason {
        Reason::SeriesLimit { .. } => "per_user_series_limit",
        Reason::MetricSeriesLimit { .. } => "per_metric_series_limit",
        Reason::TooOld => "sample-timestamp-too-old",
        Reason::TooOldForWindow { .. } => "sample-too-old",
        Reason::OutOfOrder => "sample-out-of-order",
        Reason::DuplicateTimestamp { .. } => "new-value-for-timestamp",
        Reason::InvalidHistogram(_) | Reason::HistogramSpansTooWide => "invalid-native-histogram",
        Reason::NoLabels => "missing_metric_name",
        Reason::ExemplarSeriesMissing | Reason::ExemplarOutOfOrder => "exemplar-rejected",
        Reason::MetadataLimit { .. } => "per_user_metadata_limit",
        Reason::MetricMetadataLimit { .. } => "per_metric_metadata_limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(reason: Reason) -> Rejection {
        let labels = Labels::from_pairs([("__name__", "push_base"), ("case", "a")]);
        Rejection { reason, labels, timestamp_ms: 1_793_491_350_000, index: 0 }
    }

    #[test]
    fn refusals_are_worded_as_in_the_original() {
        let tenant = TenantId::parse("team").unwrap();
        let check = |reason: Reason, id: &str, expected: &str| {
            let error = refused("one", &tenant, &rejection(reason));
            assert_eq!(
                (error.id(), error.message()),
                (Some(id), format!("failed pushing to ingester one: user=team: {expected}").as_str())
            );
            assert!(error.rest_accepted());
        };
        check(
            Reason::OutOfOrder,
            "err-mimir-sample-out-of-order",
            "the sample has been rejected because another sample with a more recent timestamp has already been ingested \
             and out-of-order samples are not allowed (err-mimir-sample-out-of-order). The affected sample has timestamp \
             2026-11-01T00:02:30Z and is from series push_base{case=\"a\"}",
        );
        check(
            Reason::DuplicateTimestamp { existing: Some(236.0), new: Some(999.0) },
            "err-mimir-sample-duplicate-timestamp",
            "duplicate sample for timestamp 1793491350000; overrides not allowed: existing 236, new value 999 \
             (err-mimir-sample-duplicate-timestamp). The affected sample has timestamp 2026-11-01T00:02:30Z and is from \
             series push_base{case=\"a\"}",
        );
        check(
            Reason::SeriesLimit { limit: 2 },
            "err-mimir-max-series-per-user",
            "per-user series limit of 2 exceeded (err-mimir-max-series-per-user). To adjust the related per-tenant \
             limit, configure -ingester.max-global-series-per-user, or contact your service administrator.",
        );
        check(
            Reason::InvalidHistogram(HistogramError::CustomBoundsInfinite),
            "err-mimir-native-histogram-custom-buckets-infinite",
            "err: custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite. \
             timestamp=2026-11-01T00:02:30Z, series=[{__name__ push_base} {case a}] \
             (err-mimir-native-histogram-custom-buckets-infinite)",
        );
    }
}
