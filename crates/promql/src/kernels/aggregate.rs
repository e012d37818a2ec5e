//! Aggregations over series: one accumulator for each group and step takes points, merges with others, and gives a point.
//!
//! An accumulator is as small as its operator allows, because there is one for every step of every group, and knows no
//! operator at run time: the evaluation chooses the type once and loops over columns. Floats and histograms do not mix:
//! sums and means of both give nothing and a warning; the other operators but `count` and `group` ignore histograms, with
//! an info.
//!
//! Source: Prometheus `promql/engine.go`, `aggregation`.

/// `sum` and `avg`, which take histograms too.
mod sums;

use norn_model::FloatHistogram;

pub use sums::{Avg, Sum};

use super::{PointRef, PointValue, quantile};
use crate::annotations::{Annotation, Annotations};
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

#[cfg(test)]
mod tests;
