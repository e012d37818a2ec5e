//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's answer.

use std::cmp::Ordering;

use norn_base::Result;

use super::column::{Column, Steps};
use super::run::Run;
use super::table::{RowView, Table};
use super::{Series, Sink, stream as stream_vector};
use crate::annotations::Annotation;
use crate::plan::node::{Sort, SortBy};

/// Sorting by value leaves histograms out.
struct FloatsSink<'a> {
    sink: &'a mut dyn Sink,
}

impl Sink for FloatsSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        series.column.histograms.clear();
        if series.column.is_empty() { Ok(()) } else { self.sink.series(run, series) }
    }
}

pub(super) async fn stream(run: &mut Run<'_>, sort: &Sort, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    if steps.count > 1 {
        if run.options.newer_rules {
            run.annotations.add(Annotation::SortInRangeQuery, sort.position);
        }
        return match sort.by {
            SortBy::Value => stream_vector(run, &sort.input, steps, &mut FloatsSink { sink }).await,
            SortBy::Labels(_) => stream_vector(run, &sort.input, steps, sink).await,
        };
    }
    let mut table = Table::new(run, steps);
    match sort.by {
        SortBy::Value => stream_vector(run, &sort.input, steps, &mut FloatsSink { sink: &mut table }).await?,
        SortBy::Labels(_) => stream_vector(run, &sort.input, steps, &mut table).await?,
    }
    let mut order: Vec<usize> = (0..table.len()).collect();
    order.sort_by(|left, right| compare(sort, table.row(*left), table.row(*right)));
    let mut column = Column::default();
    for index in order {
        table.load(index, &mut column);
        let row = table.row(index);
        let metric_name = row.labels.metric_name();
        let column = &mut column;
        sink.series(run, Series { labels: row.labels, metric_name, drop_name: row.drop_name, column })?;
    }
    Ok(())
}

fn compare(sort: &Sort, left: RowView<'_>, right: RowView<'_>) -> Ordering {
    let by_labels = || left.labels.cmp(right.labels);
    match &sort.by {
        SortBy::Value => compare_values(left.values[0], right.values[0], sort.descending).then_with(by_labels),
        SortBy::Labels(names) => {
            let get = |row: RowView<'_>, name: &str| row.labels.get(name).unwrap_or("").to_owned();
            let by_name = |name: &String| natural(&get(left, name), &get(right, name));
            let ordering = names.iter().map(by_name).find(|ordering| ordering.is_ne()).unwrap_or_else(by_labels);
            if sort.descending { ordering.reverse() } else { ordering }
        }
    }
}

/// By value, NaN last in both directions.
pub(super) fn compare_values(left: f64, right: f64, descending: bool) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) => {
            let ordering = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
            if descending { ordering.reverse() } else { ordering }
        }
        (left, right) => left.cmp(&right),
    }
}

/// Runs of digits compare as numbers, what is between them as text.
///
/// A label that is missing comes after all values, as the comparison of the originals has it.
fn natural(left: &str, right: &str) -> Ordering {
    if left.is_empty() || right.is_empty() {
        return left.is_empty().cmp(&right.is_empty());
    }
    let (mut left, mut right) = (chunks(left), chunks(right));
    loop {
        let (left, right) = match (left.next(), right.next()) {
            (Some(left), Some(right)) => (left, right),
            (left, right) => return left.is_some().cmp(&right.is_some()),
        };
        let ordering = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

fn chunks(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let is_digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|character: char| character.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_text_compare_as_numbers() {
        let check = |left, right, expected| assert_eq!(natural(left, right), expected, "{left} {right}");
        check("pod-2", "pod-10", Ordering::Less);
        check("pod-2a", "pod-2b", Ordering::Less);
        check("a", "a1", Ordering::Less);
        check("1.9", "1.10", Ordering::Less);
        check("007", "7", Ordering::Equal);
        check("b", "a9", Ordering::Greater);
        check("", "a", Ordering::Greater);
        check("", "", Ordering::Equal);
    }

    #[test]
    fn nan_is_last_in_both_directions() {
        for descending in [false, true] {
            assert_eq!(compare_values(1.0, f64::NAN, descending), Ordering::Less);
            assert_eq!(compare_values(f64::NAN, 1.0, descending), Ordering::Greater);
        }
        assert_eq!(compare_values(1.0, 2.0, true), Ordering::Greater);
    }
}
