//! Writes remote write 1.0: for tests, for norn's own metrics, for recording rules that go elsewhere.

use norn_model::histogram::Span;
use norn_model::labels::LabelsRef;
use norn_model::sample::Sample;
use norn_model::write::{Exemplar, HistogramSample, MetricMetadata, WriteBatch, WriteHistogram, WriteSeries};

use crate::wire;

/// The batch as an uncompressed `prometheus.WriteRequest`.
pub fn encode(batch: &WriteBatch) -> Vec<u8> {
    let mut body = Vec::new();
    for series in batch.iter() {
        wire::put_message(&mut body, 1, |message| put_series(message, series));
    }
    for metadata in &batch.metadata {
        wire::put_message(&mut body, 3, |message| put_metadata(message, metadata));
    }
    body
}

fn put_series(message: &mut Vec<u8>, series: WriteSeries<'_>) {
    put_labels(message, 1, series.labels);
    for sample in series.samples {
        wire::put_message(message, 2, |message| put_sample(message, *sample));
    }
    for exemplar in series.exemplars {
        wire::put_message(message, 3, |message| put_exemplar(message, exemplar));
    }
    for histogram in series.histograms {
        wire::put_message(message, 4, |message| put_histogram(message, histogram));
    }
    wire::put_uint(message, 6, series.created_ms.cast_unsigned());
}

/// Appends a label set as repeated `LabelPair` messages.
pub(crate) fn put_labels(message: &mut Vec<u8>, number: u32, labels: LabelsRef<'_>) {
    for (name, value) in labels.iter() {
        wire::put_message(message, number, |message| {
            wire::put_text(message, 1, name);
            wire::put_text(message, 2, value);
        });
    }
}

pub(crate) fn put_sample(message: &mut Vec<u8>, sample: Sample) {
    wire::put_double(message, 1, sample.value);
    wire::put_uint(message, 2, sample.timestamp_ms.cast_unsigned());
}

fn put_exemplar(message: &mut Vec<u8>, exemplar: &Exemplar) {
    put_labels(message, 1, exemplar.labels.as_ref());
    wire::put_double(message, 2, exemplar.value);
    wire::put_uint(message, 3, exemplar.timestamp_ms.cast_unsigned());
}

/// Appends the fields of a `Histogram` message.
pub(crate) fn put_histogram(message: &mut Vec<u8>, sample: &HistogramSample) {
    let (schema, sum, zero_threshold, reset_hint, custom_values) = match &sample.histogram {
        WriteHistogram::Integer(histogram) => {
            wire::put_uint_always(message, 1, histogram.count);
            (histogram.schema, histogram.sum, histogram.zero_threshold, histogram.reset_hint, &histogram.custom_values)
        }
        WriteHistogram::Float(histogram) => {
            wire::put_double_always(message, 2, histogram.count);
            (histogram.schema, histogram.sum, histogram.zero_threshold, histogram.reset_hint, &histogram.custom_values)
        }
    };
    wire::put_double(message, 3, sum);
    wire::put_uint(message, 4, zigzag32(schema));
    wire::put_double(message, 5, zero_threshold);
    match &sample.histogram {
        WriteHistogram::Integer(histogram) => {
            let deltas = |deltas: &[i64]| deltas.iter().map(|delta| wire::zigzag(*delta)).collect::<Vec<_>>();
            wire::put_uint_always(message, 6, histogram.zero_count);
            put_spans(message, 8, &histogram.negative_spans);
            wire::put_packed_varints(message, 9, deltas(&histogram.negative_deltas).into_iter());
            put_spans(message, 11, &histogram.positive_spans);
            wire::put_packed_varints(message, 12, deltas(&histogram.positive_deltas).into_iter());
        }
        WriteHistogram::Float(histogram) => {
            wire::put_double_always(message, 7, histogram.zero_count);
            put_spans(message, 8, &histogram.negative_spans);
            wire::put_packed_doubles(message, 10, &histogram.negative_buckets);
            put_spans(message, 11, &histogram.positive_spans);
            wire::put_packed_doubles(message, 13, &histogram.positive_buckets);
        }
    }
    wire::put_uint(message, 14, reset_hint as u64);
    wire::put_uint(message, 15, sample.timestamp_ms.cast_unsigned());
    wire::put_packed_doubles(message, 16, custom_values);
}

fn put_spans(message: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        wire::put_message(message, number, |message| {
            wire::put_uint(message, 1, zigzag32(span.offset));
            wire::put_uint(message, 2, u64::from(span.length));
        });
    }
}

/// Zigzag form of a `sint32`: the same bits as that of a `sint64` of the value.
fn zigzag32(value: i32) -> u64 {
    wire::zigzag(i64::from(value))
}

fn put_metadata(message: &mut Vec<u8>, metadata: &MetricMetadata) {
    wire::put_uint(message, 1, metadata.metric_type as u64);
    wire::put_text(message, 2, &metadata.family);
    wire::put_text(message, 4, &metadata.help);
    wire::put_text(message, 5, &metadata.unit);
}
