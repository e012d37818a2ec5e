//! What becomes of a query before it runs, and what it would cost: each stage with its result, and an estimate of what
//! its selectors have to read.

use std::time::Duration;

use norn_base::Result;
use norn_model::estimate::SeriesCount;
use norn_promql::plan::reads::Read;
use norn_promql::plan::{EngineOptions, Query, QueryTime};
use norn_promql::tree::Expr;
use norn_server::tenant::Tenants;
use serde::Serialize;

use super::{Frontend, check_steps, limits};
use crate::querier::ReadScope;

/// The version of [`PlanningStage::output_plan`].
const PLAN_VERSION: u32 = 1;

/// The answer of `/api/v1/analyze`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// The query as it came.
    pub original_expression: String,
    /// When it would be evaluated.
    pub time_range: AnalyzedTime,
    /// What becomes of its tree.
    pub ast_stages: Vec<AstStage>,
    /// What becomes of its plan.
    pub planning_stages: Vec<PlanningStage>,
    /// How the plan is written.
    pub plan_version: u32,
    /// What it would read.
    pub estimate: QueryEstimate,
}

/// When a query would be evaluated; an instant query has one step.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct AnalyzedTime {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    pub is_instant: bool,
}

/// A stage of the tree.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AstStage {
    /// What was done.
    pub name: &'static str,
    /// Nanoseconds.
    pub duration: u64,
    /// The query as it is afterwards.
    pub output_expression: String,
}

/// A stage of the plan.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanningStage {
    /// What was done.
    pub name: &'static str,
    /// Nanoseconds.
    pub duration: u64,
    /// The plan as it is afterwards, a line for each part.
    pub output_plan: Vec<String>,
}

/// What a query would read; see [`SeriesCount`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryEstimate {
    /// Series of all selectors; one that two selectors match counts twice.
    pub series: u64,
    /// Samples of all selectors.
    pub samples: u64,
    /// Bytes of chunks of all selectors.
    pub bytes: u64,
    /// The selectors, in the order of the query.
    pub selectors: Vec<SelectorEstimate>,
}

/// What one selector would read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectorEstimate {
    /// The selector without range and modifiers.
    pub selector: String,
    /// The first time that it looks at, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The last one.
    pub end_ms: i64,
    /// How often it is looked at.
    pub steps: usize,
    /// Matching series.
    pub series: u64,
    /// Their samples in the range.
    pub samples: u64,
    /// Bytes of the chunks that hold them.
    pub bytes: u64,
}

impl Frontend {
    /// Plans a query as if it were to run, and estimates what it would read. Fails as the query would, as far as that is
    /// known without running it. Cost: searches the indexes, reads no chunk.
    pub async fn analyze(&self, tenants: &Tenants, text: &str, time: QueryTime) -> Result<Analysis> {
        let limits = self.read_limits(tenants)?;
        check_steps(time)?;
        limits.check_expression(text)?;
        limits.check_length(time)?;
        let (expr, parsing) = self.timed(|| self.parse_any_query(text))?;
        limits::check_experimental(&expr, &limits)
            .map_err(|reason| crate::api::parameters::invalid("query", &reason))?;
        let parsed = stage("parsing", parsing, &expr);
        let time = limits.aligned(time);
        let ((expr, text_now), rewriting) = self.timed(|| self.rewrite(expr, text, time, &limits))?;
        let rewritten = stage("rewriting", rewriting, &expr);
        let delayed_name_removal = limits.delayed_name_removal;
        let engine = EngineOptions { delayed_name_removal, ..self.settings.engine.clone() };
        let (query, planning) = self.timed(|| Query::from_expr(&expr, &text_now, time, engine))?;
        let output_plan = query.describe().lines().map(str::to_owned).collect();
        Ok(Analysis {
            original_expression: text.to_owned(),
            time_range: AnalyzedTime {
                start_ms: time.start_ms(),
                end_ms: time.end_ms(),
                step_ms: time.step_ms(),
                is_instant: matches!(time, QueryTime::Instant { .. }),
            },
            ast_stages: vec![parsed, rewritten],
            planning_stages: vec![PlanningStage { name: "planning", duration: nanoseconds(planning), output_plan }],
            plan_version: PLAN_VERSION,
            estimate: self.estimate(&self.scope(tenants)?, &query).await?,
        })
    }

    /// Estimates what a query would read.
    async fn estimate(&self, scope: &ReadScope, query: &Query) -> Result<QueryEstimate> {
        let mut total = SeriesCount::default();
        let mut selectors = Vec::new();
        for read in query.reads() {
            let mut count = SeriesCount::default();
            for request in &read.requests {
                count = count.and(self.querier().estimate(scope, request).await?);
            }
            total = total.and(count);
            let Read { selector, range, steps, .. } = read;
            let SeriesCount { series, samples, bytes } = count;
            let (start_ms, end_ms) = (range.start_ms, range.end_ms);
            selectors.push(SelectorEstimate { selector, start_ms, end_ms, steps, series, samples, bytes });
        }
        let SeriesCount { series, samples, bytes } = total;
        Ok(QueryEstimate { series, samples, bytes, selectors })
    }

    fn timed<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
        let started = self.clock.monotonic();
        let result = run()?;
        Ok((result, self.clock.monotonic().saturating_sub(started)))
    }
}

fn stage(name: &'static str, took: Duration, expr: &Expr) -> AstStage {
    AstStage { name, duration: nanoseconds(took), output_expression: expr.to_string() }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
