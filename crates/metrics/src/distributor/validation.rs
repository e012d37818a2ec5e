//! What a series may look like.
//!
//! The check runs over every label of every sample, so it returns a small [`Violation`]; the text for the client is
//! made from it only for the first violation of a request. The order of the checks decides which error a client
//! sees, and is the original's.

use std::fmt::Write as _;

use norn_base::{Error, ErrorKind};
use norn_gotext::quote::quote;
use norn_model::labels::METRIC_NAME;

use super::discards::Reason;
use super::errors;
use super::names::{is_legacy_label_name, is_legacy_metric_name};
use super::oversize;
use super::rules::WriteRules;

/// What the check of a label set holds it against.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelCheck<'r> {
    /// The tenant's rules.
    pub(super) rules: &'r WriteRules,
    /// Names are not checked, on the word of a client that the operator trusts.
    pub(super) skip_names: bool,
    /// The number of labels is not checked, likewise.
    pub(super) skip_count: bool,
    /// The request came by OTLP, whose users think in attributes.
    pub(super) is_otlp: bool,
}

/// Why a label set is refused, and which of its labels is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: Reason,
    label: usize,
}

impl Violation {
    fn of(reason: Reason, label: usize) -> Self {
        Self { reason, label }
    }
}

impl LabelCheck<'_> {
    /// Checks labels that are sorted and have no empty values.
    #[inline]
    pub(super) fn check(&self, labels: &[(&str, &str)]) -> Result<(), Violation> {
        let rules = self.rules;
        let Some(metric) = labels.iter().position(|label| label.0 == METRIC_NAME) else {
            return Err(Violation::of(Reason::MissingMetricName, 0));
        };
        let check_names = !rules.utf8_names && !self.skip_names;
        if check_names && !is_legacy_metric_name(labels[metric].1) {
            return Err(Violation::of(Reason::MetricNameInvalid, metric));
        }
        if !self.skip_count && labels.len() > rules.labels_max {
            let is_info = labels[metric].1.ends_with("_info");
            if !is_info {
                return Err(Violation::of(Reason::MaxLabelNamesPerSeries, metric));
            }
            if labels.len() > rules.info_labels_max {
                return Err(Violation::of(Reason::MaxLabelNamesPerInfoSeries, metric));
            }
        }
        let mut previous = "";
        for (index, (name, value)) in labels.iter().enumerate() {
            let is_valid = if check_names { is_legacy_label_name(name) } else { !name.is_empty() || self.skip_names };
            if !is_valid {
                return Err(Violation::of(Reason::LabelInvalid, index));
            }
            if name.len() > rules.label_name_bytes_max {
                return Err(Violation::of(Reason::LabelNameTooLong, index));
            }
            // Values that were shortened are as short as they become.
            if value.len() > rules.label_value_bytes_max && !oversize::shortens(rules) {
                return Err(Violation::of(Reason::LabelValueTooLong, index));
            }
            if *name == previous && index > 0 {
                return Err(Violation::of(Reason::DuplicateLabelNames, index));
            }
            previous = name;
        }
        Ok(())
    }

    /// Finds what to say about a series with labels that are not UTF-8, in the order of [`LabelCheck::check`].
    /// `labels` are lossy texts, sorted; `broken` says of each whether its name, and whether its value was UTF-8.
    pub(super) fn check_broken(&self, labels: &[(&str, &str)], broken: &[(bool, bool)]) -> Violation {
        let first_broken = broken.iter().position(|(name, value)| *name || *value).unwrap_or(0);
        let found = match self.check(labels) {
            Err(violation) => violation,
            Ok(()) => Violation::of(Reason::LabelValueInvalid, first_broken),
        };
        let is_about_the_set = matches!(
            found.reason,
            Reason::MissingMetricName
                | Reason::MetricNameInvalid
                | Reason::MaxLabelNamesPerSeries
                | Reason::MaxLabelNamesPerInfoSeries
        );
        if is_about_the_set || found.label < first_broken {
            return found;
        }
        let (name, _) = broken[first_broken];
        Violation::of(if name { Reason::LabelInvalid } else { Reason::LabelValueInvalid }, first_broken)
    }

    /// The error that a client gets to see.
    pub(super) fn error(&self, violation: Violation, labels: &[(&str, &str)]) -> Error {
        let bad = ErrorKind::BadRequest;
        let (name, value) = labels.get(violation.label).copied().unwrap_or_default();
        let (short_name, short_value) = (truncated(name), truncated(value));
        let series = format_series(labels);
        let short_series = truncated(&series);
        match violation.reason {
            Reason::MissingMetricName => {
                errors::plain(bad, "err-mimir-missing-metric-name", "received series has no metric name")
            }
            Reason::MetricNameInvalid => {
                let ascii: String = value.chars().filter(char::is_ascii).collect();
                let message = format!("received a series with invalid metric name: '{}'", truncated(&ascii));
                errors::plain(bad, "err-mimir-metric-name-invalid", message)
            }
            Reason::MaxLabelNamesPerSeries => self.too_many_labels(labels, short_series, &series, false),
            Reason::MaxLabelNamesPerInfoSeries => self.too_many_labels(labels, short_series, &series, true),
            Reason::LabelNameTooLong => {
                let message = format!(
                    "received a series whose label name length exceeds the limit, label: '{short_name}' series: \
                     '{short_series}'"
                );
                let flags = ["validation.max-length-label-name"];
                errors::tenant_limit(bad, "err-mimir-label-name-too-long", message, &flags)
            }
            Reason::LabelValueInvalid => {
                let metric = metric_name(labels);
                let message = format!(
                    "received a series with invalid value in label '{short_name}': '{short_value}' metric: '{}'",
                    truncated(metric)
                );
                errors::plain(bad, "err-mimir-label-value-invalid", message)
            }
            Reason::LabelValueTooLong => self.value_too_long(name, value, short_series),
            Reason::DuplicateLabelNames => {
                let message = format!(
                    "received a series with duplicate label name, label: '{short_name}' series: '{short_series}'"
                );
                errors::plain(bad, "err-mimir-duplicate-label-names", message)
            }
            _ => {
                let message =
                    format!("received a series with an invalid label: '{short_name}' series: '{short_series}'");
                errors::plain(bad, "err-mimir-label-invalid", message)
            }
        }
    }

    fn too_many_labels(&self, labels: &[(&str, &str)], short_series: &str, series: &str, is_info: bool) -> Error {
        let (what, limit, id, flag) = if is_info {
            (
                "an info series",
                self.rules.info_labels_max,
                "err-mimir-max-label-names-per-info-series",
                "validation.max-label-names-per-info-series",
            )
        } else {
            (
                "a series",
                self.rules.labels_max,
                "err-mimir-max-label-names-per-series",
                "validation.max-label-names-per-series",
            )
        };
        let ellipsis = if short_series.len() < series.len() { "…" } else { "" };
        let message = format!(
            "received {what} whose number of labels exceeds the limit (actual: {}, limit: {limit}) series: \
             '{short_series}{ellipsis}'",
            labels.len()
        );
        errors::tenant_limit(ErrorKind::BadRequest, id, message, &[flag])
    }

    fn value_too_long(&self, name: &str, value: &str, short_series: &str) -> Error {
        let (len, limit) = (value.len(), self.rules.label_value_bytes_max);
        let short_value = truncated(value);
        let id = "err-mimir-label-value-too-long";
        if self.is_otlp {
            // The original points OTLP users to this page instead of naming a flag.
            let message = format!(
                "received a metric whose attribute value length of {len} exceeds the limit of {limit}, attribute: \
                 '{name}', value: '{short_value}' (truncated) metric: '{short_series}'. See: \
                 https://grafana.com/docs/grafana-cloud/send-data/otlp/otlp-format-considerations/#metrics-ingestion-limits"
            );
            return Error::bad_request(message).with_id(id);
        }
        let message = format!(
            "received a series whose label value length of {len} exceeds the limit of {limit}, label: '{name}', \
             value: '{short_value}' (truncated) series: '{short_series}'"
        );
        errors::tenant_limit(ErrorKind::BadRequest, id, message, &["validation.max-length-label-value"])
    }
}

