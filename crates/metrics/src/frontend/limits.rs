//! What the tenants of one read may do, all of their limits together.
//!
//! Of several tenants the smallest limit holds, where one is set; a query may use what every one of them may use.

use std::sync::Arc;
use std::time::Duration;

use norn_base::{Error, ErrorKind, Result};
use norn_config::limits::{BlockedQuery, Limits};
use norn_model::Matcher;
use norn_promql::plan::QueryTime;
use norn_promql::tree::Expr;
use norn_promql::walk;
use norn_query::cache::Freshness;
use norn_query::split::StepRange;

use crate::querier::limited::FetchLimits;

/// What a query has to read of each series to be divided, in milliseconds: at the usual intervals between samples, enough
/// for decoding them to outweigh finding the series.
const SHARDED_READ_MS_MIN: i64 = 30 * 60 * 1000;

/// Limits of a read. Times are milliseconds; 0 is no limit.
#[derive(Debug, Clone)]
pub struct ReadLimits {
    /// Ingesters are asked for what is younger; 0: always.
    pub query_ingesters_within_ms: i64,
    /// How far back a query may look.
    pub max_query_lookback_ms: i64,
    /// How long the range of a query for labels may be.
    pub max_labels_query_length_ms: i64,
    /// How long the range of a query may be.
    pub max_total_query_length_ms: i64,
    /// How long the text of a query may be, in bytes.
    pub max_query_expression_bytes: usize,
    /// Parts of one query that run at once, at least 1.
    pub max_query_parallelism: usize,
    /// Most series in an answer about series.
    pub max_series_query_limit: usize,
    /// Most names in an answer about label names.
    pub max_label_names_limit: usize,
    /// Most values in an answer about label values.
    pub max_label_values_limit: usize,
    /// How much a query may fetch.
    pub fetch: FetchLimits,
    /// How much memory a query may take; `u64::MAX` is no limit.
    pub max_memory_bytes: u64,
    /// Whether the metric's name is removed at the end of an evaluation only.
    pub delayed_name_removal: bool,
    /// Whether the cardinality API answers.
    pub cardinality_analysis_enabled: bool,
    /// The largest `limit` of the cardinality API.
    pub cardinality_analysis_max_results: usize,
    /// Most label names in one question about label values.
    pub label_values_max_cardinality_label_names_per_request: usize,
    /// Most bytes of an answer with active series.
    pub active_series_results_max_size_bytes: u64,
    /// Which results are kept, and for how long.
    pub freshness: Freshness,
    /// Whether results are kept of queries whose times are no multiples of the step.
    pub cache_unaligned: bool,
    /// Parts of series that a query is divided into; below 2 it is not.
    pub shards: u32,
    /// Most such parts of one query, those of all its parts in time together.
    pub sharded_queries_max: usize,
    /// Queries with a longer regular expression are not divided, in bytes.
    pub sharded_regexp_bytes_max: usize,
    /// Whether start and end of range queries are rounded down to multiples of the step.
    pub aligns_with_step: bool,
    /// Whether subqueries of one step are widened, as Prometheus 2 read them.
    pub widens_ranges: bool,
    /// How long the range of a part of a split query may be.
    pub max_partial_query_length_ms: i64,
    /// How long errors are kept that a query will have again.
    pub error_lifetime: Duration,
    /// Most bytes of names and values in an answer about the cardinality of label names.
    pub label_names_and_values_bytes_max: u64,
    /// Whether conditions that hold for every series are left out of queries for labels.
    pub optimizes_label_queries: bool,
    /// Queries that are refused.
    pub blocked_queries: Vec<BlockedQuery>,
    experimental_functions: Vec<Arc<Limits>>,
}

