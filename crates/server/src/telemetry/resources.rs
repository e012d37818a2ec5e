//! What this process gives to whom: memory budgets and the pool for computing, read at each scrape.

use std::sync::Arc;

use norn_base::memory::MemoryBudget;
use norn_base::pool::ComputePool;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reports `norn_memory_*` by the owner of a budget, and `norn_compute_*`.
#[derive(Debug)]
pub struct ResourceCollector {
    /// Budgets whose owners have different names.
    pub budgets: Vec<Arc<MemoryBudget>>,
    /// The pool.
    pub pool: ComputePool,
}

/// What a gauge of a budget shows.
type BudgetValue = fn(&MemoryBudget) -> u64;

impl Collector for ResourceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauges: [(&str, &str, BudgetValue); 3] = [
            ("norn_memory_used_bytes", "Bytes that are drawn from a memory budget", MemoryBudget::used_bytes),
            ("norn_memory_peak_bytes", "The most bytes that were ever drawn from it", MemoryBudget::peak_bytes),
            ("norn_memory_limit_bytes", "Bytes that may be drawn from it", MemoryBudget::limit_bytes),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for budget in &self.budgets {
                let gauge = ConstGauge::new(value(budget) as f64);
                gauge.encode(family.encode_family(&[("owner", budget.owner())])?)?;
            }
        }
        let help = "Requests for memory that a budget refused";
        let mut refused = encoder.encode_descriptor("norn_memory_refused", help, None, MetricType::Counter)?;
        for budget in &self.budgets {
            let counter = ConstCounter::new(budget.refused());
            counter.encode(refused.encode_family(&[("owner", budget.owner())])?)?;
        }
        self.encode_pool(encoder)
    }
}

impl ResourceCollector {
    fn encode_pool(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let state = self.pool.state();
        let gauges = [
            ("norn_compute_threads", "Threads for computing", state.threads),
            ("norn_compute_running_tasks", "Computations that a thread works on", state.running),
            ("norn_compute_queued_tasks", "Computations that wait for a thread", state.queued),
            ("norn_compute_tasks", "Computations under way, whether they run, wait or need bytes", state.alive),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value as f64);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let counters = [
            (
                "norn_compute_refused_tasks",
                "Computations that were refused because too many were under way",
                state.refused,
            ),
            ("norn_compute_panicked_tasks", "Computations that ended by a panic", state.panicked),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
