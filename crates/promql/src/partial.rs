//! Queries in parts: each part reads a share of the series, anywhere, and what they answer is put together.
//!
//! A [`Fragment`] is data: the query's text, time and options, and the share. Whoever evaluates it plans the query
//! again and cuts it at the same places, so that no plan has to be sent. What comes back is a [`Partial`]: for each cut the
//! states of groups, with what their sums have lost to rounding, or series. They are merged in the order of the shards,
//! so that equal queries over equal data have equal answers, to the last bit.
//!
//! Rejected: sending plans. They are larger than their text, and each change of the planner would be a change of a
//! format between processes.

use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use norn_model::select::{BatchSource, SeriesRequest, SeriesSource, SeriesStore, Shard};

use crate::annotations::Annotations;
use crate::evaluate::aggregate::{AnyGroups, GroupSink, parameter};
use crate::evaluate::column::{Column, Steps};
use crate::evaluate::run::{QueryContext, Run};
use crate::evaluate::table::Table;
use crate::evaluate::{Series, Sink, output, steps_of, stream};
use crate::plan::node::Aggregate;
use crate::plan::split::{Cut, CutKind, split};
use crate::plan::{EngineOptions, Query, QueryTime};
use crate::value::{QueryResult, QueryStats};

/// The version of what fragments and partials mean. A fragment of another version is refused.
pub const FRAGMENT_VERSION: u32 = 1;

/// A part of a query, to be evaluated by [`evaluate_fragment`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// [`FRAGMENT_VERSION`] of whoever made it.
    pub version: u32,
    /// The whole query.
    pub text: String,
    /// When it is evaluated.
    pub time: QueryTime,
    /// How it is evaluated.
    pub options: EngineOptions,
    /// Which series this part reads.
    pub shard: Shard,
}

/// What a fragment answered.
#[derive(Debug)]
pub struct Partial {
    shard: Shard,
    parts: Vec<Part>,
    annotations: Annotations,
    stats: QueryStats,
}

/// What a shard answers to a cut.
#[derive(Debug)]
enum Part {
    Groups(AnyGroups),
    Series(Table),
}

impl Query {
    /// The query in `count` parts whose answers [`merge`] puts together; `None` for fewer than two parts, and for queries
    /// that have to see all series at once.
    pub fn fragments(&self, count: u32) -> Option<Vec<Fragment>> {
        if count < 2 {
            return None;
        }
        split(self.root(), steps_of(self.time()))?;
        let fragment = |index| Fragment {
            version: FRAGMENT_VERSION,
            text: self.text().to_owned(),
            time: self.time(),
            options: self.options().clone(),
            shard: Shard { index, count },
        };
        Some((0..count).map(fragment).collect())
    }
}

/// Evaluates a part of a query. Fails as [`crate::evaluate::evaluate`] does, and where the fragment comes from another
/// version. What the partial holds is drawn from the context's budget until it is merged.
pub async fn evaluate_fragment(
    fragment: Fragment,
    store: Arc<dyn SeriesStore>,
    context: QueryContext,
) -> Result<Partial> {
    let Fragment { version, text, time, options, shard } = fragment;
    if version != FRAGMENT_VERSION {
        let message = format!("fragment of a query has version {version}, this process knows {FRAGMENT_VERSION}");
        return Err(Error::new(ErrorKind::Unimplemented, message));
    }
    let query = Query::new(&text, time, options)?;
    let cuts = cuts(&query)?.cuts;
    let mut run = Run::new(query.options(), &store, &context, Some(shard), &[]);
    let mut parts = Vec::with_capacity(cuts.len());
    for cut in &cuts {
        parts.push(part(&mut run, cut).await?);
    }
    let stats = run.stats();
    Ok(Partial { shard, parts, annotations: run.annotations, stats })
}

fn cuts(query: &Query) -> Result<crate::plan::split::Split> {
    let not_possible = || Error::internal("the query cannot be evaluated in parts");
    split(query.root(), steps_of(query.time())).ok_or_else(not_possible)
}

