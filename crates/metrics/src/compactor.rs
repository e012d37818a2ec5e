//! The compactor: cleans every tenant's bucket, and puts small blocks together into larger ones.
//!
//! Two loops. The cleaner applies retention, deletes what is marked and writes the index that readers follow; its first
//! run comes at once, because readers see nothing before it. The other plans and does compactions, one tenant after the
//! other. A compaction writes the result to local disk, uploads it, and only then marks its sources, so that no sample
//! is ever missing from the bucket; a crash in between leaves blocks that cover each other, which the next run
//! notices and marks.

pub mod cleaner;
mod jobs;
mod pages;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::pool::ComputePool;
use norn_base::random::SharedRandom;
use norn_base::tasks::Tasks;
use norn_base::{Error, Result};
use norn_bucket::SharedBucket;
use norn_config::metrics::{CompactionOrder, MetricsConfig};
use norn_config::overrides::Overrides;
use norn_model::TenantId;
use norn_server::telemetry::MetricsRegistry;
use norn_tsdb::compact::plan::{JobOrder, PlannerOptions};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::blocks::markers::read_tenant_mark;
use crate::blocks::tenants::tenants_in;
use crate::concurrency::at_most;
use cleaner::CleaningRules;

/// How long a start waits for the first cleanup; a large bucket is cleaned while the process works.
const FIRST_CLEANUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How buckets are compacted and cleaned.
#[derive(Debug, Clone)]
pub struct CompactorSettings {
    /// Where results are written before they are uploaded.
    pub directory: PathBuf,
    /// How often tenants are compacted.
    pub compaction_interval: Duration,
    /// How often tenants are cleaned.
    pub cleanup_interval: Duration,
    /// How long a block stays after it was marked.
    pub deletion_delay: Duration,
    /// How long after a tenant's deletion its last files stay.
    pub tenant_cleanup_delay: Duration,
    /// How often a job is tried.
    pub tries: usize,
    /// How long one tenant may be compacted before the next has its turn; zero: without limit.
    pub tenant_time_max: Duration,
    /// What the planner goes by, the tenant's shards aside.
    pub planner: PlannerOptions,
    /// How many of each may go on at once.
    pub concurrency: CompactorConcurrency,
    /// Tenants to work for; empty is all.
    pub enabled_tenants: BTreeSet<String>,
    /// Tenants not to work for.
    pub disabled_tenants: BTreeSet<String>,
}

/// How many of each thing the compactor does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactorConcurrency {
    /// Jobs of a tenant.
    pub jobs: usize,
    /// Tenants that are cleaned.
    pub cleanups: usize,
    /// Blocks that are downloaded or uploaded, per job.
    pub transfers: usize,
    /// Downloaded blocks that are opened, per job.
    pub opened_blocks: usize,
    /// `meta.json` files that are read for a plan.
    pub planned_metas: usize,
    /// `meta.json` files that are read for the index of a tenant's blocks.
    pub indexed_metas: usize,
}

impl CompactorSettings {
    /// What of the configuration concerns the compactor.
    pub fn of(config: &MetricsConfig) -> Self {
        let milliseconds = |duration: &Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let compactor = &config.compactor;
        Self {
            directory: compactor.data_dir.clone(),
            compaction_interval: compactor.compaction_interval,
            cleanup_interval: compactor.cleanup_interval,
            deletion_delay: compactor.deletion_delay,
            tenant_cleanup_delay: compactor.tenant_cleanup_delay,
            tries: compactor.compaction_retries.max(1),
            tenant_time_max: compactor.max_compaction_time,
            planner: PlannerOptions {
                ranges_ms: compactor.block_ranges.iter().map(milliseconds).collect(),
                shards: 0,
                split_groups: 1,
                first_level_wait_ms: milliseconds(&compactor.first_level_compaction_wait_period),
                skip_future_blocks: compactor.first_level_compaction_skip_future_max_time,
                order: match compactor.compaction_jobs_order {
                    CompactionOrder::SmallestRangeOldestBlocksFirst => JobOrder::SmallestRangeOldestBlocks,
                    CompactionOrder::NewestBlocksFirst => JobOrder::NewestBlocks,
                },
            },
            concurrency: CompactorConcurrency {
                jobs: compactor.compaction_concurrency,
                cleanups: compactor.cleanup_concurrency,
                transfers: compactor.block_sync_concurrency,
                opened_blocks: compactor.max_opening_blocks_concurrency,
                planned_metas: compactor.meta_sync_concurrency,
                indexed_metas: compactor.update_blocks_concurrency,
            },
            enabled_tenants: compactor.enabled_tenants.iter().cloned().collect(),
            disabled_tenants: compactor.disabled_tenants.iter().cloned().collect(),
        }
    }
}

