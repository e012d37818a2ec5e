//! Compares answers with what a script expects, as exactly as floats that were computed in another order allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use norn_model::histogram::Bucket;
use norn_model::sample::is_stale;
use norn_model::{FloatHistogram, Labels};

use super::script::Eval;
use crate::kernels::classic_histogram::nearly_equal;
use crate::plan::QueryTime;
use crate::tree::{SequenceValue, SeriesDescription};
use crate::value::{MatrixSeries, Point, Value, VectorSample};

/// By how much two floats may differ, relatively.
const TOLERANCE: f64 = 1e-6;

/// Compares an answer with the lines of an `eval`.
pub(super) fn check(eval: &Eval, value: &Value) -> Result<(), String> {
    let unexpected = |expected: &str| Err(format!("expected {expected}, got {}", show(value)));
    match (value, &eval.string, eval.scalar) {
        (Value::String { text, .. }, Some(expected), _) if text == expected => Ok(()),
        (_, Some(expected), _) => unexpected(&format!("the string {expected:?}")),
        (Value::Scalar(sample), None, Some(expected)) if is_same(sample.value, expected) => Ok(()),
        (_, None, Some(expected)) => unexpected(&format!("the scalar {expected}")),
        (Value::Vector(vector), None, None) => check_vector(eval, vector),
        (Value::Matrix(matrix), None, None) => match (eval.time, eval.range_vector) {
            (time @ QueryTime::Range { .. }, _) | (_, Some(time)) => {
                check_sorted(matrix)?;
                check_matrix(&eval.series, matrix, time)
            }
            (QueryTime::Instant { .. }, None) => unexpected("a vector"),
        },
        (Value::Scalar(sample), None, None) => match &eval.series[..] {
            // A scalar may be expected as a series without labels.
            [SeriesDescription { labels, values, .. }]
                if labels.is_empty()
                    && matches!(values[..], [SequenceValue::Float(value)] if is_same(value, sample.value)) =>
            {
                Ok(())
            }
            _ => unexpected("no scalar"),
        },
        (Value::String { .. }, None, None) => unexpected("no string"),
    }
}

fn check_vector(eval: &Eval, vector: &[VectorSample]) -> Result<(), String> {
    let expected: BTreeMap<&Labels, (usize, &SeriesDescription)> =
        eval.series.iter().enumerate().map(|(index, series)| (&series.labels, (index, series))).collect();
    let mut problems = String::new();
    let mut seen = BTreeSet::new();
    for (position, sample) in vector.iter().enumerate() {
        let Some((index, series)) = expected.get(&sample.labels) else {
            let _ = writeln!(problems, "unexpected series {:?} {}", sample.labels, show_point(&sample.point));
            continue;
        };
        seen.insert(&sample.labels);
        if eval.ordered && *index != position {
            let _ =
                writeln!(problems, "{:?} is at position {}, expected at {}", sample.labels, position + 1, index + 1);
        }
        match &series.values[..] {
            [value] if is_same_point(value, &sample.point, series.names_reset_hint) => {}
            values => {
                let _ = writeln!(
                    problems,
                    "{:?}: expected {}\n  got {}",
                    sample.labels,
                    values.iter().map(show_value).collect::<Vec<_>>().join(" "),
                    show_point(&sample.point)
                );
            }
        }
    }
    for (labels, (_, series)) in expected.iter().filter(|(labels, _)| !seen.contains(*labels)) {
        let _ = writeln!(problems, "missing series {labels:?} {}", show_values(&series.values));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.trim_end().to_owned()) }
}

/// A matrix comes in ascending order of labels.
pub(super) fn check_sorted(matrix: &[MatrixSeries]) -> Result<(), String> {
    match matrix.windows(2).find(|pair| pair[0].labels >= pair[1].labels) {
        Some(pair) => Err(format!("series are not sorted: {:?} before {:?}", pair[0].labels, pair[1].labels)),
        None => Ok(()),
    }
}

fn check_matrix(expected: &[SeriesDescription], matrix: &[MatrixSeries], time: QueryTime) -> Result<(), String> {
    let by_labels: BTreeMap<&Labels, &SeriesDescription> =
        expected.iter().map(|series| (&series.labels, series)).collect();
    let mut problems = String::new();
    let mut seen = BTreeSet::new();
    for series in matrix {
        seen.insert(&series.labels);
        let found = points(series);
        let Some(expected) = by_labels.get(&series.labels) else {
            let _ = writeln!(problems, "unexpected series {:?} {}", series.labels, show_points(&found));
            continue;
        };
        let times = (0..).map(|index: i64| time.start_ms() + index * time.step_ms());
        let wanted: Vec<(i64, &SequenceValue)> =
            times.zip(&expected.values).filter(|(_, value)| **value != SequenceValue::Omitted).collect();
        let is_same = wanted.len() == found.len()
            && wanted.iter().zip(&found).all(|((expected_ms, value), (found_ms, point))| {
                expected_ms == found_ms && is_same_point(value, point, expected.names_reset_hint)
            });
        if !is_same {
            let _ = writeln!(
                problems,
                "{:?}: expected {}\n  got {}",
                series.labels,
                show_values(&expected.values),
                show_points(&found)
            );
        }
    }
    for (labels, series) in by_labels.iter().filter(|(labels, _)| !seen.contains(*labels)) {
        let _ = writeln!(problems, "missing series {labels:?} {}", show_values(&series.values));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.trim_end().to_owned()) }
}

