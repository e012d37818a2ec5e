//! How many series are active: got a sample not long ago. Counted for each tenant, and apart for the selectors that
//! tenants name.

use std::collections::BTreeMap;

use norn_config::limits::Limits;
use norn_model::{Matcher, TenantId};
use norn_promql::parser::{ParseOptions, parse_metric_selector};
use norn_server::telemetry::MetricsRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::Ingester;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UserLabel {
    user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrackerLabels {
    user: String,
    name: String,
}

/// The counts as metrics.
#[derive(Debug, Clone)]
pub(super) struct ActiveMetrics {
    series: Family<UserLabel, Gauge>,
    tracked: Family<TrackerLabels, Gauge>,
}

impl ActiveMetrics {
    pub(super) fn register(registry: &MetricsRegistry) -> Self {
        Self {
            series: registry.gauges("cortex_ingester_active_series", "Series that got a sample not long ago."),
            tracked: registry.gauges(
                "cortex_ingester_active_series_custom_tracker",
                "Series that got a sample not long ago and match a selector that the tenant names.",
            ),
        }
    }
}

/// What was counted of one tenant.
struct Counted {
    tenant: TenantId,
    series: usize,
    tracked: Vec<(String, usize)>,
}

impl Ingester {
    /// Counts the active series of all tenants anew. Cost: a walk over all series, on a thread that may block.
    pub(super) async fn count_active(&self) {
        let (since_s, overrides) = (self.active_since_s(), self.overrides.clone());
        let counted = self.with_database(move |database| {
            let tenants = database.tenants().into_iter().filter_map(|id| database.tenant(&id));
            let count = tenants.map(|tenant| {
                let count = |matchers: &[Matcher]| tenant.head().count_series(matchers, Some(since_s));
                let trackers = trackers(tenant.id(), &overrides.limits(tenant.id()));
                let tracked = trackers.into_iter().map(|(name, matchers)| (name, count(&matchers)));
                Counted { tenant: tenant.id().clone(), series: count(&[]), tracked: tracked.collect() }
            });
            count.collect::<Vec<_>>()
        });
        let Ok(counted) = counted.await else { return };
        // Tenants and trackers come and go; what is not counted any more must not stay.
        let ActiveMetrics { series, tracked } = &self.metrics.active;
        series.clear();
        tracked.clear();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for Counted { tenant, series: all, tracked: by_tracker } in counted {
            series.get_or_create(&UserLabel { user: tenant.to_string() }).set(number(all));
            for (name, count) in by_tracker {
                tracked.get_or_create(&TrackerLabels { user: tenant.to_string(), name }).set(number(count));
            }
        }
    }
}

/// The selectors of a tenant by their names: the further ones, as many as are allowed, over the others.
fn trackers(tenant: &TenantId, limits: &Limits) -> BTreeMap<String, Vec<Matcher>> {
    let most = match limits.max_active_series_additional_custom_trackers {
        0 => usize::MAX,
        most => most,
    };
    let further = limits.active_series_additional_custom_trackers.iter().take(most);
    let mut parsed = BTreeMap::new();
    for (name, selector) in limits.active_series_custom_trackers.iter().chain(further) {
        match parse_metric_selector(selector, &ParseOptions::all()) {
            Ok(matchers) => drop(parsed.insert(name.clone(), matchers)),
            Err(error) => {
                tracing::warn!(%tenant, name, selector, %error, "a tracker of active series is no selector");
            }
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_trackers_win_and_are_limited() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, selector)| ((*name).to_owned(), (*selector).to_owned())).collect()
        };
        let mut limits = Limits {
            active_series_custom_trackers: map(&[("a", "{team=\"a\"}"), ("bad", "sum(x)")]),
            active_series_additional_custom_trackers: map(&[("a", "{team=\"z\"}"), ("c", "{team=\"c\"}")]),
            ..Limits::default()
        };
        let check = |limits: &Limits, expected: &[(&str, &str)]| {
            let found = trackers(&TenantId::anonymous(), limits);
            let found: Vec<_> = found.iter().map(|(name, matchers)| (name.as_str(), matchers[0].value())).collect();
            assert_eq!(found, expected);
        };
        check(&limits, &[("a", "z"), ("c", "c")]);
        limits.max_active_series_additional_custom_trackers = 1;
        check(&limits, &[("a", "z")]);
    }
}
