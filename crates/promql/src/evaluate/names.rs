//! What becomes of metric names, and the check that no two series are equal without them.

use std::borrow::Cow;

use norn_base::Result;
use norn_model::Labels;

use super::column::{Steps, has_bit};
use super::run::{Held, Run};
use super::table::{LabelsIndex, same_labelset};
use super::{Series, Sink, stream};
use crate::plan::needs::METADATA_LABELS;
use crate::plan::node::{Names, Vector};

/// A label set without the labels that hold a metric's name, type and unit. Cost: none where it has none of them.
pub(crate) fn without_metadata(labels: &Labels) -> Cow<'_, Labels> {
    // Names ascend, so that nothing after the last of the three has to be looked at.
    let last = METADATA_LABELS[METADATA_LABELS.len() - 1];
    let found = labels.iter().take_while(|(name, _)| *name <= last).any(|(name, _)| METADATA_LABELS.contains(&name));
    if found { Cow::Owned(labels.filtered(|name| !METADATA_LABELS.contains(&name))) } else { Cow::Borrowed(labels) }
}

/// Hands a series on after what `names` says was done to its name.
pub(crate) fn pass(run: &mut Run<'_>, names: Names, series: Series<'_>, sink: &mut dyn Sink) -> Result<()> {
    match names {
        Names::Keep => sink.series(run, series),
        Names::DropLater => sink.series(run, Series { drop_name: true, ..series }),
        Names::Drop => {
            let labels = without_metadata(series.labels);
            sink.series(run, Series { labels: &labels, metric_name: "", drop_name: true, ..series })
        }
    }
}

/// Passes series on and fails where two have equal labels at one step.
struct DistinctSink<'a> {
    index: LabelsIndex,
    /// `words` for each label set.
    seen: Vec<u64>,
    words: usize,
    held: Held,
    sink: &'a mut dyn Sink,
}

impl Sink for DistinctSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let (slot, is_new) = self.index.insert(series.labels.encoded(), || series.labels.clone());
        if is_new {
            run.hold(&mut self.held, 0, (series.labels.encoded().len() + 8 * self.words + 24) as u64)?;
            self.seen.resize(self.seen.len() + self.words, 0);
        }
        let seen = &mut self.seen[slot * self.words..(slot + 1) * self.words];
        let column = &series.column;
        let overlaps = !is_new
            && (column.present.iter().zip(seen.iter()).any(|(left, right)| left & right != 0)
                || column.histograms.iter().any(|point| has_bit(seen, point.step)));
        if overlaps {
            return Err(same_labelset());
        }
        column.mark(seen);
        self.sink.series(run, series)
    }
}

pub(super) async fn stream_distinct(
    run: &mut Run<'_>,
    input: &Vector,
    steps: Steps,
    sink: &mut dyn Sink,
) -> Result<()> {
    let held = run.held();
    let mut distinct =
        DistinctSink { index: LabelsIndex::default(), seen: Vec::new(), words: steps.words(), held, sink };
    stream(run, input, steps, &mut distinct).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_type_and_unit_go_together() {
        let check = |pairs: &[(&str, &str)], expected: &[(&str, &str)]| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            assert_eq!(*without_metadata(&labels), Labels::from_pairs(expected.iter().copied()));
        };
        check(&[("__name__", "up"), ("job", "a")], &[("job", "a")]);
        check(&[("A", "1"), ("__type__", "counter"), ("__unit__", "s"), ("z", "1")], &[("A", "1"), ("z", "1")]);
        check(&[("job", "a")], &[("job", "a")]);
    }
}
