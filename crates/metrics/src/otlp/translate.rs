//! From a request to series: which metrics are taken, under which names, and what is said about the others.
//!
//! A metric that cannot be translated is left out; the others are stored, and the client is told about both. Points
//! with equal labels become samples of one series.

use norn_model::labels::METRIC_NAME;
use norn_model::sample::Sample;
use norn_model::write::{HistogramSample, MetricMetadata, MetricType};
use norn_rpc::otlp::{Metric, MetricsRequest, ResourceMetrics, ScopeMetrics, Temporality};
use norn_rpc::remote_write::{DecodeError, DecodedMetadata, DecodedSeries, WriteVisitor};

use hashbrown::HashMap;
use norn_gotext::quote::quote;

use super::attributes::{self, Common, LabelPairs};
use super::points;
use super::rules::TranslationRules;
use super::{histograms, names};
use crate::distributor::Source;

/// The id under which errors of the translation are known within norn; clients see the text only.
pub const PARSE_ERROR_ID: &str = "otlp-parse-error";

/// More errors than this in one answer help nobody.
const ERRORS_MAX: usize = 10;

/// The series that says of a target what its resource said of it.
const TARGET_INFO: &str = "target_info";

/// Half of the time over which a query looks back, so that it always finds a sample of `target_info`.
const TARGET_INFO_INTERVAL_NANOS: u64 = 150 * 1_000_000_000;

/// Bounds the samples of `target_info` that one request can cause, since its times come from outside: a week's worth.
const TARGET_INFO_SAMPLES_MAX: usize = 4032;

/// What a request became.
#[derive(Debug, Default)]
pub struct Translated {
    /// Series and metadata.
    pub series: TranslatedSeries,
    /// What could not be translated, `"; "` between several.
    pub first_error: Option<String>,
    /// How many points that cost.
    pub dropped_points: u64,
}

/// Series with labels of their own.
#[derive(Debug, Default)]
pub struct TranslatedSeries {
    series: Vec<Series>,
    by_labels: HashMap<LabelPairs, usize>,
    metadata: Vec<MetricMetadata>,
}

#[derive(Debug, Default)]
pub(super) struct Series {
    labels: LabelPairs,
    pub(super) samples: Vec<Sample>,
    pub(super) histograms: Vec<HistogramSample>,
    pub(super) exemplars: Vec<TranslatedExemplar>,
    pub(super) created_ms: i64,
}

#[derive(Debug, Clone)]
pub(super) struct TranslatedExemplar {
    pub(super) timestamp_ms: i64,
    pub(super) value: f64,
    pub(super) labels: LabelPairs,
}

impl TranslatedSeries {
    /// The series with the common labels, this name, and these labels in addition.
    pub(super) fn series(&mut self, common: &LabelPairs, name: &str, extra: &[(&str, String)]) -> &mut Series {
        let mut labels = common.clone();
        for (name, value) in extra {
            attributes::set(&mut labels, name, value.clone());
        }
        attributes::set(&mut labels, METRIC_NAME, name.to_owned());
        labels.sort_unstable();
        let next = self.series.len();
        let index = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.series.push(Series { labels: labels.clone(), ..Series::default() });
            next
        });
        &mut self.series[index]
    }
}

