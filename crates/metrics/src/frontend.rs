//! The query-frontend: what tenants may ask, who computes when, and what is known already.
//!
//! A query is checked against its tenants' limits and parsed once, waits for its turn, and is evaluated on the pool for
//! computing over the series that the querier finds. Range queries are split by time where that is configured, and
//! parts whose results are in the cache are not computed again.

pub mod blocked;
pub mod evaluator;
pub mod limits;
pub mod results;

use std::sync::Arc;
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::{Error, ErrorKind, Result};
use norn_config::overrides::Overrides;
use norn_model::Matcher;
use norn_promql::parser::{parse, parse_metric_selector};
use norn_promql::plan::{EngineOptions, Query, QueryTime};
use norn_promql::tree::Expr;
use norn_promql::value::QueryResult;
use norn_query::cache::{Extent, Freshness, ResultsCache};
use norn_query::dispatch::{DispatchLimits, run_parts};
use norn_query::split::{StepRange, split_by_interval};
use norn_server::tenant::Tenants;

use crate::api::parameters::{end_before_start, invalid};
use crate::querier::{Querier, ReadScope, SourceTimes};
use crate::reader::LabelRequest;
use evaluator::{Allowance, Evaluator};
use limits::ReadLimits;
use results::RangeResult;

/// The most steps that a range query may have between its start and its end.
const STEPS_MAX: i64 = 11_000;

/// How the frontend of a process works, the same for all tenants.
#[derive(Debug, Clone)]
pub struct FrontendSettings {
    /// Whether a query may name several tenants.
    pub federation_enabled: bool,
    /// Most tenants of one query; 0 is no limit.
    pub federation_tenants_max: usize,
    /// Store-gateways are asked for what is older than this, in milliseconds; 0: always.
    pub store_after_ms: i64,
    /// Range queries are split at multiples of this, in milliseconds; 0: never.
    pub split_interval_ms: i64,
    /// How often a part of a query is tried.
    pub tries: usize,
    /// Queries that take longer are logged; zero logs none.
    pub log_slower_than: Duration,
    /// How queries are evaluated, what single tenants change aside.
    pub engine: EngineOptions,
}

/// Takes queries and answers them.
pub struct Frontend {
    evaluator: Arc<Evaluator>,
    overrides: Arc<Overrides>,
    /// Results of range queries; `None` where they are not kept.
    cache: Option<ResultsCache<RangeResult>>,
    clock: SharedClock,
    settings: FrontendSettings,
}

impl Frontend {
    /// A frontend before an evaluator.
    pub fn new(
        evaluator: Arc<Evaluator>,
        overrides: Arc<Overrides>,
        cache: Option<ResultsCache<RangeResult>>,
        clock: SharedClock,
        settings: FrontendSettings,
    ) -> Self {
        Self { evaluator, overrides, cache, clock, settings }
    }

    /// Finds series, labels, exemplars and metadata.
    pub fn querier(&self) -> &Querier {
        self.evaluator.querier()
    }

    /// What the tenants of a request may read, all of their limits together.
    pub fn read_limits(&self, tenants: &Tenants) -> Result<ReadLimits> {
        self.check_federation(tenants)?;
        Ok(ReadLimits::of(tenants.ids().iter().map(|tenant| self.overrides.limits(tenant))))
    }

    /// What a request of these tenants reads from.
    pub fn scope(&self, tenants: &Tenants) -> Result<ReadScope> {
        let limits = self.read_limits(tenants)?;
        let store_after_ms = self.settings.store_after_ms;
        let times = SourceTimes { ingesters_within_ms: limits.query_ingesters_within_ms, store_after_ms };
        Ok(ReadScope { tenants: tenants.clone(), times, fetch: limits.fetch })
    }

    fn check_federation(&self, tenants: &Tenants) -> Result<()> {
        if !tenants.is_federated() {
            return Ok(());
        }
        let actual = tenants.ids().len().max(2);
        let most = if self.settings.federation_enabled { self.settings.federation_tenants_max } else { 1 };
        if most > 0 && actual > most {
            let text = format!("too many tenant IDs present in the request. max: {most} actual: {actual}");
            return Err(Error::new(ErrorKind::Unprocessable, text));
        }
        Ok(())
    }

    /// Cuts off what is older than the tenants may look back; `None` where nothing is left.
    pub fn within_lookback(&self, limits: &ReadLimits, mut request: LabelRequest) -> Option<LabelRequest> {
        if limits.max_query_lookback_ms > 0 {
            let oldest_ms = self.clock.now_ms() - limits.max_query_lookback_ms;
            request.range.start_ms = request.range.start_ms.max(oldest_ms);
        }
        if limits.max_labels_query_length_ms > 0 {
            let earliest_ms = request.range.end_ms.saturating_sub(limits.max_labels_query_length_ms);
            request.range.start_ms = request.range.start_ms.max(earliest_ms);
        }
        (request.range.start_ms <= request.range.end_ms).then_some(request)
    }

    /// Parses a series selector, as in `match[]`. The error is the reason alone.
    pub fn parse_selector(&self, text: &str) -> Result<Vec<Matcher>, String> {
        parse_metric_selector(text, &self.settings.engine.parse).map_err(|error| error.to_string())
    }

    /// The time by which "now" is meant.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Parses a query that is not going to be evaluated, with all of the language.
    pub fn parse_any_query(&self, text: &str) -> Result<Expr> {
        parse(text, &self.settings.engine.parse).map_err(|error| invalid("query", &error.to_string()))
    }

