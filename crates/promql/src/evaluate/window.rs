//! Where windows lie, and how they are cut from the samples of a series: slices whose edges only move forward.

use norn_base::Result;
use norn_model::Labels;
use norn_model::select::{HistogramPoint, TimeRange};

use super::column::Steps;
use super::run::Run;
use super::selector::advance;
use crate::kernels::Window;
use crate::plan::node::{Selector, Subquery};
use crate::tree::RangeExtension;

/// The samples of one series from which windows are cut: sorted columns without stale markers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) metric_name: &'a str,
    pub(crate) drop_name: bool,
    pub(crate) timestamps_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    pub(crate) starts_ms: &'a [i64],
    pub(crate) histograms: &'a [HistogramPoint],
    pub(crate) histogram_starts_ms: &'a [i64],
}

/// Takes the samples of one series after the other.
pub(crate) trait WindowSink: Send {
    fn samples(&mut self, run: &mut Run<'_>, samples: Samples<'_>, frame: Frame) -> Result<()>;
}

/// Where the windows of all steps lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) steps: Steps,
    pub(crate) range_ms: i64,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
    pub(crate) extension: RangeExtension,
    pub(crate) lookback_ms: i64,
}

impl Frame {
    pub(crate) fn of_selector(selector: &Selector, range_ms: i64, steps: Steps, lookback_ms: i64) -> Self {
        Self {
            steps,
            range_ms,
            offset_ms: selector.offset_ms,
            at_ms: selector.at_ms,
            extension: selector.extension,
            lookback_ms,
        }
    }

    pub(crate) fn of_subquery(subquery: &Subquery, steps: Steps) -> Self {
        Self {
            steps,
            range_ms: subquery.range_ms,
            offset_ms: subquery.offset_ms,
            at_ms: subquery.at_ms,
            extension: RangeExtension::None,
            lookback_ms: 0,
        }
    }

    /// The right edge of a step's window, inclusive.
    #[inline]
    pub(crate) fn end_ms(&self, step: usize) -> i64 {
        self.at_ms.unwrap_or_else(|| self.steps.time_ms(step)).saturating_sub(self.offset_ms)
    }

    /// The left edge of a step's window, exclusive.
    #[inline]
    pub(crate) fn start_ms(&self, step: usize) -> i64 {
        self.end_ms(step).saturating_sub(self.range_ms)
    }

    /// All samples that any window looks at.
    pub(crate) fn time_range(&self) -> TimeRange {
        let (before_ms, after_ms) = match self.extension {
            RangeExtension::None => (0, 0),
            RangeExtension::Anchored => (self.lookback_ms, 0),
            RangeExtension::Smoothed => (self.lookback_ms, self.lookback_ms),
        };
        TimeRange {
            start_ms: self.start_ms(0).saturating_sub(before_ms).saturating_add(1),
            end_ms: self.end_ms(self.steps.count - 1).saturating_add(after_ms),
        }
    }
}

/// The edges of the last window that was cut.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    floats: std::ops::Range<usize>,
    histograms: std::ops::Range<usize>,
}

impl Cut {
    /// The window of a step; steps ascend from call to call.
    pub(crate) fn window<'a>(&mut self, samples: &Samples<'a>, frame: &Frame, step: usize) -> Window<'a> {
        let (start_ms, end_ms) = (frame.start_ms(step), frame.end_ms(step));
        self.floats.start = advance(samples.timestamps_ms, self.floats.start, start_ms);
        self.floats.end = advance(samples.timestamps_ms, self.floats.end, end_ms);
        self.histograms.start = advance_histograms(samples.histograms, self.histograms.start, start_ms);
        self.histograms.end = advance_histograms(samples.histograms, self.histograms.end, end_ms);
        let (mut floats, mut histograms) = (self.floats.clone(), self.histograms.clone());
        if frame.extension != RangeExtension::None {
            floats = extended(floats, samples.timestamps_ms.len(), |index| samples.timestamps_ms[index], frame, step);
            let time_ms = |index: usize| samples.histograms[index].timestamp_ms;
            histograms = extended(histograms, samples.histograms.len(), time_ms, frame, step);
        }
        Window {
            timestamps_ms: &samples.timestamps_ms[floats.clone()],
            values: &samples.values[floats.clone()],
            starts_ms: samples.starts_ms.get(floats).unwrap_or(&[]),
            histograms: &samples.histograms[histograms.clone()],
            histogram_starts_ms: samples.histogram_starts_ms.get(histograms).unwrap_or(&[]),
            range_start_ms: start_ms,
            range_end_ms: end_ms,
            evaluation_ms: frame.steps.time_ms(step),
            extension: frame.extension,
        }
    }
}

fn advance_histograms(points: &[HistogramPoint], known: usize, time_ms: i64) -> usize {
    known + points[known..].iter().take_while(|point| point.timestamp_ms <= time_ms).count()
}

/// A window with the last sample before it and, for `smoothed`, the first one at or after its end, where they are not
/// further away than the lookback.
fn extended(
    window: std::ops::Range<usize>,
    len: usize,
    time_ms: impl Fn(usize) -> i64,
    frame: &Frame,
    step: usize,
) -> std::ops::Range<usize> {
    let (start_ms, end_ms) = (frame.start_ms(step), frame.end_ms(step));
    let mut extended = window;
    if extended.start > 0 && time_ms(extended.start - 1) > start_ms.saturating_sub(frame.lookback_ms) {
        extended.start -= 1;
    }
    let reaches_end = extended.end > 0 && time_ms(extended.end - 1) == end_ms;
    let smoothed = frame.extension == RangeExtension::Smoothed;
    if smoothed
        && !reaches_end
        && extended.end < len
        && time_ms(extended.end) <= end_ms.saturating_add(frame.lookback_ms)
    {
        extended.end += 1;
    }
    extended
}
