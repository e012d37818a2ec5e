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
        let stored = self.series.get(&series).map_or(&[][..], |series| &series.exemplars);
        let Some(last) = stored.last() else { return ExemplarVerdict::Take };
        if exemplar.timestamp_ms < last.timestamp_ms {
            return ExemplarVerdict::OutOfOrder;
        }
        // A client that sends a request again repeats all of it, also what is not the last of its time.
        let mut newest = stored.iter().rev().take_while(|other| other.timestamp_ms == exemplar.timestamp_ms);
        if newest.any(|other| other == exemplar) { ExemplarVerdict::Repeated } else { ExemplarVerdict::Take }
    }

    /// Adds an exemplar that is not there yet, and drops the oldest arrivals beyond `max`.
    pub(crate) fn add(&mut self, series: u64, labels: impl FnOnce() -> Labels, exemplar: Exemplar, max: usize) {
        if max == 0 {
            return;
        }
        let entry =
            self.series.entry(series).or_insert_with(|| SeriesExemplars { labels: labels(), exemplars: Vec::new() });
        let index = entry.exemplars.partition_point(|other| other.timestamp_ms <= exemplar.timestamp_ms);
        // The log may have it twice: it is written again before the segment of its first record goes.
        let mut as_new =
            entry.exemplars[..index].iter().rev().take_while(|other| other.timestamp_ms == exemplar.timestamp_ms);
        if as_new.any(|other| *other == exemplar) {
            return;
        }
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

    /// All series with their numbers in the log, for a checkpoint.
    pub(crate) fn all(&self) -> Vec<(u64, SeriesExemplars)> {
        self.series.iter().map(|(id, series)| (*id, series.clone())).collect()
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
        // A series that left the head and came again has another number.
        selected.dedup_by(|next, first| {
            let same = next.labels == first.labels;
            if same {
                first.exemplars.append(&mut next.exemplars);
                first.exemplars.sort_by_key(|exemplar| exemplar.timestamp_ms);
                first.exemplars.dedup();
            }
            same
        });
        selected
    }
}
