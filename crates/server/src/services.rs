//! The life of a process: parts that start in the order of their needs and stop in the reverse one.
//!
//! A part is a row: its name, the names of what it needs, and how it starts. The order, the states that `/services`
//! shows, readiness and shutdown all come from the rows. Nothing here knows what a part does.
//!
//! - Parts start one after the other; one that fails to start ends the process, after those that run have stopped.
//! - A part that fails later says so ([`Failures`]) and ends the process too: one that limps is worse than one that
//!   restarts.
//! - A first SIGTERM or SIGINT asks all parts to stop within a bound; a second one ends the process at once.

mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use norn_base::tasks::Stop;
use norn_base::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

pub use self::signals::{notify_ready, notify_stopping, on_shutdown_signal};

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One part of the process.
pub struct Part {
    /// Its name, as users see it.
    pub name: &'static str,
    /// Parts that run before this one starts, and until it has stopped.
    pub needs: Vec<&'static str>,
    /// Starts it. The future yields when the part works; it fails where the part cannot start.
    pub start: Box<dyn FnOnce(PartContext) -> BoxFuture<Result<Running>> + Send>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Part").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

impl Part {
    /// A part whose start is an async function.
    pub fn new<F>(
        name: &'static str,
        needs: &[&'static str],
        start: impl FnOnce(PartContext) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Running>> + Send + 'static,
    {
        Self { name, needs: needs.to_vec(), start: Box::new(move |context| Box::pin(start(context))) }
    }
}

/// What a part is given at its start.
#[derive(Debug, Clone)]
pub struct PartContext {
    /// Says that something failed that the process cannot run without.
    pub failures: Failures,
    /// Requested when the process is about to stop, before any part is asked to.
    pub shutdown: Stop,
}

/// A part that runs. Stopping it waits until it has ended.
pub struct Running {
    stop: Box<dyn FnOnce() -> BoxFuture<Result<()>> + Send>,
    ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Running {
    /// A part that needs nothing done to stop.
    pub fn passive() -> Self {
        Self::new(|| async { Ok(()) })
    }

    /// A part that `stop` stops.
    pub fn new<F>(stop: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { stop: Box::new(move || Box::pin(stop())), ready: Box::new(|| Ok(())) }
    }

    /// Adds a reason why a part that runs is not ready yet, such as `Ingester not ready: …`; asked at each `/ready`.
    #[must_use]
    pub fn with_readiness(mut self, ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }
}

/// Where parts say that they failed after their start.
#[derive(Debug, Clone)]
pub struct Failures {
    part: &'static str,
    shared: Arc<Shared>,
}

impl Failures {
    /// Ends the process, in order, with this part as the reason.
    pub fn report(&self, error: Error) {
        tracing::error!(module = self.part, error = %error.chain(), "module failed");
        self.shared.set_state(self.part, State::Failed);
        let failure = format!("module {} failed: {}", self.part, error.chain());
        self.shared.failure.lock().get_or_insert(failure);
        self.shared.failed.request();
    }
}

/// Where a part is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started.
    New,
    /// Starting.
    Starting,
    /// It works.
    Running,
    /// Was asked to stop.
    Stopping,
    /// Has stopped.
    Terminated,
    /// Did not start, or ended by itself.
    Failed,
}

impl State {
    /// The word for users.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Terminated => "Terminated",
            Self::Failed => "Failed",
        }
    }
}

/// A view of all parts for pages, health checks and tests; clones share it.
#[derive(Debug, Clone)]
pub struct ServicesView {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    states: Mutex<BTreeMap<&'static str, State>>,
    readiness: Mutex<BTreeMap<&'static str, Readiness>>,
    failure: Mutex<Option<String>>,
    failed: Stop,
    shutdown: Stop,
    // Counts changes of states, so that others can wait for one.
    changes: watch::Sender<u64>,
}

struct Readiness(Box<dyn Fn() -> Result<(), String> + Send + Sync>);

impl std::fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Readiness")
    }
}

