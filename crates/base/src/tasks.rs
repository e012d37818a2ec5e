//! Background work: loops and connections that live as long as a part of norn does.
//!
//! Nothing else in norn spawns onto the async runtime. A [`Tasks`] group gives every task a name, tells all of them
//! to stop, and waits for them with a bound. A panic ends its own task and is logged; whatever must not go missing
//! when its loop dies reports that itself, as a service that failed.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use crate::pool::panic_text;

/// The wish that something ends; cheap to clone. It never goes away once it is there.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// A wish that nobody has expressed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that comes with its parent's, or alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// Expresses the wish.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether it was expressed.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is expressed.
    pub fn requested(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// Runs `future` to its end, or drops it when the wish comes: `None`.
    pub async fn unless_requested<F: Future + Send>(&self, future: F) -> Option<F::Output> {
        self.token.run_until_cancelled(future).await
    }
}

/// A group of background tasks; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: Stop,
    // Tasks that have not ended; swept when it has doubled since the last sweep.
    living: Arc<Mutex<Living>>,
}

#[derive(Debug, Default)]
struct Living {
    tasks: Vec<(&'static str, AbortHandle)>,
    sweep_len: usize,
}

impl Tasks {
    /// An empty group that is stopped by [`Tasks::stop`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty group that also stops when `stop` is requested.
    pub fn under(stop: &Stop) -> Self {
        Self { stop: stop.child(), ..Self::default() }
    }

    /// What tasks of this group watch in order to end.
    pub fn stop_signal(&self) -> &Stop {
        &self.stop
    }

    /// Starts a task. It ends by itself: at the latest soon after [`Tasks::stop_signal`] was requested.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let caught = CatchPanic { name, future: Box::pin(future) };
        let handle = self.tracker.spawn(caught).abort_handle();
        let mut living = self.living.lock();
        if living.tasks.len() >= living.sweep_len {
            living.tasks.retain(|(_, task)| !task.is_finished());
            living.sweep_len = (2 * living.tasks.len()).max(64);
        }
        living.tasks.push((name, handle.clone()));
        TaskHandle { handle }
    }

    /// Starts a task that is simply dropped when the group stops: for loops that hold nothing to tidy up.
    pub fn spawn_until_stopped<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.unless_requested(future).await;
        })
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Tells all tasks to stop and waits for them; aborts those that are still there after `deadline`.
    ///
    /// Returns the names of the aborted ones, each once.
    pub async fn stop(&self, deadline: Duration) -> Vec<&'static str> {
        self.stop.request();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let mut late = Vec::new();
        for (name, task) in self.living.lock().tasks.drain(..) {
            if !task.is_finished() {
                task.abort();
                late.push(name);
            }
        }
        late.sort_unstable();
        late.dedup();
        late
    }
}

/// One background task.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    handle: AbortHandle,
}

impl TaskHandle {
    /// Drops the task at its next await, without waiting for that.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Logs a panic under the task's name instead of losing it in a join handle that nobody reads.
struct CatchPanic<F> {
    name: &'static str,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for CatchPanic<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let future = self.future.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                tracing::error!(task = self.name, panic = panic_text(&*panic), "a background task panicked");
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn tasks_that_obey_are_awaited_and_others_named() {
        run(async {
            let tasks = Tasks::new();
            let stop = tasks.stop_signal().clone();
            let (sender, receiver) = tokio::sync::oneshot::channel();
            tasks.spawn("obeys", async move {
                stop.requested().await;
                sender.send(()).unwrap();
            });
            tasks.spawn_until_stopped("dropped", std::future::pending());
            let stubborn = tasks.spawn("stubborn", std::future::pending());
            assert_eq!(tasks.stop(Duration::from_millis(5)).await, ["stubborn"]);
            receiver.await.unwrap();
            while !stubborn.is_finished() {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn a_panic_ends_only_its_own_task() {
        run(async {
            let tasks = Tasks::new();
            let panicking = tasks.spawn("panics", async { panic!("expected by this test") });
            while !panicking.is_finished() {
                tokio::task::yield_now().await;
            }
            assert!(tasks.stop(Duration::from_secs(1)).await.is_empty());
        });
    }

    #[test]
    fn a_group_stops_with_its_parent() {
        run(async {
            let stop = Stop::new();
            let tasks = Tasks::under(&stop);
            tasks.spawn_until_stopped("waits", std::future::pending());
            stop.request();
            assert!(tasks.stop(Duration::from_secs(1)).await.is_empty());
        });
    }
}
