//! The distributor.

use std::time::Duration;

use crate::section::section;

section! {
    /// The distributor.
    pub struct DistributorConfig {
        /// Largest remote write request after decompression, in bytes.
        pub max_recv_msg_size: u64,
        /// Largest OTLP request after decompression, in bytes.
        pub max_otlp_request_size: u64,
        /// Largest Influx request after decompression, in bytes.
        pub max_influx_request_size: u64,
        /// Whether the Influx endpoint is served.
        pub influx_endpoint_enabled: bool,
        /// How long a write to the ingesters may take.
        pub remote_timeout: Duration,
        /// When rejected clients are told to come back.
        pub retry_after_header: RetryAfterHeader,
        /// Dropping the samples of all but one of a highly available pair.
        pub ha_tracker: HaTrackerConfig,
        /// What one distributor takes, over all tenants.
        pub instance_limits: DistributorInstanceLimits,
        /// The limiter of requests in flight that follows the latency.
        pub reactive_limiter: ReactiveLimiter,
    }
}

section! {
    /// When rejected clients are told to come back: a time that doubles with their attempts, from `min` to `max`.
    pub struct RetryAfterHeader {
        /// Whether the header is sent.
        pub enabled: bool,
        /// The first time; at least a second.
        pub min_backoff: Duration,
        /// The longest time.
        pub max_backoff: Duration,
    }
}

section! {
    /// Dropping the samples of all but one of a highly available pair.
    pub struct HaTrackerConfig {
        /// Whether any tenant may have it.
        pub enable_ha_tracker: bool,
        /// Whether the elected replicas are shown as metrics.
        pub enable_elected_replica_metric: bool,
    }
}

section! {
    /// What one distributor takes, over all tenants.
    pub struct DistributorInstanceLimits {
        /// Samples per second.
        pub max_ingestion_rate: f64,
        /// Write requests in flight.
        pub max_inflight_push_requests: u64,
        /// Bytes of the write requests in flight.
        pub max_inflight_push_requests_bytes: u64,
    }
}

section! {
    /// A limiter of requests in flight that follows the latency.
    pub struct ReactiveLimiter {
        /// Whether it limits.
        pub enabled: bool,
        /// The least limit.
        pub min_limit: usize,
        /// The largest limit.
        pub max_limit: usize,
        /// The limit at the start.
        pub initial_limit: usize,
        /// How far the limit may be above the requests in flight, as a factor.
        pub max_limit_factor: f64,
        /// How that factor decays with more requests in flight, logarithmically.
        pub max_limit_factor_decay: f64,
        /// The least time over which recent latency is sampled.
        pub recent_window_min_duration: Duration,
        /// The longest time over which recent latency is sampled.
        pub recent_window_max_duration: Duration,
        /// The least number of samples of recent latency.
        pub recent_window_min_samples: usize,
        /// The quantile of recent latency that counts, in `0.0..=1.0`.
        pub recent_quantile: f64,
        /// How many recent windows the baseline remembers.
        pub baseline_window_age: usize,
        /// How many windows the correlation of latency and load looks at.
        pub correlation_window: usize,
        /// From how many times the limit on requests may be rejected.
        pub initial_rejection_factor: f64,
        /// From how many times the limit on all requests are rejected.
        pub max_rejection_factor: f64,
    }
}
