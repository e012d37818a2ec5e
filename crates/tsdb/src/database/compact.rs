//! From heads to blocks, and what follows from it: heads and log are cut.
//!
//! A compaction goes on in steps that each leave everything consistent if the process ends after it:
//! 1. The head takes no more samples for the range: the floor is raised, and batches under way are waited for.
//! 2. The block is written, and appears under its name when it is whole.
//! 3. `norn-head.json` says that the log's samples are in blocks.
//! 4. Readers see the block from now on.
//! 5. When the last reader from before is gone, the head drops what the block has.
//!
//! Between 2 and 3 the process may end: then the block itself says up to where a replay has to leave samples out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use norn_wal::{BatchName, Record};

use super::Database;
use super::tenant::{Compacting, LocalBlock, PendingDrop, Tenant, TenantState};
use crate::block::meta::{Compaction, HINT_FROM_OUT_OF_ORDER, Parent};
use crate::block::writer::BlockDescription;
use crate::block::{BlockReader, BlockWriter, FileError};
use crate::head::{CutError, CutRange, TakenLate};
use crate::ulid::Ulid;

/// Who made the blocks, as `meta.json` says it.
const SOURCE: &str = "receive";
/// The external label of blocks of late samples.
const LATE_LABEL: &str = "__out_of_order__";

/// Why a head is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutReason {
    /// It spans more than one and a half blocks: blocks that are complete are cut.
    Due,
    /// It has had no samples for long: everything is cut.
    Idle,
    /// It has too many series, most of which get no samples any more: everything before a time is cut.
    Early {
        /// Milliseconds since the Unix epoch.
        until_ms: i64,
    },
    /// Someone asks for it, or the process ends for good: everything is cut.
    Forced,
}

