//! The ingester.

use std::time::Duration;

use super::distributor::ReactiveLimiter;
use crate::section::section;

section! {
    /// The ingester.
    pub struct IngesterConfig {
        /// Its place in the ring.
        pub ring: IngesterRing,
        /// How long metadata that no request names is kept.
        pub metadata_retain_period: Duration,
        /// Over which time the rate of samples is averaged.
        pub rate_update_period: Duration,
        /// Whether active series are counted.
        pub active_series_metrics_enabled: bool,
        /// How often the count of active series is updated.
        pub active_series_metrics_update_period: Duration,
        /// After which silence a series is not active any more.
        pub active_series_metrics_idle_timeout: Duration,
        /// How often heads take over changed limits of their tenants.
        pub tsdb_config_update_period: Duration,
        /// What one ingester takes, over all tenants.
        pub instance_limits: IngesterInstanceLimits,
        /// Metric names that the limit on series per metric does not hold for.
        pub ignore_series_limit_for_metric_names: Vec<String>,
        /// CPU cores in use above which reads are refused.
        pub read_path_cpu_utilization_limit: f64,
        /// Bytes of memory in use above which reads are refused.
        pub read_path_memory_utilization_limit: u64,
        /// One of how many equal soft errors is logged; 0 logs all.
        pub error_sample_rate: u64,
        /// Whether the gRPC call that takes samples is served.
        pub push_grpc_method_enabled: bool,
        /// Refuses writes when too many of them fail or are slow.
        pub push_circuit_breaker: CircuitBreaker,
        /// Refuses reads when too many of them fail or are slow.
        pub read_circuit_breaker: CircuitBreaker,
        /// The limiter of writes in flight that follows the latency.
        pub push_reactive_limiter: ReactiveLimiter,
        /// The limiter of reads in flight that follows the latency.
        pub read_reactive_limiter: ReactiveLimiter,
    }
}

section! {
    /// An ingester's place in the ring.
    pub struct IngesterRing {
        /// The name of this ingester.
        pub instance_id: String,
        /// The address that other processes reach it by; empty is that of an interface.
        pub instance_addr: String,
        /// The port that other processes reach it by; 0 is that of the gRPC listener.
        pub instance_port: u16,
        /// Its zone; empty without zone awareness.
        pub instance_availability_zone: String,
        /// How many ingesters take each series.
        pub replication_factor: usize,
        /// How many tokens it has.
        pub num_tokens: usize,
        /// How long it has to be well before it is ready.
        pub min_ready_duration: Duration,
        /// How long it stays after it has left the ring.
        pub final_sleep: Duration,
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

section! {
    /// Refuses requests for a while when too many of them fail or are slow.
    pub struct CircuitBreaker {
        /// Whether it refuses.
        pub enabled: bool,
        /// The share of failures that opens it, in percent.
        pub failure_threshold_percentage: u32,
        /// Below how many requests of a period it stays closed.
        pub failure_execution_threshold: u32,
        /// The period over which requests are counted.
        pub thresholding_period: Duration,
        /// How long it stays open.
        pub cooldown_period: Duration,
        /// How long after the start it does not count.
        pub initial_delay: Duration,
        /// From which time on a request counts as failed.
        pub request_timeout: Duration,
    }
}