/// The points of a series, ascending in time.
fn points(series: &MatrixSeries) -> Vec<(i64, Point)> {
    let floats = series.floats.iter().map(|sample| (sample.timestamp_ms, Point::Float(sample.value)));
    let histograms =
        series.histograms.iter().map(|point| (point.timestamp_ms, Point::Histogram(Arc::clone(&point.histogram))));
    let mut points: Vec<_> = floats.chain(histograms).collect();
    points.sort_by_key(|(timestamp_ms, _)| *timestamp_ms);
    points
}

fn is_same_point(expected: &SequenceValue, found: &Point, with_hint: bool) -> bool {
    match (expected, found) {
        (SequenceValue::Float(expected), Point::Float(found)) => is_same(*expected, *found),
        (SequenceValue::Histogram(expected), Point::Histogram(found)) => is_same_histogram(expected, found, with_hint),
        _ => false,
    }
}

fn is_same(expected: f64, found: f64) -> bool {
    if is_stale(expected) || is_stale(found) {
        return is_stale(expected) && is_stale(found);
    }
    nearly_equal(expected, found, TOLERANCE)
}

fn is_same_histogram(expected: &FloatHistogram, found: &FloatHistogram, with_hint: bool) -> bool {
    let is_same_bucket = |(expected, found): (Bucket, Bucket)| {
        expected.lower == found.lower && expected.upper == found.upper && is_same(expected.count, found.count)
    };
    let buckets = |histogram: &FloatHistogram| -> Vec<Bucket> {
        histogram.negative_side().chain(histogram.positive_side()).filter(|bucket| bucket.count != 0.0).collect()
    };
    let (expected_buckets, found_buckets) = (buckets(expected), buckets(found));
    expected.schema == found.schema
        && expected.zero_threshold == found.zero_threshold
        && is_same(expected.count, found.count)
        && is_same(expected.sum, found.sum)
        && is_same(expected.zero_count, found.zero_count)
        && (!expected.has_custom_buckets() || expected.custom_values == found.custom_values)
        && expected_buckets.len() == found_buckets.len()
        && expected_buckets.into_iter().zip(found_buckets).all(is_same_bucket)
        && (!with_hint || expected.reset_hint == found.reset_hint)
}

/// An answer as text.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Scalar(sample) => format!("the scalar {}", sample.value),
        Value::String { text, .. } => format!("the string {text:?}"),
        Value::Vector(vector) if vector.is_empty() => "an empty vector".to_owned(),
        Value::Vector(vector) => {
            let lines: Vec<_> =
                vector.iter().map(|sample| format!("{:?} {}", sample.labels, show_point(&sample.point))).collect();
            lines.join("\n")
        }
        Value::Matrix(matrix) => {
            let lines: Vec<_> =
                matrix.iter().map(|series| format!("{:?} {}", series.labels, show_points(&points(series)))).collect();
            format!("a matrix\n{}", lines.join("\n"))
        }
    }
}

fn show_values(values: &[SequenceValue]) -> String {
    values.iter().map(show_value).collect::<Vec<_>>().join(" ")
}

fn show_value(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(value) => value.to_string(),
        SequenceValue::Histogram(histogram) => show_histogram(histogram),
    }
}

fn show_points(points: &[(i64, Point)]) -> String {
    points.iter().map(|(time, point)| format!("{}@{time}", show_point(point))).collect::<Vec<_>>().join(" ")
}

fn show_point(point: &Point) -> String {
    match point {
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram) => show_histogram(histogram),
    }
}

fn show_histogram(histogram: &FloatHistogram) -> String {
    let mut text = format!(
        "{{{{schema:{} count:{} sum:{} hint:{:?}",
        histogram.schema, histogram.count, histogram.sum, histogram.reset_hint
    );
    if histogram.zero_count != 0.0 || histogram.zero_threshold != 0.0 {
        let _ = write!(text, " zero:{} within {}", histogram.zero_count, histogram.zero_threshold);
    }
    for bucket in histogram.filled_buckets() {
        let _ = write!(text, " {}..{}:{}", bucket.lower, bucket.upper, bucket.count);
    }
    text.push_str("}}");
    text
}