impl ReadLimits {
    /// The limits of at least one tenant.
    pub fn of(tenants: impl Iterator<Item = Arc<Limits>>) -> Self {
        let all: Vec<Arc<Limits>> = tenants.collect();
        let smallest = |field: fn(&Limits) -> u64| {
            all.iter().map(|limits| field(limits)).filter(|limit| *limit > 0).min().unwrap_or(0)
        };
        let smallest_size = |field: fn(&Limits) -> usize| {
            all.iter().map(|limits| field(limits)).filter(|limit| *limit > 0).min().unwrap_or(0)
        };
        let smallest_ms = |field: fn(&Limits) -> Duration| {
            all.iter().map(|limits| milliseconds(field(limits))).filter(|limit| *limit > 0).min().unwrap_or(0)
        };
        let largest_ms =
            |field: fn(&Limits) -> Duration| all.iter().map(|limits| milliseconds(field(limits))).max().unwrap_or(0);
        let every = |field: fn(&Limits) -> bool| all.iter().all(|limits| field(limits));
        let memory = smallest(|limits| limits.max_estimated_memory_consumption_per_query);
        Self {
            query_ingesters_within_ms: largest_or_always(&all),
            max_query_lookback_ms: smallest_ms(|limits| limits.max_query_lookback),
            max_labels_query_length_ms: smallest_ms(|limits| limits.max_labels_query_length),
            max_total_query_length_ms: smallest_ms(|limits| limits.max_total_query_length),
            max_query_expression_bytes: smallest_size(|limits| limits.max_query_expression_size_bytes),
            max_query_parallelism: smallest_size(|limits| limits.max_query_parallelism).max(1),
            max_series_query_limit: smallest_size(|limits| limits.max_series_query_limit),
            max_label_names_limit: smallest_size(|limits| limits.max_label_names_limit),
            max_label_values_limit: smallest_size(|limits| limits.max_label_values_limit),
            fetch: FetchLimits {
                series: smallest(|limits| limits.max_fetched_series_per_query),
                sample_bytes: smallest(|limits| limits.max_fetched_chunk_bytes_per_query),
            },
            max_memory_bytes: if memory == 0 { u64::MAX } else { memory },
            delayed_name_removal: every(|limits| limits.enable_delayed_name_removal),
            cardinality_analysis_enabled: every(|limits| limits.cardinality_analysis_enabled),
            cardinality_analysis_max_results: smallest_size(|limits| limits.cardinality_analysis_max_results),
            label_values_max_cardinality_label_names_per_request: smallest_size(|limits| {
                limits.label_values_max_cardinality_label_names_per_request
            }),
            active_series_results_max_size_bytes: smallest(|limits| limits.active_series_results_max_size_bytes),
            freshness: Freshness {
                unstable_ms: largest_ms(|limits| limits.max_cache_freshness),
                lifetime_ms: smallest_ms(|limits| limits.results_cache_ttl),
                late_window_ms: largest_ms(|limits| limits.out_of_order_time_window),
                late_lifetime_ms: smallest_ms(|limits| limits.results_cache_ttl_for_out_of_order_time_window),
            },
            cache_unaligned: every(|limits| limits.cache_unaligned_requests),
            shards: all.iter().map(|limits| limits.query_sharding_total_shards).min().unwrap_or(0),
            sharded_queries_max: smallest_size(|limits| limits.query_sharding_max_sharded_queries),
            sharded_regexp_bytes_max: smallest_size(|limits| limits.query_sharding_max_regexp_size_bytes),
            aligns_with_step: all.iter().any(|limits| limits.align_queries_with_step),
            widens_ranges: every(|limits| limits.prom2_range_compat),
            max_partial_query_length_ms: smallest_ms(|limits| limits.max_partial_query_length),
            error_lifetime: all.iter().map(|limits| limits.results_cache_ttl_for_errors).min().unwrap_or_default(),
            label_names_and_values_bytes_max: smallest(|limits| limits.label_names_and_values_results_max_size_bytes),
            optimizes_label_queries: every(|limits| limits.labels_query_optimizer_enabled),
            blocked_queries: all.iter().flat_map(|limits| limits.blocked_queries.clone()).collect(),
            experimental_functions: all,
        }
    }

    /// Refuses a text that is too long.
    pub fn check_expression(&self, text: &str) -> Result<()> {
        let (size, limit) = (text.len(), self.max_query_expression_bytes);
        if limit > 0 && size > limit {
            let message = format!("the raw query size in bytes exceeds the limit (query size: {size}, limit: {limit})");
            let id = "err-mimir-max-query-expression-size-bytes";
            return Err(tenant_limit(&message, id, "query-frontend.max-query-expression-size-bytes"));
        }
        Ok(())
    }