async fn part(run: &mut Run<'_>, cut: &Cut) -> Result<Part> {
    match &cut.kind {
        CutKind::Groups(aggregate) => {
            let mut sink = GroupSink::new(run, aggregate, cut.steps);
            stream(run, &aggregate.input, cut.steps, &mut sink).await?;
            Ok(Part::Groups(sink.groups))
        }
        CutKind::Series(vector) => {
            let mut table = Table::new(run, cut.steps);
            stream(run, vector, cut.steps, &mut table).await?;
            Ok(Part::Series(table))
        }
    }
}

/// Puts the answers of all fragments of a query together, in any order given. Fails where one is missing.
pub async fn merge(query: &Query, partials: Vec<Partial>, context: QueryContext) -> Result<QueryResult> {
    let partials = in_order(partials)?;
    let store: Arc<dyn SeriesStore> = Arc::new(NoStore);
    let split = cuts(query)?;
    let mut run = Run::new(query.options(), &store, &context, None, &[]);
    let tables = tables(&mut run, &split.cuts, partials).await?;
    let (annotations, stats) = (std::mem::take(&mut run.annotations), run.stats());
    let mut run = Run::new(query.options(), &store, &context, None, &tables);
    run.annotations = annotations;
    let value = output::value(&mut run, &split.outer, query.time()).await?;
    let mut result = output::result(run, value, query.text());
    result.stats.merge(stats);
    Ok(result)
}

fn in_order(mut partials: Vec<Partial>) -> Result<Vec<Partial>> {
    partials.sort_by_key(|partial| partial.shard.index);
    let count = partials.len();
    let complete = partials.iter().enumerate().all(|(index, partial)| {
        let Shard { index: found, count: of } = partial.shard;
        usize::try_from(found) == Ok(index) && usize::try_from(of) == Ok(count)
    });
    if complete && count > 0 { Ok(partials) } else { Err(Error::internal("parts of a query are missing")) }
}

/// The merged answers to each cut, as series.
async fn tables(run: &mut Run<'_>, cuts: &[Cut], partials: Vec<Partial>) -> Result<Vec<Table>> {
    let mut answers: Vec<Vec<Part>> = cuts.iter().map(|_| Vec::new()).collect();
    for partial in partials {
        run.annotations.merge(partial.annotations);
        run.stats.merge(partial.stats);
        if partial.parts.len() != cuts.len() {
            return Err(Error::internal("a part of a query answers another one"));
        }
        for (answers, part) in answers.iter_mut().zip(partial.parts) {
            answers.push(part);
        }
    }
    let mut tables = Vec::with_capacity(cuts.len());
    for (cut, parts) in cuts.iter().zip(answers) {
        let mut table = Table::new(run, cut.steps);
        match &cut.kind {
            CutKind::Groups(aggregate) => merge_groups(run, aggregate, cut.steps, parts, &mut table).await?,
            CutKind::Series(_) => merge_series(run, parts, &mut table)?,
        }
        tables.push(table);
    }
    Ok(tables)
}

async fn merge_groups(
    run: &mut Run<'_>,
    aggregate: &Aggregate,
    steps: Steps,
    parts: Vec<Part>,
    table: &mut Table,
) -> Result<()> {
    let parameter = parameter(run, aggregate, steps).await?;
    let mut merged: Option<AnyGroups> = None;
    for part in parts {
        let Part::Groups(groups) = part else { return Err(Error::internal("a part of a query has the wrong type")) };
        match &mut merged {
            Some(merged) => merged.merge(run, aggregate.position, groups)?,
            None => merged = Some(groups),
        }
    }
    match merged {
        Some(groups) => groups.finish(run, aggregate.position, &parameter, table),
        None => Ok(()),
    }
}

fn merge_series(run: &mut Run<'_>, parts: Vec<Part>, table: &mut Table) -> Result<()> {
    let mut column = Column::default();
    for part in parts {
        let Part::Series(series) = part else { return Err(Error::internal("a part of a query has the wrong type")) };
        for (index, row) in series.rows().enumerate() {
            series.load(index, &mut column);
            let series = Series { labels: row.labels, metric_name: "", drop_name: row.drop_name, column: &mut column };
            table.series(run, series)?;
        }
    }
    Ok(())
}

/// What is left of a query after its parts are cut out reads no series.
struct NoStore;

impl SeriesStore for NoStore {
    fn select(&self, _request: SeriesRequest) -> Box<dyn SeriesSource> {
        Box::new(BatchSource::default())
    }
}
