//! CPU profiles: where threads are each time they have used ten milliseconds of CPU.
//!
//! Each thread has a timer that counts its own CPU time and interrupts it with `SIGPROF`; the handler walks its stack
//! into a slot, and the thread that runs the profile empties the slots ten times a second. A timer for the whole
//! process (`setitimer`) is simpler, but the kernel fires it at most once a clock tick, whatever the number of cores,
//! and so tells too little of a machine that is busy. A thread that starts meanwhile is seen within a tenth of a
//! second; one that lives shorter may not be seen.
//!
//! Nothing runs and nothing is paid while no profile is taken.

mod signal;
mod timers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use self::signal::Sampler;
use self::timers::ThreadTimers;
use crate::pprof::Builder;
use crate::symbols::Symbols;

/// CPU time of a thread between two samples of it.
const PERIOD: Duration = Duration::from_millis(10);

/// How often slots are emptied and new threads looked for.
const TICK: Duration = Duration::from_millis(100);

/// Whether a profile is being taken: the signal and its slots are one for the process.
static IS_RUNNING: AtomicBool = AtomicBool::new(false);

/// Takes a profile for `duration`; ends earlier when the future is dropped.
///
/// - Result: a [`crate::pprof::Profile`] as gzip, with the values `samples` (count) and `cpu` (nanoseconds), and the
///   label `thread`.
/// - Fails with [`ErrorKind::Conflict`] while another one is taken, and with [`ErrorKind::Unimplemented`] where the
///   system does not allow it.
/// - Cost: some 20 microseconds for each sample, less than half a percent of the CPU time; then, on a thread of its
///   own, up to a second for names.
pub async fn profile(duration: Duration, clock: SharedClock) -> Result<Vec<u8>> {
    let running = Running::begin()?;
    let sampler = Sampler::of_process()?;
    // Whether the caller is still there: its end of the channel is dropped with this future.
    let (_caller, caller_is_gone) = channel::<()>();
    let (answer, answered) = oneshot::channel();
    // Not the pool for computing: what is measured there must not wait for the measurement.
    std::thread::Builder::new()
        .name("norn-profile".to_owned())
        .spawn(move || {
            let running = running;
            let profile = record(sampler, duration, &clock, &caller_is_gone);
            drop(running);
            answer.send(profile.and_then(Recording::encode)).ok();
        })
        .map_err(|error| Error::unavailable("no thread can be started for the profile").with_source(error))?;
    answered.await.map_err(|error| Error::internal("the thread of the profile ended early").with_source(error))?
}

/// The right to take a profile.
struct Running;

impl Running {
    fn begin() -> Result<Self> {
        let was_running = IS_RUNNING.swap(true, Ordering::AcqRel);
        if was_running {
            let message = "a CPU profile is being taken already; one is at a time: ask again when it has ended";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        IS_RUNNING.store(false, Ordering::Release);
    }
}

/// Counts of samples by thread and stack.
type Counts = HashMap<(libc::pid_t, Vec<u64>), i64>;

struct Recording {
    counts: Counts,
    thread_names: HashMap<libc::pid_t, String>,
    start_ms: i64,
    duration: Duration,
}

fn record(
    sampler: &'static Sampler,
    duration: Duration,
    clock: &SharedClock,
    caller_is_gone: &Receiver<()>,
) -> Result<Recording> {
    let (start_ms, start) = (clock.now_ms(), clock.monotonic());
    let elapsed = || clock.monotonic().saturating_sub(start);
    let active = sampler.activate()?;
    let mut timers = ThreadTimers::new(PERIOD);
    let mut counts = Counts::new();
    while let Some(rest) = duration.checked_sub(elapsed()).filter(|rest| !rest.is_zero()) {
        timers.refresh();
        match caller_is_gone.recv_timeout(rest.min(TICK)) {
            Err(RecvTimeoutError::Timeout) => active.empty_into(&mut counts),
            _ => return Err(Error::new(ErrorKind::Canceled, "the profile's caller went away")),
        }
    }
    let thread_names = timers.into_thread_names();
    active.empty_into(&mut counts);
    let missed = active.missed();
    if missed > 0 {
        count_missed(missed, &mut counts);
    }
    Ok(Recording { counts, thread_names, start_ms, duration: elapsed() })
}

/// Samples that found no room are told as a stack without calls, so that the sum is right.
fn count_missed(missed: u64, counts: &mut Counts) {
    *counts.entry((0, Vec::new())).or_default() += i64::try_from(missed).unwrap_or(i64::MAX);
}

impl Recording {
    fn encode(self) -> Result<Vec<u8>> {
        let symbols = Symbols::of(self.counts.keys().flat_map(|(_, stack)| stack.iter().copied()))?;
        let period = i64::try_from(PERIOD.as_nanos()).unwrap_or(i64::MAX);
        let mut builder = Builder::new(&symbols, &[("samples", "count"), ("cpu", "nanoseconds")]);
        builder.period("cpu", "nanoseconds", period, "cpu");
        for ((thread, stack), count) in &self.counts {
            let name = self.thread_names.get(thread).map_or("", String::as_str);
            builder.sample(stack, vec![*count, count.saturating_mul(period)], &[("thread", name)]);
        }
        let duration = i64::try_from(self.duration.as_nanos()).unwrap_or(i64::MAX);
        builder.finish(self.start_ms.saturating_mul(1_000_000), duration)
    }
}