/// Compacts and cleans.
pub struct Compactor {
    settings: CompactorSettings,
    overrides: Arc<Overrides>,
    bucket: SharedBucket,
    pool: ComputePool,
    clock: SharedClock,
    random: SharedRandom,
    metrics: CompactorMetrics,
}

/// What the compactor counts.
#[derive(Debug, Clone)]
struct CompactorMetrics {
    runs_started: Counter,
    runs_completed: Counter,
    runs_failed: Counter,
    cleanups_completed: Counter,
    cleanups_failed: Counter,
    blocks_deleted: Counter,
    blocks_marked: Counter,
    compactions: Counter,
    compactions_failed: Counter,
    last_cleanup_seconds: Gauge,
}

impl CompactorMetrics {
    fn register(registry: &MetricsRegistry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        Self {
            runs_started: counter("cortex_compactor_runs_started", "Runs of compaction that began."),
            runs_completed: counter("cortex_compactor_runs_completed", "Runs of compaction that succeeded."),
            runs_failed: counter("cortex_compactor_runs_failed", "Runs of compaction that failed."),
            cleanups_completed: counter(
                "cortex_compactor_block_cleanup_completed",
                "Runs of the cleaner that succeeded.",
            ),
            cleanups_failed: counter("cortex_compactor_block_cleanup_failed", "Runs of the cleaner that failed."),
            blocks_deleted: counter("cortex_compactor_blocks_cleaned", "Blocks that were deleted."),
            blocks_marked: counter(
                "cortex_compactor_blocks_marked_for_deletion",
                "Blocks that were marked for deletion.",
            ),
            compactions: counter("cortex_compactor_group_compactions", "Jobs that were done."),
            compactions_failed: counter("cortex_compactor_group_compactions_failures", "Jobs that failed."),
            last_cleanup_seconds: registry.gauge(
                "cortex_compactor_block_cleanup_last_successful_run_timestamp_seconds",
                "When the cleaner succeeded last, in seconds since the Unix epoch.",
            ),
        }
    }
}

impl Compactor {
    /// A compactor that does nothing yet.
    pub fn new(
        settings: CompactorSettings,
        overrides: Arc<Overrides>,
        bucket: SharedBucket,
        pool: ComputePool,
        clock: SharedClock,
        random: SharedRandom,
        registry: &MetricsRegistry,
    ) -> Arc<Self> {
        let metrics = CompactorMetrics::register(registry);
        Arc::new(Self { settings, overrides, bucket, pool, clock, random, metrics })
    }

    /// Pages and calls for operators.
    pub fn admin_routes(self: &Arc<Self>) -> axum::Router {
        pages::admin_routes(self.clone())
    }

    /// Calls that belong to a tenant.
    pub fn tenant_routes(self: &Arc<Self>) -> axum::Router {
        pages::tenant_routes(self.clone())
    }

