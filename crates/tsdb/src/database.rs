//! The metrics that one process holds: a head and local blocks for each tenant, and one log for all of them.
//!
//! A batch is decided by the tenant's head, written to the log, and published; see [`crate::head`]. Every so often a head is
//! cut to blocks, and the log to what the heads still need.
//!
//! ```text
//! <directory>/
//!     @wal/                          the log, see docs/format/wal.md
//!     <tenant>/
//!         norn-head.json             what of the log the tenant's blocks have
//!         mimir.shipper.json         which blocks are in the bucket
//!         01M7XS5Z9XV1SC9Z7W07273SYP/ …
//! ```
//!
//! Nothing here runs by itself: the owner calls the functions on its timers, from threads that may block.

// One tenant, its blocks, and what it needs of the log.
mod head_state;
mod local_blocks;
mod log_use;
mod shipped;
mod tenant;

// From the disk into memory.
mod foreign;
mod open;

// Samples in, samples out.
mod append;
mod read;

// Heads to blocks, and the log cut behind them.
mod checkpoint;
mod compact;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_model::TenantId;
use norn_wal::segment::{MachineFiles, SegmentFiles};
use norn_wal::{Durability, Log, LogStats};
use parking_lot::{Mutex, RwLock};

pub use append::AppendError;
pub use compact::{CompactError, CutReason};
pub use open::{OpenError, OpenReport, ReplayProgress};
pub use tenant::{LocalBlock, Tenant, TenantState};

use crate::head::Head;
use tenant::Snapshot;

/// How a database is kept.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// Where everything lies; created where it is missing.
    pub directory: PathBuf,
    /// The length of a block in milliseconds.
    pub block_range_ms: i64,
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Size of a segment of the log.
    pub segment_bytes: u64,
    /// A tenant that needs a segment so many behind the newest is written to a checkpoint.
    pub segments_behind_max: u64,
    /// External labels of blocks of late samples.
    pub late_block_label: bool,
    /// Metrics whose series are not limited one by one.
    pub unlimited_metrics: Arc<HashSet<String>>,
    /// Exemplars of a tenant that are kept when the log is replayed, before limits are known.
    pub replay_exemplars_max: usize,
    /// Where the log's files come from; a simulation hands in its own, with faults.
    pub log_files: Arc<dyn SegmentFiles>,
}

impl DatabaseSettings {
    /// Blocks of two hours, segments of 128 MiB, checkpoints for tenants that are 4 GiB behind.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            block_range_ms: 2 * 3600 * 1000,
            durability: Durability::Written,
            segment_bytes: 128 << 20,
            segments_behind_max: 32,
            late_block_label: false,
            unlimited_metrics: Arc::default(),
            replay_exemplars_max: 100_000,
            log_files: Arc::new(MachineFiles),
        }
    }
}

/// See the module.
pub struct Database {
    settings: DatabaseSettings,
    clock: SharedClock,
    random: SharedRandom,
    log: Log,
    /// Taken for writing when tenants come and go.
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    /// Buffers for records.
    payloads: Mutex<Vec<Vec<u8>>>,
}

impl Database {
    /// The tenants that have a head or blocks, ascending.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.tenants.read().keys().cloned().collect();
        tenants.sort_unstable();
        tenants
    }

    /// How many tenants there are.
    pub fn tenant_count(&self) -> usize {
        self.tenants.read().len()
    }

    /// One tenant, if it is there.
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().get(id).cloned()
    }

    /// One tenant, made where it is missing.
    fn tenant_or_new(&self, id: &TenantId) -> std::io::Result<Arc<Tenant>> {
        if let Some(tenant) = self.tenant(id) {
            return Ok(tenant);
        }
        let mut tenants = self.tenants.write();
        if let Some(tenant) = tenants.get(id) {
            return Ok(tenant.clone());
        }
        let directory = self.settings.directory.join(id.as_str());
        std::fs::create_dir_all(&directory)?;
        let head = Head::new(self.settings.block_range_ms, &*self.random);
        let head = Arc::new(head.with_unlimited_metrics(self.settings.unlimited_metrics.clone()));
        let tenant = Arc::new(Tenant::new(id.clone(), directory, head, Snapshot::default(), self.clock.now_ms()));
        tenants.insert(id.clone(), tenant.clone());
        Ok(tenant)
    }

    /// Series of all tenants in memory. Cost: a walk over the tenants.
    pub fn series_count(&self) -> u64 {
        self.tenants.read().values().map(|tenant| tenant.head().series_count()).sum()
    }

    /// What the log has done and holds.
    pub fn log_stats(&self) -> LogStats {
        self.log.stats()
    }

    /// Brings to the device what the log has; for the timer of [`Durability::Written`].
    pub fn sync_log(&self) -> std::io::Result<()> {
        self.log.sync()
    }
}
