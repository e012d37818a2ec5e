//! A query that may be answered, evaluated: in whole, in parts of time, in parts of series, and with what the cache has.

use norn_base::{ErrorKind, Result};
use norn_promql::plan::{EngineOptions, Query, QueryTime};
use norn_promql::tree::Expr;
use norn_promql::value::QueryResult;
use norn_promql::walk;
use norn_query::cache::{Extent, Freshness, Piece};
use norn_query::dispatch::{DispatchLimits, run_parts};
use norn_query::split::{StepRange, split_by_interval};

use super::Frontend;
use super::effort::{Answered, Effort};
use super::evaluator::{Allowance, Evaluated};
use super::limits::ReadLimits;
use super::options::ReadOptions;
use super::results::{self, RangeResult};
use crate::api::parameters::invalid;

/// A query that was found to be allowed.
pub(super) struct Asked<'a> {
    pub(super) expr: &'a Expr,
    pub(super) text: &'a str,
    pub(super) engine: EngineOptions,
    pub(super) allowance: Allowance,
    pub(super) limits: &'a ReadLimits,
    pub(super) options: ReadOptions,
}

impl Asked<'_> {
    fn plan(&self, time: QueryTime) -> Result<Query> {
        let planned = Query::from_expr(self.expr, self.text, time, self.engine.clone());
        planned.map_err(
            |error| if error.kind() == ErrorKind::BadRequest { invalid("query", error.message()) } else { error },
        )
    }

    /// Queries with one key have the same steps and the same results where their times overlap.
    fn cache_key(&self, range: StepRange) -> String {
        let canonical = self.expr.to_string();
        let tenants = self.allowance.scope.tenants.joined();
        let StepRange { start_ms, step_ms, .. } = range;
        format!("{tenants}:{canonical}:{step_ms}:{}", start_ms.rem_euclid(step_ms))
    }
}

impl Frontend {
    /// Evaluates a query.
    pub(super) async fn evaluate(&self, asked: &Asked<'_>, time: QueryTime) -> Result<Answered> {
        match time {
            QueryTime::Range { start_ms, end_ms, step_ms } => {
                self.answer_range(asked, StepRange { start_ms, end_ms, step_ms }).await
            }
            QueryTime::Instant { .. } => {
                let allowance = Allowance { shards: self.shards(asked, time, 1), ..asked.allowance.clone() };
                let Evaluated { result, queued, shards } =
                    self.evaluator.evaluate(asked.plan(time)?, &allowance).await?;
                Ok(Answered { result, effort: Effort { queued, shards, ..Effort::default() } })
            }
        }
    }

    /// By how many cores each of `parts` of a query may be computed.
    fn shards(&self, asked: &Asked<'_>, time: QueryTime, parts: usize) -> u32 {
        if !self.settings.sharding {
            return 0;
        }
        asked.limits.shards_of(asked.expr, time, parts, asked.options.shards)
    }

    /// Takes from the cache what is known, and splits what is not.
    async fn answer_range(&self, asked: &Asked<'_>, range: StepRange) -> Result<Answered> {
        let now_ms = self.clock.now_ms();
        let keeps = !asked.options.keeps_nothing() && asked.limits.is_cacheable(asked.expr, range, now_ms);
        let Some(cache) = self.cache.as_ref().filter(|_| keeps) else {
            let Parts { results, effort, .. } = self.evaluate_parts(asked, vec![range]).await?;
            return Ok(Answered { result: results::join(results), effort });
        };
        let freshness: Freshness = asked.limits.freshness;
        let key = asked.cache_key(range);
        let found = cache.look_up(&key, range, now_ms, freshness);
        let Parts { results, ranges, mut effort } = self.evaluate_parts(asked, found.gaps).await?;
        let computed: Vec<_> = ranges
            .into_iter()
            .zip(results)
            .filter_map(|(part, result)| {
                let result = RangeResult::new(result)?;
                Some(Extent { start_ms: part.start_ms, end_ms: part.last_step_ms(), computed_ms: now_ms, result })
            })
            .collect();
        let bytes = |extents: &[Extent<RangeResult>]| extents.iter().map(|extent| extent.result.bytes()).sum();
        (effort.cache_hit_bytes, effort.cache_miss_bytes) = (bytes(&found.known), bytes(&computed));
        let mut extents = found.known;
        extents.extend(computed.iter().cloned());
        extents.sort_by_key(|extent| extent.start_ms);
        cache.insert(&key, computed, range.step_ms, now_ms, freshness);
        let result = results::join(extents.into_iter().map(|extent| extent.result.into_inner()).collect());
        Ok(Answered { result, effort })
    }

    /// Evaluates ranges, each split at multiples of the configured interval.
    async fn evaluate_parts(&self, asked: &Asked<'_>, ranges: Vec<StepRange>) -> Result<Parts> {
        let ranges: Vec<_> = ranges.into_iter().flat_map(|range| self.split(asked.expr, range)).collect();
        let mut queries = Vec::with_capacity(ranges.len());
        for range in ranges.iter().copied() {
            asked.limits.check_part(range)?;
            let StepRange { start_ms, end_ms, step_ms } = range;
            let time = QueryTime::Range { start_ms, end_ms, step_ms };
            let allowance = Allowance { shards: self.shards(asked, time, ranges.len()), ..asked.allowance.clone() };
            queries.push((asked.plan(time)?, allowance));
        }
        let dispatch = DispatchLimits { parallelism: asked.limits.max_query_parallelism, tries: self.settings.tries };
        let evaluator = self.evaluator.clone();
        let run = move |(query, allowance): (Query, Allowance)| {
            let evaluator = evaluator.clone();
            async move { evaluator.evaluate(query, &allowance).await }
        };
        let mut effort = Effort { splits: ranges.len(), ..Effort::default() };
        let mut results = Vec::with_capacity(ranges.len());
        for Evaluated { result, queued, shards } in run_parts(queries, dispatch, run).await? {
            effort.queued += queued;
            effort.shards += shards;
            results.push(result);
        }
        Ok(Parts { results, ranges, effort })
    }

    /// The parts of a range, split at multiples of the configured interval. It stays whole for a query that computes
    /// durations, perhaps from its range.
    pub(super) fn split(&self, expr: &Expr, range: StepRange) -> Vec<StepRange> {
        let interval_ms = if walk::computes_durations(expr) { 0 } else { self.settings.split_interval_ms };
        split_by_interval(range, interval_ms)
    }
}

/// The results of parts of a query and what they took, in the order of time.
struct Parts {
    results: Vec<QueryResult>,
    ranges: Vec<StepRange>,
    effort: Effort,
}
