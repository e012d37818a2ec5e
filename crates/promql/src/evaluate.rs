//! Evaluation: series by series, as columns over the steps.
//!
//! Each operator is a sink that gets one series at a time and hands its own on to the next sink; only what has to see
//! several series at once keeps any, and aggregations keep accumulators instead of series. The leaves pull batches
//! from the store's sources and push what they read through the whole chain, so that a series' column stays in the
//! cache from the decoder to the accumulator.
//!
//! Pulling operators (each asks its input for the next series) lost: a match of two vectors would need two inputs
//! under way at once or buffers anyway, every operator would be a state machine, and a virtual call per series and
//! operator is the same in both directions.
//!
//! Futures nest as deep as the query's tree, which the parser bounds. Nothing here blocks or knows a runtime: a source
//! that has to wait makes the future pending.

mod absent;
pub(crate) mod aggregate;
mod choose;
pub(crate) mod column;
mod count_values;
mod histograms;
mod info;
mod map;
mod matching;
mod names;
pub(crate) mod operate;
pub(crate) mod output;
pub(crate) mod range;
mod relabel;
pub(crate) mod run;
mod scalar;
mod selector;
mod sets;
mod smooth;
mod sort;
pub(crate) mod table;

use std::pin::Pin;
use std::sync::Arc;

use norn_base::Result;
use norn_model::Labels;
use norn_model::select::SeriesStore;

pub use run::QueryContext;

use self::column::{Column, Steps};
use self::run::Run;
use crate::plan::node::{RangeSource, Vector};
use crate::plan::{Query, QueryTime};
use crate::value::QueryResult;

/// Evaluates a query over a store.
///
/// - The future is pending while the store's sources are; it computes on whoever polls it, in turns of some
///   milliseconds. Dropping it cancels the query.
/// - Fails where the store fails, where the data does not allow the operation ([`norn_base::ErrorKind::Unprocessable`]),
///   and where the query is canceled, late or larger than its limits. It holds nothing afterwards.
pub async fn evaluate(query: &Query, store: Arc<dyn SeriesStore>, context: QueryContext) -> Result<QueryResult> {
    let mut run = Run::new(query.options(), &store, &context, None, &[]);
    let value = output::value(&mut run, query.root(), query.time()).await?;
    Ok(output::result(run, value, query.text()))
}

/// One series on its way between two operators.
pub(crate) struct Series<'a> {
    pub(crate) labels: &'a Labels,
    /// The metric's name, also where a projection left the label out; empty where the series has lost it.
    pub(crate) metric_name: &'a str,
    /// Whether the metric's name goes at the end of the query.
    pub(crate) drop_name: bool,
    /// Not empty. The sink may change it, and leaves behind what it likes.
    pub(crate) column: &'a mut Column,
}

/// Takes series, in the order in which they come.
pub(crate) trait Sink: Send {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()>;
}

pub(crate) type Evaluating<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The steps of a whole query.
pub(crate) fn steps_of(time: QueryTime) -> Steps {
    match time {
        QueryTime::Instant { time_ms } => Steps::single(time_ms),
        QueryTime::Range { start_ms, end_ms, step_ms } => Steps::range(start_ms, end_ms, step_ms),
    }
}

/// Evaluates a vector at all steps and hands its series to a sink.
pub(crate) fn stream<'a>(
    run: &'a mut Run<'_>,
    node: &'a Vector,
    steps: Steps,
    sink: &'a mut dyn Sink,
) -> Evaluating<'a, ()> {
    Box::pin(async move {
        if steps.count == 0 {
            return Ok(());
        }
        match node {
            Vector::Selector(selector) => selector::stream(run, selector, steps, sink).await,
            Vector::RangeCall(call) => range::stream(run, call, steps, sink).await,
            Vector::Map(map) => map::stream_map(run, map, steps, sink).await,
            Vector::StepTime { input, names } => map::stream_step_time(run, input, *names, steps, sink).await,
            Vector::Negate { input, names } => map::stream_negate(run, input, *names, steps, sink).await,
            Vector::ScalarSide(side) => map::stream_scalar_side(run, side, steps, sink).await,
            Vector::FromScalar(scalar) => scalar::stream(run, scalar, steps, sink).await,
            Vector::Absent { input, labels } => absent::stream(run, input, labels, steps, sink).await,
            Vector::AbsentOverTime { source, labels } => {
                absent::stream_over_time(run, source, labels, steps, sink).await
            }
            Vector::Match(matched) => matching::stream(run, matched, steps, sink).await,
            Vector::Set(set) => sets::stream(run, set, steps, sink).await,
            Vector::Aggregate(aggregate) => aggregate::stream(run, aggregate, steps, sink).await,
            Vector::Choose(choose) => choose::stream(run, choose, steps, sink).await,
            Vector::CountValues(count) => count_values::stream(run, count, steps, sink).await,
            Vector::Histogram(call) => histograms::stream(run, call, steps, sink).await,
            Vector::Relabel(relabel) => relabel::stream(run, relabel, steps, sink).await,
            Vector::Sort(sort) => sort::stream(run, sort, steps, sink).await,
            Vector::Info(info) => info::stream(run, info, steps, sink).await,
            Vector::Invariant(input) => map::stream_invariant(run, input, steps, sink).await,
            Vector::Distinct(input) => names::stream_distinct(run, input, steps, sink).await,
            Vector::Part(index) => output::replay(run, *index, steps, sink),
        }
    })
}

/// Reads a range vector at its only step: all samples of the window as they are.
pub(crate) fn windows<'a>(
    run: &'a mut Run<'_>,
    source: &'a RangeSource,
    time_ms: i64,
    sink: &'a mut dyn range::WindowSink,
) -> Evaluating<'a, ()> {
    Box::pin(range::stream_windows(run, source, Steps::single(time_ms), sink))
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
