//! Results as the JSON of Prometheus' API, written straight into bytes.
//!
//! Values are strings, so that NaN and infinities survive; times are seconds with up to three decimals.

use norn_gotext::time::write_seconds;
use norn_model::select::HistogramPoint;
use norn_model::{FloatHistogram, Labels, Sample};
use norn_promql::value::{MatrixSeries, Point, QueryResult, Value, VectorSample};

/// Writes `{"resultType":…,"result":…}`.
pub fn write_value(out: &mut Vec<u8>, result: &QueryResult) {
    match &result.value {
        Value::Scalar(sample) => {
            out.extend_from_slice(br#"{"resultType":"scalar","result":"#);
            write_sample(out, *sample);
        }
        Value::String { timestamp_ms, text } => {
            out.extend_from_slice(br#"{"resultType":"string","result":["#);
            write_seconds(out, *timestamp_ms);
            out.push(b',');
            write_string(out, text);
            out.push(b']');
        }
        Value::Vector(samples) => {
            out.extend_from_slice(br#"{"resultType":"vector","result":["#);
            write_list(out, samples, write_vector_sample);
            out.push(b']');
        }
        Value::Matrix(series) => {
            out.extend_from_slice(br#"{"resultType":"matrix","result":["#);
            write_list(out, series, write_series);
            out.push(b']');
        }
    }
    out.push(b'}');
}

/// How much memory an answer takes, roughly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerSize {
    /// The value.
    pub value_bytes: usize,
    /// The value as JSON.
    pub body_bytes: usize,
}

/// What an answer is going to take. Cost: a walk over its series.
pub fn answer_size(value: &Value) -> AnswerSize {
    // Quotes, colons and commas around each label, and what stands around a series.
    let labels = |labels: &Labels| labels.encoded().len() + 5 * labels.iter().count() + 32;
    let mut size = AnswerSize { value_bytes: 0, body_bytes: 64 };
    let mut add = |set: &Labels, own_bytes: usize, floats: usize, histograms: usize| {
        size.value_bytes += set.encoded().len() + own_bytes + floats * SAMPLE_BYTES + histograms * HISTOGRAM_BYTES;
        size.body_bytes += labels(set) + floats * SAMPLE_JSON_BYTES + histograms * HISTOGRAM_BYTES;
    };
    match value {
        Value::Scalar(_) | Value::String { .. } => {}
        Value::Vector(samples) => {
            for sample in samples {
                let (floats, histograms) = if matches!(sample.point, Point::Float(_)) { (1, 0) } else { (0, 1) };
                add(&sample.labels, size_of::<VectorSample>(), floats, histograms);
            }
        }
        Value::Matrix(series) => {
            for one in series {
                add(&one.labels, size_of::<MatrixSeries>(), one.floats.len(), one.histograms.len());
            }
        }
    }
    size
}

/// Bytes of a sample in memory, and of one in JSON.
const SAMPLE_BYTES: usize = 16;
const SAMPLE_JSON_BYTES: usize = 32;
/// Bytes of a histogram, in both.
const HISTOGRAM_BYTES: usize = 1024;

fn write_vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &sample.labels);
    match &sample.point {
        Point::Float(value) => {
            out.extend_from_slice(br#","value":"#);
            write_sample(out, Sample { timestamp_ms: sample.timestamp_ms, value: *value });
        }
        Point::Histogram(histogram) => {
            out.extend_from_slice(br#","histogram":"#);
            write_histogram_at(out, sample.timestamp_ms, histogram);
        }
    }
    out.push(b'}');
}

fn write_series(out: &mut Vec<u8>, series: &MatrixSeries) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(br#","values":["#);
        write_list(out, &series.floats, |out, sample| write_sample(out, *sample));
        out.push(b']');
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(br#","histograms":["#);
        let write =
            |out: &mut Vec<u8>, point: &HistogramPoint| write_histogram_at(out, point.timestamp_ms, &point.histogram);
        write_list(out, &series.histograms, write);
        out.push(b']');
    }
    out.push(b'}');
}

/// Writes items with commas between them.
pub fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

/// Writes `{"name":"value",…}`.
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
}

/// Writes `[time,"value"]`.
fn write_sample(out: &mut Vec<u8>, sample: Sample) {
    out.push(b'[');
    write_seconds(out, sample.timestamp_ms);
    out.extend_from_slice(b",\"");
    write_number(out, sample.value);
    out.extend_from_slice(b"\"]");
}

/// Writes a value as Prometheus does; minus zero loses its sign.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    norn_gotext::number::write_float(out, if value == 0.0 { 0.0 } else { value });
}

/// Writes a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string can be written as JSON");
    }
}

fn write_histogram_at(out: &mut Vec<u8>, timestamp_ms: i64, histogram: &FloatHistogram) {
    out.push(b'[');
    write_seconds(out, timestamp_ms);
    out.extend_from_slice(br#",{"count":""#);
    write_number(out, histogram.count);
    out.extend_from_slice(br#"","sum":""#);
    write_number(out, histogram.sum);
    out.push(b'"');
    let mut first = true;
    for bucket in histogram.filled_buckets() {
        out.extend_from_slice(if first { br#","buckets":[["# } else { b",[" });
        first = false;
        out.push(b'0' + bucket.boundary_rule());
        for bound in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            write_number(out, bound);
            out.push(b'"');
        }
        out.push(b']');
    }
    if !first {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn series_are_written_as_prometheus_does() {
        let labels = Labels::from_pairs([("__name__", "up"), ("quote", "a\"b\n")]);
        let floats = vec![Sample { timestamp_ms: 1000, value: f64::NAN }, Sample { timestamp_ms: 2500, value: -0.0 }];
        let series = MatrixSeries { labels, floats, histograms: Vec::new() };
        let expected = r#"{"metric":{"__name__":"up","quote":"a\"b\n"},"values":[[1,"NaN"],[2.500,"0"]]}"#;
        assert_eq!(written(|out| write_series(out, &series)), expected);
    }
}
