//! What an ingester does in the background: cut heads, ship blocks, remove what is no longer needed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use norn_base::tasks::Tasks;
use norn_base::{Error, Result};
use norn_model::TenantId;
use norn_tsdb::database::{CutReason, Database, Tenant};

use super::Ingester;
use crate::blocks::markers::read_tenant_mark;
use crate::blocks::upload::upload_block;
use crate::concurrency::at_most;

/// Who made a block, in its `meta.json`.
const SOURCE: &str = "receive";

/// How often the log is brought to the device.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How often gauges are brought up to date.
const GAUGES_INTERVAL: Duration = Duration::from_secs(5);

impl Ingester {
    /// Starts all loops. The database is open.
    pub fn spawn_loops(self: &Arc<Self>, tasks: &Tasks) {
        let settings = &self.settings;
        self.every(tasks, "ingester-cut", settings.cut_interval, |ingester| Box::pin(ingester.cut_due()));
        self.every(tasks, "ingester-tidy", settings.cut_interval, |ingester| Box::pin(ingester.tidy_up()));
        self.every(tasks, "ingester-sync", SYNC_INTERVAL, |ingester| Box::pin(ingester.sync()));
        if !settings.active_interval.is_zero() {
            self.every(tasks, "ingester-active", settings.active_interval, |ingester| {
                Box::pin(ingester.count_active())
            });
        }
        self.every(tasks, "ingester-gauges", GAUGES_INTERVAL, |ingester| Box::pin(ingester.update_gauges()));
        if !settings.ship_interval.is_zero() {
            self.every(tasks, "ingester-ship", settings.ship_interval, |ingester| Box::pin(ingester.ship_all()));
        }
    }

    fn every<W>(self: &Arc<Self>, tasks: &Tasks, name: &'static str, period: Duration, work: W)
    where
        W: for<'a> Fn(&'a Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> + Send + Sync + 'static,
    {
        let ingester = self.clone();
        tasks.spawn_until_stopped(name, async move {
            let mut ticks = tokio::time::interval(period.max(Duration::from_millis(100)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                work(&ingester).await;
            }
        });
    }

    /// Runs something that blocks with the database.
    pub(super) async fn with_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Database>) -> T + Send + 'static,
    ) -> Result<T> {
        let database = self.database()?.clone();
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.map_err(|error| Error::internal("work on the database panicked").with_source(error))
    }

    async fn cut_due(&self) {
        let idle_after = match self.settings.cut_idle_after {
            Duration::ZERO => Duration::MAX,
            // Heads that fell idle together are not cut together.
            idle_after => idle_after.mul_f64(1.0 + self.random.next_f64() / 4.0),
        };
        if let Ok(database) = self.database() {
            self.label_late_blocks(database);
            self.cut_at_once(database, idle_after).await;
        }
        // What is left is dropping what earlier cuts kept for their readers, and a single head where only one is cut.
        let cut = self.with_database(move |database| {
            let blocks = database.compact_due(idle_after);
            let removed = database.truncate_log();
            (blocks, removed)
        });
        match cut.await {
            Ok((blocks, removed)) => {
                self.metrics.blocks_cut.inc_by(blocks as u64);
                self.cut_early().await;
                if let Err(error) = removed {
                    tracing::error!(%error, "segments of the log that nobody needs could not be removed");
                }
            }
            Err(error) => tracing::error!(error = %error.chain(), "heads were not cut"),
        }
    }

