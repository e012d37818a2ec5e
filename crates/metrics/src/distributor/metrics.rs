//! The distributor's metrics, under the names that existing dashboards read.

use std::sync::atomic::AtomicU64;

use norn_config::metrics::DistributorInstanceLimits;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::discards::{Counts, Discards};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct User {
    user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UserVersion {
    user: String,
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UserCluster {
    user: String,
    cluster: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Discarded {
    reason: &'static str,
    user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DiscardedSample {
    group: String,
    reason: &'static str,
    user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Rejected {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: LimitName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
enum LimitName {
    max_inflight_push_requests,
    max_inflight_push_requests_bytes,
    max_ingestion_rate,
}

/// All families of the distributor. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct DistributorMetrics {
    requests_in: Family<UserVersion, Counter>,
    samples_in: Family<User, Counter>,
    exemplars_in: Family<User, Counter>,
    metadata_in: Family<User, Counter>,
    received_requests: Family<User, Counter>,
    received_samples: Family<User, Counter>,
    received_exemplars: Family<User, Counter>,
    received_metadata: Family<User, Counter>,
    latest_seen_seconds: Family<User, Gauge<f64, AtomicU64>>,
    non_ha_samples: Family<User, Counter>,
    deduped_samples: Family<UserCluster, Counter>,
    discarded_samples: Family<DiscardedSample, Counter>,
    discarded_exemplars: Family<Discarded, Counter>,
    discarded_metadata: Family<Discarded, Counter>,
    discarded_requests: Family<Discarded, Counter>,
    pub(super) rejected_requests: Family<Rejected, Counter>,
    pub(super) inflight_requests: Gauge,
    pub(super) inflight_bytes: Gauge,
    replication_factor: Gauge,
    instance_limits: Family<Limit, Gauge<f64, AtomicU64>>,
}

impl DistributorMetrics {
    /// Families whose values `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register_received(registry);
        metrics.register_refused(registry);
        metrics.register_process(registry);
        metrics
    }

    fn register_received(&self, registry: &mut Registry) {
        let distributor = registry.sub_registry_with_prefix("cortex_distributor");
        distributor.register("requests_in", "Write requests that arrived.", self.requests_in.clone());
        distributor.register("samples_in", "Samples that arrived.", self.samples_in.clone());
        distributor.register("exemplars_in", "Exemplars that arrived.", self.exemplars_in.clone());
        distributor.register("metadata_in", "Metadata that arrived.", self.metadata_in.clone());
        distributor.register(
            "received_requests",
            "Write requests that passed deduplication and rate limits.",
            self.received_requests.clone(),
        );
        distributor.register("received_samples", "Samples that were valid.", self.received_samples.clone());
        distributor.register("received_exemplars", "Exemplars that were valid.", self.received_exemplars.clone());
        distributor.register("received_metadata", "Metadata that was valid.", self.received_metadata.clone());
        distributor.register(
            "latest_seen_sample_timestamp_seconds",
            "Timestamp of the newest sample of a tenant.",
            self.latest_seen_seconds.clone(),
        );
    }

    fn register_refused(&self, registry: &mut Registry) {
        registry.register("cortex_discarded_samples", "Samples that were not stored.", self.discarded_samples.clone());
        registry.register(
            "cortex_discarded_exemplars",
            "Exemplars that were not stored.",
            self.discarded_exemplars.clone(),
        );
        registry.register(
            "cortex_discarded_metadata",
            "Metadata that was not stored.",
            self.discarded_metadata.clone(),
        );
        registry.register(
            "cortex_discarded_requests",
            "Write requests that were not stored.",
            self.discarded_requests.clone(),
        );
        let distributor = registry.sub_registry_with_prefix("cortex_distributor");
        distributor.register(
            "deduped_samples",
            "Samples of replicas that are not elected.",
            self.deduped_samples.clone(),
        );
        distributor.register(
            "non_ha_samples_received",
            "Samples without the labels of a highly available pair, of tenants that have such pairs.",
            self.non_ha_samples.clone(),
        );
        distributor.register(
            "instance_rejected_requests",
            "Write requests that were refused because this process does enough already.",
            self.rejected_requests.clone(),
        );
    }

    fn register_process(&self, registry: &mut Registry) {
        let distributor = registry.sub_registry_with_prefix("cortex_distributor");
        distributor.register("inflight_push_requests", "Write requests in flight.", self.inflight_requests.clone());
        distributor.register(
            "inflight_push_requests_bytes",
            "Bytes of the write requests in flight.",
            self.inflight_bytes.clone(),
        );
        distributor.register(
            "replication_factor",
            "How many ingesters keep each sample.",
            self.replication_factor.clone(),
        );
        distributor.register(
            "instance_limits",
            "What this process takes over all tenants.",
            self.instance_limits.clone(),
        );
    }

    /// Shows the settings that dashboards compare with.
    pub(super) fn show_settings(&self, settings: &super::DistributorSettings) {
        self.replication_factor.set(i64::try_from(settings.replication_factor).unwrap_or(i64::MAX));
        self.show_limits(&DistributorInstanceLimits {
            max_ingestion_rate: settings.ingestion_rate_max,
            max_inflight_push_requests: settings.inflight_requests_max,
            max_inflight_push_requests_bytes: settings.inflight_bytes_max,
        });
    }

    /// Shows what this process takes over all tenants, now.
    pub(super) fn show_limits(&self, limits: &DistributorInstanceLimits) {
        let limits = [
            (LimitName::max_inflight_push_requests, limits.max_inflight_push_requests as f64),
            (LimitName::max_inflight_push_requests_bytes, limits.max_inflight_push_requests_bytes as f64),
            (LimitName::max_ingestion_rate, limits.max_ingestion_rate),
        ];
        for (limit, value) in limits {
            self.instance_limits.get_or_create(&Limit { limit }).set(value);
        }
    }
}

/// One tenant's metrics, found once: a family takes a lock and compares labels.
#[derive(Debug)]
pub(super) struct TenantMetrics {
    user: String,
    all: DistributorMetrics,
    pub(super) requests_in: [Counter; 4],
    pub(super) samples_in: Counter,
    pub(super) exemplars_in: Counter,
    pub(super) metadata_in: Counter,
    pub(super) received_requests: Counter,
    pub(super) received_samples: Counter,
    pub(super) received_exemplars: Counter,
    pub(super) received_metadata: Counter,
    pub(super) latest_seen_seconds: Gauge<f64, AtomicU64>,
    pub(super) non_ha_samples: Counter,
}

/// How the protocols are called in `cortex_distributor_requests_in_total`.
pub(super) const VERSIONS: [&str; 4] = ["1.0", "2.0", "otlp", "influx"];

impl TenantMetrics {
    pub(super) fn new(all: &DistributorMetrics, user: &str) -> Self {
        let labels = User { user: user.to_owned() };
        let version = |version| {
            let labels = UserVersion { user: user.to_owned(), version };
            all.requests_in.get_or_create_owned(&labels)
        };
        Self {
            user: user.to_owned(),
            requests_in: VERSIONS.map(version),
            samples_in: all.samples_in.get_or_create_owned(&labels),
            exemplars_in: all.exemplars_in.get_or_create_owned(&labels),
            metadata_in: all.metadata_in.get_or_create_owned(&labels),
            received_requests: all.received_requests.get_or_create_owned(&labels),
            received_samples: all.received_samples.get_or_create_owned(&labels),
            received_exemplars: all.received_exemplars.get_or_create_owned(&labels),
            received_metadata: all.received_metadata.get_or_create_owned(&labels),
            latest_seen_seconds: all.latest_seen_seconds.get_or_create_owned(&labels),
            non_ha_samples: all.non_ha_samples.get_or_create_owned(&labels),
            all: all.clone(),
        }
    }

    /// Counts what a request lost.
    pub(super) fn count_discards(&self, discards: &Discards) {
        for (reason, count) in discards.samples.iter() {
            let (group, reason) = (String::new(), reason.as_str());
            let labels = DiscardedSample { group, reason, user: self.user.clone() };
            self.all.discarded_samples.get_or_create(&labels).inc_by(count);
        }
        let count_all = |counts: &Counts, family: &Family<Discarded, Counter>| {
            for (reason, count) in counts.iter() {
                family.get_or_create(&self.discarded(reason.as_str())).inc_by(count);
            }
        };
        count_all(&discards.exemplars, &self.all.discarded_exemplars);
        count_all(&discards.metadata, &self.all.discarded_metadata);
    }

    /// Counts a request that was refused as a whole.
    pub(super) fn count_discarded_request(&self, reason: &'static str) {
        self.all.discarded_requests.get_or_create(&self.discarded(reason)).inc();
    }

    /// Counts samples of a replica that is not elected.
    pub(super) fn count_deduped(&self, cluster: &str, samples: u64) {
        let labels = UserCluster { user: self.user.clone(), cluster: cluster.to_owned() };
        self.all.deduped_samples.get_or_create(&labels).inc_by(samples);
    }

    fn discarded(&self, reason: &'static str) -> Discarded {
        Discarded { reason, user: self.user.clone() }
    }
}

impl DistributorMetrics {
    /// Counts a request that the process refused.
    pub(super) fn count_rejected(&self, reason: &'static str) {
        self.rejected_requests.get_or_create(&Rejected { reason }).inc();
    }
}
