//! The pool for computing: threads that evaluate queries, compress, compact, and never wait.
//!
//! The async runtime moves bytes; what keeps a core busy for half a millisecond runs here. The pool polls futures
//! with an executor of its own: a future that is pending because bytes are under way gives its thread back, and its
//! waker puts it into the queue again. So a few threads serve many queries, and a slow store blocks none of them.
//!
//! Rules:
//! - The number of tasks that are alive is bounded; beyond that a submission fails at once, and its caller says so to
//!   the client. A task that was taken is always taken back into the queue, so a wake never fails.
//! - A panic ends its own task: the handle yields an internal error, the thread goes on.
//! - Dropping the handle cancels the task; its future is dropped by a thread of the pool, never by the caller.
//!
//! Rejected: rayon (its jobs cannot be pending, and its queue has no bound), tokio's `spawn_blocking` (500 threads
//! that fight for the cores), a second tokio runtime (no bound, no way to see the queue).

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// Threads for computing, shared by all parts of a process. Dropping the last handle stops the threads once they have
/// finished what is queued.
#[derive(Debug, Clone)]
pub struct ComputePool {
    shared: Arc<Shared>,
    // Only clones of the pool hold it, not its threads: when it is dropped, the threads end.
    _owner: Arc<Owner>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    // Notified once for each task that enters the queue, and for all at the end.
    filled: Condvar,
    threads: usize,
    tasks_max: usize,
    alive: AtomicUsize,
    running: AtomicUsize,
    refused: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Arc<dyn Runnable>>,
    closed: bool,
    // Threads that still take tasks out.
    threads: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queue").field("len", &self.tasks.len()).field("closed", &self.closed).finish()
    }
}

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.filled.notify_all();
    }
}

/// What a pool is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Threads of the pool.
    pub threads: usize,
    /// Tasks that a thread is polling.
    pub running: usize,
    /// Tasks that are ready and wait for a thread.
    pub queued: usize,
    /// Tasks that were submitted and have not ended, whether running, queued or pending.
    pub alive: usize,
    /// Tasks that were not taken because too many were alive.
    pub refused: u64,
    /// Tasks that ended by a panic.
    pub panicked: u64,
}

/// The stack of a thread: the deepest query that a parser lets through needs half of it without optimization. It is
/// only reserved; memory follows what is used.
const STACK_BYTES: usize = 8 << 20;

impl ComputePool {
    /// Starts `threads` threads (at least one) named `norn-compute-N`. At most `tasks_max` tasks are alive at a time.
    ///
    /// Fails where the operating system refuses a thread.
    pub fn start(threads: usize, tasks_max: usize) -> Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { threads, ..Queue::default() }),
            filled: Condvar::new(),
            threads,
            tasks_max,
            alive: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        });
        let owner = Arc::new(Owner { shared: shared.clone() });
        for index in 0..threads {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("norn-compute-{index}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&shared))
                .map_err(|error| Error::internal("failed to start a thread for computing").with_source(error))?;
        }
        Ok(Self { shared, _owner: owner })
    }

    /// Starts a pool with one thread for each core that this process may use.
    pub fn with_cores(tasks_max: usize) -> Result<Self> {
        Self::start(std::thread::available_parallelism().map_or(1, usize::from), tasks_max)
    }

    /// Polls `future` on the pool until it is ready. The future computes and reads channels; it must not need a
    /// runtime's timers or sockets.
    pub fn run<F>(&self, future: F) -> Computation<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let before = self.shared.alive.fetch_add(1, Ordering::Relaxed);
        let alive = Alive(self.shared.clone());
        if before >= self.shared.tasks_max {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            drop(alive);
            return Computation { state: ComputationState::Refused { tasks_max: self.shared.tasks_max } };
        }
        let (sender, receiver) = oneshot::channel();
        let task = Arc::new(Task {
            shared: self.shared.clone(),
            stage: AtomicU8::new(QUEUED),
            work: Mutex::new(Some(Work { future: Box::pin(future), sender, alive })),
        });
        self.shared.push(task.clone());
        Computation { state: ComputationState::Submitted { receiver, task: Some(task) } }
    }

    /// Calls `function` on the pool.
    pub fn compute<T: Send + 'static>(&self, function: impl FnOnce() -> T + Send + 'static) -> Computation<T> {
        self.run(async move { function() })
    }

    /// What the pool is doing right now.
    pub fn state(&self) -> PoolState {
        PoolState {
            threads: self.shared.threads,
            running: self.shared.running.load(Ordering::Relaxed),
            queued: self.shared.queue.lock().tasks.len(),
            alive: self.shared.alive.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            panicked: self.shared.panicked.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn push(&self, task: Arc<dyn Runnable>) {
        let mut queue = self.queue.lock();
        if queue.threads == 0 {
            drop(queue);
            return task.abandon();
        }
        queue.tasks.push_back(task);
        drop(queue);
        self.filled.notify_one();
    }

    /// The next task; `None` when the pool is closed and the queue is empty.
    fn pop(&self) -> Option<Arc<dyn Runnable>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                return Some(task);
            }
            if queue.closed {
                queue.threads -= 1;
                return None;
            }
            self.filled.wait(&mut queue);
        }
    }
}