    /// Cuts several heads that are due at once, where the operator wants that.
    async fn cut_at_once(&self, database: &Arc<Database>, idle_after: Duration) {
        if self.settings.cut_concurrency < 2 {
            return;
        }
        let now_ms = self.clock.now_ms();
        let tenants = database.tenants().into_iter().filter_map(|id| database.tenant(&id));
        let due = tenants.filter_map(|tenant| Some((tenant.due(now_ms, idle_after)?, tenant)));
        let cut = |(reason, tenant): (CutReason, Arc<Tenant>)| async move {
            let id = tenant.id().clone();
            match self.with_database(move |database| database.compact(&tenant, reason)).await {
                Ok(Ok(blocks)) => drop(self.metrics.blocks_cut.inc_by(blocks.len() as u64)),
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(tenant = %id, error, "failed to cut a head to blocks");
                }
                Err(error) => tracing::error!(tenant = %id, error = %error.chain(), "head was not cut"),
            }
        };
        at_most(self.settings.cut_concurrency, due, cut).await;
    }

    /// Takes over which tenants have their blocks of late samples labelled.
    fn label_late_blocks(&self, database: &Database) {
        for id in database.tenants() {
            let Some(tenant) = database.tenant(&id) else { continue };
            tenant.set_labels_late_blocks(self.overrides.limits(&id).out_of_order_blocks_external_label_enabled);
        }
    }

    async fn sync(&self) {
        if let Ok(Err(error)) = self.with_database(|database| database.sync_log()).await {
            tracing::error!(%error, "the log was not brought to the device; a power cut may lose what it holds");
        }
    }

    async fn update_gauges(&self) {
        let Ok(database) = self.database() else { return };
        self.metrics.memory_series.set(i64::try_from(database.series_count()).unwrap_or(i64::MAX));
        self.metrics.memory_tenants.set(i64::try_from(database.tenant_count()).unwrap_or(i64::MAX));
    }

    /// Ships what is not in the bucket yet, of all tenants. Failures are logged and tried again the next time.
    pub(super) async fn ship_all(&self) {
        let Ok(database) = self.database().cloned() else { return };
        let tenants = database.tenants().into_iter().filter_map(|id| database.tenant(&id));
        let ship = |tenant: Arc<Tenant>| async move {
            if let Err(error) = self.ship(&tenant).await {
                self.metrics.ship_failures.inc();
                let tenant = tenant.id();
                tracing::error!(%tenant, error = %error.chain(), "blocks were not shipped; tried again soon");
            }
        };
        at_most(self.settings.ship_concurrency, tenants, ship).await;
    }

    async fn ship(&self, tenant: &Arc<Tenant>) -> Result<()> {
        let blocks = tenant.blocks_to_ship();
        if blocks.is_empty() {
            return Ok(());
        }
        let bucket = self.bucket.scoped(tenant.id().as_str());
        if read_tenant_mark(&*bucket).await?.is_some() {
            // Whoever deletes a tenant does not want new blocks of it.
            return Ok(());
        }
        for block in blocks {
            let meta = block.reader.meta();
            let files_at_once = self.overrides.limits(tenant.id()).compactor_max_per_block_upload_concurrency;
            upload_block(&*bucket, &block.directory, meta, SOURCE, files_at_once).await?;
            let noted = tenant.mark_shipped(meta.ulid, self.clock.now_ms());
            noted.map_err(|error| {
                Error::unavailable("the list of shipped blocks cannot be written").with_source(error)
            })?;
            self.metrics.blocks_shipped.inc();
            tracing::info!(tenant = %tenant.id(), block = %meta.ulid, samples = meta.stats.num_samples, "shipped a block");
        }
        Ok(())
    }

    /// Removes local blocks that have been in the bucket for long enough, and tenants that sent nothing for long.
    async fn tidy_up(&self) {
        let now_ms = self.clock.now_ms();
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let shipped_before_ms = now_ms.saturating_sub(milliseconds(self.settings.retention));
        let close_idle_after = self.settings.close_idle_after;
        let idle_since_ms = now_ms.saturating_sub(milliseconds(close_idle_after));
        let close_unshipped = self.settings.ship_interval.is_zero() && self.settings.close_unshipped;
        let metadata_since_s = (now_ms - milliseconds(self.settings.metadata_retention)) / 1000;
        let tidied = self.with_database(move |database| -> std::io::Result<()> {
            for id in database.tenants() {
                let Some(tenant) = database.tenant(&id) else { continue };
                tenant.remove_shipped_before(shipped_before_ms)?;
                tenant.head().forget_metadata(u32::try_from(metadata_since_s).unwrap_or(0));
            }
            if !close_idle_after.is_zero() {
                for tenant in database.close_idle_tenants(idle_since_ms)? {
                    tracing::info!(%tenant, "closed a tenant that sent nothing for long");
                }
                if close_unshipped {
                    close_idle_unshipped(database, idle_since_ms)?;
                }
            }
            Ok(())
        });
        if let Ok(Err(error)) = tidied.await {
            tracing::error!(%error, "local blocks were not tidied up");
        }
    }

    /// Cuts and ships everything, of some tenants or of all.
    pub(super) async fn flush(&self, tenants: Option<Vec<TenantId>>) -> Result<()> {
        let _one_at_a_time = self.flushing.lock().await;
        let cut = self.with_database(move |database| {
            let tenants = tenants.unwrap_or_else(|| database.tenants());
            let mut blocks = 0;
            for id in tenants {
                let Some(tenant) = database.tenant(&id) else { continue };
                blocks += database.compact(&tenant, CutReason::Forced).map_err(|error| (id, error))?.len();
            }
            database.truncate_log().ok();
            Ok(blocks)
        });
        let blocks = cut.await?.map_err(|(tenant, error): (TenantId, norn_tsdb::database::CompactError)| {
            Error::unavailable(format!("head of tenant {tenant} was not cut")).with_source(error)
        })?;
        self.metrics.blocks_cut.inc_by(blocks as u64);
        if !self.settings.ship_interval.is_zero() {
            self.ship_all().await;
        }
        Ok(())
    }
}

/// Removes tenants that sent nothing for long although their blocks are nowhere else, as the operator wants it.
fn close_idle_unshipped(database: &Database, idle_since_ms: i64) -> std::io::Result<()> {
    for id in database.tenants() {
        let Some(tenant) = database.tenant(&id) else { continue };
        let is_idle = tenant.last_append_ms() < idle_since_ms && tenant.head().series_count() == 0;
        if is_idle && database.delete_tenant(&id)? {
            tracing::info!(tenant = %id, "removed a tenant that sent nothing for long; its blocks were not shipped");
        }
    }
    Ok(())
}
