//! The newest exemplars of a tenant.

use std::collections::{HashMap, VecDeque};

use norn_model::Labels;
use norn_model::matcher::Matcher;
use norn_model::select::{SeriesExemplars, TimeRange};
use norn_model::write::Exemplar;

/// What is to be done with an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExemplarVerdict {
    Take,
    /// It is there already.
    Repeated,
    /// A newer one of the series is there.
    OutOfOrder,
}

/// Exemplars by series, bounded in number: the one that came first goes first.
#[derive(Debug, Default)]
pub(crate) struct ExemplarStore {
    /// By the series' number in the log.
    series: HashMap<u64, SeriesExemplars, foldhash::fast::RandomState>,
    /// The series of each exemplar, in the order in which they came.
    arrivals: VecDeque<u64>,
}

impl ExemplarStore {
    /// Whether the exemplar of a series can be taken.
    pub(crate) fn judge(&self, series: u64, exemplar: &Exemplar) -> ExemplarVerdict {
        let Some(last) = self.series.get(&series).and_then(|series| series.exemplars.last()) else {
            return ExemplarVerdict::Take;
        };
        if last == exemplar {
            ExemplarVerdict::Repeated
        } else if exemplar.timestamp_ms < last.timestamp_ms {
            ExemplarVerdict::OutOfOrder
        } else {
            ExemplarVerdict::Take
        }
    }

    /// Adds an exemplar, and drops the oldest arrivals beyond `max`.
    pub(crate) fn add(&mut self, series: u64, labels: impl FnOnce() -> Labels, exemplar: Exemplar, max: usize) {
        if max == 0 {
            return;
        }
        let entry =
            self.series.entry(series).or_insert_with(|| SeriesExemplars { labels: labels(), exemplars: Vec::new() });
        let index = entry.exemplars.partition_point(|other| other.timestamp_ms <= exemplar.timestamp_ms);
        entry.exemplars.insert(index, exemplar);
        self.arrivals.push_back(series);
        while self.arrivals.len() > max {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(series) = self.arrivals.pop_front() else { return };
        if let Some(entry) = self.series.get_mut(&series) {
            entry.exemplars.remove(0);
            if entry.exemplars.is_empty() {
                self.series.remove(&series);
            }
        }
    }

    /// How many exemplars, and of how many series.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.arrivals.len(), self.series.len())
    }

    /// All exemplars, for a checkpoint.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Exemplar)> {
        self.series.iter().flat_map(|(id, series)| series.exemplars.iter().map(|exemplar| (*id, exemplar)))
    }

    /// Exemplars inside a range of the series that fulfil all matchers of any list; series ascend by labels.
    pub(crate) fn select(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let mut selected = Vec::new();
        for series in self.series.values() {
            let labels = series.labels.as_ref();
            if !selectors.iter().any(|matchers| matchers.iter().all(|matcher| matcher.matches_labels(labels))) {
                continue;
            }
            let inside = |exemplar: &&Exemplar| range.contains(exemplar.timestamp_ms);
            let exemplars: Vec<Exemplar> = series.exemplars.iter().filter(inside).cloned().collect();
            if !exemplars.is_empty() {
                selected.push(SeriesExemplars { labels: series.labels.clone(), exemplars });
            }
        }
        selected.sort_by(|left, right| left.labels.cmp(&right.labels));
        selected
    }
}