    /// Refuses a range that is too long.
    pub fn check_length(&self, time: QueryTime) -> Result<()> {
        let length_ms = time.end_ms().saturating_sub(time.start_ms());
        if self.max_total_query_length_ms > 0 && length_ms > self.max_total_query_length_ms {
            let [length, limit] = [length_ms, self.max_total_query_length_ms]
                .map(|length_ms| norn_gotext::duration::format_go(length_ms.saturating_mul(1_000_000)));
            let message =
                format!("the total query time range exceeds the limit (query length: {length}, limit: {limit})");
            let id = "err-mimir-max-total-query-length";
            return Err(tenant_limit(&message, id, "query-frontend.max-total-query-length"));
        }
        Ok(())
    }

    /// Refuses a part of a query whose range is too long.
    pub fn check_part(&self, range: StepRange) -> Result<()> {
        let length_ms = range.end_ms.saturating_sub(range.start_ms);
        if self.max_partial_query_length_ms == 0 || length_ms <= self.max_partial_query_length_ms {
            return Ok(());
        }
        let [length, limit] = [length_ms, self.max_partial_query_length_ms]
            .map(|length_ms| norn_gotext::duration::format_go(length_ms.saturating_mul(1_000_000)));
        let message = format!("the query time range exceeds the limit (query length: {length}, limit: {limit})");
        let id = "err-mimir-max-query-length";
        let refused = tenant_limit(&message, id, "querier.max-partial-query-length");
        // It is found while the query is carried out, as the original does.
        Err(Error::new(ErrorKind::Unprocessable, refused.message()).with_id(id))
    }

    /// The times that a query is answered for: rounded down to multiples of the step, where the tenants want that.
    pub fn aligned(&self, time: QueryTime) -> QueryTime {
        match time {
            QueryTime::Range { start_ms, end_ms, step_ms } if self.aligns_with_step => {
                let down = |time_ms: i64| time_ms - time_ms.rem_euclid(step_ms);
                QueryTime::Range { start_ms: down(start_ms), end_ms: down(end_ms), step_ms }
            }
            time => time,
        }
    }

    /// Cuts off what is older than a query may look back; `None` where nothing is left.
    pub fn within_lookback(&self, time: QueryTime, now_ms: i64) -> Option<QueryTime> {
        if self.max_query_lookback_ms == 0 {
            return Some(time);
        }
        let oldest_ms = now_ms - self.max_query_lookback_ms;
        if time.end_ms() < oldest_ms {
            return None;
        }
        Some(match time {
            QueryTime::Instant { .. } => time,
            // Steps stay where they were.
            QueryTime::Range { start_ms, end_ms, step_ms } => {
                let skipped = (oldest_ms - start_ms).max(0);
                let start_ms = start_ms + (skipped + step_ms - 1) / step_ms * step_ms;
                QueryTime::Range { start_ms: start_ms.min(end_ms), end_ms, step_ms }
            }
        })
    }

    /// Whether results of a query may be kept: its steps can be met again, they are old enough, and none of them looks
    /// at what may still change.
    pub fn is_cacheable(&self, expr: &Expr, range: StepRange, now_ms: i64) -> bool {
        let aligned = range.start_ms % range.step_ms == 0 && range.end_ms % range.step_ms == 0;
        let stable_until_ms = now_ms.saturating_sub(self.freshness.unstable_ms);
        (aligned || self.cache_unaligned)
            && range.start_ms <= stable_until_ms
            && !walk::depends_on_range(expr)
            && !walk::reads_after(expr, stable_until_ms.min(range.end_ms))
    }

