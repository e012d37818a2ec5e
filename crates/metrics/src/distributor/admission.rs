//! Who gets in: limits of the process and of the tenant that are checked before a body is read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::{Error, ErrorKind, Result};
use norn_config::metrics::DistributorInstanceLimits;
use parking_lot::Mutex;

use super::DistributorSettings;
use super::errors::InstanceLimit;
use super::metrics::DistributorMetrics;
use super::rate::MovingRate;

/// What all requests in flight take together.
#[derive(Debug)]
pub(super) struct Gate {
    clock: SharedClock,
    metrics: DistributorMetrics,
    // Replaced whenever the runtime configuration changes; each is read on its own.
    requests_max: AtomicU64,
    bytes_max: AtomicU64,
    /// The bits of an `f64`.
    rate_max: AtomicU64,
    running: AtomicBool,
    requests: AtomicU64,
    bytes: AtomicU64,
    rate: Mutex<MovingRate>,
}

impl Gate {
    pub(super) fn new(settings: &DistributorSettings, clock: SharedClock, metrics: DistributorMetrics) -> Self {
        // The original's window: a new second counts a fifth.
        let rate = MovingRate::new(0.2, Duration::from_secs(1), clock.monotonic());
        Self {
            clock,
            metrics,
            requests_max: AtomicU64::new(settings.inflight_requests_max),
            bytes_max: AtomicU64::new(settings.inflight_bytes_max),
            rate_max: AtomicU64::new(settings.ingestion_rate_max.to_bits()),
            running: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rate: Mutex::new(rate),
        }
    }

    /// Replaces the limits; requests that are in stay in.
    pub(super) fn set_limits(&self, limits: &DistributorInstanceLimits) {
        self.requests_max.store(limits.max_inflight_push_requests, Ordering::Relaxed);
        self.bytes_max.store(limits.max_inflight_push_requests_bytes, Ordering::Relaxed);
        self.rate_max.store(limits.max_ingestion_rate.to_bits(), Ordering::Relaxed);
    }

    /// Lets no request in any more.
    pub(super) fn close(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// Counts valid samples towards the process's rate.
    pub(super) fn count_samples(&self, count: u64) {
        self.rate.lock().add(count, self.clock.monotonic());
    }

    /// Lets a request in, or says why not.
    pub(super) fn enter(&self) -> Result<Admission<'_>> {
        if !self.running.load(Ordering::Relaxed) {
            let message = "distributor is unavailable (current state: Stopping)";
            return Err(Error::new(ErrorKind::Unavailable, message).with_http_status(500));
        }
        // Counted first: the guard takes it back on every way out.
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.inflight_requests.inc();
        let admission = Admission { gate: self, bytes: 0 };
        let requests_max = self.requests_max.load(Ordering::Relaxed);
        if requests_max > 0 && requests > requests_max {
            return Err(self.refuse(InstanceLimit::InflightRequests));
        }
        let rate_max = f64::from_bits(self.rate_max.load(Ordering::Relaxed));
        if rate_max > 0.0 && self.rate.lock().per_second(self.clock.monotonic()) >= rate_max {
            return Err(self.refuse(InstanceLimit::IngestionRate));
        }
        Ok(admission)
    }

    fn refuse(&self, limit: InstanceLimit) -> Error {
        self.metrics.count_rejected(limit.reason());
        limit.error()
    }
}

/// A request in flight. It is over when this is dropped.
#[derive(Debug)]
pub struct Admission<'g> {
    gate: &'g Gate,
    bytes: u64,
}

impl Admission<'_> {
    /// Counts the bytes of the request once they are known; fails where all requests together have too many.
    pub fn add_bytes(&mut self, bytes: u64) -> Result<()> {
        let gate = self.gate;
        self.bytes += bytes;
        let all = gate.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        gate.metrics.inflight_bytes.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        let bytes_max = gate.bytes_max.load(Ordering::Relaxed);
        if bytes_max > 0 && all > bytes_max {
            return Err(gate.refuse(InstanceLimit::InflightBytes));
        }
        Ok(())
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.gate.requests.fetch_sub(1, Ordering::Relaxed);
        self.gate.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.gate.metrics.inflight_requests.dec();
        self.gate.metrics.inflight_bytes.dec_by(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}
