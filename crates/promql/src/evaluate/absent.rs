//! `absent` and `absent_over_time`: one series at the steps at which there is no other.

use norn_base::Result;
use norn_model::Labels;

use super::column::{Column, Steps, has_bit};
use super::range::stream_windows;
use super::run::Run;
use super::window::{Cut, Frame, Samples, WindowSink};
use super::{Series, Sink, stream as stream_vector};
use crate::plan::node::{RangeSource, Vector};

/// Marks the steps at which there is anything.
struct AnySink {
    any: Vec<u64>,
}

impl Sink for AnySink {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        series.column.mark(&mut self.any);
        run.work(self.any.len())
    }
}

impl WindowSink for AnySink {
    fn samples(&mut self, run: &mut Run<'_>, samples: Samples<'_>, frame: Frame) -> Result<()> {
        let mut cut = Cut::default();
        for step in 0..frame.steps.count {
            if !cut.window(&samples, &frame, step).is_empty() {
                self.any[step / 64] |= 1 << (step % 64);
            }
        }
        run.work(frame.steps.count)
    }
}

pub(super) async fn stream(
    run: &mut Run<'_>,
    input: &Vector,
    labels: &Labels,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut any = AnySink { any: vec![0; steps.words()] };
    stream_vector(run, input, steps, &mut any).await?;
    answer(run, &any.any, labels, steps, sink)
}

pub(super) async fn stream_over_time(
    run: &mut Run<'_>,
    source: &RangeSource,
    labels: &Labels,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut any = AnySink { any: vec![0; steps.words()] };
    stream_windows(run, source, steps, &mut any).await?;
    answer(run, &any.any, labels, steps, sink)
}

fn answer(run: &mut Run<'_>, any: &[u64], labels: &Labels, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let mut column = Column::default();
    column.reset(steps);
    for step in (0..steps.count).filter(|step| !has_bit(any, *step)) {
        column.set(step, 1.0);
    }
    if column.is_empty() {
        return Ok(());
    }
    sink.series(run, Series { labels, metric_name: "", drop_name: false, column: &mut column })
}