/// A sample lies too far in the future or in the past.
pub(super) fn time_error(reason: Reason, timestamp_ms: i64, labels: &[(&str, &str)]) -> Error {
    let (direction, id, flag) = if reason == Reason::TooFarInFuture {
        ("future", "err-mimir-too-far-in-future", "validation.create-grace-period")
    } else {
        ("past", "err-mimir-too-far-in-past", "validation.past-grace-period")
    };
    let message = format!(
        "received a sample whose timestamp is too far in the {direction}, timestamp: {timestamp_ms} series: '{}'",
        truncated(metric_name(labels))
    );
    errors::tenant_limit(ErrorKind::BadRequest, id, message, &[flag])
}

/// The metric's name, or nothing.
pub(super) fn metric_name<'a>(labels: &[(&'a str, &'a str)]) -> &'a str {
    labels.iter().find(|label| label.0 == METRIC_NAME).map_or("", |label| label.1)
}

/// The first 200 characters.
pub(super) fn truncated(text: &str) -> &str {
    text.char_indices().nth(200).map_or(text, |(end, _)| &text[..end])
}

/// The series as a selector: `name{label="value", …}`.
pub(super) fn format_series(labels: &[(&str, &str)]) -> String {
    let metric = labels.iter().position(|label| label.0 == METRIC_NAME);
    let mut text = metric.map_or_else(String::new, |metric| labels[metric].1.to_owned());
    let mut separator = "{";
    for (index, (name, value)) in labels.iter().enumerate() {
        if Some(index) != metric {
            let _ = write!(text, "{separator}{name}={}", quote(value));
            separator = ", ";
        }
    }
    match separator {
        ", " => text + "}",
        _ if metric.is_none() => "{}".to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests;
