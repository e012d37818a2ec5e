//! The ingester.

use std::time::Duration;

use crate::section::section;

section! {
    /// The ingester.
    pub struct IngesterConfig {
        /// Its place in the ring.
        pub ring: IngesterRing,
        /// How long metadata that no request names is kept.
        pub metadata_retain_period: Duration,
        /// Whether active series are counted.
        pub active_series_metrics_enabled: bool,
        /// How often the count of active series is updated.
        pub active_series_metrics_update_period: Duration,
        /// After which silence a series is not active any more.
        pub active_series_metrics_idle_timeout: Duration,
        /// What one ingester takes, over all tenants.
        pub instance_limits: IngesterInstanceLimits,
        /// Metric names that the limit on series per metric does not hold for.
        pub ignore_series_limit_for_metric_names: Vec<String>,
        /// One of how many equal soft errors is logged; 0 logs all.
        pub error_sample_rate: u64,
    }
}

section! {
    /// An ingester's place in the ring.
    pub struct IngesterRing {
        /// The name of this ingester.
        pub instance_id: String,
        /// How long it has to be well before it is ready.
        pub min_ready_duration: Duration,
    }
}

section! {
    /// What one ingester takes, over all tenants.
    pub struct IngesterInstanceLimits {
        /// Samples per second.
        pub max_ingestion_rate: f64,
        /// Tenants in memory.
        pub max_tenants: u64,
        /// Series in memory.
        pub max_series: u64,
        /// Write requests in flight.
        pub max_inflight_push_requests: u64,
        /// Bytes of the write requests in flight.
        pub max_inflight_push_requests_bytes: u64,
    }
}