    /// Parses a query for one of its parameters, and refuses what the tenants may not use.
    pub fn parse_query(&self, tenants: &Tenants, text: &str) -> Result<Expr> {
        let expr = self.parse_any_query(text)?;
        let limits = self.read_limits(tenants)?;
        limits::check_experimental(&expr, &limits).map_err(|reason| invalid("query", &reason))?;
        Ok(expr)
    }

    /// Answers a query.
    pub async fn query(&self, tenants: &Tenants, text: &str, time: QueryTime) -> Result<QueryResult> {
        let started = self.clock.monotonic();
        let result = self.answer(tenants, text, time).await;
        let took = self.clock.monotonic().saturating_sub(started);
        if !self.settings.log_slower_than.is_zero() && took > self.settings.log_slower_than {
            let (tenants, seconds) = (tenants.joined(), took.as_secs_f64());
            tracing::info!(tenants, query = text, seconds, "slow query detected");
        }
        result
    }

    async fn answer(&self, tenants: &Tenants, text: &str, time: QueryTime) -> Result<QueryResult> {
        let limits = self.read_limits(tenants)?;
        check_steps(time)?;
        limits.check_expression(text)?;
        let expr = self.parse_query(tenants, text)?;
        limits.check_length(time)?;
        blocked::check(&limits.blocked_queries, &expr, time)?;
        let Some(time) = limits.within_lookback(time, self.clock.now_ms()) else {
            return Ok(results::empty());
        };
        let options =
            EngineOptions { delayed_name_removal: limits.delayed_name_removal, ..self.settings.engine.clone() };
        let scope = self.scope(tenants)?;
        let allowance = Allowance { scope, memory_bytes: limits.max_memory_bytes };
        let asked = Asked { expr: &expr, text, options, allowance, limits: &limits };
        match time {
            QueryTime::Range { start_ms, end_ms, step_ms } => {
                self.answer_range(&asked, StepRange { start_ms, end_ms, step_ms }).await
            }
            QueryTime::Instant { .. } => self.evaluator.evaluate(asked.plan(time)?, &asked.allowance).await,
        }
    }

    /// Takes from the cache what is known, and splits what is not.
    async fn answer_range(&self, asked: &Asked<'_>, range: StepRange) -> Result<QueryResult> {
        let Some(cache) = self.cache.as_ref().filter(|_| asked.limits.is_cacheable(asked.expr, range)) else {
            let (results, _) = self.evaluate_parts(asked, vec![range]).await?;
            return Ok(results::join(results));
        };
        let now_ms = self.clock.now_ms();
        let freshness: Freshness = asked.limits.freshness;
        let key = asked.cache_key(range);
        let found = cache.look_up(&key, range, now_ms, freshness);
        let (computed, parts) = self.evaluate_parts(asked, found.gaps).await?;
        let computed: Vec<_> = parts
            .into_iter()
            .zip(computed)
            .filter_map(|(part, result)| {
                let result = RangeResult::new(result)?;
                Some(Extent { start_ms: part.start_ms, end_ms: part.last_step_ms(), computed_ms: now_ms, result })
            })
            .collect();
        let mut extents = found.known;
        extents.extend(computed.iter().cloned());
        extents.sort_by_key(|extent| extent.start_ms);
        cache.insert(&key, computed, range.step_ms, now_ms, freshness);
        Ok(results::join(extents.into_iter().map(|extent| extent.result.into_inner()).collect()))
    }

    /// Evaluates ranges, each split at multiples of the configured interval. Returns the results and their parts, in
    /// the order of time.
    async fn evaluate_parts(
        &self,
        asked: &Asked<'_>,
        ranges: Vec<StepRange>,
    ) -> Result<(Vec<QueryResult>, Vec<StepRange>)> {
        let interval_ms = self.settings.split_interval_ms;
        let parts: Vec<_> = ranges.into_iter().flat_map(|range| split_by_interval(range, interval_ms)).collect();
        let mut queries = Vec::with_capacity(parts.len());
        for StepRange { start_ms, end_ms, step_ms } in parts.iter().copied() {
            queries.push(asked.plan(QueryTime::Range { start_ms, end_ms, step_ms })?);
        }
        let dispatch = DispatchLimits { parallelism: asked.limits.max_query_parallelism, tries: self.settings.tries };
        let (evaluator, allowance) = (self.evaluator.clone(), asked.allowance.clone());
        let run = move |query: Query| {
            let (evaluator, allowance) = (evaluator.clone(), allowance.clone());
            async move { evaluator.evaluate(query, &allowance).await }
        };
        Ok((run_parts(queries, dispatch, run).await?, parts))
    }
}

/// A query that was found to be allowed.
struct Asked<'a> {
    expr: &'a Expr,
    text: &'a str,
    options: EngineOptions,
    allowance: Allowance,
    limits: &'a ReadLimits,
}

impl Asked<'_> {
    fn plan(&self, time: QueryTime) -> Result<Query> {
        let planned = Query::from_expr(self.expr, self.text, time, self.options.clone());
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

fn check_steps(time: QueryTime) -> Result<()> {
    let QueryTime::Range { start_ms, end_ms, step_ms } = time else { return Ok(()) };
    if end_ms < start_ms {
        return Err(end_before_start());
    }
    if end_ms.saturating_sub(start_ms) / step_ms > STEPS_MAX {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                    (?step=XX)";
        return Err(Error::bad_request(text));
    }
    Ok(())
}
