//! norn watches itself: its own metrics become samples of the tenant that all requests belong to.

use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_metrics::distributor::{Distributor, PushOptions};
use norn_metrics::own;
use norn_model::TenantId;
use norn_server::telemetry::MetricsRegistry;

/// How often.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// Stores the current value of every metric.
pub(crate) async fn store(
    registry: &MetricsRegistry,
    distributor: &Distributor,
    tenant: &TenantId,
    instance: &str,
    clock: &SharedClock,
) {
    let batch = own::batch_of(&registry.samples(), instance, clock.now_ms());
    let outcome = distributor.push_batch(tenant, &batch, PushOptions::default()).await;
    if let Err(error) = outcome.result {
        tracing::warn!(error = %error.chain(), "own metrics were not stored");
    }
}
