//! One tenant: its head, its local blocks, and what it needs of the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use norn_model::TenantId;
use parking_lot::Mutex;

use super::head_state::HeadState;
use super::log_use::LogUse;
use super::shipped::Shipped;
use crate::block::BlockReader;
use crate::head::{Head, TakenLate};

/// What a tenant is doing. Some states refuse writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TenantState {
    /// Nothing special.
    #[default]
    Active,
    /// Its head is being cut to blocks up to a time: no batches with samples before it.
    EarlyCompacting {
        /// Milliseconds since the Unix epoch.
        until_ms: i64,
    },
    /// Its whole head is being cut to blocks: no writes.
    ForceCompacting,
    /// It is going away: no writes.
    Closing,
    /// It is gone.
    Closed,
}

/// The blocks of a tenant at one time, and where the head goes on.
#[derive(Default)]
pub(super) struct Snapshot {
    /// Ascending by time; blocks of late samples behind the others.
    pub(super) blocks: Vec<Arc<LocalBlock>>,
    /// Where the newest block that is not one of late samples ends; `i64::MIN` without one. Older samples in the head
    /// are in blocks as well, late ones aside.
    pub(super) floor_ms: Option<i64>,
}

/// A block on the local disk.
pub struct LocalBlock {
    /// The block.
    pub reader: BlockReader,
    /// Its directory.
    pub directory: PathBuf,
}

impl Snapshot {
    pub(super) fn new(mut blocks: Vec<Arc<LocalBlock>>) -> Self {
        blocks.sort_by_key(|block| {
            let meta = block.reader.meta();
            (meta.compaction.is_out_of_order(), meta.min_time, meta.ulid)
        });
        let in_order = blocks.iter().filter(|block| !block.reader.meta().compaction.is_out_of_order());
        let floor_ms = in_order.map(|block| block.reader.meta().max_time).max();
        Self { blocks, floor_ms }
    }
}

/// What the head may drop when nobody reads it any more.
#[derive(Default)]
pub(super) struct PendingDrop {
    /// Readers with a smaller ticket may not know the new blocks.
    pub(super) ticket: u64,
    pub(super) floor_ms: Option<i64>,
    pub(super) late: Vec<TakenLate>,
}

/// What only one compaction at a time changes.
#[derive(Default)]
pub(super) struct Compacting {
    pub(super) pending: Option<PendingDrop>,
    pub(super) head_state: HeadState,
}

/// See the module.
pub struct Tenant {
    id: TenantId,
    directory: PathBuf,
    head: Arc<Head>,
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// Set before the head's gate is taken for writing, read while it is held for reading: a batch that was admitted is
    /// published before a compaction begins.
    pub(super) state: Mutex<TenantState>,
    pub(super) compacting: Mutex<Compacting>,
    pub(super) log_use: Mutex<LogUse>,
    pub(super) shipped: Mutex<Shipped>,
    last_append_ms: AtomicI64,
    labels_late_blocks: AtomicBool,
}

impl Tenant {
    pub(super) fn new(id: TenantId, directory: PathBuf, head: Arc<Head>, snapshot: Snapshot, now_ms: i64) -> Self {
        if let Some(floor_ms) = snapshot.floor_ms {
            head.raise_floor(floor_ms);
        }
        Self {
            id,
            directory,
            head,
            snapshot: ArcSwap::from_pointee(snapshot),
            state: Mutex::default(),
            compacting: Mutex::default(),
            log_use: Mutex::default(),
            shipped: Mutex::default(),
            last_append_ms: AtomicI64::new(now_ms),
            labels_late_blocks: AtomicBool::new(false),
        }
    }

    /// Whose this is.
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// Where its blocks lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its newest samples.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// What it is doing.
    pub fn state(&self) -> TenantState {
        *self.state.lock()
    }

    /// Its local blocks, ascending by time; those of late samples behind the others.
    pub fn blocks(&self) -> Vec<Arc<LocalBlock>> {
        self.snapshot.load().blocks.clone()
    }

    /// Whether its blocks of late samples get an external label, so that they are compacted apart.
    pub fn labels_late_blocks(&self) -> bool {
        self.labels_late_blocks.load(Ordering::Relaxed)
    }

    /// Says whether its blocks of late samples get that label from now on.
    pub fn set_labels_late_blocks(&self, labels: bool) {
        self.labels_late_blocks.store(labels, Ordering::Relaxed);
    }

    /// When it last got samples, in milliseconds since the Unix epoch; before the first, when it was opened.
    pub fn last_append_ms(&self) -> i64 {
        self.last_append_ms.load(Ordering::Relaxed)
    }

    pub(super) fn note_append(&self, now_ms: i64) {
        self.last_append_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Changes which blocks there are.
    pub(super) fn update_blocks(&self, update: impl FnOnce(&mut Vec<Arc<LocalBlock>>)) {
        // Only compaction and removal change blocks, and both hold `compacting`.
        let mut blocks = self.blocks();
        update(&mut blocks);
        self.snapshot.store(Arc::new(Snapshot::new(blocks)));
    }
}
