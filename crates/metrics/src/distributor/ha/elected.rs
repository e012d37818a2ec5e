//! The elected replicas as metrics: a series for each pair, which is why the operator has to ask for them.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::distributor::Distributor;

/// Shows the elected replica of each pair that a distributor knows.
pub struct ElectedReplicas {
    distributor: Arc<Distributor>,
}

impl ElectedReplicas {
    /// To be registered where the metrics are.
    pub fn new(distributor: Arc<Distributor>) -> Self {
        Self { distributor }
    }
}

impl std::fmt::Debug for ElectedReplicas {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ElectedReplicas").finish_non_exhaustive()
    }
}

impl Collector for ElectedReplicas {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let elections = self.distributor.ha_tracker().elections();
        if elections.is_empty() {
            return Ok(());
        }
        let help = "The elected replica of each pair of highly available senders";
        let name = "cortex_ha_tracker_elected_replica_status";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (key, replica) in elections {
            let labels = [
                ("user", key.tenant.as_str()),
                ("cluster", key.cluster.as_str()),
                ("replica", replica.replica.as_str()),
            ];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