impl Source for TranslatedSeries {
    fn show<'a>(&'a self, visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
        for metadata in &self.metadata {
            visitor.metadata(DecodedMetadata {
                family: &metadata.family,
                metric_type: metadata.metric_type,
                help: &metadata.help,
                unit: &metadata.unit,
            });
        }
        let mut decoded = DecodedSeries::default();
        for series in &self.series {
            decoded.clear();
            decoded.labels.extend(borrowed(&series.labels));
            decoded.samples.extend_from_slice(&series.samples);
            decoded.histograms.extend_from_slice(&series.histograms);
            decoded.created_ms = series.created_ms;
            for exemplar in &series.exemplars {
                decoded.push_exemplar(exemplar.timestamp_ms, exemplar.value, borrowed(&exemplar.labels));
            }
            if visitor.series(&mut decoded).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn borrowed(labels: &LabelPairs) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Translates a whole request.
pub fn translate(request: &MetricsRequest<'_>, rules: &TranslationRules) -> Translated {
    let mut translation = Translation { rules, series: TranslatedSeries::default(), errors: Vec::new(), dropped: 0 };
    for resource in &request.resource_metrics {
        translation.resource(resource);
    }
    let Translation { series, errors, dropped, .. } = translation;
    let first_error = (!errors.is_empty()).then(|| errors.join("; "));
    Translated { series, first_error, dropped_points: dropped }
}

struct Translation<'r> {
    rules: &'r TranslationRules,
    series: TranslatedSeries,
    errors: Vec<String>,
    dropped: u64,
}

impl Translation<'_> {
    fn fail(&mut self, error: String, lost_points: usize) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
        self.dropped += lost_points as u64;
    }

    fn resource(&mut self, resource: &ResourceMetrics<'_>) {
        let mut times: Option<(u64, u64)> = None;
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                for time in points::times(metric) {
                    let (first, last) = times.unwrap_or((time, time));
                    times = Some((first.min(time), last.max(time)));
                }
            }
            match Common::new(&resource.resource, scope, self.rules) {
                Ok(common) => self.scope(scope, &common),
                Err(error) => self.fail(error, scope.metrics.iter().map(points::count).sum()),
            }
        }
        if let Some((first, last)) = times {
            self.target_info(resource, first, last);
        }
    }

    fn scope(&mut self, scope: &ScopeMetrics<'_>, common: &Common) {
        for metric in &scope.metrics {
            if let Err(error) = self.metric(metric, common) {
                self.fail(error, points::count(metric));
            }
        }
    }

    fn metric(&mut self, metric: &Metric<'_>, common: &Common) -> Result<(), String> {
        check_data(metric, self.rules)?;
        let family = names::metric_name(metric, self.rules)?;
        self.series.metadata.push(MetricMetadata {
            family: family.clone(),
            metric_type: metric_type(metric),
            help: metric.description.to_string(),
            unit: names::unit_words(&metric.unit),
        });
        if points::count(metric) == 0 {
            return Err(format!("empty data points. {} is dropped", metric.name));
        }
        let mut sink = points::Sink { series: &mut self.series, common, rules: self.rules, family: &family };
        if let Some(gauge) = &metric.gauge {
            gauge.data_points.iter().try_for_each(|point| sink.gauge(point))
        } else if let Some(sum) = &metric.sum {
            sum.data_points.iter().try_for_each(|point| sink.sum(point, sum.is_monotonic))
        } else if let Some(histogram) = &metric.histogram {
            if self.rules.custom_buckets {
                let convert = |point| histograms::custom(point, histogram.temporality);
                histogram.data_points.iter().try_for_each(|point| sink.custom(point, convert(point)?))
            } else {
                histogram.data_points.iter().try_for_each(|point| sink.explicit(point))
            }
        } else if let Some(histogram) = &metric.exponential_histogram {
            let convert = |point| histograms::exponential(point, histogram.temporality);
            histogram.data_points.iter().try_for_each(|point| sink.exponential(point, convert(point)?))
        } else if let Some(summary) = &metric.summary {
            summary.data_points.iter().try_for_each(|point| sink.summary(point))
        } else {
            Ok(())
        }
    }

    /// Adds `target_info` over the time of the resource's points, so that a join finds it at each of them.
    fn target_info(&mut self, resource: &ResourceMetrics<'_>, first_nanos: u64, last_nanos: u64) {
        let labels = match attributes::target_info(&resource.resource, self.rules) {
            Ok(Some(labels)) => labels,
            Ok(None) => return,
            Err(error) => return self.fail(error, 0),
        };
        if !self.series.metadata.iter().any(|metadata| metadata.family == TARGET_INFO) {
            self.series.metadata.push(MetricMetadata {
                family: TARGET_INFO.to_owned(),
                metric_type: MetricType::Gauge,
                help: "Target metadata".to_owned(),
                unit: String::new(),
            });
        }
        let samples = &mut self.series.series(&labels, TARGET_INFO, &[]).samples;
        let longest = TARGET_INFO_INTERVAL_NANOS * TARGET_INFO_SAMPLES_MAX as u64;
        let mut time_nanos = first_nanos.max(last_nanos.saturating_sub(longest));
        while time_nanos < last_nanos {
            samples.push(Sample { timestamp_ms: points::millis(time_nanos), value: 1.0 });
            time_nanos = time_nanos.saturating_add(TARGET_INFO_INTERVAL_NANOS);
        }
        samples.push(Sample { timestamp_ms: points::millis(last_nanos), value: 1.0 });
    }
}

/// Whether there is data, of a temporality that is stored.
fn check_data(metric: &Metric<'_>, rules: &TranslationRules) -> Result<(), String> {
    let temporality = if metric.gauge.is_some() || metric.summary.is_some() {
        return Ok(());
    } else if let Some(sum) = &metric.sum {
        sum.temporality
    } else if let Some(histogram) = &metric.histogram {
        histogram.temporality
    } else if let Some(histogram) = &metric.exponential_histogram {
        histogram.temporality
    } else {
        return Err(format!(
            "could not get aggregation temporality for {} as it has unsupported metric type Empty",
            metric.name
        ));
    };
    match temporality {
        Temporality::Cumulative => Ok(()),
        Temporality::Delta if rules.accept_delta => Ok(()),
        _ => Err(format!("invalid temporality and type combination for metric {}", quote(&metric.name))),
    }
}

fn metric_type(metric: &Metric<'_>) -> MetricType {
    let unless_delta = |temporality, metric_type| {
        if temporality == Temporality::Delta { MetricType::Unknown } else { metric_type }
    };
    if metric.gauge.is_some() {
        MetricType::Gauge
    } else if let Some(sum) = &metric.sum {
        unless_delta(sum.temporality, if sum.is_monotonic { MetricType::Counter } else { MetricType::Gauge })
    } else if let Some(histogram) = &metric.histogram {
        unless_delta(histogram.temporality, MetricType::Histogram)
    } else if let Some(histogram) = &metric.exponential_histogram {
        unless_delta(histogram.temporality, MetricType::Histogram)
    } else if metric.summary.is_some() {
        MetricType::Summary
    } else {
        MetricType::Unknown
    }
}

#[cfg(test)]
mod tests;
