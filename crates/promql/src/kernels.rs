//! What PromQL computes: the arithmetic of functions, operators and aggregations, without labels, series or time loops.
//!
//! The evaluation cuts windows out of a series' columns, or takes single points, and calls the kernels of this module; a
//! kernel sees plain slices and returns at most one point. It never sees labels (beyond the metric's name, which stands
//! in annotations), never decides about steps, lookback or staleness, and allocates only where its result is a histogram.
//! What a user should know about the computation goes into [`Annotations`].
//!
//! Two families are tables by name ([`range_kernel`], [`instant_kernel`]), so that planning resolves a function once.
//! What does not fit one point in, one point out has its own module: [`classic_histogram`] (many series make one
//! histogram), [`binary`] (two points), [`aggregate`] (many points) and [`counter`] (all windows of a series in one pass).
//!
//! Source: Prometheus `promql/functions.go`, `promql/quantile.go` and `promql/engine.go`.

use norn_base::{Error, ErrorKind};
use norn_model::FloatHistogram;
use norn_model::select::HistogramPoint;

use crate::annotations::{Annotation, Annotations};
use crate::tree::{Position, RangeExtension};

// Functions over a range of samples.
pub mod counter;
pub(crate) mod extended;
mod over_time;
pub mod rates;
mod regression;
mod transitions;

// Functions of one point.
mod dates;
mod elementwise;
pub mod native_histogram;

// What needs more than one point.
pub mod aggregate;
/// Sums and means whose parts can be merged.
pub mod averages;
pub mod binary;
pub mod classic_histogram;
pub mod quantile;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod test_windows;

/// The samples of one series in one window, as columns.
///
/// Stale markers are not among them. Times strictly ascend in each column, and no time is in both. Without an extension
/// all samples lie in the window; with one, also those that the extension needs from beyond its edges: the last sample
/// at or before the start, and for `smoothed` the first one at or after the end.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Times of the float samples, in milliseconds since the Unix epoch.
    pub timestamps_ms: &'a [i64],
    /// One for each timestamp.
    pub values: &'a [f64],
    /// When each float sample's counter started, 0 where unknown; or empty, where none is known.
    pub starts_ms: &'a [i64],
    /// The histogram samples.
    pub histograms: &'a [HistogramPoint],
    /// When each histogram's counter started, 0 where unknown; or empty, where none is known.
    pub histogram_starts_ms: &'a [i64],
    /// The window's left edge, exclusive.
    pub range_start_ms: i64,
    /// The window's right edge, inclusive.
    pub range_end_ms: i64,
    /// The time for which the result stands; differs from the right edge by offset and `@`.
    pub evaluation_ms: i64,
    /// Whether samples beyond the edges are given, and how they count.
    pub extension: RangeExtension,
}

impl Window<'_> {
    /// Whether there is neither a float nor a histogram.
    pub fn is_empty(&self) -> bool {
        self.timestamps_ms.is_empty() && self.histograms.is_empty()
    }

    /// Whether there are floats as well as histograms.
    pub(crate) fn is_mixed(&self) -> bool {
        !self.timestamps_ms.is_empty() && !self.histograms.is_empty()
    }

    /// The window's width.
    pub(crate) fn range_seconds(&self) -> f64 {
        seconds(self.range_end_ms - self.range_start_ms)
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// A result: a number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum PointValue {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(Box<FloatHistogram>),
}

impl From<FloatHistogram> for PointValue {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Box::new(histogram))
    }
}

/// An input: a number or a histogram that someone else holds.
#[derive(Debug, Clone, Copy)]
pub enum PointRef<'a> {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(&'a FloatHistogram),
}

impl<'a> From<&'a PointValue> for PointRef<'a> {
    fn from(value: &'a PointValue) -> Self {
        match value {
            PointValue::Float(float) => Self::Float(*float),
            PointValue::Histogram(histogram) => Self::Histogram(histogram),
        }
    }
}

/// What a kernel knows beside its samples.
#[derive(Debug)]
pub struct CallContext<'a> {
    /// The function's scalar arguments at this step, in their order, the series' argument left out. Arguments that the
    /// query left out are missing here too.
    pub parameters: &'a [f64],
    /// Where annotations point. For range functions the first argument; for functions of one point the argument that
    /// holds it.
    pub position: Position,
    /// The series' metric name, for annotations; empty where the series has lost it.
    pub metric_name: &'a str,
    /// Takes what a user should know.
    pub annotations: &'a mut Annotations,
    /// Whether rules count that Prometheus changed after Mimir 3.0 had taken them over.
    pub newer_rules: bool,
    /// Set by a kernel whose parameters are invalid: the query fails with it.
    pub failure: Option<Error>,
}

impl CallContext<'_> {
    /// A scalar argument, or `default` where the query left it out.
    pub(crate) fn parameter_or(&self, index: usize, default: f64) -> f64 {
        self.parameters.get(index).copied().unwrap_or(default)
    }

    /// Adds an annotation at the call's position.
    pub(crate) fn annotate(&mut self, annotation: Annotation<&str>) {
        self.annotations.add(annotation, self.position);
    }

    /// Fails the query. The first failure counts.
    pub(crate) fn fail(&mut self, message: String) {
        self.failure.get_or_insert_with(|| Error::new(ErrorKind::Unprocessable, message));
    }
}

/// Computes one point from a window; `None` where the window gives none. The window is not empty.
pub type RangeKernel = fn(&Window<'_>, &mut CallContext<'_>) -> Option<PointValue>;

/// Computes one point from another; `None` where this kind of point gives none.
pub type InstantKernel = fn(PointRef<'_>, &mut CallContext<'_>) -> Option<PointValue>;

/// The kernel of a function over range vectors. `absent_over_time` is among them and answers 1 for every window that
/// is not empty; turning presence into absence is up to the caller, who knows all series.
pub fn range_kernel(name: &str) -> Option<RangeKernel> {
    Some(match name {
        "rate" => rates::rate,
        "increase" => rates::increase,
        "delta" => rates::delta,
        "irate" => rates::irate,
        "idelta" => rates::idelta,
        "deriv" => regression::deriv,
        "predict_linear" => regression::predict_linear,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        "changes" => transitions::changes,
        "resets" => transitions::resets,
        "sum_over_time" => over_time::sum,
        "avg_over_time" => over_time::avg,
        "min_over_time" => over_time::min,
        "max_over_time" => over_time::max,
        "count_over_time" => over_time::count,
        "stddev_over_time" => over_time::stddev,
        "stdvar_over_time" => over_time::stdvar,
        "quantile_over_time" => over_time::quantile,
        "mad_over_time" => over_time::mad,
        "first_over_time" => over_time::first,
        "last_over_time" => over_time::last,
        "ts_of_first_over_time" => over_time::time_of_first,
        "ts_of_last_over_time" => over_time::time_of_last,
        "ts_of_min_over_time" => over_time::time_of_min,
        "ts_of_max_over_time" => over_time::time_of_max,
        "present_over_time" | "absent_over_time" => over_time::present,
        _ => return None,
    })
}

/// The kernel of a function that maps the points of an instant vector one by one. `timestamp` and `start_timestamp` are
/// not among them: they need times that a point does not have.
///
/// A date function without an argument is the kernel over the evaluation time in seconds.
pub fn instant_kernel(name: &str) -> Option<InstantKernel> {
    elementwise::kernel(name).or_else(|| dates::kernel(name)).or_else(|| native_histogram::kernel(name))
}
