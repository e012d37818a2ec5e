//! From the points of a metric to samples.

use norn_gotext::number::{FloatFormat, format_float};
use norn_model::histogram::Histogram;
use norn_model::sample::{STALE_NAN_BITS, Sample};
use norn_model::write::{HistogramSample, WriteHistogram};
use norn_rpc::otlp::{
    Exemplar, ExplicitPoint, ExponentialPoint, FLAG_NO_RECORDED_VALUE, Metric, NumberPoint, SummaryPoint,
};

use super::attributes::{Common, LabelPairs};
use super::rules::TranslationRules;
use super::translate::{TranslatedExemplar, TranslatedSeries};
use super::values;

/// An exemplar keeps its attributes only up to so many characters.
const EXEMPLAR_CHARACTERS_MAX: usize = 128;

/// Where the points of one metric go.
pub(super) struct Sink<'t> {
    pub(super) series: &'t mut TranslatedSeries,
    pub(super) common: &'t Common,
    pub(super) rules: &'t TranslationRules,
    pub(super) family: &'t str,
}

impl Sink<'_> {
    pub(super) fn gauge(&mut self, point: &NumberPoint<'_>) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        self.series.series(&labels, self.family, &[]).samples.push(number(point));
        Ok(())
    }

    pub(super) fn sum(&mut self, point: &NumberPoint<'_>, is_monotonic: bool) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        let created_ms = if is_monotonic { self.created_ms(point.start_time_unix_nano) } else { 0 };
        let series = self.series.series(&labels, self.family, &[]);
        series.samples.push(number(point));
        series.exemplars.extend(point.exemplars.iter().map(exemplar));
        series.created_ms = created_ms;
        Ok(())
    }

    /// A classic histogram: a series for the sum, the count, and each bucket.
    pub(super) fn explicit(&mut self, point: &ExplicitPoint<'_>) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        let timestamp_ms = millis(point.time_unix_nano);
        let created_ms = self.created_ms(point.start_time_unix_nano);
        let sample = |value: f64| Sample { timestamp_ms, value: recorded(value, point.flags) };
        if let Some(sum) = point.sum {
            self.push(&labels, "_sum", &[], sample(sum), created_ms);
        }
        self.push(&labels, "_count", &[], sample(point.count as f64), created_ms);

        let mut exemplars: Vec<_> = point.exemplars.iter().map(exemplar).collect();
        let mut cumulative = 0u64;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            cumulative = cumulative.saturating_add(*count);
            let le = [("le", format_float(*bound, FloatFormat::Fixed))];
            let within = exemplars.extract_if(.., |exemplar| exemplar.value <= *bound);
            let within: Vec<_> = within.collect();
            self.push(&labels, "_bucket", &le, sample(cumulative as f64), created_ms).extend(within);
        }
        let le = [("le", "+Inf".to_owned())];
        self.push(&labels, "_bucket", &le, sample(point.count as f64), created_ms).extend(exemplars);
        Ok(())
    }

    fn push(
        &mut self,
        labels: &LabelPairs,
        suffix: &str,
        extra: &[(&str, String)],
        sample: Sample,
        created_ms: i64,
    ) -> &mut Vec<TranslatedExemplar> {
        let series = self.series.series(labels, &format!("{}{suffix}", self.family), extra);
        series.samples.push(sample);
        series.created_ms = created_ms;
        &mut series.exemplars
    }

    pub(super) fn custom(&mut self, point: &ExplicitPoint<'_>, histogram: Histogram) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        self.histogram(&labels, point.time_unix_nano, point.start_time_unix_nano, histogram, &point.exemplars);
        Ok(())
    }

    pub(super) fn exponential(&mut self, point: &ExponentialPoint<'_>, histogram: Histogram) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        self.histogram(&labels, point.time_unix_nano, point.start_time_unix_nano, histogram, &point.exemplars);
        Ok(())
    }

    fn histogram(
        &mut self,
        labels: &LabelPairs,
        time_nanos: u64,
        start_nanos: u64,
        histogram: Histogram,
        exemplars: &[Exemplar<'_>],
    ) {
        let created_ms = self.created_ms(start_nanos);
        let series = self.series.series(labels, self.family, &[]);
        let histogram = WriteHistogram::Integer(histogram);
        series.histograms.push(HistogramSample { timestamp_ms: millis(time_nanos), histogram });
        series.exemplars.extend(exemplars.iter().map(exemplar));
        series.created_ms = created_ms;
    }

    pub(super) fn summary(&mut self, point: &SummaryPoint<'_>) -> Result<(), String> {
        let labels = self.common.labels(&point.attributes, self.rules)?;
        let timestamp_ms = millis(point.time_unix_nano);
        let created_ms = self.created_ms(point.start_time_unix_nano);
        let sample = |value: f64| Sample { timestamp_ms, value: recorded(value, point.flags) };
        self.push(&labels, "_sum", &[], sample(point.sum), created_ms);
        self.push(&labels, "_count", &[], sample(point.count as f64), created_ms);
        for quantile in &point.quantile_values {
            let extra = [("quantile", format_float(quantile.quantile, FloatFormat::Fixed))];
            self.push(&labels, "", &extra, sample(quantile.value), created_ms);
        }
        Ok(())
    }

    /// When the counter started, if the tenant wants to know.
    fn created_ms(&self, start_nanos: u64) -> i64 {
        if self.rules.keep_start_time { millis(start_nanos) } else { 0 }
    }
}

