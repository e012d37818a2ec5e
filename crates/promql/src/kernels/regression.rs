//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.
//!
//! Source: Prometheus `promql/functions.go`.

use norn_model::histogram::compensated::Compensated;

use super::{CallContext, PointValue, Window, seconds};
use crate::annotations::Annotation;

/// A straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// Change per second.
    slope: f64,
    /// Value at the time that the regression took as zero.
    intercept: f64,
}

/// Whether there are enough floats for a trend; histograms are ignored, and that is annotated where floats are there.
fn has_trend(window: &Window<'_>, context: &mut CallContext<'_>) -> bool {
    if window.is_mixed() {
        context.annotate(Annotation::HistogramIgnoredInMixedRange { metric: context.metric_name });
    }
    window.values.len() >= 2
}

pub(super) fn deriv(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    // A zero near the samples keeps the numbers small.
    let zero_ms = *window.timestamps_ms.first()?;
    has_trend(window, context).then(|| PointValue::Float(least_squares(window, zero_ms).slope))
}

pub(super) fn predict_linear(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    if !has_trend(window, context) {
        return None;
    }
    let line = least_squares(window, window.evaluation_ms);
    Some(PointValue::Float(line.slope * context.parameter_or(0, f64::NAN) + line.intercept))
}

/// The line with the least squared distances from the samples. There is at least one.
fn least_squares(window: &Window<'_>, zero_ms: i64) -> Line {
    let first = window.values[0];
    if window.values.iter().all(|value| *value == first) {
        let value = if first.is_infinite() { f64::NAN } else { first };
        return Line { slope: if first.is_infinite() { f64::NAN } else { 0.0 }, intercept: value };
    }
    let (mut sum_x, mut sum_y) = (Compensated::default(), Compensated::default());
    let (mut sum_xy, mut sum_xx) = (Compensated::default(), Compensated::default());
    for (timestamp_ms, y) in window.timestamps_ms.iter().zip(window.values) {
        let x = seconds(timestamp_ms - zero_ms);
        sum_x.add(x);
        sum_y.add(*y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    let count = window.values.len() as f64;
    let (sum_x, sum_y) = (sum_x.total(), sum_y.total());
    let covariance = sum_xy.total() - sum_x * sum_y / count;
    let variance = sum_xx.total() - sum_x * sum_x / count;
    let slope = covariance / variance;
    Line { slope, intercept: sum_y / count - slope * sum_x / count }
}

pub(super) fn double_exponential_smoothing(window: &Window<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    let smoothing = context.parameter_or(0, f64::NAN);
    let trend = context.parameter_or(1, f64::NAN);
    if smoothing <= 0.0 || smoothing >= 1.0 {
        context.fail(format!("invalid smoothing factor. Expected: 0 < sf < 1, got: {smoothing:.6}"));
        return None;
    }
    if trend <= 0.0 || trend >= 1.0 {
        context.fail(format!("invalid trend factor. Expected: 0 < tf < 1, got: {trend:.6}"));
        return None;
    }
    if !has_trend(window, context) {
        return None;
    }
    let [first, rest @ ..] = window.values else { return None };
    let mut slope = rest.first()? - first;
    let mut smoothed = *first;
    let mut before = 0.0;
    for (index, value) in rest.iter().enumerate() {
        if index > 0 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        before = std::mem::replace(&mut smoothed, next);
    }
    Some(PointValue::Float(smoothed))
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::{call, float, window};
    use super::*;

    fn every_second(values: &[f64]) -> (Vec<i64>, Vec<f64>) {
        ((1..).map(|second| second * 1000).take(values.len()).collect(), values.to_vec())
    }

    #[test]
    fn straight_lines_are_found() {
        let line = every_second(&[1.0, 3.0, 5.0, 7.0]);
        assert_eq!(float("deriv", &line, &[]), Some(2.0));
        assert_eq!(float("predict_linear", &line, &[10.0]), Some(27.0));
        assert_eq!(float("deriv", &every_second(&[4.0, 4.0]), &[]), Some(0.0));
        assert_eq!(float("deriv", &every_second(&[4.0]), &[]), None);
        assert!(float("deriv", &every_second(&[f64::INFINITY; 3]), &[]).unwrap().is_nan());
    }

    #[test]
    fn large_timestamps_cost_no_precision() {
        let shifted: (Vec<i64>, Vec<f64>) =
            ((0..50).map(|index| 1_700_000_000_000 + index * 1000).collect(), (0..50).map(f64::from).collect());
        let slope = float("deriv", &shifted, &[]).unwrap();
        assert!((slope - 1.0).abs() < 1e-12, "{slope}");
    }

    #[test]
    fn smoothing_follows_its_factors() {
        let found = float("double_exponential_smoothing", &every_second(&[0.0, 10.0, 20.0, 30.0]), &[0.5, 0.5]);
        assert_eq!(found, Some(30.0));
        let columns = every_second(&[1.0, 2.0]);
        let mut annotations = crate::annotations::Annotations::default();
        let mut context = CallContext {
            parameters: &[1.0, 0.5],
            position: crate::tree::Position::default(),
            metric_name: "",
            annotations: &mut annotations,
            newer_rules: true,
            failure: None,
        };
        assert_eq!(double_exponential_smoothing(&window(&columns, 0, 2000), &mut context), None);
        let message = "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000";
        assert_eq!(context.failure.unwrap().message(), message);
    }

    #[test]
    fn histograms_are_ignored_with_a_word() {
        let columns = every_second(&[1.0]);
        let points = super::super::test_windows::points([super::super::test_windows::histogram(1.0, 1.0, 1.0)]);
        let window = Window { histograms: &points, ..window(&columns, 0, 2000) };
        let info =
            "PromQL info: ignored histograms in a range containing both floats and histograms for metric name \"m\"";
        assert_eq!(call("deriv", &window, &[]), (None, vec![info.to_owned()]));
    }
}
