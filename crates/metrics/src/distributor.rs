//! The way in: from a request's bytes to one batch for the ingesters.
//!
//! In order: limits that need no body ([`Distributor::admit`]); deduplication of highly available pairs; then in one
//! pass over the body, series by series: relabelling, sorting, validation, encoding into a [`WriteBatch`]; then the
//! tenant's rate; then the push. One bad series does not sink its request: the rest is stored, and the first error is
//! the answer.
//!
//! The pass runs over every label of every sample. It borrows label strings from the body, checks them where they
//! lie and copies them once, to where the ingester reads them. Nothing is allocated for a series; batches are used
//! again. Rejected: decoding the whole request into structs first, which cost two allocations a label and a second
//! pass over memory that had left the cache.

/// Where accepted batches go.
pub mod client;

/// A tenant's limits as the distributor needs them.
pub mod rules;

/// Why something was not stored.
pub mod discards;

/// The metrics.
pub mod metrics;

/// Deduplication of highly available pairs.
pub mod ha;

/// The HTTP API.
pub mod http;

/// The gRPC service for OTLP.
pub mod grpc;

/// The HTTP API for Influx line protocol.
pub mod influx;

/// Pages for operators.
pub mod pages;

mod admission;
mod blake2b;
mod dedupe;
pub(crate) mod errors;
mod exemplars;
mod intake;
mod md5;
pub(crate) mod names;
mod oversize;
pub(crate) mod rate;
mod relabel;
mod samples;
mod source;
mod tenants;
mod validation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_base::{Error, Result};
use norn_config::metrics::DistributorInstanceLimits;
use norn_model::TenantId;
use norn_model::write::{BatchId, WriteBatch};
use norn_rpc::otlp::MetricsRequest;
use norn_rpc::remote_write::v1;
use parking_lot::Mutex;

pub use self::admission::Admission;
pub use self::intake::Tally;
pub use self::source::Version;
pub use self::tenants::TenantStats;

use self::client::WriteClient;
use self::discards::{Discards, Reason};
use self::ha::HaTracker;
use self::intake::{Intake, IntakeContext};
use self::metrics::DistributorMetrics;
use self::rules::{TenantRules, WriteRules};
pub(crate) use self::source::Source;

use self::source::Body;
use self::tenants::{TenantState, Tenants};
use self::validation::LabelCheck;
use crate::otlp::translate::{self, Translated};

/// Batches that wait to be used again. More would only be held for a burst that is over.
const POOLED_BATCHES_MAX: usize = 16;

/// A batch of more series or samples is not used again, so that giants do not hold their memory for ever: what waits
/// is a few megabytes, at 300 bytes a series.
const POOLED_SERIES_MAX: usize = 5_000;
const POOLED_SAMPLES_MAX: usize = 50_000;

/// What the operator decides about the whole process. Zero is "no limit".
#[derive(Debug, Clone, PartialEq)]
pub struct DistributorSettings {
    /// Tells this process from other distributors, in the ids of batches.
    pub instance_id: u64,
    /// How many ingesters keep each sample.
    pub replication_factor: usize,
    /// Write requests in flight.
    pub inflight_requests_max: u64,
    /// Bytes of the write requests in flight.
    pub inflight_bytes_max: u64,
    /// Samples per second, over all tenants.
    pub ingestion_rate_max: f64,
    /// Whether tenants may have their pairs deduplicated.
    pub ha_enabled: bool,
}

impl Default for DistributorSettings {
    fn default() -> Self {
        Self {
            instance_id: 0,
            replication_factor: 1,
            inflight_requests_max: 2000,
            inflight_bytes_max: 0,
            ingestion_rate_max: 0.0,
            ha_enabled: false,
        }
    }
}

/// What a client asks for beside its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushOptions {
    /// The request may switch off the validation of names, and has to say so itself too.
    pub may_skip_label_names: bool,
    /// The request may switch off the limit on the number of labels, and has to say so itself too.
    pub may_skip_label_count: bool,
    /// The samples were made by a rule.
    pub by_rule: bool,
}

