//! Operators that change one series at a time.

use std::sync::Arc;

use norn_base::Result;
use norn_model::FloatHistogram;

use super::column::{Column, Steps};
use super::names::pass;
use super::operate::{arithmetic, compares, is_float_operation};
use super::run::Run;
use super::scalar::{ScalarColumn, scalar, scalars, values_at};
use super::{Series, Sink, stream};
use crate::kernels::binary::{self, Outcome};
use crate::kernels::{CallContext, PointRef, PointValue};
use crate::plan::node::{Map, Names, ScalarSide, Vector};

/// Applies a kernel to each point.
struct MapSink<'a> {
    map: &'a Map,
    parameters: Vec<ScalarColumn>,
    values: Vec<f64>,
    output: Column,
    steps: Steps,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream_map(run: &mut Run<'_>, map: &Map, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let parameters = scalars(run, &map.parameters, steps).await?;
    let values = vec![0.0; parameters.len()];
    let mut mapped = MapSink { map, parameters, values, output: Column::default(), steps, sink };
    stream(run, &map.input, steps, &mut mapped).await
}

impl Sink for MapSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let Self { map, parameters, values, output, steps, sink } = self;
        output.reset(*steps);
        let mut failure = None;
        let mut call = |step: usize, point: PointRef<'_>| {
            values_at(parameters, step, values);
            let mut context = CallContext {
                parameters: values,
                position: map.position,
                metric_name: series.metric_name,
                annotations: &mut run.annotations,
                newer_rules: run.options.newer_rules,
                failure: None,
            };
            let result = (map.kernel)(point, &mut context);
            failure = failure.take().or(context.failure);
            match result {
                Some(PointValue::Float(value)) => output.set(step, value),
                Some(PointValue::Histogram(histogram)) => output.push_histogram(step, Arc::new(*histogram)),
                None => {}
            }
        };
        series.column.for_each_float(|step, value| call(step, PointRef::Float(value)));
        for point in &series.column.histograms {
            call(point.step, PointRef::Histogram(&point.histogram));
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        run.work(steps.count)?;
        if output.is_empty() {
            return Ok(());
        }
        // A kernel may turn histograms into histograms; those come last and keep their order.
        pass(run, map.names, Series { column: output, ..series }, *sink)
    }
}

/// Every point becomes the time of its step.
struct StepTimeSink<'a> {
    names: Names,
    steps: Steps,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream_step_time(
    run: &mut Run<'_>,
    input: &Vector,
    names: Names,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    stream(run, input, steps, &mut StepTimeSink { names, steps, sink }).await
}

impl Sink for StepTimeSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let histograms = std::mem::take(&mut series.column.histograms);
        for point in histograms {
            series.column.set(point.step, 0.0);
        }
        for (step, value) in series.column.values.iter_mut().enumerate() {
            *value = self.steps.time_ms(step) as f64 / 1000.0;
        }
        pass(run, self.names, series, self.sink)
    }
}

/// Turns the sign of each point.
struct NegateSink<'a> {
    names: Names,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream_negate(
    run: &mut Run<'_>,
    input: &Vector,
    names: Names,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    stream(run, input, steps, &mut NegateSink { names, sink }).await
}

impl Sink for NegateSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        series.column.map_floats(|value| -value);
        for point in &mut series.column.histograms {
            let mut negated = FloatHistogram::clone(&point.histogram);
            negated.multiply(-1.0);
            point.histogram = Arc::new(negated);
        }
        run.work(series.column.values.len())?;
        pass(run, self.names, series, self.sink)
    }
}

/// Combines each point with the scalar of its step.
struct ScalarSideSink<'a> {
    side: &'a ScalarSide,
    scalar: ScalarColumn,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream_scalar_side(
    run: &mut Run<'_>,
    side: &ScalarSide,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    let scalar = scalar(run, &side.scalar, steps).await?;
    stream(run, &side.input, steps, &mut ScalarSideSink { side, scalar, sink }).await
}

impl Sink for ScalarSideSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let Self { side, scalar, sink } = self;
        let column = series.column;
        let histograms = std::mem::take(&mut column.histograms);
        if is_float_operation(side.op) {
            combine_floats(side, scalar, column);
        } else {
            // `</` and `>/` have no meaning for floats, and say so.
            let floats = std::mem::take(&mut column.present);
            column.present.resize(floats.len(), 0);
            super::column::for_each_bit(&floats, |step| {
                let point = PointRef::Float(column.values[step]);
                combine_point(run, side, scalar.at(step), point);
            });
        }
        for point in histograms {
            let operand = PointRef::Histogram(&point.histogram);
            let Some(outcome) = combine_point(run, side, scalar.at(point.step), operand) else { continue };
            match outcome {
                PointValue::Float(value) => column.set(point.step, value),
                PointValue::Histogram(histogram) => column.push_histogram(point.step, Arc::new(*histogram)),
            }
        }
        run.work(column.values.len())?;
        if column.is_empty() {
            return Ok(());
        }
        pass(run, side.names, Series { column, ..series }, *sink)
    }
}

fn combine_floats(side: &ScalarSide, scalar: &ScalarColumn, column: &mut Column) {
    if let Some(operation) = arithmetic(side.op) {
        for (step, value) in column.values.iter_mut().enumerate() {
            let other = scalar.at(step);
            *value = if side.scalar_is_left { operation(other, *value) } else { operation(*value, other) };
        }
        return;
    }
    for step in 0..column.values.len() {
        let Some(value) = column.float(step) else { continue };
        let other = scalar.at(step);
        let (left, right) = if side.scalar_is_left { (other, value) } else { (value, other) };
        let holds = compares(side.op, left, right);
        if side.returns_bool {
            column.values[step] = f64::from(holds);
        } else if !holds {
            column.unset(step);
        }
    }
}

/// The general form, with all kinds of operands and annotations.
fn combine_point(run: &mut Run<'_>, side: &ScalarSide, scalar: f64, point: PointRef<'_>) -> Option<PointValue> {
    let scalar = PointRef::Float(scalar);
    let (left, right) = if side.scalar_is_left { (scalar, point) } else { (point, scalar) };
    match binary::operation(side.op, left, right, side.position, &mut run.annotations) {
        Outcome::Value(value) => Some(value),
        Outcome::Compared(holds) if side.returns_bool => Some(PointValue::Float(f64::from(holds))),
        // A comparison keeps the vector's point, whichever side it stands on.
        Outcome::Compared(true) => Some(match point {
            PointRef::Float(value) => PointValue::Float(value),
            PointRef::Histogram(histogram) => histogram.clone().into(),
        }),
        Outcome::Compared(false) | Outcome::Undefined => None,
    }
}

/// Repeats the only point of a series at all steps.
struct RepeatSink<'a> {
    steps: Steps,
    output: Column,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream_invariant(
    run: &mut Run<'_>,
    input: &Vector,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    if steps.count == 1 {
        return stream(run, input, steps, sink).await;
    }
    let mut repeat = RepeatSink { steps, output: Column::default(), sink };
    stream(run, input, Steps::single(steps.start_ms), &mut repeat).await
}

impl Sink for RepeatSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        match series.column.histograms.first() {
            Some(point) => {
                self.output.reset(self.steps);
                for step in 0..self.steps.count {
                    self.output.push_histogram(step, Arc::clone(&point.histogram));
                }
            }
            None => self.output.fill(self.steps, series.column.values[0]),
        }
        run.work(self.steps.count)?;
        self.sink.series(run, Series { column: &mut self.output, ..series })
    }
}
