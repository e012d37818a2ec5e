//! Running the parts of one query: some at once, each with retries, none after the first failure.

use std::future::Future;
use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use tokio::task::JoinSet;

/// How the parts of one query run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatchLimits {
    /// Parts at once, at least 1.
    pub parallelism: usize,
    /// Times that a part is tried, at least 1.
    pub tries: usize,
}

/// Whether another try may succeed: the fault was with a process, not with the query.
pub fn is_retryable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal)
}

/// Runs `run` for each part and returns the results in the order of the parts, so that equal queries are merged alike.
/// The first failure ends the query; parts that still run are dropped, which cancels them.
pub async fn run_parts<P, R, F, W>(parts: Vec<P>, limits: DispatchLimits, run: F) -> Result<Vec<R>>
where
    P: Clone + Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(P) -> W + Send + Sync + 'static,
    W: Future<Output = Result<R>> + Send + 'static,
{
    let run = Arc::new(run);
    let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
    let mut waiting = parts.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < limits.parallelism.max(1)
            && let Some((index, part)) = waiting.next()
        {
            let run = run.clone();
            running.spawn(async move { (index, try_part(part, limits.tries, &*run).await) });
        }
        let Some(joined) = running.join_next().await else { break };
        let (index, result) =
            joined.map_err(|error| Error::internal("a part of the query panicked").with_source(error))?;
        results[index] = Some(result?);
    }
    Ok(results.into_iter().flatten().collect())
}

async fn try_part<P, R, F, W>(part: P, tries: usize, run: &F) -> Result<R>
where
    P: Clone + Send + Sync,
    F: Fn(P) -> W + Sync,
    W: Future<Output = Result<R>> + Send,
{
    let mut tried = 0;
    loop {
        tried += 1;
        match run(part.clone()).await {
            Err(error) if tried < tries && is_retryable(&error) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LIMITS: DispatchLimits = DispatchLimits { parallelism: 2, tries: 3 };

    #[tokio::test]
    async fn results_come_in_the_order_of_the_parts() {
        let results = run_parts((0..10).collect(), LIMITS, |part: usize| async move { Ok(part * 2) }).await.unwrap();
        assert_eq!(results, (0..10).map(|part| part * 2).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn only_faults_of_processes_are_tried_again() {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let flaky = move |_part: usize| {
            let tried = counted.fetch_add(1, Ordering::SeqCst);
            async move { if tried < 2 { Err(Error::unavailable("gone")) } else { Ok(tried) } }
        };
        assert_eq!(run_parts(vec![0], LIMITS, flaky).await.unwrap(), [2]);

        let counted = Arc::new(AtomicUsize::new(0));
        let tries = counted.clone();
        let wrong = move |_part: usize| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(Error::bad_request("wrong")) }
        };
        assert!(run_parts(vec![0], LIMITS, wrong).await.is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }
}