/// Why a head was not cut. It keeps what it has.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Another compaction of everything, or the tenant's end, is under way.
    #[error("the tenant is busy: {state:?}")]
    Busy {
        /// What it is doing.
        state: TenantState,
    },
    /// A block could not be made.
    #[error("cut a block")]
    Cut(#[from] CutError),
    /// A block that was made cannot be opened.
    #[error("open a new block")]
    Block(#[from] FileError),
    /// The tenant's directory cannot be written.
    #[error("note what blocks have")]
    Io(#[from] io::Error),
}

impl Tenant {
    /// Why the head is to be cut now, if it is.
    ///
    /// - `idle_after`: after so long without samples a head is cut whole.
    pub fn due(&self, now_ms: i64, idle_after: Duration) -> Option<CutReason> {
        let range_ms = self.head().range_ms();
        if let (Some(min_ms), Some(max_ms)) = (self.head().min_ms(), self.head().max_ms())
            && max_ms.saturating_sub(min_ms) > range_ms / 2 * 3
        {
            return Some(CutReason::Due);
        }
        let idle_ms = i64::try_from(idle_after.as_millis()).unwrap_or(i64::MAX);
        let is_idle = now_ms.saturating_sub(self.last_append_ms()) > idle_ms;
        (is_idle && self.head().series_count() > 0).then_some(CutReason::Idle)
    }

    /// Drops what blocks have and nobody reads any more.
    fn drop_pending(&self, compacting: &mut Compacting) {
        let Some(pending) = &compacting.pending else { return };
        let before_ms = if pending.late.is_empty() { pending.floor_ms.unwrap_or(i64::MIN) } else { i64::MAX };
        if self.head().is_read(pending.ticket, before_ms) {
            return;
        }
        let Some(pending) = compacting.pending.take() else { return };
        for late in &pending.late {
            self.head().drop_late(late);
        }
        self.head().truncate(pending.floor_ms.unwrap_or(i64::MIN));
    }
}

impl Database {
    /// Cuts the head of a tenant to blocks. Returns the new blocks. Takes long; appends go on, unless all is cut.
    pub fn compact(&self, tenant: &Arc<Tenant>, reason: CutReason) -> Result<Vec<Arc<LocalBlock>>, CompactError> {
        let (state, until_ms) = match reason {
            CutReason::Due => return self.compact_steps(tenant, None),
            CutReason::Early { until_ms } => (TenantState::EarlyCompacting { until_ms }, until_ms),
            CutReason::Idle | CutReason::Forced => (TenantState::ForceCompacting, i64::MAX),
        };
        if !tenant.enter(state) {
            return Err(CompactError::Busy { state: tenant.state() });
        }
        let outcome = self.compact_steps(tenant, Some(until_ms));
        tenant.leave(state);
        outcome
    }

    /// Cuts the heads that are due, and drops what earlier compactions left for their readers. A failure of one tenant
    /// is logged and does not keep others from it; returns how many blocks were made.
    pub fn compact_due(&self, idle_after: Duration) -> usize {
        let mut made = 0;
        for id in self.tenants() {
            let Some(tenant) = self.tenant(&id) else { continue };
            tenant.drop_pending(&mut tenant.compacting.lock());
            let Some(reason) = tenant.due(self.clock.now_ms(), idle_after) else { continue };
            match self.compact(&tenant, reason) {
                Ok(blocks) => made += blocks.len(),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(tenant = %id, error, "failed to cut a head to blocks");
                }
            }
        }
        made
    }

    /// `until_ms`: everything before it is cut; without it only blocks that are complete.
    fn compact_steps(&self, tenant: &Arc<Tenant>, until_ms: Option<i64>) -> Result<Vec<Arc<LocalBlock>>, CompactError> {
        let mut compacting = tenant.compacting.lock();
        tenant.drop_pending(&mut compacting);
        let mut made = Vec::new();
        while let Some(range) = next_range(tenant, &compacting, until_ms) {
            tenant.head().raise_floor(range.end_ms);
            drop(tenant.head().exclusive());
            let block = self.cut_in_order(tenant, range)?;
            compacting.head_state.floor_ms = compacting.head_state.floor_ms.max(Some(range.end_ms));
            publish(tenant, &mut compacting, block.as_slice(), |pending| pending.floor_ms = Some(range.end_ms))?;
            made.extend(block);
        }
        // Late samples that a reader still keeps from being dropped would go into a second block.
        if compacting.pending.as_ref().is_none_or(|pending| pending.late.is_empty()) {
            made.extend(self.cut_all_late(tenant, &mut compacting)?);
        }
        self.move_exemplars(tenant, !made.is_empty())?;
        self.forget_log(tenant, &compacting)?;
        tenant.drop_pending(&mut compacting);
        Ok(made)
    }

    fn cut_all_late(
        &self,
        tenant: &Arc<Tenant>,
        compacting: &mut Compacting,
    ) -> Result<Vec<Arc<LocalBlock>>, CompactError> {
        let late_position = {
            // All late samples whose records lie before this position are published, and will be taken.
            let _nobody_appends = tenant.head().exclusive();
            self.log.position()
        };
        let late = tenant.head().take_late();
        let blocks = self.cut_late(tenant, &late)?;
        compacting.head_state.set_late_position(late_position);
        if late.is_empty() {
            compacting.head_state.write(tenant.directory())?;
        } else {
            publish(tenant, compacting, &blocks, |pending| pending.late.push(late))?;
        }
        Ok(blocks)
    }

    /// Writes exemplars, which no block has, to the log again, so that its older segments and checkpoints can go.
    fn move_exemplars(&self, tenant: &Tenant, blocks_made: bool) -> io::Result<()> {
        let first = {
            // All exemplars in records before this segment are published, and are written again.
            let _nobody_appends = tenant.head().exclusive();
            self.log.segment()
        };
        let stay_behind = tenant.log_use.lock().exemplars_stay_behind(first, blocks_made);
        if !stay_behind || tenant.head().stats().exemplars.0 == 0 {
            return Ok(());
        }
        let id = tenant.id().as_str();
        tenant.head().checkpoint_rest(|kind, payload| {
            let record = Record { kind, tenant: id, batch: BatchName::default(), payload };
            self.log.append(&record, None).map(drop).map_err(io::Error::other)
        })?;
        tenant.log_use.lock().exemplars_moved(first);
        Ok(())
    }

    /// What blocks have is not needed of the log.
    fn forget_log(&self, tenant: &Tenant, compacting: &Compacting) -> io::Result<()> {
        let floor_ms = compacting.head_state.floor_ms.unwrap_or(i64::MIN);
        let unneeded = tenant.log_use.lock().forget(floor_ms, compacting.head_state.late_position());
        unneeded.map_or(Ok(()), |checkpoint| checkpoint.remove())
    }

    fn cut_in_order(&self, tenant: &Tenant, range: CutRange) -> Result<Option<Arc<LocalBlock>>, CompactError> {
        let ulid = Ulid::new(&*self.clock, &*self.random);
        let writer = tenant.head().cut(range, |symbols| BlockWriter::create(tenant.directory(), ulid, symbols))?;
        let compaction = Compaction { level: 1, sources: vec![ulid], ..Compaction::default() };
        self.finish_block(tenant, writer, range, compaction, BTreeMap::new())
    }

    fn cut_late(&self, tenant: &Tenant, late: &TakenLate) -> Result<Vec<Arc<LocalBlock>>, CompactError> {
        let mut made = Vec::new();
        for range in late.ranges(tenant.head().range_ms())? {
            match self.cut_late_range(tenant, late, range) {
                Ok(block) => made.extend(block),
                Err(error) => {
                    // The next attempt begins anew: what is there already would be there twice.
                    made.iter().for_each(|block: &Arc<LocalBlock>| block.discard());
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn cut_late_range(
        &self,
        tenant: &Tenant,
        late: &TakenLate,
        range: CutRange,
    ) -> Result<Option<Arc<LocalBlock>>, CompactError> {
        let ulid = Ulid::new(&*self.clock, &*self.random);
        let create = |symbols| BlockWriter::create(tenant.directory(), ulid, symbols);
        let writer = tenant.head().cut_late(late, range, create)?;
        let compaction = Compaction {
            level: 1,
            sources: vec![ulid],
            parents: vec![Parent { ulid: Ulid::ZERO, min_time: 0, max_time: 0 }],
            hints: vec![HINT_FROM_OUT_OF_ORDER.to_owned()],
            ..Compaction::default()
        };
        let is_labelled = self.settings.late_block_label || tenant.labels_late_blocks();
        let label = is_labelled.then(|| (LATE_LABEL.to_owned(), "true".to_owned()));
        self.finish_block(tenant, writer, range, compaction, label.into_iter().collect())
    }

    fn finish_block(
        &self,
        tenant: &Tenant,
        writer: BlockWriter,
        range: CutRange,
        compaction: Compaction,
        external_labels: BTreeMap<String, String>,
    ) -> Result<Option<Arc<LocalBlock>>, CompactError> {
        let description = BlockDescription {
            min_time: range.start_ms,
            max_time: range.end_ms,
            compaction,
            external_labels,
            source: SOURCE.to_owned(),
        };
        let Some(meta) = writer.finish(description)? else { return Ok(None) };
        let directory = tenant.directory().join(meta.ulid.to_string());
        let reader = BlockReader::open(&directory)?;
        Ok(Some(Arc::new(LocalBlock { reader, directory })))
    }
}

/// Makes it known that blocks are there, first to the next start, then to readers; and what the head may drop then.
fn publish(
    tenant: &Tenant,
    compacting: &mut Compacting,
    made: &[Arc<LocalBlock>],
    note: impl FnOnce(&mut PendingDrop),
) -> io::Result<()> {
    compacting.head_state.write(tenant.directory())?;
    tenant.update_blocks(|blocks| blocks.extend_from_slice(made));
    let pending = compacting.pending.get_or_insert_with(PendingDrop::default);
    note(pending);
    pending.ticket = tenant.head().next_ticket();
    Ok(())
}

/// The next block to cut. Its start is where the last one ended, or the head's oldest sample; spans without samples, which
/// may be years after one sample with a wrong time, are stepped over.
fn next_range(tenant: &Tenant, compacting: &Compacting, until_ms: Option<i64>) -> Option<CutRange> {
    let head = tenant.head();
    let cut_ms = compacting.pending.as_ref().and_then(|pending| pending.floor_ms).unwrap_or(i64::MIN);
    let start_ms = head.min_ms()?.max(cut_ms);
    let newest_ms = head.max_ms()?.min(until_ms.map_or(i64::MAX, |until_ms| until_ms.saturating_sub(1)));
    if start_ms > newest_ms {
        return None;
    }
    let range_ms = head.range_ms();
    let first_ms = head.first_ms_from(start_ms)?;
    let is_near = first_ms.div_euclid(range_ms) == start_ms.div_euclid(range_ms);
    let start_ms = if is_near { start_ms } else { first_ms };
    let range_end_ms = start_ms.div_euclid(range_ms).saturating_add(1).saturating_mul(range_ms);
    if until_ms.is_some() {
        if start_ms > newest_ms {
            return None;
        }
        return Some(CutRange { start_ms, end_ms: range_end_ms.min(newest_ms.saturating_add(1)) });
    }
    let is_due = newest_ms.saturating_sub(start_ms) > range_ms / 2 * 3;
    is_due.then_some(CutRange { start_ms, end_ms: range_end_ms })
}
