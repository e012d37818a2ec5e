//! Cutting the log at the least position that a tenant needs, and helping tenants that are too far behind.

use std::io;
use std::sync::Arc;

use norn_wal::{BatchName, CheckpointWriter, Record};

use super::Database;
use super::tenant::Tenant;

/// A segment that nobody needs is ended early once it is this large, so that it can go: after a flush, mostly.
const UNNEEDED_SEGMENT_BYTES_MIN: u64 = 1 << 20;

impl Database {
    /// Removes the segments of the log that nobody needs. Tenants that would keep more than
    /// [`super::DatabaseSettings::segments_behind_max`] of them are written to checkpoints first. Returns how many
    /// segments went.
    pub fn truncate_log(&self) -> io::Result<usize> {
        if self.log.position().offset >= UNNEEDED_SEGMENT_BYTES_MIN && !self.needs_log() {
            self.log.cut_segment().map_err(io::Error::other)?;
        }
        let current = self.log.segment();
        let mut needed = current;
        for id in self.tenants() {
            let Some(tenant) = self.tenant(&id) else { continue };
            // Records that lie before the current segment may belong to batches that are not noted yet.
            drop(tenant.head().exclusive());
            let Some(first) = tenant.log_use.lock().first_segment() else { continue };
            let is_far_behind = current.saturating_sub(first) > self.settings.segments_behind_max;
            let checkpointed = is_far_behind.then(|| self.checkpoint(&tenant));
            needed = needed.min(match checkpointed {
                None => first,
                Some(Ok(first)) => first,
                Some(Err(error)) => {
                    // The others' segments go nevertheless: on a full disk that is what helps.
                    tracing::error!(tenant = %id, %error, "failed to write a checkpoint");
                    first
                }
            });
        }
        self.log.remove_segments_before(needed)
    }

    /// Whether the log has anything that blocks have not. What is being appended meanwhile does not count.
    fn needs_log(&self) -> bool {
        let mut tenants = self.tenants().into_iter().filter_map(|id| self.tenant(&id));
        tenants.any(|tenant| tenant.log_use.lock().first_segment().is_some())
    }

    /// Writes what a tenant's head has to a checkpoint. Returns the first segment that the tenant needs then.
    pub fn checkpoint(&self, tenant: &Arc<Tenant>) -> io::Result<u64> {
        // What compaction removes from the head it must have noted before the checkpoint lacks it.
        let _compacting = tenant.compacting.lock();
        let position = {
            // All records of the tenant before this position are published.
            let _nobody_appends = tenant.head().exclusive();
            self.log.position()
        };
        let id = tenant.id().as_str();
        let mut writer = CheckpointWriter::create(&self.log, id, position)?;
        tenant.head().checkpoint(|kind, payload| {
            writer.append(&Record { kind, tenant: id, batch: BatchName::default(), payload })
        })?;
        let checkpoint = writer.finish()?;
        let max_ms = tenant.head().max_ms();
        let mut log_use = tenant.log_use.lock();
        if let Some(older) = log_use.replace_checkpoint(checkpoint, max_ms) {
            older.remove()?;
        }
        Ok(log_use.first_segment().unwrap_or(position.segment))
    }
}
