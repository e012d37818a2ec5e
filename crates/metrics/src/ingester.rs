//! The ingester: keeps what is recent, answers for it, and ships it to the bucket as blocks.
//!
//! All storage is the [`Database`]'s; here are the tenant's limits, the words for what is refused, the loops that cut,
//! ship and tidy up, and the calls of operators. Until the log is replayed the ingester refuses all calls and says so.

mod active;
mod admission;
mod early;
mod errors;
mod loops;
mod pages;
mod read;
mod tsdb_metrics;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use norn_base::clock::SharedClock;
use norn_base::pool::{ComputePool, on_compute_thread};
use norn_base::random::SharedRandom;
use norn_base::{Error, ErrorKind, Result};
use norn_bucket::SharedBucket;
use norn_config::limits::Limits;
use norn_config::metrics::{IngesterInstanceLimits, MetricsConfig};
use norn_config::overrides::Overrides;
use norn_model::TenantId;
use norn_model::tenant::CLUSTER_FOLDER;
use norn_model::write::WriteBatch;
use norn_server::telemetry::MetricsRegistry;
use norn_tsdb::database::{AppendError, Database, DatabaseSettings, OpenReport};
use norn_tsdb::head::{HeadLimits, Reason, Rejections};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::distributor::client::WriteClient;
use active::ActiveMetrics;
use admission::Gate;

pub use early::EarlyCut;
pub use errors::describe_series;

/// A file in the database's directory that says: flush everything at the next stop.
const SHUTDOWN_MARKER: &str = "shutdown-requested.txt";

/// How often a replay says how far it is, in bytes of the log.
const PROGRESS_BYTES: u64 = 64 << 20;

/// How an ingester works.
#[derive(Clone)]
pub struct IngesterSettings {
    /// Its name in the ring and in error messages.
    pub instance_id: String,
    /// The database, its directory among it.
    pub database: DatabaseSettings,
    /// How often heads are looked at.
    pub cut_interval: Duration,
    /// A head that got no sample for so long is cut whole; zero: never.
    pub cut_idle_after: Duration,
    /// How often blocks are shipped; zero: never.
    pub ship_interval: Duration,
    /// How long shipped blocks stay on this disk.
    pub retention: Duration,
    /// A tenant that sent nothing for so long, and has nothing left to ship, is closed; zero: never.
    pub close_idle_after: Duration,
    /// How long metadata is kept that nobody sends any more.
    pub metadata_retention: Duration,
    /// A series without a sample for so long is not active.
    pub active_idle_after: Duration,
    /// Whether a stopping ingester cuts and ships everything.
    pub flush_on_shutdown: bool,
    /// How long an ingester is well before it is ready.
    pub min_ready: Duration,
    /// What it takes over all tenants; the runtime configuration may replace it.
    pub instance_limits: IngesterInstanceLimits,
    /// How many tenants are shipped at once.
    pub ship_concurrency: usize,
    /// How many heads are cut at once.
    pub cut_concurrency: usize,
    /// Whether tenants that are idle are closed, and what they have here is removed, where nothing is shipped.
    pub close_unshipped: bool,
    /// When heads are cut early, because of all series of the process; a tenant's limits may ask for it too.
    pub early_cut: EarlyCut,
    /// How often active series are counted; zero: never.
    pub active_interval: Duration,
    /// One of so many refusals is logged; 0 and 1 log all.
    pub error_sample_rate: u64,
}

