//! `info`: adds labels of info metrics to series that share their identifying labels.
//!
//! Source: Prometheus `promql/info.go`.

use foldhash::{HashMap, HashMapExt};
use norn_base::{Error, ErrorKind, Result};
use norn_model::labels::{LabelsBuilder, METRIC_NAME};
use norn_model::matcher::MatchOp;
use norn_model::select::Projection;
use norn_model::{Labels, Matcher};

use super::column::{Column, Steps, has_bit};
use super::run::Run;
use super::table::Table;
use super::{Series, Sink, stream as stream_vector};
use crate::plan::node::{Info, Names, Reading, Selector, Vector};
use crate::tree::{Position, RangeExtension};

/// The labels by which a series is known to belong to an info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(super) async fn stream(run: &mut Run<'_>, info: &Info, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let mut base = Table::new(run, steps);
    stream_vector(run, &info.input, steps, &mut base).await?;
    let mut known = InfoSeries { table: Table::new(run, steps), groups: HashMap::new() };
    if let Some(selector) = info_selector(info, &base)? {
        stream_vector(run, &Vector::Selector(selector), steps, &mut known).await?;
    }
    let mut column = Column::default();
    for (index, row) in base.rows().enumerate() {
        base.load(index, &mut column);
        if info.is_info(row.labels) {
            let metric_name = row.labels.metric_name();
            let column = &mut column;
            sink.series(run, Series { labels: row.labels, metric_name, drop_name: row.drop_name, column })?;
        } else {
            known.enrich(run, info, row.labels, row.drop_name, &column, sink)?;
        }
        run.work(steps.count)?;
    }
    Ok(())
}

impl Info {
    /// Whether a series is an info series itself, which stays as it is.
    fn is_info(&self, labels: &Labels) -> bool {
        self.name_matchers.iter().all(|matcher| matcher.matches(labels.metric_name()))
    }
}

/// Selects the info series that any of the base series can belong to; `None` where there is nothing to look for.
fn info_selector(info: &Info, base: &Table) -> Result<Option<Selector>> {
    let mut matchers = info.name_matchers.clone();
    let mut identified = false;
    for name in IDENTIFYING {
        let rows = base.rows().filter(|row| !info.is_info(row.labels));
        let mut values: Vec<String> = rows.filter_map(|row| row.labels.get(name)).map(escape_pattern).collect();
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            continue;
        }
        identified = true;
        let matcher = Matcher::new(MatchOp::Regex, name, &values.join("|"))
            .map_err(|error| Error::internal(format!("pattern of {name} values: {error}")))?;
        matchers.push(matcher);
    }
    if !identified {
        return Ok(None);
    }
    matchers.extend(info.data_matchers.iter().cloned());
    Ok(Some(Selector {
        matchers: vec![matchers],
        metric_name: None,
        offset_ms: info.offset_ms,
        at_ms: info.at_ms,
        extension: RangeExtension::None,
        projection: Projection::All,
        reading: Reading::FloatTimestamp,
        finds_resets: false,
        names: Names::Keep,
        position: Position::default(),
    }))
}

/// A text as a pattern that matches only itself.
fn escape_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Info series by name and identifying labels. Their values are the times of their samples: of two that fit, the one
/// with the newer sample counts.
struct InfoSeries {
    table: Table,
    /// For each signature the names of info metrics and their rows.
    groups: HashMap<Labels, Vec<(String, Vec<usize>)>>,
}

impl Sink for InfoSeries {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        if !series.column.histograms.is_empty() {
            let labels = series.labels;
            return Err(unprocessable(format!("this should be an info metric, with float samples: {labels:?}")));
        }
        let row = self.table.push(run, series.labels.clone(), false, series.column)?;
        let metrics = self.groups.entry(signature(series.labels)).or_default();
        let name = series.labels.metric_name();
        match metrics.iter_mut().find(|(known, _)| known == name) {
            Some((_, rows)) => rows.push(row),
            None => metrics.push((name.to_owned(), vec![row])),
        }
        Ok(())
    }
}

