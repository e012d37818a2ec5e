//! Aggregations over series: one accumulator for each group and step takes points, merges with others, and gives a point.
//!
//! An accumulator is as small as its operator allows, because there is one for every step of every group, and knows no
//! operator at run time: the evaluation chooses the type once and loops over columns. Floats and histograms do not mix:
//! sums and means of both give nothing and a warning; the other operators but `count` and `group` ignore histograms, with
//! an info.
//!
//! Source: Prometheus `promql/engine.go`, `aggregation`.

use norn_model::FloatHistogram;
use norn_model::histogram::compensated::Compensated;
use norn_model::histogram::{Combination, HistogramSum, IncompatibleSchemas};

use super::averages::{FloatMean, HistogramMean, ResetHints};
use super::{PointRef, PointValue, quantile};
use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::tree::Position;

/// Where annotations of an aggregation go.
#[derive(Debug)]
pub struct AggregateContext<'a> {
    /// The aggregated expression.
    pub position: Position,
    /// The metric name of the series that a point is of; empty where it has none, and for results.
    pub metric_name: &'a str,
    /// The quantile of `quantile`.
    pub parameter: f64,
    /// Takes what a user should know.
    pub annotations: &'a mut Annotations,
}

impl AggregateContext<'_> {
    fn annotate(&mut self, annotation: Annotation<&str>) {
        self.annotations.add(annotation, self.position);
    }
}

/// The state of one group at one step.
pub trait Accumulator: Default {
    /// The operator's name, for annotations.
    const NAME: &'static str;

    /// Takes a float. Says nothing to the user.
    fn add_float(&mut self, value: f64);

    /// Takes a histogram.
    fn add_histogram(&mut self, _histogram: &FloatHistogram, context: &mut AggregateContext<'_>) {
        context.annotate(Annotation::HistogramIgnoredInAggregation { aggregation: Self::NAME });
    }

    /// Takes what another state took, as if its points had come after this one's.
    fn merge(&mut self, other: Self, context: &mut AggregateContext<'_>);

    /// The result; `None` where no point was taken, or points that do not go together.
    fn finish(self, context: &mut AggregateContext<'_>) -> Option<PointValue>;

    /// Takes a point.
    fn add(&mut self, point: PointRef<'_>, context: &mut AggregateContext<'_>) {
        match point {
            PointRef::Float(value) => self.add_float(value),
            PointRef::Histogram(histogram) => self.add_histogram(histogram, context),
        }
    }
}

/// `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count(u64);

impl Accumulator for Count {
    const NAME: &'static str = "count";

    #[inline]
    fn add_float(&mut self, _value: f64) {
        self.0 += 1;
    }

    fn add_histogram(&mut self, _histogram: &FloatHistogram, _context: &mut AggregateContext<'_>) {
        self.0 += 1;
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        self.0 += other.0;
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        (self.0 > 0).then_some(PointValue::Float(self.0 as f64))
    }
}

/// `group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group(bool);

impl Accumulator for Group {
    const NAME: &'static str = "group";

    #[inline]
    fn add_float(&mut self, _value: f64) {
        self.0 = true;
    }

    fn add_histogram(&mut self, _histogram: &FloatHistogram, _context: &mut AggregateContext<'_>) {
        self.0 = true;
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        self.0 |= other.0;
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        self.0.then_some(PointValue::Float(1.0))
    }
}

/// `min`. NaN counts only where there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Min(Option<f64>);

impl Accumulator for Min {
    const NAME: &'static str = "min";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |min| if min > value || min.is_nan() { value } else { min }));
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        if let Some(value) = other.0 {
            self.add_float(value);
        }
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        self.0.map(PointValue::Float)
    }
}

/// `max`. NaN counts only where there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Max(Option<f64>);

impl Accumulator for Max {
    const NAME: &'static str = "max";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |max| if max < value || max.is_nan() { value } else { max }));
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        if let Some(value) = other.0 {
            self.add_float(value);
        }
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        self.0.map(PointValue::Float)
    }
}