impl IngesterSettings {
    /// What of the configuration concerns the ingester.
    pub fn of(config: &MetricsConfig) -> Self {
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let tsdb = &config.blocks_storage.tsdb;
        let mut database = DatabaseSettings::new(PathBuf::from(&tsdb.dir));
        if let Some(range) = tsdb.block_ranges_period.first() {
            database.block_range_ms = milliseconds(*range);
        }
        database.segment_bytes = tsdb.wal_segment_size_bytes;
        database.unlimited_metrics =
            Arc::new(config.ingester.ignore_series_limit_for_metric_names.iter().cloned().collect());
        let counts_active = config.ingester.active_series_metrics_enabled;
        Self {
            instance_id: config.ingester.ring.instance_id.clone(),
            database,
            cut_interval: tsdb.head_compaction_interval,
            cut_idle_after: tsdb.head_compaction_idle_timeout,
            ship_interval: tsdb.ship_interval,
            retention: tsdb.retention_period,
            close_idle_after: tsdb.close_idle_tsdb_timeout,
            metadata_retention: config.ingester.metadata_retain_period,
            active_idle_after: config.ingester.active_series_metrics_idle_timeout,
            flush_on_shutdown: tsdb.flush_blocks_on_shutdown,
            min_ready: config.ingester.ring.min_ready_duration,
            instance_limits: config.ingester.instance_limits.clone(),
            ship_concurrency: tsdb.ship_concurrency,
            cut_concurrency: tsdb.head_compaction_concurrency,
            close_unshipped: tsdb.close_idle_tsdb_when_shipping_disabled,
            early_cut: EarlyCut {
                series_min: tsdb.early_head_compaction_min_in_memory_series,
                reduction_percent_min: tsdb.early_head_compaction_min_estimated_series_reduction_percentage,
            },
            active_interval: match counts_active {
                true => config.ingester.active_series_metrics_update_period,
                false => Duration::ZERO,
            },
            error_sample_rate: config.ingester.error_sample_rate,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscardLabels {
    reason: &'static str,
    user: String,
}

/// What the ingester counts.
#[derive(Debug, Clone)]
struct IngesterMetrics {
    ingested_samples: Counter,
    ingested_samples_failures: Counter,
    discarded: Family<DiscardLabels, Counter>,
    memory_series: Gauge,
    memory_tenants: Gauge,
    blocks_shipped: Counter,
    ship_failures: Counter,
    blocks_cut: Counter,
    replay_damages: Counter,
    active: ActiveMetrics,
}

impl IngesterMetrics {
    fn register(registry: &MetricsRegistry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        Self {
            ingested_samples: counter("cortex_ingester_ingested_samples", "Samples that were taken."),
            ingested_samples_failures: counter(
                "cortex_ingester_ingested_samples_failures",
                "Samples that were refused.",
            ),
            discarded: registry
                .counters("norn_ingester_discarded_samples", "Samples that were refused, by tenant and reason."),
            memory_series: registry.gauge("cortex_ingester_memory_series", "Series in memory."),
            memory_tenants: registry.gauge("cortex_ingester_memory_users", "Tenants in memory."),
            blocks_shipped: counter("cortex_ingester_shipper_uploads", "Blocks that were shipped."),
            ship_failures: counter("cortex_ingester_shipper_upload_failures", "Blocks whose upload failed."),
            blocks_cut: counter("norn_ingester_blocks_cut", "Blocks that were cut from heads."),
            replay_damages: counter("norn_ingester_log_damages", "Damaged stretches of the log that were skipped."),
            active: ActiveMetrics::register(registry),
        }
    }
}

/// Keeps what is recent.
pub struct Ingester {
    settings: IngesterSettings,
    overrides: Arc<Overrides>,
    bucket: SharedBucket,
    pool: ComputePool,
    clock: SharedClock,
    random: SharedRandom,
    metrics: IngesterMetrics,
    gate: Arc<Gate>,
    /// Refusals so far, to log one of many.
    refusals: AtomicU64,
    /// Set once the log is replayed.
    database: OnceLock<Arc<Database>>,
    /// When the database was opened, on the monotonic clock.
    opened: OnceLock<Duration>,
    /// Whether writes are refused because the ingester is going away.
    closed: AtomicBool,
    /// Whether the next stop flushes everything, whatever the settings say.
    flush_at_stop: AtomicBool,
    /// One flush at a time.
    flushing: tokio::sync::Mutex<()>,
}

impl Ingester {
    /// An ingester that has opened nothing yet.
    pub fn new(
        settings: IngesterSettings,
        overrides: Arc<Overrides>,
        bucket: SharedBucket,
        pool: ComputePool,
        clock: SharedClock,
        random: SharedRandom,
        registry: &MetricsRegistry,
    ) -> Arc<Self> {
        let metrics = IngesterMetrics::register(registry);
        let gate = Arc::new(Gate::new(settings.instance_limits.clone(), overrides.clone(), clock.clone()));
        Arc::new(Self {
            gate,
            refusals: AtomicU64::new(0),
            settings,
            overrides,
            bucket,
            pool,
            clock,
            random,
            metrics,
            database: OnceLock::new(),
            opened: OnceLock::new(),
            closed: AtomicBool::new(false),
            flush_at_stop: AtomicBool::new(false),
            flushing: tokio::sync::Mutex::new(()),
        })
    }

    /// Opens the database and replays the log.
    pub async fn start(&self) -> Result<()> {
        let (settings, clock, random) = (self.settings.database.clone(), self.clock.clone(), self.random.clone());
        let begun = self.clock.monotonic();
        let opening = tokio::task::spawn_blocking(move || {
            let mut said = 0;
            Database::open(settings, clock, random, &mut |progress| {
                if progress.read_bytes >= said + PROGRESS_BYTES {
                    said = progress.read_bytes;
                    tracing::info!(read_bytes = said, total_bytes = progress.total_bytes, "replaying the log");
                }
            })
        });
        let opened =
            opening.await.map_err(|error| Error::internal("opening the database panicked").with_source(error))?;
        let (database, report) =
            opened.map_err(|error| Error::unavailable("the database cannot be opened").with_source(error))?;
        self.report_replay(&report, self.clock.monotonic().saturating_sub(begun));
        self.database.set(Arc::new(database)).map_err(|_| Error::internal("the ingester was started twice"))?;
        self.opened.set(self.clock.monotonic()).ok();
        let marked = self.settings.database.directory.join(SHUTDOWN_MARKER).exists();
        self.flush_at_stop.store(marked, Ordering::Release);
        Ok(())
    }

    fn report_replay(&self, report: &OpenReport, took: Duration) {
        let OpenReport { records, samples, without_series, torn, damages } = report;
        tracing::info!(records, samples, seconds = took.as_secs_f64(), "replayed the log");
        if let Some(torn) = torn {
            tracing::warn!(at = ?torn, "the log's end was torn; what was not acknowledged is cut off");
        }
        for damage in damages {
            self.metrics.replay_damages.inc();
            tracing::error!(damage, "part of the log is damaged and was skipped; what follows was replayed");
        }
        if *without_series > 0 {
            tracing::error!(rows = without_series, "samples were lost with the damaged definition of their series");
        }
    }

    /// The database, once it is open.
    fn database(&self) -> Result<&Arc<Database>> {
        let state = if self.closed.load(Ordering::Acquire) { "Stopping" } else { "Starting" };
        let database = self.database.get().filter(|_| !self.closed.load(Ordering::Acquire));
        database.ok_or_else(|| Error::unavailable(format!("ingester is unavailable (current state: {state})")))
    }

    /// Why the ingester is not ready, if it is not.
    pub fn readiness(&self) -> Result<(), String> {
        if self.closed.load(Ordering::Acquire) {
            return Err("Ingester not ready: Stopping".to_owned());
        }
        let opened = self.opened.get().ok_or_else(|| "Ingester not ready: Starting".to_owned())?;
        // One process forms no ring that others would have to learn of; it is ready when it has been well for as long
        // as the operator asks, but at most two seconds.
        let wait = self.settings.min_ready.min(Duration::from_secs(1));
        if self.clock.monotonic().saturating_sub(*opened) < wait {
            let text = norn_gotext::duration::format_go(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
            return Err(format!("Ingester not ready: waiting for {text} after being ready"));
        }
        Ok(())
    }

    /// Notes, on disk too, whether the next stop flushes everything.
    fn prepare_shutdown(&self, flush: bool) -> Result<()> {
        let marker = self.settings.database.directory.join(SHUTDOWN_MARKER);
        let written = if flush {
            std::fs::write(&marker, "")
        } else {
            std::fs::remove_file(&marker)
                .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        };
        written.map_err(|error| {
            Error::unavailable(format!("{} cannot be written", marker.display())).with_source(error)
        })?;
        self.flush_at_stop.store(flush, Ordering::Release);
        Ok(())
    }

    fn append(&self, tenant: &TenantId, batch: &WriteBatch) -> Result<()> {
        if tenant.as_str() == CLUSTER_FOLDER {
            return Err(Error::bad_request(format!("tenant ID {CLUSTER_FOLDER} is reserved and cannot be written")));
        }
        let database = self.database()?;
        self.gate.check_size(database, tenant)?;
        let limits = self.overrides.limits(tenant);
        let outcome =
            database.append(tenant, batch, &head_limits(&limits)).map_err(|error| append_error(tenant, error))?;
        self.metrics.ingested_samples.inc_by(outcome.floats + outcome.histograms);
        self.gate.count_samples(outcome.floats + outcome.histograms);
        if outcome.rejections.total() == 0 {
            return Ok(());
        }
        self.count_rejections(tenant, &outcome.rejections, limits.ignore_ooo_exemplars);
        match outcome.rejections.first().iter().find(|rejection| errors::is_reported(&rejection.reason)) {
            Some(rejection) => {
                let error = errors::refused(&self.settings.instance_id, tenant, rejection);
                self.log_refusal(&error);
                Err(error)
            }
            None => Ok(()),
        }
    }

    fn count_rejections(&self, tenant: &TenantId, rejections: &Rejections, ignore_late_exemplars: bool) {
        self.metrics.ingested_samples_failures.inc_by(rejections.total());
        for rejection in rejections.first() {
            if ignore_late_exemplars && matches!(rejection.reason, Reason::ExemplarOutOfOrder) {
                continue;
            }
            let labels =
                DiscardLabels { reason: errors::discard_reason(&rejection.reason), user: tenant.as_str().to_owned() };
            self.metrics.discarded.get_or_create(&labels).inc_by(rejections.count(&rejection.reason));
        }
    }

    /// Logs one of many refusals: a client that is wrong is so with every request.
    fn log_refusal(&self, error: &Error) {
        let every = self.settings.error_sample_rate.max(1);
        if self.refusals.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            tracing::info!(error = error.message(), sampled = format!("1/{every}"), "samples were refused");
        }
    }

    /// What a tenant may ask about itself, to be wrapped by the tenant middleware.
    pub fn tenant_routes(self: &Arc<Self>) -> axum::Router {
        tsdb_metrics::routes(self.clone())
    }

    /// Pages and calls for operators.
    pub fn admin_routes(self: &Arc<Self>) -> axum::Router {
        pages::routes(self.clone())
    }

    /// Stops taking samples; cuts and ships everything where that is asked for.
    pub async fn stop(&self) -> Result<()> {
        if self.settings.flush_on_shutdown || self.flush_at_stop.load(Ordering::Acquire) {
            self.flush(None).await?;
        }
        self.closed.store(true, Ordering::Release);
        if let Some(database) = self.database.get().cloned() {
            let synced = tokio::task::spawn_blocking(move || database.sync_log()).await;
            let failed = |error: std::io::Error| Error::unavailable("the log cannot be synced").with_source(error);
            synced.map_err(|error| Error::internal("syncing the log panicked").with_source(error))?.map_err(failed)?;
        }
        Ok(())
    }
}

/// What of a tenant's limits the head applies.
fn head_limits(limits: &Limits) -> HeadLimits {
    let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    HeadLimits {
        series: limits.max_global_series_per_user,
        series_per_metric: limits.max_global_series_per_metric,
        exemplars: size(limits.max_global_exemplars_per_user),
        late_window_ms: i64::try_from(limits.out_of_order_time_window.as_millis()).unwrap_or(i64::MAX),
        created_as_zero: true,
        metadata: size(limits.max_global_metadata_per_user),
        metadata_per_metric: size(limits.max_global_metadata_per_metric),
    }
}

fn append_error(tenant: &TenantId, error: AppendError) -> Error {
    let error = Error::from(error);
    // The words of the original: whose data it was, then what happened.
    let message = format!("user={tenant}: {}", error.message());
    Error::new(
        match error.kind() {
            ErrorKind::Internal => ErrorKind::Unavailable,
            kind => kind,
        },
        message,
    )
    .with_source(error)
}

#[async_trait]
impl WriteClient for Arc<Ingester> {
    async fn push(&self, tenant: &TenantId, batch: Arc<WriteBatch>) -> Result<()> {
        let admission = self.gate.enter(batch.bytes() as u64)?;
        if on_compute_thread() {
            return self.append(tenant, &batch);
        }
        let (ingester, tenant) = (self.clone(), tenant.clone());
        // Appending waits for the log, so it runs where threads may wait for a moment, and in one go with what it
        // computes.
        let append = move || {
            let _in_flight = admission;
            ingester.append(&tenant, &batch)
        };
        self.pool.compute(append).await?
    }
}