/// What became of a request.
#[derive(Debug)]
pub struct PushOutcome {
    /// What arrived, also if none of it was stored.
    pub received: Tally,
    /// The first thing that was wrong. The rest was stored, if [`Error::rest_accepted`] says so.
    pub result: Result<()>,
    /// Whether the error is about samples that the ingesters refused, all others being stored.
    pub refused_by_ingester: bool,
}

impl PushOutcome {
    fn failed(received: Tally, error: Error) -> Self {
        Self { received, result: Err(error), refused_by_ingester: false }
    }
}

/// Takes write requests. One per process.
pub struct Distributor {
    settings: DistributorSettings,
    rules: Arc<dyn TenantRules>,
    clock: SharedClock,
    client: Arc<dyn WriteClient>,
    metrics: DistributorMetrics,
    ha: HaTracker,
    gate: admission::Gate,
    tenants: Tenants,
    incarnation: u64,
    next_sequence: AtomicU64,
    healthy_distributors: AtomicU64,
    pool: Mutex<Vec<WriteBatch>>,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    RemoteWrite(Version),
    Otlp,
    Influx,
    Internal,
}

impl Distributor {
    /// A distributor that sends to `client`. Elections of pairs are kept in `ha_store`.
    pub fn new(
        settings: DistributorSettings,
        rules: Arc<dyn TenantRules>,
        clock: SharedClock,
        random: SharedRandom,
        ha_store: Arc<dyn ha::store::HaStore>,
        client: Arc<dyn WriteClient>,
        metrics: DistributorMetrics,
    ) -> Self {
        metrics.show_settings(&settings);
        Self {
            gate: admission::Gate::new(&settings, clock.clone(), metrics.clone()),
            ha: HaTracker::new(ha_store, clock.clone(), random.clone()),
            incarnation: random.next_u64(),
            settings,
            rules,
            clock,
            client,
            metrics,
            tenants: Tenants::default(),
            next_sequence: AtomicU64::new(0),
            healthy_distributors: AtomicU64::new(1),
            pool: Mutex::default(),
        }
    }

