//! A batch's way in: decided, written to the log, published.

use std::io;

use norn_base::{Error, ErrorKind};
use norn_model::TenantId;
use norn_model::write::{BatchId, WriteBatch};
use norn_wal::{BatchName, Position, Record};

use super::Database;
use super::tenant::{Tenant, TenantState};
use crate::head::record::{RECORD_BATCH, RECORD_TENANT_GONE};
use crate::head::{AppendOutcome, HeadLimits, Staged};

/// Buffers that are kept for the next records; larger ones are given back.
const SPARE_PAYLOADS_MAX: usize = 4;
const SPARE_PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Why nothing of a batch was taken. What is wrong with single samples is in [`AppendOutcome::rejections`] instead.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The tenant takes no writes right now.
    #[error("{}", refusal(*.state))]
    Refused {
        /// What it is doing.
        state: TenantState,
    },
    /// The log did not take it.
    #[error("the batch could not be written to the write-ahead log")]
    Log(#[source] norn_wal::AppendError),
    /// A new tenant has no place.
    #[error("the directory of tenant {tenant} could not be made")]
    Directory {
        /// Whose it is.
        tenant: TenantId,
        /// Why.
        source: io::Error,
    },
}

/// Whether a tenant takes a batch.
fn admits(state: TenantState, batch: &WriteBatch) -> bool {
    match state {
        TenantState::Active => true,
        TenantState::EarlyCompacting { until_ms } => {
            let floats = batch.samples().iter().map(|sample| sample.timestamp_ms);
            let histograms = batch.histograms().iter().map(|sample| sample.timestamp_ms);
            floats.chain(histograms).all(|timestamp_ms| timestamp_ms >= until_ms)
        }
        TenantState::ForceCompacting | TenantState::Closing | TenantState::Closed => false,
    }
}

/// As the original words it.
fn refusal(state: TenantState) -> &'static str {
    match state {
        TenantState::ForceCompacting => {
            "TSDB Head forced compaction in progress and no write request is currently allowed"
        }
        TenantState::EarlyCompacting { .. } => {
            "TSDB Head early compaction in progress and the write request contains samples overlapping with it"
        }
        TenantState::Active | TenantState::Closing | TenantState::Closed => "TSDB is closing",
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        let kind = match &error {
            AppendError::Log(norn_wal::AppendError::TooLarge { .. }) => ErrorKind::TooLarge,
            _ => ErrorKind::Unavailable,
        };
        let message = match &error {
            // What to do about a full disk is in the cause, and a client's operator wants to know.
            AppendError::Log(cause @ norn_wal::AppendError::DiskFull { .. }) => cause.to_string(),
            other => other.to_string(),
        };
        Self::new(kind, message).with_source(error)
    }
}

impl Database {
    /// Takes a batch of a tenant, as far as the tenant's head and `limits` allow. Blocks until the log has it.
    ///
    /// When this returns an error nothing of the batch is there. Acknowledged means what the log's durability says.
    pub fn append(
        &self,
        tenant: &TenantId,
        batch: &WriteBatch,
        limits: &HeadLimits,
    ) -> Result<AppendOutcome, AppendError> {
        let failed = |source| AppendError::Directory { tenant: tenant.clone(), source };
        let tenant = self.tenant_or_new(tenant).map_err(failed)?;
        let now_ms = self.clock.now_ms();
        let now_s = u32::try_from(now_ms / 1000).unwrap_or(0);
        let staged = tenant.head().stage(batch, limits, now_s);
        // The state is looked at while the head's gate is held: see `Tenant::state`.
        let state = tenant.state();
        if !admits(state, batch) {
            return Err(AppendError::Refused { state });
        }
        tenant.note_append(now_ms);
        if staged.is_empty() {
            return Ok(staged.finish());
        }
        let position = self.log_batch(&tenant, batch.id, &staged).map_err(AppendError::Log)?;
        let max_ms = staged.time_bounds().map(|(_, max_ms)| max_ms);
        let outcome = staged.outcome();
        let mut log_use = tenant.log_use.lock();
        log_use.note(position.segment, max_ms, outcome.late > 0);
        if outcome.exemplars > 0 {
            log_use.note_exemplars(position.segment);
        }
        drop(log_use);
        Ok(staged.publish(position.segment))
    }

    fn log_batch(
        &self,
        tenant: &Tenant,
        batch: BatchId,
        staged: &Staged<'_>,
    ) -> Result<Position, norn_wal::AppendError> {
        let BatchId { distributor, incarnation, sequence } = batch;
        let name = BatchName { distributor, incarnation, sequence };
        let mut payload = self.payloads.lock().pop().unwrap_or_default();
        let outcome = loop {
            let segment = self.log.segment();
            payload.clear();
            staged.encode(segment, &mut payload);
            let record = Record { kind: RECORD_BATCH, tenant: tenant.id().as_str(), batch: name, payload: &payload };
            match self.log.append(&record, Some(segment)) {
                // Series that were defined in the last segment have to be defined again in this one.
                Err(norn_wal::AppendError::SegmentChanged { .. }) => {}
                outcome => break outcome,
            }
        };
        let mut payloads = self.payloads.lock();
        if payloads.len() < SPARE_PAYLOADS_MAX && payload.capacity() <= SPARE_PAYLOAD_BYTES_MAX {
            payloads.push(payload);
        }
        outcome
    }

    /// Notes in the log that a tenant is gone: its records up to here mean nothing.
    pub(super) fn write_tombstone(&self, tenant: &Tenant) -> io::Result<()> {
        let tenant = tenant.id().as_str();
        let record = Record { kind: RECORD_TENANT_GONE, tenant, batch: BatchName::default(), payload: &[] };
        self.log.append(&record, None).map(drop).map_err(io::Error::other)
    }
}
