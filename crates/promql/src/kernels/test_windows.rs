//! Windows and contexts for tests.

use std::sync::Arc;

use norn_model::FloatHistogram;
use norn_model::select::HistogramPoint;

use super::{CallContext, PointValue, RangeKernel, Window, range_kernel};
use crate::annotations::Annotations;
use crate::tree::{Position, RangeExtension};

/// A window over float samples.
pub(super) fn window<'a>(columns: &'a (Vec<i64>, Vec<f64>), range_start_ms: i64, range_end_ms: i64) -> Window<'a> {
    Window {
        timestamps_ms: &columns.0,
        values: &columns.1,
        starts_ms: &[],
        histograms: &[],
        histogram_starts_ms: &[],
        range_start_ms,
        range_end_ms,
        evaluation_ms: range_end_ms,
        extension: RangeExtension::None,
    }
}

/// A histogram with one bucket up to 1 and one up to 2.
pub(super) fn histogram(low: f64, high: f64, sum: f64) -> FloatHistogram {
    FloatHistogram {
        count: low + high,
        sum,
        positive_spans: vec![norn_model::histogram::Span { offset: 0, length: 2 }],
        positive_buckets: vec![low, high],
        ..FloatHistogram::empty(0, [].into())
    }
}

/// Histograms one second apart, from one second on.
pub(super) fn points(histograms: impl IntoIterator<Item = FloatHistogram>) -> Vec<HistogramPoint> {
    let times = (1..).map(|second| second * 1000);
    times
        .zip(histograms)
        .map(|(timestamp_ms, histogram)| HistogramPoint { timestamp_ms, histogram: Arc::new(histogram) })
        .collect()
}

/// Calls a kernel by name. Returns its result and its annotations, positions left out.
pub(super) fn call(name: &str, window: &Window<'_>, parameters: &[f64]) -> (Option<PointValue>, Vec<String>) {
    let kernel: RangeKernel = range_kernel(name).unwrap();
    with_context(parameters, |context| kernel(window, context))
}

/// Runs something with a context. Returns its result and its annotations, positions left out.
pub(super) fn with_context<T>(parameters: &[f64], run: impl FnOnce(&mut CallContext<'_>) -> T) -> (T, Vec<String>) {
    let mut annotations = Annotations::default();
    let mut context = CallContext {
        parameters,
        position: Position::default(),
        metric_name: "m",
        annotations: &mut annotations,
        newer_rules: true,
        failure: None,
    };
    let result = run(&mut context);
    let (mut texts, infos) = annotations.texts("", 0, 0);
    texts.extend(infos);
    (result, texts)
}

/// The float that a kernel answers with.
pub(super) fn float(name: &str, columns: &(Vec<i64>, Vec<f64>), parameters: &[f64]) -> Option<f64> {
    let end_ms = columns.0.last().copied().unwrap_or(0);
    match call(name, &window(columns, 0, end_ms), parameters).0? {
        PointValue::Float(value) => Some(value),
        PointValue::Histogram(histogram) => panic!("{name} answers with {histogram:?}"),
    }
}
