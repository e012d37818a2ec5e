//! How much one query may fetch, counted over all of its selectors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hashbrown::HashSet;
use norn_base::{Error, ErrorKind, Result};
use norn_model::select::{SeriesBatch, SeriesSource};
use parking_lot::Mutex;

/// What a query may fetch; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchLimits {
    /// Distinct series.
    pub series: u64,
    /// Bytes of samples.
    pub sample_bytes: u64,
}

/// What a query has fetched so far.
#[derive(Debug, Default)]
pub struct FetchCounts {
    /// Hashes of distinct series; empty where series are not limited.
    series: Mutex<HashSet<u64>>,
    sample_bytes: AtomicU64,
}

/// A source that fails once the query it belongs to has fetched too much.
pub struct LimitedSource {
    source: Box<dyn SeriesSource>,
    limits: FetchLimits,
    counts: Arc<FetchCounts>,
}

impl LimitedSource {
    /// Counts what `source` yields.
    pub fn new(source: Box<dyn SeriesSource>, limits: FetchLimits, counts: Arc<FetchCounts>) -> Self {
        Self { source, limits, counts }
    }

    fn count(&self, batch: &SeriesBatch) -> Result<()> {
        if self.limits.series > 0 {
            let mut seen = self.counts.series.lock();
            seen.extend(batch.iter().map(|series| series.hash));
            if seen.len() as u64 > self.limits.series {
                return Err(too_many_series(self.limits.series));
            }
        }
        if self.limits.sample_bytes > 0 {
            let bytes = batch.sample_bytes() as u64;
            let before = self.counts.sample_bytes.fetch_add(bytes, Ordering::Relaxed);
            if before + bytes > self.limits.sample_bytes {
                return Err(too_many_bytes(self.limits.sample_bytes));
            }
        }
        Ok(())
    }
}

impl SeriesSource for LimitedSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        let polled = self.source.poll_batch(context, batch);
        if let Poll::Ready(Ok(true)) = polled
            && let Err(error) = self.count(batch)
        {
            return Poll::Ready(Err(error));
        }
        polled
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }
}

const STRATEGY: &str = "Consider reducing the time range and/or number of series selected by the query. One way to reduce \
                        the number of selected series is to add more label matchers to the query. Otherwise, to adjust \
                        the related per-tenant limit";

fn too_many_series(limit: u64) -> Error {
    let id = "err-mimir-max-series-per-query";
    let flag = "querier.max-fetched-series-per-query";
    let message = format!("the query exceeded the maximum number of series (limit: {limit} series)");
    query_limit(&message, id, flag)
}

fn too_many_bytes(limit: u64) -> Error {
    let id = "err-mimir-max-chunks-bytes-per-query";
    let flag = "querier.max-fetched-chunk-bytes-per-query";
    query_limit(&format!("the query exceeded the aggregated chunks size limit (limit: {limit} bytes)"), id, flag)
}

/// The error of a limit that a query ran into, in the words of specs section 4.2.
pub fn query_limit(message: &str, id: &'static str, flag: &str) -> Error {
    let text = format!("{message} ({id}). {STRATEGY}, configure -{flag}, or contact your service administrator.");
    Error::new(ErrorKind::Unprocessable, text).with_id(id)
}
