//! Sums and means of a group, of its floats and of its histograms apart: which of them there is shows at the end.

use norn_model::FloatHistogram;
use norn_model::histogram::compensated::Compensated;
use norn_model::histogram::{Combination, HistogramSum, IncompatibleSchemas};

use super::{Accumulator, AggregateContext};
use crate::annotations::{Annotation, HistogramOperation};
use crate::kernels::PointValue;
use crate::kernels::averages::{FloatMean, HistogramMean, ResetHints};

/// Histograms of a group beside its floats; they are rare, so they lie elsewhere.
#[derive(Debug, Clone)]
struct Histograms<State> {
    /// `None` once exponential and custom buckets met: the group has no result then, whatever comes.
    state: Option<State>,
    hints: ResetHints,
    /// The last metric name in their order: the one at which a store that yields series by their labels would have found
    /// kinds of buckets that do not go together.
    last_name: Box<str>,
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
                let last_name = context.metric_name.into();
                *histograms = Some(Box::new(Self { state: Some(State::new(histogram)), hints, last_name }));
            }
            Some(histograms) => {
                histograms.hints.see(histogram.reset_hint);
                histograms.see_name(context.metric_name);
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
        histograms.see_name(&other.last_name);
        match (&mut histograms.state, other.state) {
            (Some(state), Some(other)) => {
                let combination = state.merge(other);
                histograms.annotate(combination, context);
            }
            _ => histograms.state = None,
        }
    }

    fn see_name(&mut self, name: &str) {
        if name > &*self.last_name {
            self.last_name = name.into();
        }
    }

    fn annotate(&mut self, combination: Result<Combination, IncompatibleSchemas>, context: &mut AggregateContext<'_>) {
        match combination {
            Ok(combination) if combination.bounds_reconciled => {
                context.annotate(Annotation::MismatchedCustomBuckets { operation: HistogramOperation::Aggregation });
            }
            Ok(_) => {}
            Err(IncompatibleSchemas) => {
                context.annotate(Annotation::MixedExponentialCustomHistograms { metric: &self.last_name });
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
