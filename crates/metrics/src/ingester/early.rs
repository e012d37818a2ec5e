//! Cutting heads early: a head with many series of which few still get samples is worth more as a block.
//!
//! Series that churned away stay in the head until it is cut, up to hours. Where memory is short the operator says from
//! how many series on, and how large the share is that has to go for the work to be worth it.

use std::sync::Arc;
use std::time::Duration;

use norn_config::limits::Limits;
use norn_tsdb::database::{CutReason, Database, Tenant};

use super::Ingester;

/// When a head is cut early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyCut {
    /// Series in memory from which on it is considered; 0: never.
    pub series_min: u64,
    /// The share of a head's series that has to go, in percent.
    pub reduction_percent_min: u64,
}

impl EarlyCut {
    fn of_tenant(limits: &Limits) -> Self {
        Self {
            series_min: limits.early_head_compaction_owned_series_threshold,
            reduction_percent_min: limits.early_head_compaction_min_estimated_series_reduction_percentage,
        }
    }

    /// Whether so many series are enough, and enough of a head's go away.
    fn is_worth_it(self, counted: u64, in_head: u64, active: u64) -> bool {
        let enough = self.series_min > 0 && counted >= self.series_min && in_head > 0;
        let freed = in_head.saturating_sub(active);
        enough && freed.saturating_mul(100) >= self.reduction_percent_min.saturating_mul(in_head)
    }
}

impl Ingester {
    /// Cuts the heads for which that is worth it, up to where no active series is touched.
    pub(super) async fn cut_early(&self) {
        let (process, overrides) = (self.settings.early_cut, self.overrides.clone());
        let (since_s, now_ms) = (self.active_since_s(), self.clock.now_ms());
        let until_ms = now_ms.saturating_sub(milliseconds(self.settings.active_idle_after));
        let cut = self.with_database(move |database| {
            let all_series = database.series_count();
            let mut blocks = 0;
            for id in database.tenants() {
                let Some(tenant) = database.tenant(&id) else { continue };
                let of_tenant = EarlyCut::of_tenant(&overrides.limits(&id));
                // Counting active series is a walk over all of them, so it comes last.
                let in_head = tenant.head().series_count();
                if !of_tenant.is_worth_it(in_head, in_head, 0) && !process.is_worth_it(all_series, in_head, 0) {
                    continue;
                }
                let active = tenant.head().count_series(&[], Some(since_s)) as u64;
                if of_tenant.is_worth_it(in_head, in_head, active) || process.is_worth_it(all_series, in_head, active) {
                    tracing::info!(tenant = %id, series = in_head, active, "head is cut early");
                    blocks += compact(database, &tenant, until_ms);
                }
            }
            blocks
        });
        match cut.await {
            Ok(blocks) => drop(self.metrics.blocks_cut.inc_by(blocks as u64)),
            Err(error) => tracing::error!(error = %error.chain(), "heads were not cut early"),
        }
    }
}

fn compact(database: &Database, tenant: &Arc<Tenant>, until_ms: i64) -> usize {
    match database.compact(tenant, CutReason::Early { until_ms }) {
        Ok(blocks) => blocks.len(),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(tenant = %tenant.id(), error, "failed to cut a head early");
            0
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_to_be_worth_it() {
        let check = |series_min, percent, counted, in_head, active, expected: bool| {
            let early = EarlyCut { series_min, reduction_percent_min: percent };
            assert_eq!(early.is_worth_it(counted, in_head, active), expected, "{early:?} {counted} {in_head} {active}");
        };
        check(0, 15, 1000, 1000, 0, false);
        check(100, 15, 99, 99, 0, false);
        check(100, 15, 100, 100, 85, true);
        check(100, 15, 100, 100, 86, false);
        check(100, 15, 500, 10, 2, true);
        check(100, 15, 500, 0, 0, false);
        check(100, 0, 100, 100, 100, true);
    }
}
