//! Who may compute next: a queue for each tenant, served in turn.
//!
//! A request waits for a [`Turn`]. Turns are given to tenants one after the other, and within a tenant in the order of
//! arrival, so that a tenant's flood delays its own requests and nobody else's. Each tenant may have so many requests
//! waiting; one more is refused at once, which tells its clients to slow down while a longer queue would only tell
//! them later.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use norn_base::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How much is served at once, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Turns given at once, at least 1.
    pub concurrent: usize,
    /// Requests of one tenant that may wait.
    pub waiting_per_tenant: usize,
}

/// The queues of all tenants.
#[derive(Debug, Clone)]
pub struct TenantQueues {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: QueueLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Turns that are out.
    running: usize,
    waiting: HashMap<String, VecDeque<oneshot::Sender<()>>>,
    /// Tenants that have someone waiting, the next one to be served first.
    order: VecDeque<String>,
}

/// The right to compute. Given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Shared>,
}

impl TenantQueues {
    /// Empty queues.
    pub fn new(limits: QueueLimits) -> Self {
        let limits = QueueLimits { concurrent: limits.concurrent.max(1), ..limits };
        Self { shared: Arc::new(Shared { limits, state: Mutex::default() }) }
    }

    /// Waits for a turn. Dropping the future gives up the place in the queue.
    ///
    /// Fails with [`ErrorKind::LimitReached`] where too many requests of the tenant wait already.
    pub async fn turn(&self, tenant: &str) -> Result<Turn> {
        let receiver = {
            let mut state = self.shared.state.lock();
            if state.running < self.shared.limits.concurrent {
                state.running += 1;
                return Ok(Turn { shared: self.shared.clone() });
            }
            state.enqueue(tenant, self.shared.limits.waiting_per_tenant)?
        };
        let mut waiting = Waiting { shared: &self.shared, receiver };
        (&mut waiting.receiver).await.map_err(|_| Error::internal("the queue was dropped while a request waited"))?;
        Ok(Turn { shared: self.shared.clone() })
    }

    /// How many requests wait, over all tenants.
    pub fn waiting(&self) -> usize {
        self.shared.state.lock().waiting.values().map(VecDeque::len).sum()
    }

    /// How many turns are out.
    pub fn running(&self) -> usize {
        self.shared.state.lock().running
    }
}

/// A place in the queue. A turn that was given just when the place is given up goes on to the next.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    receiver: oneshot::Receiver<()>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        // After a turn was taken the channel is empty, and nothing happens here.
        if self.receiver.try_recv().is_ok() {
            self.shared.state.lock().pass_on();
        }
    }
}

impl State {
    fn enqueue(&mut self, tenant: &str, most: usize) -> Result<oneshot::Receiver<()>> {
        let queue = self.waiting.entry_ref(tenant).or_default();
        // Places that were given up still stand in the queue until their turn comes.
        queue.retain(|sender| !sender.is_closed());
        if queue.len() >= most {
            return Err(Error::new(ErrorKind::LimitReached, "too many outstanding requests"));
        }
        if queue.is_empty() && !self.order.iter().any(|waiting| waiting == tenant) {
            self.order.push_back(tenant.to_owned());
        }
        let (sender, receiver) = oneshot::channel();
        queue.push_back(sender);
        Ok(receiver)
    }

    /// Gives the turn of someone who is done to the next one in line, or takes it back.
    fn pass_on(&mut self) {
        while let Some(tenant) = self.order.pop_front() {
            let Some(queue) = self.waiting.get_mut(&tenant) else { continue };
            let served = std::iter::from_fn(|| queue.pop_front()).any(|sender| sender.send(()).is_ok());
            if queue.is_empty() {
                self.waiting.remove(&tenant);
            } else {
                self.order.push_back(tenant);
            }
            if served {
                return;
            }
        }
        self.running -= 1;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.state.lock().pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn queues(concurrent: usize, waiting_per_tenant: usize) -> TenantQueues {
        TenantQueues::new(QueueLimits { concurrent, waiting_per_tenant })
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn tenants_are_served_in_turn() {
        let queues = queues(1, 10);
        let first = poll(pin!(queues.turn("heavy"))).unwrap().unwrap();
        let mut heavy_one = pin!(queues.turn("heavy"));
        let mut heavy_two = pin!(queues.turn("heavy"));
        let mut light = pin!(queues.turn("light"));
        assert!(
            poll(heavy_one.as_mut()).is_none() && poll(heavy_two.as_mut()).is_none() && poll(light.as_mut()).is_none()
        );

        drop(first);
        let second = poll(heavy_one.as_mut()).unwrap().unwrap();
        assert!(poll(light.as_mut()).is_none());
        drop(second);
        assert!(poll(heavy_two.as_mut()).is_none());
        let third = poll(light.as_mut()).unwrap().unwrap();
        drop(third);
        let fourth = poll(heavy_two.as_mut()).unwrap().unwrap();
        assert_eq!((queues.running(), queues.waiting()), (1, 0));
        drop(fourth);
        assert_eq!(queues.running(), 0);
    }

    #[test]
    fn a_full_queue_refuses_its_tenant_only() {
        let queues = queues(1, 1);
        let _running = poll(pin!(queues.turn("a"))).unwrap().unwrap();
        let mut waiting = pin!(queues.turn("a"));
        assert!(poll(waiting.as_mut()).is_none());
        let refused = poll(pin!(queues.turn("a"))).unwrap().unwrap_err();
        assert_eq!((refused.kind(), refused.message()), (ErrorKind::LimitReached, "too many outstanding requests"));
        assert!(poll(pin!(queues.turn("b"))).is_none());
    }

    #[test]
    fn places_that_are_given_up_cost_no_turn() {
        let queues = queues(1, 5);
        let running = poll(pin!(queues.turn("a"))).unwrap().unwrap();
        {
            let mut gone = pin!(queues.turn("a"));
            assert!(poll(gone.as_mut()).is_none());
        }
        let mut stays = Box::pin(queues.turn("b"));
        assert!(poll(stays.as_mut()).is_none());
        drop(running);
        // The turn has been given, but the one who waited leaves before taking it.
        drop(stays);
        assert_eq!(queues.running(), 0);
        assert!(poll(pin!(queues.turn("c"))).unwrap().is_ok());
    }
}
