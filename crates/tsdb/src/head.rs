//! The head: a tenant's newest samples, in memory, as they come in.
//!
//! A series is found by two hashes of its canonical labels, without a string being built or compared: the stable hash
//! that the whole of norn uses, and a second one whose seed only this head knows. Two label sets would have to agree in
//! 128 bits, 64 of which nobody outside can aim at, to be mistaken for one.
//!
//! Locks, in the order in which they are taken: `gate`, `index`, one of `shards`, then `exemplars` or `metadata`.
//! - A batch holds `gate` for reading from the moment it is staged until it is published; who removes series, or needs
//!   to know that nothing is under way, takes it for writing.
//! - `index` is written when series come and go, and never otherwise.
//! - A shard's lock is held for the shard's part of a batch, or for one series of a reader.

// One series, and its chunks.
pub(crate) mod late;
pub(crate) mod open_chunk;
pub(crate) mod series;

// All series: by hash, and by labels.
pub(crate) mod index;
pub(crate) mod shard;

// What comes beside samples.
mod exemplars;
mod metadata;

// The way in: decided, logged, published.
mod decide;
mod publish;
pub(crate) mod record;
pub mod rejection;
mod stage;
mod verdict;

// Reading.
mod matching;
mod merge;
pub mod query;
mod source;

// Into blocks and checkpoints, and out of the log.
mod checkpoint;
mod cut;
mod remove;
mod replay;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use norn_base::random::Random;
use norn_model::labels::LabelsRef;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

pub use cut::{CutError, CutRange, TakenLate};
pub use open_chunk::HeadChunk;
pub use rejection::{AppendOutcome, HeadLimits, Reason, Rejection, Rejections};
pub use remove::Removed;
pub use replay::{HeadReplay, Replayed};
pub use series::SeriesRef;
pub use source::ReadLease;
pub use stage::Staged;

use exemplars::ExemplarStore;
use index::Index;
use metadata::MetadataStore;
use open_chunk::ChunkRules;
use series::Series;
use shard::{Shards, empty_shards, shard_of_hash};

/// Rows of batches that are kept for the next ones; more than threads that append at once is waste.
const SPARE_ROWS_MAX: usize = 4;

/// See the module.
pub struct Head {
    rules: ChunkRules,
    hasher: foldhash::quality::FixedState,
    gate: RwLock<()>,
    index: RwLock<Index>,
    shards: Shards,
    exemplars: Mutex<ExemplarStore>,
    metadata: Mutex<MetadataStore>,
    /// The next number of a series in the log.
    next_id: AtomicU64,
    series_count: AtomicU64,
    /// The oldest sample, late ones aside; `i64::MAX` before the first.
    min_ms: AtomicI64,
    /// The newest sample; `i64::MIN` before the first.
    max_ms: AtomicI64,
    /// Samples before this time are in blocks; `i64::MIN` before the first block.
    floor_ms: AtomicI64,
    /// Readers by ticket, with the start of their range.
    readers: Mutex<Readers>,
    spare_rows: Mutex<Vec<stage::Rows>>,
    /// Series that a failed batch left behind.
    orphans: Mutex<Vec<SeriesRef>>,
    /// Metrics whose series are not limited.
    unlimited_metrics: Arc<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Readers {
    next_ticket: u64,
    start_ms: BTreeMap<u64, i64>,
}

/// How large a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadStats {
    /// Series in memory.
    pub series: u64,
    /// Series that were ever made.
    pub created_series: u64,
    /// The oldest sample, milliseconds since the Unix epoch; `None` in an empty head.
    pub min_ms: Option<i64>,
    /// The newest sample.
    pub max_ms: Option<i64>,
    /// Exemplars in memory, and of how many series.
    pub exemplars: (usize, usize),
}

impl Head {
    /// An empty head.
    ///
    /// - `range_ms`: the length of a block in milliseconds, above 0.
    pub fn new(range_ms: i64, random: &dyn Random) -> Self {
        assert!(range_ms > 0, "a block has a length");
        Self {
            rules: ChunkRules::new(range_ms),
            hasher: foldhash::quality::FixedState::with_seed(random.next_u64()),
            gate: RwLock::new(()),
            index: RwLock::new(Index::new(random.next_u64())),
            shards: empty_shards(),
            exemplars: Mutex::default(),
            metadata: Mutex::default(),
            next_id: AtomicU64::new(1),
            series_count: AtomicU64::new(0),
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
            floor_ms: AtomicI64::new(i64::MIN),
            readers: Mutex::default(),
            spare_rows: Mutex::default(),
            orphans: Mutex::default(),
            unlimited_metrics: Arc::default(),
        }
    }

