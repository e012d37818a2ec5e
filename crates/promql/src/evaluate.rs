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
pub(crate) mod selector;
mod sets;
mod signature;
mod smooth;
mod sort;
pub(crate) mod table;
pub(crate) mod window;

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
///
/// One allocation for each operator, and a frame on the stack only for the operators that are being polled: a future
/// that held all kinds of them would be as large as all of them together, at every level of the tree.
pub(crate) fn stream<'a>(
    run: &'a mut Run<'_>,
    node: &'a Vector,
    steps: Steps,
    sink: &'a mut dyn Sink,
) -> Evaluating<'a, ()> {
    if steps.count == 0 {
        return Box::pin(std::future::ready(Ok(())));
    }
    match node {
        Vector::Selector(selector) => Box::pin(selector::stream(run, selector, steps, sink)),
        Vector::RangeCall(call) => Box::pin(range::stream(run, call, steps, sink)),
        Vector::Map(map) => Box::pin(map::stream_map(run, map, steps, sink)),
        Vector::StepTime { input, names } => Box::pin(map::stream_step_time(run, input, *names, steps, sink)),
        Vector::Negate { input, names } => Box::pin(map::stream_negate(run, input, *names, steps, sink)),
        Vector::ScalarSide(side) => Box::pin(map::stream_scalar_side(run, side, steps, sink)),
        Vector::FromScalar(scalar) => Box::pin(scalar::stream(run, scalar, steps, sink)),
        Vector::Absent { input, labels } => Box::pin(absent::stream(run, input, labels, steps, sink)),
        Vector::AbsentOverTime { source, labels } => {
            Box::pin(absent::stream_over_time(run, source, labels, steps, sink))
        }
        Vector::Match(matched) => Box::pin(matching::stream(run, matched, steps, sink)),
        Vector::Set(set) => Box::pin(sets::stream(run, set, steps, sink)),
        Vector::Aggregate(aggregate) => Box::pin(aggregate::stream(run, aggregate, steps, sink)),
        Vector::Choose(choose) => Box::pin(choose::stream(run, choose, steps, sink)),
        Vector::CountValues(count) => Box::pin(count_values::stream(run, count, steps, sink)),
        Vector::Histogram(call) => Box::pin(histograms::stream(run, call, steps, sink)),
        Vector::Relabel(relabel) => Box::pin(relabel::stream(run, relabel, steps, sink)),
        Vector::Sort(sort) => Box::pin(sort::stream(run, sort, steps, sink)),
        Vector::Info(info) => Box::pin(info::stream(run, info, steps, sink)),
        Vector::Invariant(input) => Box::pin(map::stream_invariant(run, input, steps, sink)),
        Vector::Distinct(input) => Box::pin(names::stream_distinct(run, input, steps, sink)),
        Vector::Shared { id, input } => Box::pin(output::stream_shared(run, *id, input, steps, sink)),
        Vector::Part(index) => Box::pin(std::future::ready(output::replay_part(run, *index, steps, sink))),
    }
}

/// Reads a range vector at its only step: all samples of the window as they are.
pub(crate) fn windows<'a>(
    run: &'a mut Run<'_>,
    source: &'a RangeSource,
    time_ms: i64,
    sink: &'a mut dyn window::WindowSink,
) -> Evaluating<'a, ()> {
    Box::pin(range::stream_windows(run, source, Steps::single(time_ms), sink))
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
