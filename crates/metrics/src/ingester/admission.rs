//! What an ingester takes over all tenants, whatever each of them may send.
//!
//! The limits protect the process: they are checked before anything is decided about a request, and the runtime
//! configuration may replace them at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::{Error, Result};
use norn_config::metrics::IngesterInstanceLimits;
use norn_config::overrides::Overrides;
use norn_model::TenantId;
use norn_tsdb::database::Database;
use parking_lot::Mutex;

use super::errors;
use crate::distributor::rate::MovingRate;

/// What all write requests in flight take together.
pub(super) struct Gate {
    configured: IngesterInstanceLimits,
    overrides: Arc<Overrides>,
    clock: SharedClock,
    requests: AtomicU64,
    bytes: AtomicU64,
    rate: Mutex<MovingRate>,
}

impl Gate {
    pub(super) fn new(configured: IngesterInstanceLimits, overrides: Arc<Overrides>, clock: SharedClock) -> Self {
        // The original's window: a new second counts a fifth.
        let rate = Mutex::new(MovingRate::new(0.2, Duration::from_secs(1), clock.monotonic()));
        Self { configured, overrides, clock, requests: AtomicU64::new(0), bytes: AtomicU64::new(0), rate }
    }

    /// The limits that hold now.
    pub(super) fn limits(&self) -> IngesterInstanceLimits {
        let runtime = self.overrides.runtime();
        runtime.ingester_limits.as_ref().map_or_else(|| self.configured.clone(), |limits| limits.over(&self.configured))
    }

    /// Lets a request of so many bytes in, or says why not. It is over when the answer is dropped.
    pub(super) fn enter(self: &Arc<Self>, bytes: u64) -> Result<Admission> {
        let limits = self.limits();
        // Counted first: the guard takes it back on every way out.
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let all_bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let admission = Admission { gate: self.clone(), bytes };
        if limits.max_inflight_push_requests > 0 && requests > limits.max_inflight_push_requests {
            return Err(refused("max-inflight-push-requests", "the allowed number of inflight push requests"));
        }
        if limits.max_inflight_push_requests_bytes > 0 && all_bytes > limits.max_inflight_push_requests_bytes {
            let what = "the allowed total size in bytes of inflight push requests";
            return Err(refused("max-inflight-push-requests-bytes", what));
        }
        let rate_max = limits.max_ingestion_rate;
        if rate_max > 0.0 && self.rate.lock().per_second(self.clock.monotonic()) >= rate_max {
            return Err(refused("max-ingestion-rate", "the samples ingestion rate limit"));
        }
        Ok(admission)
    }

    /// Counts samples that were taken towards the process's rate.
    pub(super) fn count_samples(&self, count: u64) {
        self.rate.lock().add(count, self.clock.monotonic());
    }

    /// Refuses a tenant that would be one too many, and everything while there are too many series.
    pub(super) fn check_size(&self, database: &Database, tenant: &TenantId) -> Result<()> {
        let IngesterInstanceLimits { max_tenants, max_series, .. } = self.limits();
        if max_tenants > 0 && database.tenant_count() as u64 >= max_tenants && database.tenant(tenant).is_none() {
            return Err(refused("max-tenants", "the allowed number of tenants"));
        }
        if max_series > 0 && database.series_count() >= max_series {
            return Err(refused("max-series", "the allowed number of in-memory series"));
        }
        Ok(())
    }
}

fn refused(name: &str, what: &str) -> Error {
    errors::instance_limit(name, what, &format!("ingester.instance-limits.{name}"))
}

/// A write request in flight.
pub(super) struct Admission {
    gate: Arc<Gate>,
    bytes: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.gate.requests.fetch_sub(1, Ordering::Relaxed);
        self.gate.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use norn_base::clock::ManualClock;
    use norn_config::limits::Limits;

    use super::*;

    fn gate(change: impl FnOnce(&mut IngesterInstanceLimits)) -> (Arc<Gate>, Arc<ManualClock>) {
        let clock = ManualClock::at(0);
        let mut limits = IngesterInstanceLimits {
            max_ingestion_rate: 0.0,
            max_tenants: 0,
            max_series: 0,
            max_inflight_push_requests: 0,
            max_inflight_push_requests_bytes: 0,
        };
        change(&mut limits);
        (Arc::new(Gate::new(limits, Overrides::fixed(Limits::default()), clock.clone())), clock)
    }

    fn refusal(result: Result<Admission>) -> String {
        result.map(drop).unwrap_err().message().to_owned()
    }

    #[test]
    fn requests_in_flight_are_limited() {
        let (gate, _) = gate(|limits| limits.max_inflight_push_requests = 1);
        let first = gate.enter(1).unwrap();
        assert_eq!(
            refusal(gate.enter(1)),
            "the write request has been rejected because the ingester exceeded the allowed number of inflight push \
             requests (err-mimir-ingester-max-inflight-push-requests). To adjust the related limit, configure \
             -ingester.instance-limits.max-inflight-push-requests, or contact your service administrator."
        );
        drop(first);
        assert!(gate.enter(1).is_ok(), "a request that was refused is not in flight");
    }

    #[test]
    fn bytes_in_flight_are_limited() {
        let (gate, _) = gate(|limits| limits.max_inflight_push_requests_bytes = 10);
        let _first = gate.enter(6).unwrap();
        assert!(refusal(gate.enter(5)).contains("err-mimir-ingester-max-inflight-push-requests-bytes"));
        assert!(gate.enter(4).is_ok());
    }

    #[test]
    fn samples_per_second_are_limited() {
        let (gate, clock) = gate(|limits| limits.max_ingestion_rate = 10.0);
        gate.count_samples(11);
        assert!(gate.enter(1).is_ok(), "a rate is known after a second");
        clock.advance(Duration::from_secs(1));
        assert!(refusal(gate.enter(1)).contains("err-mimir-ingester-max-ingestion-rate"));
    }
}
