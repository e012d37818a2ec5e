//! So many at once: work that waits for a bucket or a disk, within one task.
//!
//! The futures are polled by the caller's task and may borrow from it; nothing is spawned, so dropping the caller drops
//! them. Each wake polls all that run, which is cheap for the few that settings allow and would not be for thousands.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Work under way, with the number of its item.
type Running<'a, O> = Vec<(usize, Pin<Box<dyn Future<Output = O> + Send + 'a>>)>;

/// Runs `work` for each item, at most `limit` (at least 1) at once. Returns the outputs in the order of the items.
pub(crate) async fn at_most<'a, T, O: 'a, F>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> Vec<O>
where
    F: Future<Output = O> + Send + 'a,
{
    let mut waiting = items.into_iter().enumerate();
    let mut running: Running<'a, O> = Vec::new();
    let mut outputs: Vec<Option<O>> = Vec::new();
    loop {
        while running.len() < limit.max(1)
            && let Some((index, item)) = waiting.next()
        {
            outputs.push(None);
            running.push((index, Box::pin(work(item))));
        }
        if running.is_empty() {
            return outputs.into_iter().flatten().collect();
        }
        poll_fn(|context| {
            let before = running.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    outputs[*index] = Some(output);
                    false
                }
                Poll::Pending => true,
            });
            if running.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The outputs of work that may fail, or the first failure in the order of the items; all of the work is done first.
pub(crate) fn all_or_first_error<O, E>(outputs: Vec<Result<O, E>>) -> Result<Vec<O>, E> {
    outputs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_run_at_once_than_allowed_and_outputs_keep_their_order() {
        for limit in [0, 1, 3, 100] {
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = |item: usize| {
                let (running, most) = (&running, &most);
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // The later an item, the sooner it is done.
                    for _ in item..20 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    item * 2
                }
            };
            let outputs = at_most(limit, 0..20, work).await;
            assert_eq!(outputs, (0..20).map(|item| item * 2).collect::<Vec<_>>());
            assert_eq!(most.into_inner(), limit.clamp(1, 20), "{limit}");
        }
    }

    #[tokio::test]
    async fn the_first_failure_is_told_after_all_was_tried() {
        let tried = AtomicUsize::new(0);
        let work = |item: usize| {
            tried.fetch_add(1, Ordering::SeqCst);
            async move { if item == 2 || item == 4 { Err(item) } else { Ok(item) } }
        };
        assert_eq!(all_or_first_error(at_most(2, 0..6, work).await), Err(2));
        assert_eq!(tried.into_inner(), 6);
    }
}