/// Milliseconds of a time in nanoseconds, both since the Unix epoch; what is finer is cut.
pub(super) fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).expect("a millionth of 64 bits fits 63")
}

/// A value, or the stale marker where the flags say that there is none.
fn recorded(value: f64, flags: u32) -> f64 {
    if flags & FLAG_NO_RECORDED_VALUE != 0 { f64::from_bits(STALE_NAN_BITS) } else { value }
}

fn number(point: &NumberPoint<'_>) -> Sample {
    let value = point.as_double.or(point.as_int.map(|value| value as f64)).unwrap_or(0.0);
    Sample { timestamp_ms: millis(point.time_unix_nano), value: recorded(value, point.flags) }
}

fn exemplar(exemplar: &Exemplar<'_>) -> TranslatedExemplar {
    let mut labels = LabelPairs::new();
    for (name, id) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            let hex = id.iter().map(|byte| format!("{byte:02x}")).collect();
            labels.push((name.to_owned(), hex));
        }
    }
    let attributes = exemplar.filtered_attributes.iter();
    let attributes: LabelPairs = attributes.map(|pair| (pair.key.to_string(), values::text(&pair.value))).collect();
    let characters = |pairs: &LabelPairs| -> usize {
        pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    };
    if characters(&labels) + characters(&attributes) <= EXEMPLAR_CHARACTERS_MAX {
        labels.extend(attributes);
    }
    let value = exemplar.as_double.or(exemplar.as_int.map(|value| value as f64)).unwrap_or(0.0);
    TranslatedExemplar { timestamp_ms: millis(exemplar.time_unix_nano), value, labels }
}

/// How many points a metric has, of whatever kind.
pub(super) fn count(metric: &Metric<'_>) -> usize {
    times(metric).count()
}

/// The times of a metric's points, in nanoseconds.
pub(super) fn times<'m>(metric: &'m Metric<'_>) -> impl Iterator<Item = u64> + 'm {
    let gauge = metric.gauge.iter().flat_map(|gauge| &gauge.data_points).map(|point| point.time_unix_nano);
    let sum = metric.sum.iter().flat_map(|sum| &sum.data_points).map(|point| point.time_unix_nano);
    let explicit = metric.histogram.iter().flat_map(|histogram| &histogram.data_points);
    let exponential = metric.exponential_histogram.iter().flat_map(|histogram| &histogram.data_points);
    let summary = metric.summary.iter().flat_map(|summary| &summary.data_points);
    gauge
        .chain(sum)
        .chain(explicit.map(|point| point.time_unix_nano))
        .chain(exponential.map(|point| point.time_unix_nano))
        .chain(summary.map(|point| point.time_unix_nano))
}
