//! How a request meets the deduplication of highly available pairs: its first series speaks for all of it.

use std::ops::ControlFlow;

use norn_base::Error;
use norn_model::TenantId;
use norn_rpc::remote_write::{DecodedMetadata, DecodedSeries, WriteVisitor};

use super::discards::{Discards, Reason};
use super::intake::{Counter, Tally};
use super::rules::HaRules;
use super::source::Source;
use super::tenants::TenantState;
use super::{Distributor, PushOutcome, count_received};

impl Distributor {
    /// Whether the request belongs to a highly available pair whose replica label has to go; or how it ends.
    pub(super) async fn deduplicate(
        &self,
        tenant: &TenantId,
        source: &(impl Source + Sync),
        ha: &HaRules,
        state: &TenantState,
    ) -> Result<bool, PushOutcome> {
        let decode_error = |error| PushOutcome::failed(Tally::default(), Error::bad_request(format!("{error}")));
        let (cluster, replica, sample_ms) = {
            let mut first = FirstSeries { ha, found: None };
            source.show(&mut first).map_err(decode_error)?;
            first.found.unwrap_or_default()
        };
        if cluster.is_empty() || replica.is_empty() {
            let mut counter = Counter::default();
            source.show(&mut counter).map_err(decode_error)?;
            state.metrics.non_ha_samples.inc_by(counter.tally.all_samples());
            return Ok(false);
        }
        let verdict = self.ha.check(tenant, ha, &cluster, &replica, sample_ms).await;
        let Err(error) = verdict else { return Ok(true) };
        let mut counter = Counter::default();
        source.show(&mut counter).map_err(decode_error)?;
        count_received(state, counter.tally);
        if error.http_status() == 202 {
            state.metrics.count_deduped(&cluster, counter.tally.all_samples());
        } else {
            let mut discards = Discards::default();
            discards.samples.add(Reason::TooManyHaClusters, counter.tally.all_samples());
            state.metrics.count_discards(&discards);
        }
        Err(PushOutcome::failed(counter.tally, error))
    }
}

/// Reads cluster, replica and newest sample of a request's first series, which speaks for all.
struct FirstSeries<'r> {
    ha: &'r HaRules,
    found: Option<(String, String, i64)>,
}

impl<'a> WriteVisitor<'a> for FirstSeries<'_> {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        let value = |name: &str| {
            let label = series.labels.iter().find(|label| label.0 == name);
            label.map_or_else(String::new, |label| label.1.to_owned())
        };
        let times = series.samples.iter().map(|sample| sample.timestamp_ms);
        let times = times.chain(series.histograms.iter().map(|sample| sample.timestamp_ms));
        let newest_ms = times.max().unwrap_or(0);
        self.found = Some((value(&self.ha.cluster_label), value(&self.ha.replica_label), newest_ms));
        ControlFlow::Break(())
    }

    fn metadata(&mut self, _metadata: DecodedMetadata<'a>) {}
}
