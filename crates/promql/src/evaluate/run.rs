//! What all operators of one evaluation share: the store, what was noticed, what it costs and when it has to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use norn_base::clock::SharedClock;
use norn_base::memory::{BudgetExceeded, MemoryBudget, Reservation};
use norn_base::{Error, ErrorKind, Result};
use norn_model::select::{SeriesStore, Shard};

use super::column::Steps;
use super::table::Table;
use crate::annotations::Annotations;
use crate::plan::EngineOptions;
use crate::value::QueryStats;

/// What a caller grants a query.
#[derive(Debug, Clone)]
pub struct QueryContext {
    /// The query's own budget; what it holds is drawn from it and given back at the end.
    pub budget: Arc<MemoryBudget>,
    /// Set by the caller to end the query early.
    pub canceled: Arc<AtomicBool>,
    /// The time on `clock` ([`norn_base::clock::Clock::monotonic`]) after which the query ends with an error, the next
    /// time it computes: one that waits for its sources is its caller's to drop.
    pub deadline: Option<Duration>,
    /// Reads the time.
    pub clock: SharedClock,
}

/// Between two looks at deadline and cancellation: points computed, each some nanoseconds.
const WORK_BETWEEN_CHECKS: u64 = 200_000;

/// A year of seconds; a column of so many floats takes 256 MiB.
const STEPS_MAX: usize = 1 << 25;

fn too_many_samples() -> Error {
    Error::new(ErrorKind::Unprocessable, "query processing would load too many samples into memory in query execution")
}

/// The state of one evaluation, handed to each operator in turn.
pub(crate) struct Run<'a> {
    pub(crate) options: &'a EngineOptions,
    pub(crate) store: &'a Arc<dyn SeriesStore>,
    pub(crate) context: &'a QueryContext,
    /// Only series of this shard are selected.
    pub(crate) shard: Option<Shard>,
    /// Results of parts that were evaluated elsewhere.
    pub(crate) parts: &'a [Table],
    /// Results of vectors that occur more than once, by their number and steps.
    pub(crate) shared: HashMap<(usize, Steps), Arc<Table>>,
    pub(crate) annotations: Annotations,
    pub(crate) stats: QueryStats,
    samples_held: Arc<SamplesHeld>,
    work: u64,
    checks: u64,
}

#[derive(Debug, Default)]
struct SamplesHeld {
    now: AtomicU64,
    peak: AtomicU64,
}

/// Samples and bytes that an operator holds; given back on drop.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Reservation,
    samples: u64,
    samples_held: Arc<SamplesHeld>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.samples_held.now.fetch_sub(self.samples, Ordering::Relaxed);
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        options: &'a EngineOptions,
        store: &'a Arc<dyn SeriesStore>,
        context: &'a QueryContext,
        shard: Option<Shard>,
        parts: &'a [Table],
    ) -> Self {
        Self {
            options,
            store,
            context,
            shard,
            parts,
            shared: HashMap::new(),
            annotations: Annotations::default(),
            stats: QueryStats::default(),
            samples_held: Arc::default(),
            work: 0,
            checks: 0,
        }
    }

    /// A place to account for what an operator holds; nothing yet.
    pub(crate) fn held(&self) -> Held {
        Held {
            reservation: self.context.budget.reservation(),
            samples: 0,
            samples_held: Arc::clone(&self.samples_held),
        }
    }

    /// Accounts for more that an operator holds. Fails where the query exceeds a limit.
    pub(crate) fn hold(&self, held: &mut Held, samples: u64, bytes: u64) -> Result<()> {
        held.reservation.grow(bytes).map_err(|refusal| self.over_budget(&refusal))?;
        held.samples += samples;
        let now = self.samples_held.now.fetch_add(samples, Ordering::Relaxed) + samples;
        self.samples_held.peak.fetch_max(now, Ordering::Relaxed);
        let limit = self.options.samples_max;
        if limit != 0 && now > limit { Err(too_many_samples()) } else { Ok(()) }
    }

    /// Fails where a column over so many steps is larger than any query may be.
    pub(crate) fn check_steps(&self, steps: Steps) -> Result<()> {
        let limit = usize::try_from(self.options.samples_max).unwrap_or(usize::MAX);
        let too_many = steps.count > STEPS_MAX || (limit != 0 && steps.count > limit);
        if too_many { Err(too_many_samples()) } else { Ok(()) }
    }

    /// Accounts for `samples` and `bytes` instead of what an operator held before.
    pub(crate) fn hold_instead(&self, held: &mut Held, samples: u64, bytes: u64) -> Result<()> {
        held.reservation.shrink(u64::MAX);
        self.samples_held.now.fetch_sub(held.samples, Ordering::Relaxed);
        held.samples = 0;
        self.hold(held, samples, bytes)
    }

    fn over_budget(&self, refusal: &BudgetExceeded) -> Error {
        let budget = &self.context.budget;
        if refusal.owner != budget.owner() {
            return Error::unavailable(format!("no memory for the query right now: {refusal}"));
        }
        Error::new(
            ErrorKind::Unprocessable,
            format!(
                "the query exceeded the maximum allowed estimated amount of memory consumed by a single query (limit: \
                 {} bytes) (err-mimir-max-estimated-memory-consumption-per-query). Consider reducing the time range \
                 and/or number of series selected by the query. One way to reduce the number of selected series is to \
                 add more label matchers to the query. Otherwise, to adjust the related per-tenant limit, configure \
                 -querier.max-estimated-memory-consumption-per-query, or contact your service administrator.",
                refusal.limit_bytes
            ),
        )
        .with_id("err-mimir-max-estimated-memory-consumption-per-query")
    }

    /// Counts work, and ends the query where it was canceled or is out of time.
    ///
    /// - `points`: how many points were computed since the last call.
    #[inline]
    pub(crate) fn work(&mut self, points: usize) -> Result<()> {
        self.work += points as u64 + 1;
        if self.work < WORK_BETWEEN_CHECKS { Ok(()) } else { self.check() }
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.work = 0;
        self.checks += 1;
        if self.context.canceled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Canceled, "query was canceled in expression evaluation"));
        }
        if self.context.deadline.is_some_and(|deadline| self.context.clock.monotonic() > deadline) {
            return Err(Error::new(ErrorKind::Timeout, "query timed out in expression evaluation"));
        }
        Ok(())
    }

    /// Lets other queries of the same thread run, where this one has worked for some milliseconds.
    pub(crate) async fn breathe(&mut self) {
        if self.checks < 4 {
            return;
        }
        self.checks = 0;
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// What the evaluation cost so far.
    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            samples_peak: self.samples_held.peak.load(Ordering::Relaxed),
            bytes_peak: self.context.budget.peak_bytes(),
            ..self.stats
        }
    }
}
