//! What a distributor keeps of each tenant between requests: its buckets, its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use norn_model::TenantId;
use parking_lot::{Mutex, RwLock};

use super::metrics::{DistributorMetrics, TenantMetrics};
use super::rate::{MovingRate, TokenBucket};
use super::rules::WriteRules;

/// The weight and the interval of the rates that are shown to users.
const SHOWN_RATE: (f64, Duration) = (0.2, Duration::from_secs(15));

/// All tenants that have written since the start.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    states: RwLock<HashMap<TenantId, Arc<TenantState>>>,
}

impl Tenants {
    /// The state of a tenant, perhaps a new one.
    pub(super) fn get(
        &self,
        tenant: &TenantId,
        rules: &WriteRules,
        metrics: &DistributorMetrics,
        now: Duration,
    ) -> Arc<TenantState> {
        if let Some(state) = self.states.read().get(tenant) {
            return state.clone();
        }
        let create = || Arc::new(TenantState::new(tenant, rules, metrics, now));
        self.states.write().entry(tenant.clone()).or_insert_with(create).clone()
    }

    /// What all tenants sent, in no order.
    pub(super) fn stats(&self, now: Duration) -> Vec<(TenantId, TenantStats)> {
        self.states.read().iter().map(|(tenant, state)| (tenant.clone(), state.stats(now))).collect()
    }
}

/// What a distributor keeps of one tenant.
#[derive(Debug)]
pub(super) struct TenantState {
    pub(super) metrics: TenantMetrics,
    requests: Mutex<TokenBucket>,
    items: Mutex<TokenBucket>,
    api_rate: Mutex<MovingRate>,
    rule_rate: Mutex<MovingRate>,
    samples: AtomicU64,
}

/// What a tenant has sent to this distributor.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TenantStats {
    /// Valid samples since the start.
    pub samples: u64,
    /// Valid samples per second that clients sent, averaged over a minute or so.
    pub api_samples_per_second: f64,
    /// Valid samples per second that rules made, averaged likewise.
    pub rule_samples_per_second: f64,
}

impl TenantState {
    fn new(tenant: &TenantId, rules: &WriteRules, metrics: &DistributorMetrics, now: Duration) -> Self {
        let (weight, interval) = SHOWN_RATE;
        let rate = || Mutex::new(MovingRate::new(weight, interval, now));
        Self {
            metrics: TenantMetrics::new(metrics, tenant.as_str()),
            requests: Mutex::new(TokenBucket::new(0.0, rules.request_burst, now)),
            items: Mutex::new(TokenBucket::new(0.0, item_burst(rules, 1), now)),
            api_rate: rate(),
            rule_rate: rate(),
            samples: AtomicU64::new(0),
        }
    }

    /// Whether the tenant may send another request now. `distributors` share its rate.
    pub(super) fn allow_request(&self, rules: &WriteRules, distributors: u64, now: Duration) -> bool {
        if rules.request_rate <= 0.0 {
            return true;
        }
        let mut bucket = self.requests.lock();
        bucket.set_limits(rules.request_rate / distributors as f64, rules.request_burst, now);
        bucket.allow(1, now)
    }

    /// Whether the tenant may send so many samples, exemplars and metadata now.
    pub(super) fn allow_items(&self, count: u64, rules: &WriteRules, distributors: u64, now: Duration) -> bool {
        let mut bucket = self.items.lock();
        bucket.set_limits(rules.ingestion_rate / distributors as f64, item_burst(rules, distributors), now);
        bucket.allow(count, now)
    }

    /// Counts valid samples.
    pub(super) fn count_samples(&self, count: u64, by_rule: bool, now: Duration) {
        self.samples.fetch_add(count, Ordering::Relaxed);
        let rate = if by_rule { &self.rule_rate } else { &self.api_rate };
        rate.lock().add(count, now);
    }

    fn stats(&self, now: Duration) -> TenantStats {
        TenantStats {
            samples: self.samples.load(Ordering::Relaxed),
            api_samples_per_second: self.api_rate.lock().per_second(now),
            rule_samples_per_second: self.rule_rate.lock().per_second(now),
        }
    }
}

/// The burst of samples, exemplars and metadata at one of `distributors`.
pub(super) fn item_burst(rules: &WriteRules, distributors: u64) -> u64 {
    if rules.ingestion_burst_factor > 0.0 {
        (rules.ingestion_burst_factor * rules.ingestion_rate / distributors as f64) as u64
    } else {
        rules.ingestion_burst
    }
}
