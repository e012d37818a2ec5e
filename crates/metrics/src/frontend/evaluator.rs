//! Evaluates queries: waits for a turn, then computes on the pool within the memory that the query may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use norn_base::Result;
use norn_base::clock::SharedClock;
use norn_base::memory::MemoryBudget;
use norn_base::pool::ComputePool;
use norn_promql::evaluate::{QueryContext, evaluate};
use norn_promql::plan::Query;
use norn_promql::value::QueryResult;
use norn_query::queue::TenantQueues;

use crate::querier::{Querier, ReadScope};

/// What a query reads and how much memory it may take.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// What it reads.
    pub scope: ReadScope,
    /// How much memory it may take, in bytes; `u64::MAX` is no limit of its own.
    pub memory_bytes: u64,
}

/// Evaluates queries over what a querier finds.
pub struct Evaluator {
    querier: Querier,
    pool: ComputePool,
    queues: TenantQueues,
    memory: Arc<MemoryBudget>,
    clock: SharedClock,
    timeout: Duration,
}

impl Evaluator {
    /// An evaluator. `memory` is the budget of all queries together, `timeout` how long one may take.
    pub fn new(
        querier: Querier,
        pool: ComputePool,
        queues: TenantQueues,
        memory: Arc<MemoryBudget>,
        clock: SharedClock,
        timeout: Duration,
    ) -> Self {
        Self { querier, pool, queues, memory, clock, timeout }
    }

    /// Finds series.
    pub fn querier(&self) -> &Querier {
        &self.querier
    }

    /// Evaluates a query. Dropping the future stops the computation.
    pub async fn evaluate(&self, query: Query, allowance: &Allowance) -> Result<QueryResult> {
        let _turn = self.queues.turn(&allowance.scope.tenants.joined()).await?;
        let canceled = CancelOnDrop::default();
        let store = self.querier.store_for(allowance.scope.clone());
        let context = QueryContext {
            budget: self.memory.child("query", allowance.memory_bytes),
            canceled: canceled.flag.clone(),
            clock: self.clock.clone(),
            deadline: Some(self.clock.monotonic() + self.timeout),
        };
        self.pool.run(async move { evaluate(&query, store, context).await }).await?
    }
}

/// Tells the computation that nobody waits for it any more.
#[derive(Debug, Default)]
struct CancelOnDrop {
    flag: Arc<AtomicBool>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}
