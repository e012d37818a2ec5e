//! The way of a query: the frontend before the querier.

use std::sync::Arc;
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::pool::ComputePool;
use norn_config::load::Loaded;
use norn_config::metrics::{CacheBackend, MetricsConfig};
use norn_config::overrides::Overrides;
use norn_metrics::frontend::evaluator::Evaluator;
use norn_metrics::frontend::{Frontend, FrontendSettings};
use norn_metrics::querier::Querier;
use norn_promql::parser::ParseOptions;
use norn_promql::plan::EngineOptions;
use norn_query::cache::ResultsCache;
use norn_query::queue::{QueueLimits, TenantQueues};

use super::{activity, memory};

/// Bytes of results of range queries that are kept in memory.
const RESULTS_CACHE_BYTES: u64 = 128 << 20;

/// The frontend, whose queries are evaluated in this process.
pub(super) fn frontend(
    loaded: &Loaded,
    querier: Querier,
    overrides: &Arc<Overrides>,
    pool: &ComputePool,
    budgets: &memory::Budgets,
    clock: &SharedClock,
) -> Arc<Frontend> {
    let config = &loaded.metrics;
    let queues = TenantQueues::new(QueueLimits {
        concurrent: config.querier.max_concurrent,
        waiting_per_tenant: config.query_scheduler.max_outstanding_requests_per_tenant,
    });
    let timeout = config.querier.timeout;
    let evaluator = Evaluator::new(querier, pool.clone(), queues, budgets.queries.clone(), clock.clone(), timeout);
    if config.frontend.cache_results && config.frontend.results_cache.backend == CacheBackend::Memcached {
        tracing::warn!("results are cached in this process; memcached comes later");
    }
    let cache = config.frontend.cache_results.then(|| ResultsCache::new(RESULTS_CACHE_BYTES));
    Arc::new(Frontend::new(Arc::new(evaluator), overrides.clone(), cache, clock.clone(), settings(config)))
}

/// What of the configuration concerns the frontend.
fn settings(config: &MetricsConfig) -> FrontendSettings {
    let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let engine = EngineOptions {
        lookback_ms: milliseconds(config.querier.lookback_delta),
        default_subquery_step_ms: milliseconds(config.querier.default_evaluation_interval),
        samples_max: config.querier.max_samples,
        // What Prometheus does not have is refused where its users expect it to be.
        parse: ParseOptions {
            matcher_alternatives: false,
            fill_modifiers: config.frontend.promql_fill_modifiers_enabled.unwrap_or(false),
            ..ParseOptions::all()
        },
        ..EngineOptions::default()
    };
    FrontendSettings {
        federation_enabled: config.tenant_federation.enabled,
        federation_tenants_max: config.tenant_federation.max_tenants,
        federation_tenants_at_once: config.tenant_federation.max_concurrent,
        store_after_ms: milliseconds(config.querier.query_store_after),
        split_interval_ms: milliseconds(config.frontend.split_queries_by_interval),
        sharding: config.frontend.parallelize_shardable_queries,
        choosing_sources: config.querier.filter_queryables_enabled,
        tries: config.frontend.max_retries.max(1),
        log_slower_than: config.frontend.log_queries_longer_than,
        query_stats: config.frontend.query_stats_enabled,
        logged_headers: config.frontend.log_query_request_headers.clone(),
        keeps_errors: config.frontend.cache_results && config.frontend.cache_errors,
        body_bytes_max: usize::try_from(config.frontend.max_body_size).unwrap_or(usize::MAX),
        remote_reads_at_once: config.querier.max_concurrent_remote_read_queries,
        activities: activity::tracker(&config.activity_tracker),
        engine,
    }
}