fn signature(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

impl InfoSeries {
    /// Hands a series on with the labels of the info series that it has at each step. Where those change, it becomes
    /// several series.
    fn enrich(
        &self,
        run: &mut Run<'_>,
        info: &Info,
        labels: &Labels,
        drop_name: bool,
        column: &Column,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let metrics = self.groups.get(&signature(labels)).map_or(&[][..], Vec::as_slice);
        // Steps with the same info series have the same labels.
        let mut variants: Vec<(Vec<usize>, Column)> = Vec::new();
        let mut histograms = column.histograms.iter().peekable();
        let steps = column.values.len();
        for step in 0..steps {
            let histogram = histograms.next_if(|point| point.step == step);
            let float = column.float(step);
            if histogram.is_none() && float.is_none() {
                continue;
            }
            let rows = self.newest(metrics, step)?;
            let variant = match variants.iter().position(|(known, _)| *known == rows) {
                Some(index) => &mut variants[index].1,
                None => {
                    let mut empty = Column::default();
                    empty.values.resize(steps, 0.0);
                    empty.present.resize(column.present.len(), 0);
                    variants.push((rows, empty));
                    &mut variants.last_mut().expect("pushed above").1
                }
            };
            match (histogram, float) {
                (Some(point), _) => variant.histograms.push(point.clone()),
                (None, Some(value)) => variant.set(step, value),
                (None, None) => {}
            }
        }
        for (rows, mut variant) in variants {
            let Some(enriched) = self.enriched(info, labels, &rows)? else { continue };
            let metric_name = enriched.metric_name();
            sink.series(run, Series { labels: &enriched, metric_name, drop_name, column: &mut variant })?;
        }
        Ok(())
    }

    /// Of each info metric the row that has the newest sample at a step.
    fn newest(&self, metrics: &[(String, Vec<usize>)], step: usize) -> Result<Vec<usize>> {
        let mut found = Vec::with_capacity(metrics.len());
        for (_, rows) in metrics {
            let mut newest: Option<(f64, usize)> = None;
            for index in rows {
                let row = self.table.row(*index);
                if !has_bit(row.present, step) {
                    continue;
                }
                let time = row.values[step];
                match newest {
                    Some((known, other)) if known == time => {
                        let milliseconds = (time * 1000.0).round();
                        let other = self.table.row(other).labels;
                        return Err(unprocessable(format!(
                            "found duplicate series for info metric: existing {other:?} @ {milliseconds}, new {:?} @ \
                             {milliseconds}",
                            row.labels
                        )));
                    }
                    Some((known, _)) if known > time => {}
                    _ => newest = Some((time, *index)),
                }
            }
            found.extend(newest.map(|(_, index)| index));
        }
        Ok(found)
    }

    /// The labels of a series with those of its info series; `None` where it has none although the query asks for one.
    fn enriched(&self, info: &Info, labels: &Labels, rows: &[usize]) -> Result<Option<Labels>> {
        if rows.is_empty() && !info.data_matchers.iter().all(Matcher::matches_empty) {
            return Ok(None);
        }
        let wanted = |name: &str| {
            info.data_matchers.is_empty() || info.data_matchers.iter().any(|matcher| matcher.name() == name)
        };
        let mut added = LabelsBuilder::default();
        for row in rows {
            for (name, value) in self.table.row(*row).labels.iter() {
                if name == METRIC_NAME || !wanted(name) {
                    continue;
                }
                if added.get(name).is_some_and(|known| known != value) {
                    return Err(unprocessable(format!("conflicting label: {name}")));
                }
                if labels.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        let mut builder = LabelsBuilder::from(labels);
        for (name, value) in added.build().iter() {
            builder.set(name, value);
        }
        Ok(Some(builder.build()))
    }
}

fn unprocessable(message: String) -> Error {
    Error::new(ErrorKind::Unprocessable, message)
}