    /// Exempts metrics from [`HeadLimits::series_per_metric`].
    #[must_use]
    pub fn with_unlimited_metrics(mut self, names: Arc<HashSet<String>>) -> Self {
        self.unlimited_metrics = names;
        self
    }

    /// The length of a block in milliseconds.
    pub fn range_ms(&self) -> i64 {
        self.rules.range_ms
    }

    /// The oldest sample, late ones aside, in milliseconds since the Unix epoch.
    pub fn min_ms(&self) -> Option<i64> {
        Some(self.min_ms.load(Ordering::Acquire)).filter(|min_ms| *min_ms != i64::MAX)
    }

    /// The newest sample, in milliseconds since the Unix epoch.
    pub fn max_ms(&self) -> Option<i64> {
        Some(self.max_ms.load(Ordering::Acquire)).filter(|max_ms| *max_ms != i64::MIN)
    }

    /// Samples before this time are in blocks; `i64::MIN` where there are none.
    pub fn floor_ms(&self) -> i64 {
        self.floor_ms.load(Ordering::Acquire)
    }

    /// Says that samples before `floor_ms` are in blocks.
    pub fn raise_floor(&self, floor_ms: i64) {
        self.floor_ms.fetch_max(floor_ms, Ordering::AcqRel);
    }

    /// How many series are in memory.
    pub fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// How large the head is.
    pub fn stats(&self) -> HeadStats {
        HeadStats {
            series: self.series_count(),
            created_series: self.next_id.load(Ordering::Relaxed) - 1,
            min_ms: self.min_ms(),
            max_ms: self.max_ms(),
            exemplars: self.exemplars.lock().counts(),
        }
    }

    /// Bytes of memory, roughly. Cost: a walk over all series.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.lock().memory_bytes()).sum();
        shards + self.index.read().memory_bytes()
    }

    /// Waits until no batch is under way, and keeps new ones out.
    pub fn exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write()
    }

    #[inline]
    fn fingerprint(&self, labels: LabelsRef<'_>) -> u64 {
        self.hasher.hash_one(labels.encoded())
    }

    fn widen(&self, min_ms: i64, max_ms: i64) {
        self.min_ms.fetch_min(min_ms, Ordering::AcqRel);
        self.max_ms.fetch_max(max_ms, Ordering::AcqRel);
    }

    fn keep_rows(&self, rows: stage::Rows) {
        let mut spare = self.spare_rows.lock();
        if spare.len() < SPARE_ROWS_MAX && rows.is_small() {
            spare.push(rows);
        }
    }

    /// Finds a series, or makes it within limits. Without limits it is not made.
    fn find_or_create(
        &self,
        labels: LabelsRef<'_>,
        hash: u64,
        limits: Option<&HeadLimits>,
    ) -> Result<(SeriesRef, bool), Option<Reason>> {
        let fingerprint = self.fingerprint(labels);
        let number = shard_of_hash(hash);
        // Held for both steps: two batches that bring one new series must not both make it.
        let mut index = self.index.write();
        let mut shard = self.shards[number].lock();
        if let Some(place) = shard.find(hash, fingerprint) {
            return Ok((shard::reference_at(place, number), false));
        }
        let limits = limits.ok_or(None)?;
        if limits.series > 0 && self.series_count() >= limits.series {
            return Err(Some(Reason::SeriesLimit { limit: limits.series }));
        }
        if limits.series_per_metric > 0 {
            let metric = labels.get(norn_model::labels::METRIC_NAME).unwrap_or("");
            let is_full = index.series_of_metric(metric) >= limits.series_per_metric;
            if is_full && !self.unlimited_metrics.contains(metric) {
                return Err(Some(Reason::MetricSeriesLimit { limit: limits.series_per_metric }));
            }
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let reference = shard.insert(number, Series::new(hash, fingerprint, id));
        index.define(reference, labels);
        self.series_count.fetch_add(1, Ordering::Relaxed);
        Ok((reference, true))
    }
}
