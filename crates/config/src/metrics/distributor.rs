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
        /// When rejected clients are told to come back.
        pub retry_after_header: RetryAfterHeader,
        /// Dropping the samples of all but one of a highly available pair.
        pub ha_tracker: HaTrackerConfig,
        /// What one distributor takes, over all tenants.
        pub instance_limits: DistributorInstanceLimits,
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