    /// Cleans all tenants once, so that store-gateways which start afterwards find indexes of what the bucket has, and
    /// starts the two loops.
    pub async fn start(self: &Arc<Self>, tasks: &Tasks) {
        let is_clean = tokio::time::timeout(FIRST_CLEANUP_TIMEOUT, self.clean_all()).await.is_ok();
        let compactor = self.clone();
        tasks.spawn_until_stopped("compactor-cleaner", async move {
            let mut ticks = tokio::time::interval(compactor.settings.cleanup_interval.max(Duration::from_millis(100)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            if is_clean {
                ticks.tick().await;
            }
            loop {
                ticks.tick().await;
                compactor.clean_all().await;
            }
        });
        let compactor = self.clone();
        tasks.spawn_until_stopped("compactor", async move {
            let interval = compactor.settings.compaction_interval.max(Duration::from_millis(100));
            loop {
                // Processes that start together do not compact together.
                tokio::time::sleep(interval.mul_f64(compactor.random.next_f64())).await;
                compactor.compact_all().await;
                tokio::time::sleep(interval).await;
            }
        });
    }

    /// Cleans all tenants once.
    pub async fn clean_all(&self) {
        match self.tenants().await {
            Ok(tenants) => {
                at_most(self.settings.concurrency.cleanups, &tenants, |tenant| self.clean_logged(tenant)).await;
                self.metrics.last_cleanup_seconds.set(self.clock.now_ms() / 1000);
            }
            Err(error) => {
                self.metrics.cleanups_failed.inc();
                tracing::error!(error = %error.chain(), "tenants of the bucket cannot be listed");
            }
        }
    }

    async fn clean_logged(&self, tenant: &TenantId) {
        match self.clean(tenant).await {
            Ok(()) => drop(self.metrics.cleanups_completed.inc()),
            Err(error) => {
                self.metrics.cleanups_failed.inc();
                tracing::error!(%tenant, error = %error.chain(), "bucket of a tenant was not cleaned");
            }
        }
    }

    async fn clean(&self, tenant: &TenantId) -> Result<()> {
        let bucket = self.bucket.scoped(tenant.as_str());
        let limits = self.overrides.limits(tenant);
        let rules = CleaningRules {
            retention: limits.compactor_blocks_retention_period,
            deletion_delay: self.settings.deletion_delay,
            partial_block_delay: limits.compactor_partial_block_deletion_delay,
            tenant_cleanup_delay: self.settings.tenant_cleanup_delay,
            metas_at_once: self.settings.concurrency.indexed_metas,
        };
        let now_ms = self.clock.now_ms();
        let report = match read_tenant_mark(&*bucket).await? {
            Some(mark) => cleaner::delete_tenant(&*bucket, mark, rules, now_ms).await?,
            None => cleaner::clean_tenant(&*bucket, rules, now_ms).await?,
        };
        self.metrics.blocks_deleted.inc_by(report.deleted_blocks as u64);
        self.metrics.blocks_marked.inc_by(report.marked_by_retention as u64);
        Ok(())
    }

    /// Compacts all tenants once.
    pub async fn compact_all(&self) {
        self.metrics.runs_started.inc();
        match self.try_compact_all().await {
            Ok(()) => drop(self.metrics.runs_completed.inc()),
            Err(error) => {
                self.metrics.runs_failed.inc();
                tracing::error!(error = %error.chain(), "compaction failed; it is tried again at the next run");
            }
        }
    }

    async fn try_compact_all(&self) -> Result<()> {
        let mut first_error = None;
        for tenant in self.tenants().await? {
            let bucket = self.bucket.scoped(tenant.as_str());
            if read_tenant_mark(&*bucket).await?.is_some() {
                continue;
            }
            if let Err(error) = self.compact_tenant(&tenant, &bucket).await {
                tracing::error!(%tenant, error = %error.chain(), "tenant was not compacted");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn tenants(&self) -> Result<Vec<TenantId>> {
        let (enabled, disabled) = (&self.settings.enabled_tenants, &self.settings.disabled_tenants);
        let mut tenants = tenants_in(&*self.bucket).await.map_err(Error::from)?;
        tenants.retain(|tenant| {
            (enabled.is_empty() || enabled.contains(tenant.as_str())) && !disabled.contains(tenant.as_str())
        });
        Ok(tenants)
    }
}
