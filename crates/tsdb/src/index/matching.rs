//! Which series of an index fulfil some matchers.
//!
//! A matcher that the empty value does not fulfil asks for series that have the label: the lists of the values that
//! fulfil it, joined, are intersected with what was found so far. A matcher that the empty value fulfils also takes the
//! series without the label: here the lists of the values that do *not* fulfil it are taken out. Without a matcher of
//! the first kind the search starts with all series.
//!
//! Cheap matchers come first: `=`, then patterns that only list values, then those for which all values of a label
//! must be tried, or all that start with what the pattern starts with. One of the latter is put off where few series
//! are left and the label has many values: it is then asked for each series, whose labels are read anyway.
//!
//! The work is done in steps, so that a caller never computes for long at a time.

use norn_model::Matcher;
use norn_model::labels::LabelsRef;
use norn_model::matcher::MatchOp;

use super::IndexReader;
use crate::block::file::FileError;
use crate::postings::{SeriesSet, intersect, subtract};

/// Values tried and ids read in one step; both together take some hundred microseconds at most.
const STEP_VALUES: u32 = 2_000;
const STEP_IDS: usize = 200_000;

/// How many values are tried in the time in which one series is read with its labels, and asked.
const VALUES_PER_SERIES: usize = 8;

/// A search for series, done in steps.
#[derive(Debug)]
pub struct MatchingSeries {
    /// Matchers to come, the next one last.
    pending: Vec<Matcher>,
    /// What is found so far; `None` stands for all series.
    found: Option<Vec<u32>>,
    walk: Option<Walk>,
    put_off: Vec<Matcher>,
}

/// A matcher in work: the values of its label are tried one after the other.
#[derive(Debug)]
struct Walk {
    matcher: Matcher,
    /// Whether series with the values found are kept, or taken out.
    keeps: bool,
    /// The next value to try.
    next: u32,
    set: SeriesSet,
}

impl MatchingSeries {
    /// A search for the series that fulfil all of `matchers`.
    pub fn new(index: &IndexReader, matchers: &[Matcher]) -> Self {
        let mut pending = matchers.to_vec();
        // Stable, so that equal requests do equal work.
        pending.sort_by_key(|matcher| std::cmp::Reverse(cost(index, matcher)));
        Self { pending, found: None, walk: None, put_off: Vec::new() }
    }

    /// Does a part of the search; `true` when it is done.
    pub fn step(&mut self, index: &IndexReader) -> Result<bool, FileError> {
        if self.found.as_ref().is_some_and(Vec::is_empty) {
            self.pending.clear();
            self.walk = None;
            return Ok(true);
        }
        if self.walk.is_some() {
            self.walk_on(index)?;
        } else if let Some(matcher) = self.pending.pop() {
            self.start(index, matcher)?;
        }
        let done = self.walk.is_none() && self.pending.is_empty();
        if done && self.found.is_none() {
            self.found = Some(index.all_series()?);
        }
        Ok(done)
    }

    /// Runs a search to its end.
    pub fn run(index: &IndexReader, matchers: &[Matcher]) -> Result<Self, FileError> {
        let mut search = Self::new(index, matchers);
        while !search.step(index)? {}
        Ok(search)
    }

    /// The series found, ascending, and the matchers that were put off: a series belongs to the answer if it fulfils
    /// these as well.
    pub fn into_found(self) -> (Vec<u32>, Vec<Matcher>) {
        (self.found.unwrap_or_default(), self.put_off)
    }

    fn start(&mut self, index: &IndexReader, matcher: Matcher) -> Result<(), FileError> {
        let keeps = !matcher.matches_empty();
        if let Some(values) = literal_values(&matcher) {
            let keeps_listed = matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
            if keeps_listed == keeps {
                return self.apply_values(index, matcher.name(), &values, keeps);
            }
        }
        let values = index.value_count(matcher.name()) as usize;
        if self.found.as_ref().is_some_and(|found| found.len().saturating_mul(VALUES_PER_SERIES) < values) {
            self.put_off.push(matcher);
        } else {
            let next = index.first_value_from(matcher.name(), prefix(&matcher, keeps));
            self.walk = Some(Walk { matcher, keeps, next, set: SeriesSet::default() });
        }
        Ok(())
    }

