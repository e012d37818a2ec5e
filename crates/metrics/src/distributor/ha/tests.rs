use norn_base::clock::ManualClock;
use norn_base::random::SeededRandom;

use super::store::MemoryHaStore;
use super::*;
use crate::distributor::rules::WriteRules;

/// A tracker, its clock, and rules without jitter.
struct Setup {
    clock: Arc<ManualClock>,
    store: Arc<MemoryHaStore>,
    tracker: HaTracker,
    rules: WriteRules,
}

impl TenantRules for WriteRules {
    fn rules(&self, _tenant: &TenantId) -> Arc<WriteRules> {
        Arc::new(self.clone())
    }
}

impl Setup {
    fn new(change: impl FnOnce(&mut HaRules)) -> Self {
        let clock = ManualClock::at(1_000_000_000);
        let store = Arc::new(MemoryHaStore::default());
        let tracker = HaTracker::new(store.clone(), clock.clone(), SeededRandom::shared(1));
        let mut ha = HaRules { update_jitter_max: Duration::ZERO, ..HaRules::default() };
        change(&mut ha);
        Self { clock, store, tracker, rules: WriteRules { ha: Some(ha), ..WriteRules::default() } }
    }

    /// What the tracker says, in short: `"ok"`, or the message's end.
    async fn check(&self, cluster: &str, replica: &str) -> String {
        let rules = self.rules.ha.clone().unwrap();
        let now_ms = norn_base::clock::Clock::now_ms(&*self.clock);
        let tenant = TenantId::anonymous();
        match self.tracker.check(&tenant, &rules, cluster, replica, now_ms).await {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{} {}", error.http_status(), error.message().rsplit("sample: ").next().unwrap()),
        }
    }

    async fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.tracker.tick(&self.rules).await.unwrap();
    }

    async fn stored(&self) -> Vec<(String, i64)> {
        let list = self.store.list().await.unwrap();
        list.into_iter().map(|(_, desc)| (desc.replica, desc.elected_changes)).collect()
    }
}

#[tokio::test]
async fn the_first_replica_is_elected_and_others_are_refused() {
    let setup = Setup::new(|_| {});
    assert_eq!(setup.check("c", "a").await, "ok");
    assert_eq!(setup.check("c", "b").await, "202 replica=b, elected=a");
    assert_eq!(setup.check("c", "a").await, "ok");
    assert_eq!(setup.check("d", "b").await, "ok");
}

#[tokio::test]
async fn another_replica_takes_over_after_the_failover_timeout() {
    let setup = Setup::new(|_| {});
    setup.check("c", "a").await;
    for _ in 0..5 {
        setup.pass(5).await;
        assert_eq!(setup.check("c", "b").await, "202 replica=b, elected=a");
    }
    setup.pass(5).await;
    assert_eq!(setup.check("c", "b").await, "ok");
    assert_eq!(setup.check("c", "a").await, "202 replica=a, elected=b");
    assert_eq!(setup.stored().await, [("b".to_owned(), 1)]);
}

#[tokio::test]
async fn a_replica_that_is_seen_stays_elected() {
    let setup = Setup::new(|_| {});
    for _ in 0..20 {
        assert_eq!(setup.check("c", "a").await, "ok");
        assert_eq!(setup.check("c", "b").await, "202 replica=b, elected=a");
        setup.pass(10).await;
    }
    assert_eq!(setup.stored().await, [("a".to_owned(), 0)]);
}

#[tokio::test]
async fn old_samples_do_not_cause_a_failover() {
    let setup = Setup::new(|rules| rules.sample_failover_timeout = Duration::from_secs(30));
    let rules = setup.rules.ha.clone().unwrap();
    setup.check("c", "a").await;
    for _ in 0..10 {
        let _ = setup.tracker.check(&TenantId::anonymous(), &rules, "c", "b", 1_000_000_000).await;
        setup.pass(10).await;
    }
    assert_eq!(setup.stored().await, [("a".to_owned(), 0)]);
}

#[tokio::test]
async fn clusters_are_limited() {
    let setup = Setup::new(|rules| rules.clusters_max = 1);
    assert_eq!(setup.check("c", "a").await, "ok");
    assert!(setup.check("d", "a").await.starts_with("400 the write request has been rejected"));
    assert_eq!(setup.check("c", "a").await, "ok");
}

#[tokio::test]
async fn elections_that_nobody_refreshes_are_forgotten() {
    let setup = Setup::new(|rules| rules.clusters_max = 1);
    setup.check("c", "a").await;
    setup.pass(31 * 60).await;
    assert_eq!(setup.stored().await.len(), 1);
    assert_eq!(setup.check("d", "a").await, "ok");
    setup.check("d", "a").await;
    setup.clock.advance(Duration::from_secs(31 * 60));
    setup.tracker.clean().await.unwrap();
    assert_eq!(setup.tracker.elections().len(), 1);
    assert_eq!(setup.stored().await.len(), 1);
}

#[tokio::test]
async fn a_second_distributor_knows_the_first_ones_election() {
    let setup = Setup::new(|_| {});
    setup.check("c", "a").await;
    let rules = setup.rules.ha.clone().unwrap();
    let other = HaTracker::new(setup.store.clone(), setup.clock.clone(), SeededRandom::shared(2));
    let verdict = other.check(&TenantId::anonymous(), &rules, "c", "b", 0).await;
    assert_eq!(verdict.unwrap_err().http_status(), 202);
}