    /// Into how many parts of series a query is divided that has `parts` in time; `wanted` is what the request says.
    ///
    /// A query that reads little of each series is not: finding its series is most of its work, and each part does
    /// that again.
    pub fn shards_of(&self, expr: &Expr, time: QueryTime, parts: usize, wanted: Option<u32>) -> u32 {
        let read_ms = time.end_ms().saturating_sub(time.start_ms()).saturating_add(walk::longest_range_ms(expr));
        let shards = match wanted {
            Some(wanted) => wanted,
            None if read_ms < SHARDED_READ_MS_MIN => return 0,
            None => self.shards,
        };
        let too_long = |matcher: &Matcher| {
            let (is_regexp, most) = (matcher.regex().is_some(), self.sharded_regexp_bytes_max);
            is_regexp && most > 0 && matcher.value().len() > most
        };
        if walk::selectors(expr).iter().flatten().any(too_long) {
            return 0;
        }
        let most = self.sharded_queries_max.checked_div(parts).unwrap_or(usize::MAX);
        if self.sharded_queries_max == 0 { shards } else { shards.min(u32::try_from(most).unwrap_or(u32::MAX)) }
    }
}

/// The longest time, so that no tenant's recent samples are missed; always, where one of them says so.
fn largest_or_always(all: &[Arc<Limits>]) -> i64 {
    let within = || all.iter().map(|limits| milliseconds(limits.query_ingesters_within));
    if within().any(|within_ms| within_ms == 0) { 0 } else { within().max().unwrap_or(0) }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The error of a limit that a tenant's administrator can change.
pub fn tenant_limit(message: &str, id: &'static str, flag: &str) -> Error {
    let remedy = "To adjust the related per-tenant limit, configure";
    let text = format!("{message} ({id}). {remedy} -{flag}, or contact your service administrator.");
    Error::bad_request(text).with_id(id)
}

/// Refuses functions, aggregations and modifiers that one of the tenants may not use. The error is the reason alone.
pub fn check_experimental(expr: &Expr, limits: &ReadLimits) -> Result<(), String> {
    let mut refused = None;
    walk::visit(expr, |node| {
        if refused.is_some() {
            return;
        }
        let Some(feature) = experimental_feature(node) else { return };
        if !limits.experimental_functions.iter().all(|tenant| feature.is_enabled(tenant)) {
            refused = Some(format!("{} is not enabled for tenant", feature.described()));
        }
    });
    refused.map_or(Ok(()), Err)
}

/// Something that a tenant may use only where it is enabled.
enum Feature {
    Function(&'static str),
    Aggregation(&'static str),
    Extension(&'static str),
}

impl Feature {
    fn described(&self) -> String {
        match self {
            Self::Function(name) => format!("experimental function \"{name}\""),
            Self::Aggregation(name) => format!("experimental aggregation \"{name}\""),
            Self::Extension(name) => format!("experimental extended range selector modifier \"{name}\""),
        }
    }

    fn is_enabled(&self, limits: &Limits) -> bool {
        let (enabled, name) = match self {
            Self::Function(name) | Self::Aggregation(name) => (&limits.enabled_promql_experimental_functions, name),
            Self::Extension(name) => (&limits.enabled_promql_extended_range_selectors, name),
        };
        enabled.iter().any(|enabled| enabled == "all" || enabled == name)
    }
}

fn experimental_feature(node: &Expr) -> Option<Feature> {
    use norn_promql::tree::{AggregateOp, ExprKind, RangeExtension};
    let extension = |extension: RangeExtension| match extension {
        RangeExtension::None => None,
        RangeExtension::Anchored => Some(Feature::Extension("anchored")),
        RangeExtension::Smoothed => Some(Feature::Extension("smoothed")),
    };
    match &node.kind {
        // Stable in Prometheus' main only under its old name; Mimir enables it for all.
        ExprKind::Call(call) if call.function.name == "double_exponential_smoothing" => None,
        ExprKind::Call(call) if call.function.experimental => Some(Feature::Function(call.function.name)),
        ExprKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::LimitK => Some(Feature::Aggregation("limitk")),
            AggregateOp::LimitRatio => Some(Feature::Aggregation("limit_ratio")),
            _ => None,
        },
        ExprKind::Vector(selector) => extension(selector.extension),
        ExprKind::Matrix(matrix) => extension(matrix.selector.extension),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