thread_local! {
    /// Whether this thread is one of a pool's.
    static COMPUTES: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller runs on a thread for computing, so that it may compute here and need not ask for another.
pub fn on_compute_thread() -> bool {
    COMPUTES.get()
}

fn work(shared: &Shared) {
    COMPUTES.set(true);
    while let Some(task) = shared.pop() {
        shared.running.fetch_add(1, Ordering::Relaxed);
        task.poll_once();
        shared.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The result of a task, in time: an error where the pool was full or the task panicked. Dropping it cancels the task.
#[derive(Debug)]
#[must_use = "dropping a computation cancels it"]
pub struct Computation<T> {
    state: ComputationState<T>,
}

enum ComputationState<T> {
    Refused { tasks_max: usize },
    Submitted { receiver: oneshot::Receiver<Result<T>>, task: Option<Arc<dyn Runnable>> },
}

impl<T> std::fmt::Debug for ComputationState<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Refused { .. } => "Refused",
            Self::Submitted { .. } => "Submitted",
        })
    }
}

impl<T> Future for Computation<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            ComputationState::Refused { tasks_max } => Poll::Ready(Err(Error::unavailable(format!(
                "too much work is waiting: {tasks_max} computations are under way; retry later"
            )))),
            ComputationState::Submitted { receiver, task } => {
                let Poll::Ready(received) = Pin::new(receiver).poll(context) else { return Poll::Pending };
                *task = None;
                // The sender is dropped unused only when a wake arrives after the pool's threads have ended.
                Poll::Ready(received.unwrap_or_else(|_| Err(Error::unavailable("the server is shutting down"))))
            }
        }
    }
}

impl<T> Drop for Computation<T> {
    fn drop(&mut self) {
        if let ComputationState::Submitted { receiver, task: Some(task) } = &mut self.state {
            // The thread that polls next sees that nobody waits, and drops the future.
            receiver.close();
            task.clone().awaken();
        }
    }
}

// The stages of a task. Whoever moves a task from IDLE to QUEUED puts it into the queue; only the thread that moved it
// from QUEUED to RUNNING polls it, so at most one thread holds the future at a time.
const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while it was being polled: it is polled again.
const WOKEN: u8 = 3;
const DONE: u8 = 4;

struct Task<F: Future> {
    shared: Arc<Shared>,
    stage: AtomicU8,
    // Taken by the thread that polls; `None` once the task has ended.
    work: Mutex<Option<Work<F>>>,
}

struct Work<F: Future> {
    future: Pin<Box<F>>,
    sender: oneshot::Sender<Result<F::Output>>,
    alive: Alive,
}

/// Counts one living task until it is dropped.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task whose type is forgotten.
trait Runnable: Send + Sync {
    /// Polls the future once; called by the thread that took the task out of the queue.
    fn poll_once(self: Arc<Self>);

    /// Puts the task into the queue unless it is there already or has ended.
    fn awaken(self: Arc<Self>);

    /// Drops the future unpolled, because no thread is left: the handle yields an error.
    fn abandon(self: Arc<Self>);
}

impl<F> Runnable for Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn poll_once(self: Arc<Self>) {
        self.stage.store(RUNNING, Ordering::Release);
        let mut slot = self.work.lock();
        let Some(mut work) = slot.take() else { return };
        if work.sender.is_closed() {
            self.stage.store(DONE, Ordering::Release);
            drop(slot);
            discard(work);
            return;
        }
        let waker = Waker::from(self.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| work.future.as_mut().poll(&mut Context::from_waker(&waker))));
        let result = match polled {
            Ok(Poll::Pending) => {
                *slot = Some(work);
                drop(slot);
                self.rest();
                return;
            }
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => {
                self.shared.panicked.fetch_add(1, Ordering::Relaxed);
                Err(Error::internal(format!("a computation panicked: {}", panic_text(&*panic))))
            }
        };
        self.stage.store(DONE, Ordering::Release);
        drop(slot);
        let Work { future, sender, alive } = work;
        // Whoever waits sees the task's memory and its place given back.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        drop(alive);
        // A caller that went away wants no result.
        let _ = sender.send(result);
    }

    fn awaken(self: Arc<Self>) {
        let mut stage = self.stage.load(Ordering::Acquire);
        loop {
            let next = match stage {
                IDLE => QUEUED,
                RUNNING => WOKEN,
                _ => return,
            };
            match self.stage.compare_exchange_weak(stage, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if next == QUEUED => return self.shared.clone().push(self),
                Ok(_) => return,
                Err(changed) => stage = changed,
            }
        }
    }

    fn abandon(self: Arc<Self>) {
        // The caller had moved the task to QUEUED, so nobody polls it.
        let work = self.work.lock().take();
        self.stage.store(DONE, Ordering::Release);
        if let Some(work) = work {
            discard(work);
        }
    }
}

impl<F> Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    /// After a poll that was pending: back to idle, or into the queue if a wake came meanwhile.
    fn rest(self: Arc<Self>) {
        if self.stage.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.stage.store(QUEUED, Ordering::Release);
            self.shared.clone().push(self);
        }
    }
}

impl<F> Wake for Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn wake(self: Arc<Self>) {
        self.awaken();
    }
}

/// Drops what a cancelled task held. A destructor that panics must not take the thread with it.
fn discard<F: Future>(work: Work<F>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
}

/// What a panic said, as far as it is text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "without a message"
    }
}

#[cfg(test)]
mod tests;