/// What `stdvar` and `stddev` share: count, mean and the sum of squared distances from it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    /// Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances".
    fn merge(&mut self, other: Self) {
        if self.count == 0.0 {
            *self = other;
        } else if other.count > 0.0 {
            let count = self.count + other.count;
            let distance = other.mean - self.mean;
            self.squares += other.squares + distance * distance * (self.count * other.count / count);
            self.mean += distance * (other.count / count);
            self.count = count;
        }
    }

    fn variance(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.squares / self.count)
    }
}

/// `stdvar`: the population variance.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stdvar(Spread);

impl Accumulator for Stdvar {
    const NAME: &'static str = "stdvar";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.0.add(value);
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        self.0.merge(other.0);
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        self.0.variance().map(PointValue::Float)
    }
}

/// `stddev`: the population standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stddev(Spread);

impl Accumulator for Stddev {
    const NAME: &'static str = "stddev";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.0.add(value);
    }

    fn merge(&mut self, other: Self, _context: &mut AggregateContext<'_>) {
        self.0.merge(other.0);
    }

    fn finish(self, _context: &mut AggregateContext<'_>) -> Option<PointValue> {
        self.0.variance().map(|variance| PointValue::Float(variance.sqrt()))
    }
}

/// `quantile`. Keeps all values: exact quantiles cannot be merged from less.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantile(Vec<f64>);

impl Accumulator for Quantile {
    const NAME: &'static str = "quantile";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.0.push(value);
    }

    fn merge(&mut self, mut other: Self, _context: &mut AggregateContext<'_>) {
        self.0.append(&mut other.0);
    }

    fn finish(mut self, context: &mut AggregateContext<'_>) -> Option<PointValue> {
        (!self.0.is_empty()).then(|| PointValue::Float(quantile::quantile(context.parameter, &mut self.0)))
    }
}

/// Histograms of a group beside its floats; they are rare, so they lie elsewhere.
#[derive(Debug, Clone)]
struct Histograms<State> {
    /// `None` once exponential and custom buckets met: the group has no result then, whatever comes.
    state: Option<State>,
    hints: ResetHints,
}

/// A sum or a mean of histograms.
trait HistogramState: Sized {
    fn new(first: &FloatHistogram) -> Self;
    fn add(&mut self, histogram: &FloatHistogram) -> Result<Combination, IncompatibleSchemas>;
    fn merge(&mut self, other: Self) -> Result<Combination, IncompatibleSchemas>;
    fn finish(self) -> FloatHistogram;
}

impl HistogramState for HistogramSum {
    fn new(first: &FloatHistogram) -> Self {
        Self::new(first)
    }

    fn add(&mut self, histogram: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        self.add(histogram)
    }

    fn merge(&mut self, other: Self) -> Result<Combination, IncompatibleSchemas> {
        Self::merge(self, &other)
    }

    fn finish(self) -> FloatHistogram {
        self.into_histogram()
    }
}

impl HistogramState for HistogramMean {
    fn new(first: &FloatHistogram) -> Self {
        Self::new(first)
    }

    fn add(&mut self, histogram: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        self.add(histogram)
    }

    fn merge(&mut self, other: Self) -> Result<Combination, IncompatibleSchemas> {
        self.merge(other)
    }

    fn finish(self) -> FloatHistogram {
        self.into_mean()
    }
}

impl<State: HistogramState> Histograms<State> {
    fn add(histograms: &mut Option<Box<Self>>, histogram: &FloatHistogram, context: &mut AggregateContext<'_>) {
        match histograms {
            None => {
                let mut hints = ResetHints::default();
                hints.see(histogram.reset_hint);
                *histograms = Some(Box::new(Self { state: Some(State::new(histogram)), hints }));
            }
            Some(histograms) => {
                histograms.hints.see(histogram.reset_hint);
                if let Some(state) = &mut histograms.state {
                    let combination = state.add(histogram);
                    histograms.annotate(combination, context);
                }
            }
        }
    }

