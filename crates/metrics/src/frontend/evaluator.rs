//! Evaluates queries: waits for a turn, then computes on the pool within the memory that the query may take.
//!
//! A query may be computed by several cores, each over a share of the series, where its operations allow that. It has
//! one turn, one budget and one deadline all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::memory::{MemoryBudget, Reservation};
use norn_base::pool::ComputePool;
use norn_base::{Error, Result};
use norn_model::select::SeriesStore;
use norn_promql::evaluate::{QueryContext, evaluate};
use norn_promql::partial::{Fragment, evaluate_fragment, merge};
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
    /// By how many cores it may be computed; below 2 by one.
    pub shards: u32,
}

/// The result of an evaluation and how it came about.
#[derive(Debug)]
pub struct Evaluated {
    /// The result.
    pub result: QueryResult,
    /// How long it waited for its turn.
    pub queued: Duration,
    /// By how many cores it was computed; 0 where it was not divided.
    pub shards: usize,
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

    /// Draws what an answer takes until it is sent from the budget of all queries. What is held is given back on drop.
    pub fn hold_answer(&self, bytes: u64) -> Result<Reservation> {
        let mut held = self.memory.reservation();
        held.grow(bytes).map_err(|refusal| {
            let text = format!("no memory for the query's answer: {refusal}. Ask for fewer series, or for fewer steps");
            Error::unavailable(text).with_source(refusal)
        })?;
        Ok(held)
    }

    /// Evaluates a query. Dropping the future stops the computation.
    pub async fn evaluate(&self, query: Query, allowance: &Allowance) -> Result<Evaluated> {
        let arrived = self.clock.monotonic();
        let _turn = self.queues.turn(&allowance.scope.tenants.joined()).await?;
        let queued = self.clock.monotonic().saturating_sub(arrived);
        let canceled = CancelOnDrop::default();
        let store = self.querier.store_for(allowance.scope.clone());
        let context = QueryContext {
            budget: self.memory.child("query", allowance.memory_bytes),
            canceled: canceled.flag.clone(),
            clock: self.clock.clone(),
            deadline: Some(self.clock.monotonic() + self.timeout),
        };
        let cores = u32::try_from(self.pool.state().threads).unwrap_or(u32::MAX);
        match query.fragments(allowance.shards.min(cores)) {
            Some(fragments) => {
                let shards = fragments.len();
                let result = self.evaluate_shards(query, fragments, store, context).await?;
                Ok(Evaluated { result, queued, shards })
            }
            None => {
                let result = self.pool.run(async move { evaluate(&query, store, context).await }).await??;
                Ok(Evaluated { result, queued, shards: 0 })
            }
        }
    }

    async fn evaluate_shards(
        &self,
        query: Query,
        fragments: Vec<Fragment>,
        store: Arc<dyn SeriesStore>,
        context: QueryContext,
    ) -> Result<QueryResult> {
        let compute = |fragment| {
            let (store, context) = (store.clone(), context.clone());
            self.pool.run(async move { evaluate_fragment(fragment, store, context).await })
        };
        // All are on their way before the first is waited for; those that are left when one fails are dropped.
        let computations: Vec<_> = fragments.into_iter().map(compute).collect();
        let mut partials = Vec::with_capacity(computations.len());
        for computation in computations {
            partials.push(computation.await??);
        }
        self.pool.run(async move { merge(&query, partials, context).await }).await?
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
