//! From matchers to the series that fulfil them.
//!
//! A matcher that an absent label does not fulfil names the series that it wants: those with one of the values that
//! match. Any other names the series that it does not want. The wanted lists are intersected from the shortest on, the
//! unwanted ones subtracted; where nothing is wanted by name, all series are the start.

use norn_model::matcher::{MatchOp, Matcher};

use super::index::Index;
use super::series::SeriesRef;
use crate::postings::{intersect, subtract};

/// The series that fulfil all matchers, ascending.
pub(super) fn matching_series(index: &Index, matchers: &[Matcher]) -> Vec<SeriesRef> {
    let mut wanted: Vec<Vec<SeriesRef>> = Vec::new();
    let mut unwanted: Vec<Vec<SeriesRef>> = Vec::new();
    for matcher in matchers {
        if matcher.matches_empty() {
            unwanted.push(series_with_values(index, matcher, false));
        } else {
            let series = series_with_values(index, matcher, true);
            if series.is_empty() {
                return series;
            }
            wanted.push(series);
        }
    }
    wanted.sort_by_key(Vec::len);
    let mut wanted = wanted.into_iter();
    let mut series = wanted.next().unwrap_or_else(|| index.all_series());
    for other in wanted {
        intersect(&mut series, &other);
    }
    for other in unwanted {
        subtract(&mut series, &other);
    }
    series
}

/// The series whose value of the matcher's label matches, or does not.
fn series_with_values(index: &Index, matcher: &Matcher, matches: bool) -> Vec<SeriesRef> {
    match matcher.op() {
        MatchOp::Equal if matches => return index.series_with(matcher.name(), matcher.value()).to_vec(),
        MatchOp::NotEqual if !matches => return index.series_with(matcher.name(), matcher.value()).to_vec(),
        _ => {}
    }
    let mut series = Vec::new();
    let mut lists = 0;
    for (value, list) in index.values(matcher.name()) {
        if matcher.matches(value) == matches {
            series.extend_from_slice(list);
            lists += 1;
        }
    }
    // The lists of one label have no series in common.
    if lists > 1 {
        series.sort();
    }
    series
}
