//! What leaves the head: chunks that blocks have, series that have none left, and what a failed batch made.

use std::sync::atomic::Ordering;

use super::Head;
use super::series::{SeriesRef, State};
use super::shard::shard_of;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Chunks.
    pub chunks: usize,
    /// Series that had nothing else.
    pub series: usize,
}

impl Head {
    /// Drops all that blocks have: samples before `floor_ms`. The caller has made sure that nobody reads them here.
    ///
    /// Cost: a walk over all series, a shard's lock at a time; appends wait only while series are removed.
    pub fn truncate(&self, floor_ms: i64) -> Removed {
        self.raise_floor(floor_ms);
        let mut removed = Removed::default();
        let mut empty = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock();
            shard.for_each(number, |reference, series| {
                removed.chunks += series.drop_before(floor_ms);
                if series.is_empty() && series.state == State::Published {
                    empty.push(reference);
                }
            });
        }
        removed.series = self.remove_empty(empty);
        if self.max_ms().is_some_and(|max_ms| max_ms < floor_ms) {
            self.min_ms.store(i64::MAX, Ordering::Release);
        } else {
            self.min_ms.fetch_max(floor_ms, Ordering::AcqRel);
        }
        removed
    }

    /// Removes series that are still empty when nothing is under way, and what failed batches left.
    fn remove_empty(&self, mut references: Vec<SeriesRef>) -> usize {
        let _gate = self.gate.write();
        let mut index = self.index.write();
        references.sort_unstable();
        references.retain(|reference| {
            let mut shard = self.shards[shard_of(*reference)].lock();
            let gone = shard.get(*reference).is_some_and(|series| series.is_empty());
            if gone {
                shard.remove(*reference);
            }
            gone
        });
        index.remove(&references, true);
        self.series_count.fetch_sub(references.len() as u64, Ordering::Relaxed);
        let orphans = std::mem::take(&mut *self.orphans.lock());
        self.remove_staged(&mut index, orphans);
        references.len()
    }

    /// Removes those of the series that no batch has published. The gate is held for writing.
    fn remove_staged(&self, index: &mut super::Index, mut references: Vec<SeriesRef>) {
        references.sort_unstable();
        references.dedup();
        references.retain(|reference| {
            let mut shard = self.shards[shard_of(*reference)].lock();
            let staged = shard.get(*reference).is_some_and(|series| series.state == State::Staged);
            if staged {
                shard.remove(*reference);
            }
            staged
        });
        index.remove(&references, false);
        self.series_count.fetch_sub(references.len() as u64, Ordering::Relaxed);
    }

    /// Forgets the series that a failed batch made: now if nothing else is under way, else with the next removal.
    pub(super) fn forget_staged(&self, created: &[SeriesRef]) {
        self.orphans.lock().extend_from_slice(created);
        let Some(_gate) = self.gate.try_write() else { return };
        let orphans = std::mem::take(&mut *self.orphans.lock());
        self.remove_staged(&mut self.index.write(), orphans);
    }

    /// Forgets metadata that nobody has sent since `before_s`, in seconds since the Unix epoch.
    pub fn forget_metadata(&self, before_s: u32) {
        self.metadata.lock().forget_before(before_s);
    }
}
