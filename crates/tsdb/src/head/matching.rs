//! From matchers to the series that fulfil them.
//!
//! A matcher that an absent label does not fulfil names the series that it wants: those with one of the values that
//! match. Any other names the series that it does not want. Cheap matchers come first: a value, then a list of values,
//! then patterns, for which every value of the label is tried; but where fewer series are left than the label has
//! values, the pattern is asked for each of these series instead.
//!
//! The search is done in steps, so that nobody computes for long at a time nor keeps the index from those who bring new
//! series. Series that come and go between two steps may be found or not, as if they had come before or after.

use norn_model::matcher::{MatchOp, Matcher};

use super::index::{Index, PairId};
use super::series::SeriesRef;
use crate::postings::{intersect, subtract};

/// Values or series that are tried in one step.
const STEP_TRIES: usize = 4096;

/// A search, done in steps.
pub(super) struct Matching {
    /// Matchers to come, the next one last.
    pending: Vec<Matcher>,
    /// What is found so far; `None` is all series.
    found: Option<Vec<SeriesRef>>,
    trying: Option<Trying>,
}

/// A pattern in work.
struct Trying {
    matcher: Matcher,
    candidates: Candidates,
    /// Of values: the series that are wanted, or not wanted. Of series: those that are left.
    series: Vec<SeriesRef>,
}

enum Candidates {
    /// Values of the label.
    Values(std::vec::IntoIter<PairId>),
    /// Series that are left.
    Series(std::vec::IntoIter<SeriesRef>),
}

impl Matching {
    /// A search for the series that fulfil all matchers.
    pub(super) fn new(matchers: &[Matcher]) -> Self {
        let mut pending = matchers.to_vec();
        pending.sort_by_key(|matcher| std::cmp::Reverse(cost(matcher)));
        Self { pending, found: None, trying: None }
    }

    /// Does a part of the search; returns the series, ascending, when it is done.
    pub(super) fn step(&mut self, index: &Index) -> Option<Vec<SeriesRef>> {
        if let Some(trying) = &mut self.trying {
            if trying.step(index) {
                let trying = self.trying.take()?;
                self.take(index, trying);
            }
            return None;
        }
        if self.found.as_ref().is_some_and(Vec::is_empty) {
            return self.found.take();
        }
        let Some(matcher) = self.pending.pop() else {
            return Some(self.found.take().unwrap_or_else(|| index.all_series()));
        };
        match listed_values(&matcher) {
            Some(values) => {
                let series = series_with_any(index, matcher.name(), &values);
                self.narrow(index, series, !matcher.matches_empty());
            }
            None => self.trying = Some(self.begin(index, matcher)),
        }
        None
    }

    /// Whether the next step takes long enough to let others compute before.
    pub(super) fn is_long(&self) -> bool {
        self.trying.is_some()
    }

    /// Does the whole search at once.
    pub(super) fn run(mut self, index: &Index) -> Vec<SeriesRef> {
        loop {
            if let Some(series) = self.step(index) {
                return series;
            }
        }
    }

    fn begin(&mut self, index: &Index, matcher: Matcher) -> Trying {
        let values = index.pairs_named(matcher.name());
        let candidates = match &mut self.found {
            Some(found) if found.len() < values.len() => Candidates::Series(std::mem::take(found).into_iter()),
            _ => Candidates::Values(values.into_iter()),
        };
        Trying { matcher, candidates, series: Vec::new() }
    }

    fn take(&mut self, index: &Index, trying: Trying) {
        match trying.candidates {
            Candidates::Series(_) => self.found = Some(trying.series),
            Candidates::Values(_) => {
                let mut series = trying.series;
                // The lists of one label have no series in common.
                series.sort();
                self.narrow(index, series, !trying.matcher.matches_empty());
            }
        }
    }

    /// Keeps series that are wanted, or takes out those that are not.
    fn narrow(&mut self, index: &Index, series: Vec<SeriesRef>, wanted: bool) {
        match &mut self.found {
            None if wanted => self.found = Some(series),
            Some(found) if wanted => intersect(found, &series),
            // What is wanted comes first, so nothing is wanted by name here.
            found => subtract(found.get_or_insert_with(|| index.all_series()), &series),
        }
    }
}

impl Trying {
    /// Tries some candidates; `true` when all have been tried.
    fn step(&mut self, index: &Index) -> bool {
        let wanted = !self.matcher.matches_empty();
        match &mut self.candidates {
            Candidates::Values(values) => {
                for pair in values.by_ref().take(STEP_TRIES) {
                    let (name, value) = index.pair(pair as usize);
                    // The number may have been given to another label since the search began.
                    if name == self.matcher.name() && self.matcher.matches(value) == wanted {
                        self.series.extend_from_slice(index.pair_series(pair));
                    }
                }
                values.len() == 0
            }
            Candidates::Series(series) => {
                for reference in series.by_ref().take(STEP_TRIES) {
                    let label = index.labels_of(reference).find(|label| label.0 == self.matcher.name());
                    if self.matcher.matches(label.map_or("", |label| label.1)) {
                        self.series.push(reference);
                    }
                }
                series.len() == 0
            }
        }
    }
}

/// What comes first: matchers that want something before those that do not, and the cheap before the costly.
fn cost(matcher: &Matcher) -> (bool, usize) {
    let values = listed_values(matcher).map_or(usize::MAX, |values| values.len());
    (matcher.matches_empty(), values)
}

/// The values that are wanted, or not wanted, where the matcher lists them; without the empty one.
fn listed_values(matcher: &Matcher) -> Option<Vec<&str>> {
    let literals = || matcher.regex().and_then(|regex| regex.literal_alternatives());
    let mut values: Vec<&str> = match matcher.op() {
        MatchOp::Equal if !matcher.value().is_empty() => vec![matcher.value()],
        MatchOp::NotEqual if !matcher.value().is_empty() => vec![matcher.value()],
        MatchOp::Regex if !matcher.matches_empty() => literals()?.iter().map(String::as_str).collect(),
        MatchOp::NotRegex if matcher.matches_empty() => literals()?.iter().map(String::as_str).collect(),
        _ => return None,
    };
    values.sort_unstable();
    values.dedup();
    Some(values)
}

/// The series with one of several values of a label, ascending.
fn series_with_any(index: &Index, name: &str, values: &[&str]) -> Vec<SeriesRef> {
    let mut series = Vec::new();
    for value in values {
        series.extend_from_slice(index.series_with(name, value));
    }
    if values.len() > 1 {
        series.sort();
    }
    series
}

/// The series that fulfil all matchers, ascending. Computes until it is done.
pub(super) fn matching_series(index: &Index, matchers: &[Matcher]) -> Vec<SeriesRef> {
    Matching::new(matchers).run(index)
}
