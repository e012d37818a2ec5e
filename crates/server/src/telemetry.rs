//! norn's own metrics: one registry, its text for scrapers, its samples for norn itself.
//!
//! Parts register their metrics at start and keep the handles; on hot paths they keep the handle of one label set,
//! because finding it takes a lock and a hash. Names are those that existing dashboards read; a counter is registered
//! without `_total`, which the exposition adds.

mod exposition;
mod observe;
mod process;
mod request_log;
mod requests;
mod resources;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use self::exposition::OwnSample;
pub use self::observe::RequestObserver;
pub use self::process::ProcessCollector;
pub use self::request_log::{RequestLog, SourceAddresses};
pub use self::requests::RequestMetrics;
pub use self::resources::ResourceCollector;

/// Buckets of request durations, in seconds, as the dashboards expect them.
pub const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// All metrics of a process; clones share them.
#[derive(Clone, Default)]
pub struct MetricsRegistry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    names: HashSet<String>,
}

impl Debug for MetricsRegistry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MetricsRegistry").field("names", &self.inner.lock().names.len()).finish()
    }
}

impl MetricsRegistry {
    /// Registers a metric under a name that no other has.
    ///
    /// Panics where the name is taken: two parts that share a name must share the handle, else scrapers refuse the
    /// whole answer.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let mut inner = self.inner.lock();
        assert!(inner.names.insert(name.to_owned()), "metric {name} is registered twice");
        // The library adds a full stop of its own.
        inner.registry.register(name, help.trim_end_matches('.'), metric);
    }

    /// Lets a part register families of its own. Their names are not checked against others.
    pub fn with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.inner.lock().registry)
    }

    /// Registers what is measured at each scrape instead of kept.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.inner.lock().registry.register_collector(collector);
    }

    /// A counter without labels; `name` without `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.registered(name, help, Counter::default())
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(name, help, Gauge::default())
    }

    /// A histogram without labels.
    pub fn histogram(&self, name: &str, help: &str, buckets: &'static [f64]) -> Histogram {
        self.registered(name, help, Histogram::new(buckets.iter().copied()))
    }

    /// Counters by their labels; `name` without `_total`.
    pub fn counters<L: Labelled>(&self, name: &str, help: &str) -> Family<L, Counter> {
        self.registered(name, help, Family::default())
    }

    /// Gauges by their labels.
    pub fn gauges<L: Labelled>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.registered(name, help, Family::default())
    }

    /// Histograms by their labels.
    pub fn histograms<L: Labelled>(&self, name: &str, help: &str, buckets: &'static [f64]) -> Histograms<L> {
        self.registered(name, help, Family::new_with_constructor(Buckets(buckets)))
    }

    fn registered<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.register(name, help, metric.clone());
        metric
    }

    /// All metrics in the OpenMetrics text format, or only those whose exported names (`…_total` for counters) are in
    /// `names`, unless that is empty.
    pub fn openmetrics(&self, names: &[String]) -> String {
        exposition::openmetrics(&self.encode(), names)
    }

    /// The same in the text format of Prometheus, version 0.0.4.
    pub fn prometheus_text(&self, names: &[String]) -> String {
        exposition::prometheus_text(&self.encode(), names)
    }

    /// The current value of every series, as a scraper would store it: with `__name__`, and histograms as their
    /// `_bucket`, `_sum` and `_count`.
    pub fn samples(&self) -> Vec<OwnSample> {
        exposition::samples(&self.encode())
    }

    fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.inner.lock().registry)
            .expect("writing to a string does not fail");
        text
    }

    /// Answers a scrape: `GET /metrics?name[]=…`, in OpenMetrics where the scraper accepts it.
    pub fn respond(&self, headers: &HeaderMap, names: &[String]) -> Response {
        let accept = headers.get(header::ACCEPT).map_or(&b""[..], |value| value.as_bytes());
        if String::from_utf8_lossy(accept).contains("application/openmetrics-text") {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            return ([(header::CONTENT_TYPE, content_type)], self.openmetrics(names)).into_response();
        }
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        ([(header::CONTENT_TYPE, content_type)], self.prometheus_text(names)).into_response()
    }
}

/// What the label set of a family has to be; any type that derives these is one.
pub trait Labelled: EncodeLabelSet + Clone + Eq + Hash + Debug + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + Eq + Hash + Debug + Send + Sync + 'static> Labelled for L {}

/// A family of histograms with the same buckets.
pub type Histograms<L> = Family<L, Histogram, Buckets>;

/// Makes histograms with these upper bounds, which ascend; `+Inf` is added.
#[derive(Debug, Clone, Copy)]
pub struct Buckets(pub &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests;
