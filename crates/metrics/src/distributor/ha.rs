//! Deduplication of highly available pairs: of several Prometheus servers that scrape the same targets, the samples
//! of one, the elected replica, are taken.
//!
//! Who is elected stands in an [`HaStore`] that all distributors share; each remembers what it read. A request is
//! judged from memory alone, unless its cluster is new. [`HaTracker::tick`] does the rest in the background: it
//! refreshes the time at which an elected replica was last seen, and elects another one when that time is too long
//! ago. So a request never waits for a fail-over, and one stray request cannot cause one.

/// Where elections are kept.
pub mod store;

/// The elections as metrics.
pub mod elected;

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_base::{Error, Result};
use norn_model::TenantId;
use parking_lot::Mutex;

use self::store::{HaKey, HaStore, ReplicaDesc};
use super::errors;
use super::rules::{HaRules, TenantRules};

/// How long an election that nobody refreshes is kept, and how long its mark of deletion after that.
const FORGET_AFTER_MS: i64 = 30 * 60 * 1000;

/// Decides whose samples are taken.
pub struct HaTracker {
    store: Arc<dyn HaStore>,
    clock: SharedClock,
    random: SharedRandom,
    clusters: Mutex<HashMap<HaKey, Cluster>>,
}

/// What this process knows of one pair.
#[derive(Debug, Clone)]
struct Cluster {
    desc: ReplicaDesc,
    elected_seen_ms: i64,
    // The last replica that was seen and is not the elected one.
    candidate: Option<Candidate>,
    jitter_ms: i64,
}

#[derive(Debug, Clone)]
struct Candidate {
    replica: String,
    seen_ms: i64,
    sample_ms: i64,
}

impl HaTracker {
    /// A tracker that knows nothing yet.
    pub fn new(store: Arc<dyn HaStore>, clock: SharedClock, random: SharedRandom) -> Self {
        Self { store, clock, random, clusters: Mutex::default() }
    }

    /// Whether a request from `replica` of `cluster` is taken. `sample_ms` is the time of its newest sample.
    ///
    /// Fails with status 202 where another replica is elected, with 400 where the tenant has too many clusters.
    pub async fn check(
        &self,
        tenant: &TenantId,
        rules: &HaRules,
        cluster: &str,
        replica: &str,
        sample_ms: i64,
    ) -> Result<()> {
        let key = HaKey { tenant: tenant.clone(), cluster: cluster.to_owned() };
        let now_ms = self.clock.now_ms();
        if let Some(verdict) = self.judge(&key, replica, now_ms, sample_ms) {
            return verdict;
        }
        if rules.clusters_max > 0 && self.cluster_count(tenant) >= rules.clusters_max {
            return Err(errors::too_many_ha_clusters(rules.clusters_max));
        }
        let claim = Claim { replica, now_ms, sample_ms };
        let desc = self.store.update(&key, &mut |current| claim.apply(current, rules)).await?;
        let jitter_ms = (self.random.next_f64() * rules.update_jitter_max.as_millis() as f64) as i64;
        let cluster = Cluster { desc, elected_seen_ms: now_ms, candidate: None, jitter_ms };
        self.clusters.lock().entry(key.clone()).or_insert(cluster);
        self.judge(&key, replica, now_ms, sample_ms).unwrap_or(Ok(()))
    }

    /// `None` where the cluster is not known.
    fn judge(&self, key: &HaKey, replica: &str, now_ms: i64, sample_ms: i64) -> Option<Result<()>> {
        let mut clusters = self.clusters.lock();
        let cluster = clusters.get_mut(key)?;
        if cluster.desc.replica == replica {
            cluster.elected_seen_ms = now_ms;
            return Some(Ok(()));
        }
        cluster.candidate = Some(Candidate { replica: replica.to_owned(), seen_ms: now_ms, sample_ms });
        Some(Err(errors::replicas_did_not_match(replica, &cluster.desc.replica)))
    }

    fn cluster_count(&self, tenant: &TenantId) -> u64 {
        self.clusters.lock().keys().filter(|key| key.tenant == *tenant).count() as u64
    }

