//! The query-frontend: what tenants may ask, who computes when, and what is known already.
//!
//! A query is checked against its tenants' limits and parsed once, waits for its turn, and is evaluated on the pool for
//! computing over the series that the querier finds. Range queries are split by time where that is configured, and
//! parts whose results are in the cache are not computed again.

pub mod analyze;
pub mod blocked;
mod compat;
pub mod effort;
pub mod evaluator;
pub mod kept_errors;
pub mod limited;
pub mod limits;
pub mod options;
mod parts;
pub mod results;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::{Error, ErrorKind, Result};
use norn_config::limits::Limits;
use norn_config::overrides::Overrides;
use norn_model::labels::METRIC_NAME;
use norn_model::matcher::MatchOp;
use norn_model::{Matcher, TenantId};
use norn_promql::parser::{parse, parse_metric_selector};
use norn_promql::plan::{EngineOptions, QueryTime};
use norn_promql::tree::Expr;
use norn_promql::walk;
use norn_query::cache::ResultsCache;
use norn_query::split::StepRange;
use norn_server::activity::ActivityTracker;
use norn_server::tenant::Tenants;

use crate::api::parameters::{end_before_start, invalid};
use crate::querier::{Querier, ReadScope, SourceChoice, SourceTimes};
use crate::reader::LabelRequest;
use effort::{Answered, Effort};
use evaluator::{Allowance, Evaluator};
use kept_errors::KeptErrors;
use limited::LimitedQueries;
use limits::ReadLimits;
use options::ReadOptions;
use parts::Asked;
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
    /// How many of them are asked for labels at once.
    pub federation_tenants_at_once: usize,
    /// Store-gateways are asked for what is older than this, in milliseconds; 0: always.
    pub store_after_ms: i64,
    /// Range queries are split at multiples of this, in milliseconds; 0: never.
    pub split_interval_ms: i64,
    /// Whether queries are divided by series.
    pub sharding: bool,
    /// Whether a request may choose who is asked for series.
    pub choosing_sources: bool,
    /// How often a part of a query is tried.
    pub tries: usize,
    /// Queries that take longer are logged; zero logs none.
    pub log_slower_than: Duration,
    /// Whether every query is logged with what it took.
    pub query_stats: bool,
    /// Headers of requests that this log shows.
    pub logged_headers: Vec<String>,
    /// Whether errors that a query will have again are kept.
    pub keeps_errors: bool,
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Queries of one remote read request that run at once.
    pub remote_reads_at_once: usize,
    /// Where requests in flight are recorded.
    pub activities: ActivityTracker,
    /// How queries are evaluated, what single tenants change aside.
    pub engine: EngineOptions,
}

