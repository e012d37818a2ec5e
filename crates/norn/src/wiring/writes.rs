//! The way in: the distributor before the ingester.

use std::sync::Arc;

use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_config::load::Loaded;
use norn_config::overrides::Overrides;
use norn_metrics::distributor::client::WriteClient;
use norn_metrics::distributor::ha::store::MemoryHaStore;
use norn_metrics::distributor::metrics::DistributorMetrics;
use norn_metrics::distributor::rules::{ReloadedRules, TenantRules};
use norn_metrics::distributor::{Distributor, DistributorSettings};
use norn_metrics::ingester::Ingester;
use norn_model::TenantId;
use norn_server::telemetry::MetricsRegistry;

/// The distributor, which sends to the ingester of this process.
pub(super) fn distributor(
    loaded: &Loaded,
    overrides: &Arc<Overrides>,
    ingester: Arc<Ingester>,
    clock: &SharedClock,
    random: &SharedRandom,
    registry: &MetricsRegistry,
) -> Arc<Distributor> {
    let config = &loaded.metrics.distributor;
    let settings = DistributorSettings {
        instance_id: random.next_u64(),
        replication_factor: 1,
        inflight_requests_max: config.instance_limits.max_inflight_push_requests,
        inflight_bytes_max: config.instance_limits.max_inflight_push_requests_bytes,
        ingestion_rate_max: config.instance_limits.max_ingestion_rate,
        ha_enabled: config.ha_tracker.enable_ha_tracker,
    };
    let limits = overrides.clone();
    let rules: Arc<dyn TenantRules> = Arc::new(ReloadedRules::new(move |tenant: &TenantId| limits.limits(tenant)));
    let client: Arc<dyn WriteClient> = Arc::new(ingester);
    let metrics = registry.with(DistributorMetrics::register);
    let ha_store = Arc::new(MemoryHaStore::default());
    Arc::new(Distributor::new(settings, rules, clock.clone(), random.clone(), ha_store, client, metrics))
}
