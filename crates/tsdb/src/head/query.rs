//! Questions about a head that are not about samples: labels, counts, active series, exemplars, metadata.

use std::collections::BTreeMap;

use norn_model::Labels;
use norn_model::estimate::{SeriesCount, extrapolate};
use norn_model::labels::METRIC_NAME;
use norn_model::matcher::Matcher;
use norn_model::select::{MetadataList, Projection, SeriesExemplars, TimeRange};

use super::Head;
use super::index::Index;
use super::matching::matching_series;
use super::series::SeriesRef;
use super::shard::shard_of;
use crate::postings::intersect;

/// How many series a label value has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueCount {
    /// The value.
    pub value: String,
    /// Series with it.
    pub series: usize,
}

/// Series of one metric whose newest sample is a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistogramCounts {
    /// Series.
    pub series: usize,
    /// Buckets of all their newest histograms.
    pub buckets: usize,
    /// The fewest buckets of a series.
    pub min_buckets: usize,
    /// The most buckets of a series.
    pub max_buckets: usize,
}

impl Head {
    /// Whether the head has samples in a range, as far as its oldest and its newest tell.
    pub fn overlaps(&self, range: TimeRange) -> bool {
        match (self.min_ms(), self.max_ms()) {
            (Some(start_ms), Some(end_ms)) => range.overlaps(TimeRange { start_ms, end_ms }),
            // Late samples alone leave the bounds as they are.
            _ => self.series_count() > 0,
        }
    }

    /// The label names of the matching series, ascending.
    pub fn label_names(&self, matchers: &[Matcher]) -> Vec<String> {
        let index = self.index.read();
        let mut names: Vec<String> = if matchers.is_empty() {
            index.names().map(str::to_owned).collect()
        } else {
            let mut names = std::collections::BTreeSet::new();
            for reference in matching_series(&index, matchers) {
                for (name, _) in index.labels_of(reference) {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
            names.into_iter().collect()
        };
        names.sort_unstable();
        names
    }

    /// The values of a label among the matching series, ascending.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Vec<String> {
        let index = self.index.read();
        let series = (!matchers.is_empty()).then(|| matching_series(&index, matchers));
        let has_match = |list: &[SeriesRef]| match &series {
            None => true,
            Some(series) => shares(list, series),
        };
        let values = index.values(name).filter(|row| has_match(row.1));
        let mut values: Vec<String> = values.map(|row| row.0.to_owned()).collect();
        values.sort_unstable();
        values
    }

    /// How many values each label name has among the matching series; names ascend.
    pub fn label_cardinality(&self, matchers: &[Matcher], active_since_s: Option<u32>) -> BTreeMap<String, usize> {
        let index = self.index.read();
        let series = self.series_in_question(&index, matchers, active_since_s);
        let names: Vec<&str> = index.names().collect();
        let count = |name: &str| match &series {
            None => index.values(name).count(),
            Some(series) => index.values(name).filter(|row| shares(row.1, series)).count(),
        };
        let counts = names.into_iter().map(|name| (name.to_owned(), count(name)));
        counts.filter(|row| row.1 > 0).collect()
    }

    /// How many of the matching series have each value of a label; values in no order.
    pub fn value_cardinality(&self, name: &str, matchers: &[Matcher], active_since_s: Option<u32>) -> Vec<ValueCount> {
        let index = self.index.read();
        let series = self.series_in_question(&index, matchers, active_since_s);
        let count = |list: &[SeriesRef]| match &series {
            None => list.len(),
            Some(series) => {
                let mut both = list.to_vec();
                intersect(&mut both, series);
                both.len()
            }
        };
        let counts = index.values(name).map(|row| ValueCount { value: row.0.to_owned(), series: count(row.1) });
        counts.filter(|row| row.series > 0).collect()
    }

    /// How many series match.
    pub fn count_series(&self, matchers: &[Matcher], active_since_s: Option<u32>) -> usize {
        let index = self.index.read();
        let series = self.series_in_question(&index, matchers, active_since_s);
        series.map_or_else(|| index.published(), |series| series.len())
    }

    /// About how much the matching series have in a range, late samples aside.
    pub fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> SeriesCount {
        if !self.overlaps(range) {
            return SeriesCount::default();
        }
        let found = matching_series(&self.index.read(), matchers);
        let look = |reference: SeriesRef| {
            let shard = self.shards[shard_of(reference)].lock();
            // What was removed since the search has no chunks.
            let count = shard.get(reference).map(|series| series.count_within(range));
            Ok::<_, std::convert::Infallible>(count.unwrap_or_default())
        };
        let Ok(count) = extrapolate(&found, look);
        count
    }

    /// The matching series that got a sample since `since_s`, in seconds since the Unix epoch.
    pub fn active_series(&self, matchers: &[Matcher], since_s: u32) -> Vec<Labels> {
        let index = self.index.read();
        let series = self.series_in_question(&index, matchers, Some(since_s)).unwrap_or_default();
        let mut buffer = Vec::new();
        series.into_iter().map(|reference| index.label_set(reference, &Projection::All, &mut buffer)).collect()
    }

    /// The active series whose newest sample is a native histogram, by metric.
    pub fn active_histograms(&self, matchers: &[Matcher], since_s: u32) -> BTreeMap<String, HistogramCounts> {
        let index = self.index.read();
        let mut metrics = BTreeMap::<String, HistogramCounts>::new();
        for reference in self.series_in_question(&index, matchers, Some(since_s)).unwrap_or_default() {
            let buckets =
                self.shards[shard_of(reference)].lock().get(reference).and_then(|series| series.last_buckets());
            let Some(buckets) = buckets else { continue };
            let metric = index.labels_of(reference).find(|pair| pair.0 == METRIC_NAME).map_or("", |pair| pair.1);
            let counts = metrics.entry(metric.to_owned()).or_default();
            counts.min_buckets = if counts.series == 0 { buckets } else { counts.min_buckets.min(buckets) };
            counts.max_buckets = counts.max_buckets.max(buckets);
            counts.series += 1;
            counts.buckets += buckets;
        }
        metrics
    }

    /// The matching series, ascending; `None` is all of them.
    fn series_in_question(
        &self,
        index: &Index,
        matchers: &[Matcher],
        active_since_s: Option<u32>,
    ) -> Option<Vec<SeriesRef>> {
        if matchers.is_empty() && active_since_s.is_none() {
            return None;
        }
        let mut series = matching_series(index, matchers);
        if let Some(since_s) = active_since_s {
            series.retain(|reference| {
                let shard = self.shards[shard_of(*reference)].lock();
                shard.get(*reference).is_some_and(|series| series.active_s >= since_s)
            });
        }
        Some(series)
    }

    /// Exemplars inside a range of the series that fulfil all matchers of any list; series ascend by labels.
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.exemplars.lock().select(selectors, range)
    }

    /// What is known about metric families, ascending; of one, or of all.
    pub fn metadata(&self, family: Option<&str>) -> MetadataList {
        self.metadata.lock().list(family)
    }
}

/// Whether two ascending lists have something in common.
fn shares(left: &[SeriesRef], right: &[SeriesRef]) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    short.iter().any(|reference| long.binary_search(reference).is_ok())
}