    /// Refreshes elections, fails over, forgets. To be called about once a second; returns the first failure of the
    /// store, after it has tried all clusters.
    pub async fn tick(&self, tenants: &dyn TenantRules) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let known: Vec<(HaKey, Cluster)> =
            self.clusters.lock().iter().map(|(key, cluster)| (key.clone(), cluster.clone())).collect();
        let mut first_error: Option<Error> = None;
        for (key, cluster) in known {
            let rules = tenants.rules(&key.tenant);
            let rules = rules.ha.as_ref().cloned().unwrap_or_default();
            if let Err(error) = self.refresh(&key, &cluster, &rules, now_ms).await {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn refresh(&self, key: &HaKey, cluster: &Cluster, rules: &HaRules, now_ms: i64) -> Result<()> {
        let update_ms = millis(rules.update_timeout) + cluster.jitter_ms;
        if now_ms - cluster.desc.received_at_ms < update_ms {
            return Ok(());
        }
        let is_recent = |seen_ms: i64| now_ms - seen_ms <= update_ms;
        let candidate = cluster.candidate.as_ref().filter(|candidate| is_recent(candidate.seen_ms));
        let claim = if is_recent(cluster.elected_seen_ms) {
            Claim { replica: &cluster.desc.replica, now_ms: cluster.elected_seen_ms, sample_ms: now_ms }
        } else if let Some(candidate) = candidate {
            Claim { replica: &candidate.replica, now_ms, sample_ms: candidate.sample_ms }
        } else {
            return self.forget(key, now_ms).await;
        };
        let desc = self.store.update(key, &mut |current| claim.apply(current, rules)).await?;
        if let Some(cluster) = self.clusters.lock().get_mut(key) {
            if cluster.desc.replica != desc.replica {
                (cluster.elected_seen_ms, cluster.candidate) = (desc.received_at_ms, None);
            }
            cluster.desc = desc;
        }
        Ok(())
    }

    /// First marks an election that nobody refreshes, so that other distributors see why it went, then removes it.
    async fn forget(&self, key: &HaKey, now_ms: i64) -> Result<()> {
        let mut mark = |current: Option<&ReplicaDesc>| {
            let current = current?;
            let is_old = now_ms - current.received_at_ms >= FORGET_AFTER_MS && current.deleted_at_ms == 0;
            is_old.then(|| ReplicaDesc { deleted_at_ms: now_ms, ..current.clone() })
        };
        let desc = self.store.update(key, &mut mark).await?;
        if desc.deleted_at_ms > 0 {
            self.clusters.lock().remove(key);
            if now_ms - desc.deleted_at_ms >= FORGET_AFTER_MS {
                self.store.remove(key).await?;
            }
        }
        Ok(())
    }

    /// Removes the marks of elections that were forgotten long ago, also by other distributors. To be called every
    /// half hour or so.
    pub async fn clean(&self) -> Result<()> {
        let now_ms = self.clock.now_ms();
        for (key, desc) in self.store.list().await? {
            if desc.deleted_at_ms > 0 && now_ms - desc.deleted_at_ms >= FORGET_AFTER_MS {
                self.store.remove(&key).await?;
            }
        }
        Ok(())
    }

    /// All elections that this process knows: cluster and election, in no order.
    pub fn elections(&self) -> Vec<(HaKey, ReplicaDesc)> {
        self.clusters.lock().iter().map(|(key, cluster)| (key.clone(), cluster.desc.clone())).collect()
    }
}

/// A replica's wish to be elected, or to stay so.
struct Claim<'a> {
    replica: &'a str,
    now_ms: i64,
    sample_ms: i64,
}

impl Claim<'_> {
    /// What the store shall hold instead of `current`; `None` leaves it.
    fn apply(&self, current: Option<&ReplicaDesc>, rules: &HaRules) -> Option<ReplicaDesc> {
        let elected = |elected_changes| ReplicaDesc {
            replica: self.replica.to_owned(),
            received_at_ms: self.now_ms,
            elected_at_ms: self.now_ms,
            deleted_at_ms: 0,
            elected_changes,
        };
        let Some(current) = current.filter(|current| current.deleted_at_ms == 0) else {
            return Some(elected(0));
        };
        let silence_ms = self.now_ms - current.received_at_ms;
        if current.replica == self.replica {
            return (silence_ms > 0).then(|| ReplicaDesc { received_at_ms: self.now_ms, ..current.clone() });
        }
        let by_clock = silence_ms >= millis(rules.failover_timeout);
        let by_samples = rules.sample_failover_timeout.is_zero()
            || self.sample_ms - current.received_at_ms >= millis(rules.sample_failover_timeout);
        (by_clock && by_samples).then(|| elected(current.elected_changes + 1))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
