//! A tenant's blocks on the local disk: found at the start, shipped by whoever has a bucket, removed some time after.

use std::io;
use std::path::Path;
use std::sync::Arc;

use norn_model::TenantId;

use super::tenant::{LocalBlock, Tenant};
use super::{Database, TenantState};
use crate::block::BlockReader;
use crate::ulid::Ulid;

/// Directories that are being made or removed end with these; what they hold is not needed.
const UNFINISHED: [&str; 2] = [crate::block::writer::UNFINISHED_SUFFIX, ".tmp-for-deletion"];
/// What cannot be opened is put aside under a name with this end, for a person to look at.
pub(super) const QUARANTINE_SUFFIX: &str = ".damaged";

/// The directory of a tenant that is gone, until it is removed; no tenant can have such a name.
const GONE_PREFIX: &str = "@gone-";

/// Removes what is left of tenants that are gone.
pub(super) fn remove_gone(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(GONE_PREFIX) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Opens all blocks of a tenant. What is unfinished is removed, what is damaged put aside.
pub(super) fn open_blocks(tenant: &TenantId, directory: &Path) -> io::Result<Vec<Arc<LocalBlock>>> {
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if UNFINISHED.iter().any(|suffix| name.ends_with(suffix)) {
            std::fs::remove_dir_all(&path)?;
            continue;
        }
        if name.parse::<Ulid>().is_err() || !path.is_dir() {
            continue;
        }
        match BlockReader::open(&path) {
            Ok(reader) => blocks.push(Arc::new(LocalBlock { reader, directory: path })),
            Err(error) => {
                let aside = directory.join(format!("{name}{QUARANTINE_SUFFIX}"));
                std::fs::rename(&path, &aside)?;
                tracing::error!(%tenant, block = name, aside = %aside.display(), %error, "put a damaged block aside");
            }
        }
    }
    Ok(blocks)
}

impl Tenant {
    /// The blocks that are to be shipped: of level 1, with samples, not in the bucket yet; the oldest first.
    pub fn blocks_to_ship(&self) -> Vec<Arc<LocalBlock>> {
        let shipped = self.shipped.lock();
        let mut blocks = self.blocks();
        blocks.retain(|block| {
            let meta = block.reader.meta();
            meta.compaction.level == 1 && meta.stats.num_samples > 0 && shipped.since_ms(meta.ulid).is_none()
        });
        blocks.sort_by_key(|block| (block.reader.meta().min_time, block.reader.meta().ulid));
        blocks
    }

    /// Notes that a block is in the bucket.
    pub fn mark_shipped(&self, ulid: Ulid, now_ms: i64) -> io::Result<()> {
        let existing: Vec<Ulid> = self.blocks().iter().map(|block| block.reader.meta().ulid).collect();
        self.shipped.lock().add(self.directory(), ulid, now_ms, &existing)
    }

    /// Removes blocks that were shipped before `before_ms`, in milliseconds since the Unix epoch. Returns how many.
    pub fn remove_shipped_before(&self, before_ms: i64) -> io::Result<usize> {
        let _compacting = self.compacting.lock();
        let is_old = |block: &LocalBlock| {
            self.shipped.lock().since_ms(block.reader.meta().ulid).is_some_and(|since_ms| since_ms < before_ms)
        };
        let old: Vec<Arc<LocalBlock>> = self.blocks().into_iter().filter(|block| is_old(block)).collect();
        for block in &old {
            self.update_blocks(|blocks| blocks.retain(|other| !Arc::ptr_eq(other, block)));
            remove_block(&block.directory)?;
        }
        Ok(old.len())
    }

    /// Whether nothing is left but blocks that are in the bucket.
    fn is_finished(&self) -> bool {
        let head = self.head();
        head.series_count() == 0 && self.compacting.lock().pending.is_none() && self.blocks_to_ship().is_empty()
    }
}

/// Removes a block's directory. Readers that have its files open go on.
fn remove_block(directory: &Path) -> io::Result<()> {
    let mut name = directory.as_os_str().to_owned();
    name.push(UNFINISHED[1]);
    std::fs::rename(directory, &name)?;
    std::fs::remove_dir_all(&name)
}

impl LocalBlock {
    /// Removes a block that nobody knows of yet.
    pub(super) fn discard(&self) {
        if let Err(error) = remove_block(&self.directory) {
            tracing::warn!(block = %self.directory.display(), %error, "failed to remove a block");
        }
    }
}

impl Database {
    /// Closes tenants that have had no samples since `idle_since_ms`, whose heads are empty and whose blocks are all
    /// shipped, and removes what they have here. Returns who they are.
    pub fn close_idle_tenants(&self, idle_since_ms: i64) -> io::Result<Vec<TenantId>> {
        let mut closed = Vec::new();
        for id in self.tenants() {
            let Some(tenant) = self.tenant(&id) else { continue };
            if tenant.last_append_ms() < idle_since_ms && tenant.is_finished() && self.close_tenant(&tenant, true)? {
                closed.push(id);
            }
        }
        Ok(closed)
    }

    /// Closes a tenant and removes all that it has here, shipped or not. Returns whether it was there.
    /// Fails with [`io::ErrorKind::ResourceBusy`] while the tenant is being compacted as a whole.
    pub fn delete_tenant(&self, id: &TenantId) -> io::Result<bool> {
        match self.tenant(id) {
            Some(tenant) if self.close_tenant(&tenant, false)? => Ok(true),
            Some(_) => Err(io::ErrorKind::ResourceBusy.into()),
            None => Ok(false),
        }
    }

    fn close_tenant(&self, tenant: &Arc<Tenant>, only_finished: bool) -> io::Result<bool> {
        if !tenant.enter(TenantState::Closing) {
            return Ok(false);
        }
        // Waits for batches that were admitted before.
        drop(tenant.head().exclusive());
        if only_finished && !tenant.is_finished() {
            tenant.leave(TenantState::Closing);
            return Ok(false);
        }
        let _compacting = tenant.compacting.lock();
        // From here on a replay must not bring the tenant back.
        if let Some((checkpoint, _)) = tenant.log_use.lock().take_checkpoint() {
            checkpoint.remove()?;
        }
        self.write_tombstone(tenant)?;
        let gone = self.settings.directory.join(format!("{GONE_PREFIX}{}", tenant.id()));
        std::fs::rename(tenant.directory(), &gone)?;
        std::fs::remove_dir_all(&gone)?;
        *tenant.state.lock() = TenantState::Closed;
        self.tenants.write().remove(tenant.id());
        Ok(true)
    }
}

impl Tenant {
    /// Enters a state that refuses writes; fails where the tenant is in another one already.
    pub(super) fn enter(&self, next: TenantState) -> bool {
        let mut state = self.state.lock();
        let free = *state == TenantState::Active;
        if free {
            *state = next;
        }
        free
    }

    /// Leaves a state for the usual one.
    pub(super) fn leave(&self, from: TenantState) {
        let mut state = self.state.lock();
        if *state == from {
            *state = TenantState::Active;
        }
    }
}