    fn merge(histograms: &mut Option<Box<Self>>, other: Option<Box<Self>>, context: &mut AggregateContext<'_>) {
        let Some(other) = other else { return };
        let Some(histograms) = histograms else {
            *histograms = Some(other);
            return;
        };
        histograms.hints.merge(other.hints);
        match (&mut histograms.state, other.state) {
            (Some(state), Some(other)) => {
                let combination = state.merge(other);
                histograms.annotate(combination, context);
            }
            _ => histograms.state = None,
        }
    }

    fn annotate(
        &mut self,
        combination: Result<Combination, IncompatibleSchemas>,
        context: &mut AggregateContext<'_>,
    ) {
        match combination {
            Ok(combination) if combination.bounds_reconciled => {
                context.annotate(Annotation::MismatchedCustomBuckets { operation: HistogramOperation::Aggregation });
            }
            Ok(_) => {}
            Err(IncompatibleSchemas) => {
                context.annotate(Annotation::MixedExponentialCustomHistograms { metric: context.metric_name });
                self.state = None;
            }
        }
    }

    fn finish(self, context: &mut AggregateContext<'_>) -> Option<PointValue> {
        let mut histogram = self.state?.finish();
        if self.hints.collide() {
            context.annotate(Annotation::CounterResetCollision { operation: HistogramOperation::Aggregation });
        }
        histogram.compact(0);
        Some(histogram.into())
    }
}

/// `sum`.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    floats: Option<Compensated>,
    histograms: Option<Box<Histograms<HistogramSum>>>,
}

impl Accumulator for Sum {
    const NAME: &'static str = "sum";

    #[inline]
    fn add_float(&mut self, value: f64) {
        match &mut self.floats {
            Some(sum) => sum.add(value),
            None => self.floats = Some(Compensated::new(value)),
        }
    }

    fn add_histogram(&mut self, histogram: &FloatHistogram, context: &mut AggregateContext<'_>) {
        Histograms::add(&mut self.histograms, histogram, context);
    }

    fn merge(&mut self, other: Self, context: &mut AggregateContext<'_>) {
        match (&mut self.floats, other.floats) {
            (Some(sum), Some(other)) => sum.merge(other),
            (floats, other) => *floats = floats.or(other),
        }
        Histograms::merge(&mut self.histograms, other.histograms, context);
    }

    fn finish(self, context: &mut AggregateContext<'_>) -> Option<PointValue> {
        finish_unmixed(self.floats.map(Compensated::total), self.histograms, context)
    }
}

/// `avg`.
#[derive(Debug, Clone, Default)]
pub struct Avg {
    floats: Option<FloatMean>,
    histograms: Option<Box<Histograms<HistogramMean>>>,
}

impl Accumulator for Avg {
    const NAME: &'static str = "avg";

    #[inline]
    fn add_float(&mut self, value: f64) {
        self.floats.get_or_insert_default().add(value);
    }

    fn add_histogram(&mut self, histogram: &FloatHistogram, context: &mut AggregateContext<'_>) {
        Histograms::add(&mut self.histograms, histogram, context);
    }

    fn merge(&mut self, other: Self, context: &mut AggregateContext<'_>) {
        match (&mut self.floats, other.floats) {
            (Some(mean), Some(other)) => mean.merge(other),
            (floats, other) => *floats = floats.or(other),
        }
        Histograms::merge(&mut self.histograms, other.histograms, context);
    }

    fn finish(self, context: &mut AggregateContext<'_>) -> Option<PointValue> {
        finish_unmixed(self.floats.map(FloatMean::mean), self.histograms, context)
    }
}

fn finish_unmixed<State: HistogramState>(
    floats: Option<f64>,
    histograms: Option<Box<Histograms<State>>>,
    context: &mut AggregateContext<'_>,
) -> Option<PointValue> {
    match (floats, histograms) {
        (Some(_), Some(_)) => {
            context.annotate(Annotation::MixedFloatsHistogramsInAggregation);
            None
        }
        (Some(value), None) => Some(PointValue::Float(value)),
        (None, Some(histograms)) => histograms.finish(context),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