/// Takes queries and answers them.
pub struct Frontend {
    evaluator: Arc<Evaluator>,
    overrides: Arc<Overrides>,
    /// Results of range queries; `None` where they are not kept.
    cache: Option<ResultsCache<RangeResult>>,
    errors: KeptErrors,
    limited: LimitedQueries,
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
        let (errors, limited) = (KeptErrors::default(), LimitedQueries::default());
        Self { evaluator, overrides, cache, errors, limited, clock, settings }
    }

    /// How it works.
    pub fn settings(&self) -> &FrontendSettings {
        &self.settings
    }

    /// The limits of one tenant.
    pub fn limits_of(&self, tenant: &TenantId) -> Arc<Limits> {
        self.overrides.limits(tenant)
    }

    /// Draws what an answer takes until it is sent; see [`Evaluator::hold_answer`].
    pub fn hold_answer(&self, bytes: u64) -> Result<norn_base::memory::Reservation> {
        self.evaluator.hold_answer(bytes)
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
        let ingesters_within_ms = limits.query_ingesters_within_ms;
        let times = SourceTimes { ingesters_within_ms, store_after_ms, choice: SourceChoice::All };
        let tenants_at_once = self.settings.federation_tenants_at_once;
        Ok(ReadScope { tenants: tenants.clone(), times, fetch: limits.fetch, tenants_at_once })
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
        if limits.optimizes_label_queries {
            for matchers in &mut request.selectors {
                matchers.retain(|matcher| !holds_for_all(matcher));
            }
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

    /// Time that passes, for those who measure it.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Answers a query.
    pub async fn query(
        &self,
        tenants: &Tenants,
        text: &str,
        time: QueryTime,
        options: ReadOptions,
    ) -> Result<Answered> {
        let sources = if self.settings.choosing_sources { options.sources } else { SourceChoice::All };
        let options = ReadOptions { sources, ..options };
        let started = self.clock.monotonic();
        let _activity = self.settings.activities.begin(|| format!("user={} query={text} {time:?}", tenants.joined()));
        let mut answered = self.answer(tenants, text, time, options).await;
        let took = self.clock.monotonic().saturating_sub(started);
        if let Ok(answered) = &mut answered {
            answered.effort.wall = took;
        }
        if !self.settings.log_slower_than.is_zero() && took > self.settings.log_slower_than {
            let (tenants, seconds) = (tenants.joined(), took.as_secs_f64());
            tracing::info!(tenants, query = text, seconds, "slow query detected");
        }
        answered
    }

    async fn answer(&self, tenants: &Tenants, text: &str, time: QueryTime, options: ReadOptions) -> Result<Answered> {
        let limits = self.read_limits(tenants)?;
        check_steps(time)?;
        limits.check_expression(text)?;
        let expr = self.parse_query(tenants, text)?;
        limits.check_length(time)?;
        blocked::check(&limits.blocked_queries, &expr, time)?;
        for tenant in tenants.ids() {
            let rules = &self.overrides.limits(tenant).limited_queries;
            self.limited.admit(tenant, rules, &expr, self.clock.monotonic())?;
        }
        let Some(time) = limits.within_lookback(time, self.clock.now_ms()) else {
            return Ok(Answered { result: results::empty(), effort: Effort::default() });
        };
        let time = limits.aligned(time);
        let (expr, text) = self.rewrite(expr, text, time, &limits)?;
        let engine =
            EngineOptions { delayed_name_removal: limits.delayed_name_removal, ..self.settings.engine.clone() };
        let mut scope = self.scope(tenants)?;
        scope.times.choice = options.sources;
        let allowance = Allowance { scope, memory_bytes: limits.max_memory_bytes, shards: 0 };
        let asked = Asked { expr: &expr, text: &text, engine, allowance, limits: &limits, options };
        self.evaluate_or_recall(&asked, time).await
    }

    /// The query as it is evaluated, in whole or in parts. Its text is parsed again by those who evaluate shards, so it
    /// changes with the tree.
    fn rewrite<'a>(
        &self,
        mut expr: Expr,
        text: &'a str,
        time: QueryTime,
        limits: &ReadLimits,
    ) -> Result<(Expr, Cow<'a, str>)> {
        let original = expr.clone();
        if limits.widens_ranges {
            compat::widen_ranges(&mut expr);
        }
        if let QueryTime::Range { start_ms, end_ms, step_ms } = time
            && self.split(&expr, StepRange { start_ms, end_ms, step_ms }).len() > 1
        {
            walk::fix_range_ends(&mut expr, start_ms, end_ms);
        }
        if expr == original {
            return Ok((expr, Cow::Borrowed(text)));
        }
        let text = expr.to_string();
        Ok((self.parse_any_query(&text)?, Cow::Owned(text)))
    }

    /// Fails at once where the same query has failed for a reason that stays.
    async fn evaluate_or_recall(&self, asked: &Asked<'_>, time: QueryTime) -> Result<Answered> {
        if !self.settings.keeps_errors || asked.options.keeps_nothing() {
            return self.evaluate(asked, time).await;
        }
        let key = KeptErrors::key(&asked.allowance.scope.tenants, &asked.expr.to_string(), time);
        if let Some(error) = self.errors.look_up(&key, self.clock.monotonic()) {
            return Err(error);
        }
        let answered = self.evaluate(asked, time).await;
        if let Err(error) = &answered {
            self.errors.keep(key, error, asked.limits.error_lifetime, self.clock.monotonic());
        }
        answered
    }
}

/// Whether a condition holds for every series: any value will do, or a name is wanted, which every series has.
fn holds_for_all(matcher: &Matcher) -> bool {
    match (matcher.op(), matcher.value()) {
        (MatchOp::Regex, ".*") => true,
        (MatchOp::NotEqual, "") | (MatchOp::Regex, ".+") => matcher.name() == METRIC_NAME,
        _ => false,
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