    /// Joins the lists of values that are known by name.
    fn apply_values(&mut self, index: &IndexReader, name: &str, values: &[&str], keeps: bool) -> Result<(), FileError> {
        let mut lists = values.iter().filter_map(|value| index.list_of(name, value));
        let list = match (lists.next(), lists.next()) {
            (None, _) => Vec::new(),
            (Some(only), None) => index.list(only)?,
            (Some(first), Some(second)) => {
                let mut set = SeriesSet::default();
                for offset in [first, second].into_iter().chain(lists) {
                    index.read_list(offset, |id| set.insert(id))?;
                }
                set.to_list()
            }
        };
        self.apply(index, &list, keeps)
    }

    fn apply(&mut self, index: &IndexReader, list: &[u32], keeps: bool) -> Result<(), FileError> {
        match (&mut self.found, keeps) {
            (None, true) => self.found = Some(list.to_vec()),
            (Some(found), true) => intersect(found, list),
            (Some(found), false) => subtract(found, list),
            (None, false) => {
                let mut all = index.all_series()?;
                subtract(&mut all, list);
                self.found = Some(all);
            }
        }
        Ok(())
    }

    fn walk_on(&mut self, index: &IndexReader) -> Result<(), FileError> {
        let Some(walk) = &mut self.walk else { return Ok(()) };
        let prefix = prefix(&walk.matcher, walk.keeps);
        let mut ids = 0;
        let end = walk.next.saturating_add(STEP_VALUES);
        let mut values = index.value_lists(walk.matcher.name(), walk.next);
        let ended = loop {
            if walk.next == end || ids >= STEP_IDS {
                break false;
            }
            let Some((value, offset)) = values.next().filter(|(value, _)| value.starts_with(prefix)) else {
                break true;
            };
            walk.next += 1;
            if walk.matcher.matches(value) == walk.keeps {
                index.read_list(offset, |id| {
                    walk.set.insert(id);
                    ids += 1;
                })?;
            }
        };
        if ended && let Some(walk) = self.walk.take() {
            match &mut self.found {
                Some(found) => found.retain(|id| walk.set.contains(*id) == walk.keeps),
                None => self.apply(index, &walk.set.to_list(), walk.keeps)?,
            }
        }
        Ok(())
    }
}

/// Whether a series fulfils the matchers that a search has put off.
pub fn fulfils(put_off: &[Matcher], labels: LabelsRef<'_>) -> bool {
    put_off.iter().all(|matcher| matcher.matches_labels(labels))
}

/// A rank: lists of known values before walks over few values before walks over many, and what keeps few series before
/// what takes some out.
fn cost(index: &IndexReader, matcher: &Matcher) -> (bool, bool, u32) {
    let takes_out = matcher.matches_empty();
    match literal_values(matcher) {
        Some(values) => (false, takes_out, values.len() as u32),
        None => (true, takes_out, index.value_count(matcher.name())),
    }
}

/// The values that a matcher names, where it only lists some: for `!=` and `!~` the ones that it excludes.
pub(crate) fn literal_values(matcher: &Matcher) -> Option<Vec<&str>> {
    match matcher.regex() {
        None => Some(vec![matcher.value()]),
        Some(regex) => Some(regex.literal_alternatives()?.iter().map(String::as_str).collect()),
    }
}

/// What all values start with that a walk looks for.
fn prefix(matcher: &Matcher, keeps: bool) -> &str {
    match (matcher.op(), matcher.regex()) {
        // The values looked for are those that the pattern matches.
        (MatchOp::Regex, Some(regex)) if keeps => regex.prefix(),
        (MatchOp::NotRegex, Some(regex)) if !keeps => regex.prefix(),
        _ => "",
    }
}

#[cfg(test)]
mod tests;