impl Shared {
    fn set_state(&self, part: &'static str, state: State) {
        self.states.lock().insert(part, state);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl ServicesView {
    /// All parts by name, and their states.
    pub fn states(&self) -> Vec<(&'static str, State)> {
        self.shared.states.lock().iter().map(|(name, state)| (*name, *state)).collect()
    }

    /// Nothing where the process can take requests, else the reason in the words of the original.
    pub fn readiness(&self) -> Result<(), String> {
        if self.shared.shutdown.is_requested() {
            return Err("Application is stopping".to_owned());
        }
        let mut reason = String::from("Some services are not Running:");
        let waiting: Vec<_> = self.states().into_iter().filter(|(_, state)| *state != State::Running).collect();
        for (name, state) in &waiting {
            reason.push_str(&format!("\n{name}: {}", state.name()));
        }
        if !waiting.is_empty() {
            return Err(reason);
        }
        self.shared.readiness.lock().values().try_for_each(|ready| (ready.0)())
    }

    /// Wakes its holder after every change of a state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// The parts of a process.
#[derive(Debug)]
pub struct Services {
    // In the order in which they start.
    parts: Vec<Part>,
    shared: Arc<Shared>,
}

impl Services {
    /// Orders the parts. Fails where a part needs one that is not there, two have one name, or needs run in a circle.
    pub fn new(parts: Vec<Part>) -> Result<Self> {
        let parts = in_order(parts)?;
        let states = parts.iter().map(|part| (part.name, State::New)).collect();
        let shared = Shared {
            states: Mutex::new(states),
            readiness: Mutex::default(),
            failure: Mutex::default(),
            failed: Stop::new(),
            shutdown: Stop::new(),
            changes: watch::Sender::new(0),
        };
        Ok(Self { parts, shared: Arc::new(shared) })
    }

    /// The view of these parts.
    pub fn view(&self) -> ServicesView {
        ServicesView { shared: self.shared.clone() }
    }

    /// Starts all parts, waits for `shutdown`, for example [`on_shutdown_signal`], or for a failure, and stops them.
    ///
    /// Each part has at most `stop_timeout` to stop. `shutdown_delay` passes between the wish to stop, which makes
    /// the process not ready, and the stop of the first part: load balancers take note meanwhile.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        shutdown_delay: Duration,
        stop_timeout: Duration,
    ) -> Result<()> {
        let Self { parts, shared } = self;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut started = Vec::new();
        let startup = start_all(parts, &shared, &mut started);
        let started_all = tokio::select! {
            result = startup => result,
            () = &mut shutdown => Ok(false),
        };
        if let Ok(true) = started_all {
            notify_ready();
            tracing::info!("application started");
            tokio::select! {
                () = &mut shutdown => {}
                () = shared.failed.requested() => {}
            }
        }
        shared.shutdown.request();
        notify_stopping();
        tracing::info!("application stopping");
        if !shared.failed.is_requested() && started_all.is_ok() {
            tokio::time::sleep(shutdown_delay).await;
        }
        let stopped = stop_all(started, &shared, stop_timeout).await;
        started_all?;
        if let Some(failure) = shared.failure.lock().take() {
            return Err(Error::internal("failed services").with_source(failure));
        }
        stopped
    }
}

/// Starts parts in order and pushes those that run to `started`. `Ok(false)`: one of those failed meanwhile.
async fn start_all(parts: Vec<Part>, shared: &Arc<Shared>, started: &mut Vec<(&'static str, Running)>) -> Result<bool> {
    for part in parts {
        shared.set_state(part.name, State::Starting);
        let failures = Failures { part: part.name, shared: shared.clone() };
        let start = (part.start)(PartContext { failures, shutdown: shared.shutdown.clone() });
        let result = tokio::select! {
            result = start => result,
            () = shared.failed.requested() => return Ok(false),
        };
        match result {
            Ok(mut running) => {
                let ready = std::mem::replace(&mut running.ready, Box::new(|| Ok(())));
                shared.readiness.lock().insert(part.name, Readiness(ready));
                shared.set_state(part.name, State::Running);
                started.push((part.name, running));
            }
            Err(error) => {
                shared.set_state(part.name, State::Failed);
                return Err(
                    Error::new(error.kind(), format!("module {} failed to start", part.name)).with_source(error)
                );
            }
        }
    }
    Ok(true)
}

/// Stops parts in reverse order. One that fails or is late keeps no other from stopping; the first such is returned.
async fn stop_all(started: Vec<(&'static str, Running)>, shared: &Shared, timeout: Duration) -> Result<()> {
    let mut first = Ok(());
    for (name, running) in started.into_iter().rev() {
        shared.set_state(name, State::Stopping);
        let result = match tokio::time::timeout(timeout, (running.stop)()).await {
            Ok(result) => result,
            Err(_) => Err(Error::internal(format!("module {name} did not stop within {timeout:?}"))),
        };
        match result {
            Ok(()) => shared.set_state(name, State::Terminated),
            Err(error) => {
                tracing::error!(module = name, error = %error.chain(), "module failed to stop");
                shared.set_state(name, State::Failed);
                first = first.and(Err(error));
            }
        }
    }
    first
}

/// Parts after all that they need; otherwise in the order in which they were given.
fn in_order(parts: Vec<Part>) -> Result<Vec<Part>> {
    let mut names = BTreeSet::new();
    for part in &parts {
        if !names.insert(part.name) {
            return Err(Error::internal(format!("two modules are named {}", part.name)));
        }
    }
    for part in &parts {
        if let Some(missing) = part.needs.iter().find(|need| !names.contains(*need)) {
            return Err(Error::internal(format!("module {} needs {missing}, which is not there", part.name)));
        }
    }
    let mut ordered: Vec<Part> = Vec::with_capacity(parts.len());
    let mut waiting = parts;
    while !waiting.is_empty() {
        let placed = |need: &&str, ordered: &[Part]| ordered.iter().any(|part| part.name == *need);
        let next = waiting.iter().position(|part| part.needs.iter().all(|need| placed(need, &ordered)));
        let Some(next) = next else {
            let circle: Vec<_> = waiting.iter().map(|part| part.name).collect();
            return Err(Error::internal(format!("modules need each other in a circle: {}", circle.join(", "))));
        };
        ordered.push(waiting.remove(next));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