    /// Lets a request of a tenant in, before its body is read, or says why not. The answer is held until the request
    /// is over.
    pub fn admit(&self, tenant: &TenantId) -> Result<Admission<'_>> {
        let admission = self.gate.enter()?;
        let (rules, state) = self.tenant(tenant);
        if !state.allow_request(&rules, self.distributors(), self.clock.monotonic()) {
            state.metrics.count_discarded_request(Reason::RateLimited.as_str());
            return Err(errors::request_rate(rules.request_rate, rules.request_burst));
        }
        Ok(admission)
    }

    /// Takes a decompressed remote write request.
    pub async fn push_remote_write(
        &self,
        tenant: &TenantId,
        version: Version,
        decompressed: &[u8],
        options: PushOptions,
    ) -> PushOutcome {
        let mut options = options;
        if options.may_skip_label_names || options.may_skip_label_count {
            match v1::decode_flags(decompressed) {
                Ok(flags) => {
                    options.may_skip_label_names &= flags.skip_label_validation;
                    options.may_skip_label_count &= flags.skip_label_count_validation;
                }
                Err(error) => return PushOutcome::failed(Tally::default(), Error::bad_request(error.to_string())),
            }
        }
        let body = Body { version, bytes: decompressed };
        self.push(tenant, &body, Protocol::RemoteWrite(version), options).await
    }

    /// Takes a decoded OTLP request. What cannot be translated is an error beside what was stored.
    pub async fn push_otlp(&self, tenant: &TenantId, request: &MetricsRequest<'_>) -> PushOutcome {
        let (rules, state) = self.tenant(tenant);
        let Translated { series, first_error, dropped_points } = translate::translate(request, &rules.otlp);
        let mut discards = Discards::default();
        discards.samples.add(Reason::OtlpParseError, dropped_points);
        state.metrics.count_discards(&discards);
        let mut outcome = self.push(tenant, &series, Protocol::Otlp, PushOptions::default()).await;
        if let (Ok(()), Some(message)) = (&outcome.result, first_error) {
            let error = Error::bad_request(format!("otlp parse error: {message}"));
            outcome.result = Err(error.with_id(translate::PARSE_ERROR_ID).with_rest_accepted());
        }
        outcome
    }

    /// Takes parsed lines of Influx' protocol.
    async fn push_influx(&self, tenant: &TenantId, lines: &influx::Lines) -> PushOutcome {
        self.push(tenant, lines, Protocol::Influx, PushOptions::default()).await
    }

    /// Takes a batch that norn made itself: its own metrics, results of rules.
    pub async fn push_batch(&self, tenant: &TenantId, batch: &WriteBatch, options: PushOptions) -> PushOutcome {
        self.push(tenant, batch, Protocol::Internal, options).await
    }

    /// Replaces what this process takes over all tenants; the runtime configuration may do so at any time.
    pub fn set_instance_limits(&self, limits: &DistributorInstanceLimits) {
        self.gate.set_limits(limits);
        self.metrics.show_limits(limits);
    }

    /// Says how many distributors share the tenants' rates.
    pub fn set_healthy_distributors(&self, count: u64) {
        self.healthy_distributors.store(count.max(1), Ordering::Relaxed);
    }

    /// Does what has to be done about once a second.
    pub async fn tick(&self) -> Result<()> {
        self.ha.tick(&*self.rules).await
    }

    /// Does what has to be done about every half hour.
    pub async fn clean(&self) -> Result<()> {
        self.ha.clean().await
    }

    /// Lets no further request in.
    pub fn stop(&self) {
        self.gate.close();
    }

    /// The elections of highly available pairs.
    pub fn ha_tracker(&self) -> &HaTracker {
        &self.ha
    }

    /// What each tenant sent to this distributor, in no order.
    pub fn tenant_stats(&self) -> Vec<(TenantId, TenantStats)> {
        self.tenants.stats(self.clock.monotonic())
    }

    fn tenant(&self, tenant: &TenantId) -> (Arc<WriteRules>, Arc<TenantState>) {
        let rules = self.rules.rules(tenant);
        let state = self.tenants.get(tenant, &rules, &self.metrics, self.clock.monotonic());
        (rules, state)
    }

    fn distributors(&self) -> u64 {
        self.healthy_distributors.load(Ordering::Relaxed)
    }

    async fn push(
        &self,
        tenant: &TenantId,
        source: &(impl Source + Sync),
        protocol: Protocol,
        options: PushOptions,
    ) -> PushOutcome {
        let (rules, state) = self.tenant(tenant);
        count_request(&state, protocol);
        let mut strip_label = None;
        if let Some(ha) = rules.ha.as_ref().filter(|_| self.settings.ha_enabled && protocol != Protocol::Internal) {
            match self.deduplicate(tenant, source, ha, &state).await {
                Ok(is_pair) => strip_label = is_pair.then_some(ha.replica_label.as_str()),
                Err(outcome) => return outcome,
            }
        }
        let check = LabelCheck {
            rules: &rules,
            skip_names: options.may_skip_label_names,
            skip_count: options.may_skip_label_count,
            is_otlp: protocol == Protocol::Otlp,
        };
        let context = IntakeContext { tenant, check, strip_label, now_ms: self.clock.now_ms() };
        let mut intake = Intake::new(context, self.pool.lock().pop().unwrap_or_default());
        if let Err(error) = source.show(&mut intake) {
            self.recycle(intake.batch);
            return PushOutcome::failed(Tally::default(), Error::bad_request(error.to_string()));
        }
        intake.finish();
        count_received(&state, intake.received);
        state.metrics.count_discards(&intake.discards);
        if let Err(error) = self.limit_rate(&intake, &rules, &state, options) {
            let received = intake.received;
            self.recycle(intake.batch);
            return PushOutcome::failed(received, error);
        }
        let Intake { batch, received, first_error, .. } = intake;
        self.send(tenant, batch, received, first_error).await
    }

    /// Holds what is valid against the tenant's rate, and counts it.
    fn limit_rate(
        &self,
        intake: &Intake<'_>,
        rules: &WriteRules,
        state: &TenantState,
        options: PushOptions,
    ) -> Result<()> {
        let accepted = intake.accepted();
        let now = self.clock.monotonic();
        let distributors = self.distributors();
        if accepted.items() == 0 {
            return Ok(());
        }
        if !state.allow_items(accepted.items(), rules, distributors, now) {
            let mut discards = Discards::default();
            discards.samples.add(Reason::RateLimited, accepted.all_samples());
            discards.exemplars.add(Reason::RateLimited, accepted.exemplars);
            discards.metadata.add(Reason::RateLimited, accepted.metadata);
            state.metrics.count_discards(&discards);
            let burst = tenants::item_burst(rules, distributors);
            return Err(errors::ingestion_rate(rules.ingestion_rate, burst, accepted.items()));
        }
        self.gate.count_samples(accepted.all_samples());
        state.count_samples(accepted.all_samples(), options.by_rule, now);
        let metrics = &state.metrics;
        metrics.received_requests.inc();
        metrics.received_samples.inc_by(accepted.all_samples());
        metrics.received_exemplars.inc_by(accepted.exemplars);
        metrics.received_metadata.inc_by(accepted.metadata);
        if let Some(newest_ms) = intake.newest_ms() {
            let seconds = newest_ms as f64 / 1000.0;
            if seconds > metrics.latest_seen_seconds.get() {
                metrics.latest_seen_seconds.set(seconds);
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        tenant: &TenantId,
        mut batch: WriteBatch,
        received: Tally,
        first_error: Option<Error>,
    ) -> PushOutcome {
        if batch.is_empty() {
            self.recycle(batch);
            return PushOutcome { received, result: first_error.map_or(Ok(()), Err), refused_by_ingester: false };
        }
        batch.id = BatchId {
            distributor: self.settings.instance_id,
            incarnation: self.incarnation,
            sequence: self.next_sequence.fetch_add(1, Ordering::Relaxed),
        };
        let batch = Arc::new(batch);
        let pushed = self.client.push(tenant, batch.clone()).await;
        if let Ok(batch) = Arc::try_unwrap(batch) {
            self.recycle(batch);
        }
        let refused_by_ingester = pushed.as_ref().is_err_and(Error::rest_accepted);
        let result = pushed.and_then(|()| first_error.map_or(Ok(()), |error| Err(error.with_rest_accepted())));
        PushOutcome { received, result, refused_by_ingester }
    }

    fn recycle(&self, mut batch: WriteBatch) {
        if batch.len() > POOLED_SERIES_MAX || batch.samples().len() > POOLED_SAMPLES_MAX {
            return;
        }
        batch.clear();
        let mut pool = self.pool.lock();
        if pool.len() < POOLED_BATCHES_MAX {
            pool.push(batch);
        }
    }
}

fn count_request(state: &TenantState, protocol: Protocol) {
    let version = match protocol {
        Protocol::RemoteWrite(Version::V1) => 0,
        Protocol::RemoteWrite(Version::V2) => 1,
        Protocol::Otlp => 2,
        Protocol::Influx => 3,
        Protocol::Internal => return,
    };
    state.metrics.requests_in[version].inc();
}

fn count_received(state: &TenantState, received: Tally) {
    state.metrics.samples_in.inc_by(received.all_samples());
    state.metrics.exemplars_in.inc_by(received.exemplars);
    state.metrics.metadata_in.inc_by(received.metadata);
}

#[cfg(test)]
mod tests;
