//! OpenTelemetry metrics as series: how names, attributes and points are translated.
//!
//! Source of the rules: the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility"; Prometheus
//! `storage/remote/otlptranslator` and `github.com/prometheus/otlptranslator`.

/// What a tenant decides about the translation.
pub mod rules;

/// From a request to series.
pub mod translate;

mod attributes;
mod histograms;
mod names;
mod points;
mod values;
