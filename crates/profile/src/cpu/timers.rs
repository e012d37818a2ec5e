//! A timer for each thread of the process, which counts the thread's CPU time.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The timers of all threads that live.
pub(super) struct ThreadTimers {
    period: Duration,
    timers: HashMap<libc::pid_t, Option<Timer>>,
    names: HashMap<libc::pid_t, String>,
}

impl ThreadTimers {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, timers: HashMap::new(), names: HashMap::new() }
    }

    /// Starts timers for threads that are new, and removes those of threads that ended.
    pub(super) fn refresh(&mut self) {
        let threads = threads();
        self.timers.retain(|thread, _| threads.contains(thread));
        for thread in threads {
            self.timers.entry(thread).or_insert_with(|| {
                let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
                self.names.insert(thread, name.trim_end().to_owned());
                Timer::start(thread, self.period)
            });
        }
    }

    /// Stops all timers; returns the names of all threads that had one.
    pub(super) fn into_thread_names(self) -> HashMap<libc::pid_t, String> {
        self.names
    }
}

/// The ids of all threads of this process.
fn threads() -> Vec<libc::pid_t> {
    let Ok(folder) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Interrupts a thread with `SIGPROF` each time it has used a period of CPU time.
struct Timer {
    id: libc::timer_t,
}

impl Timer {
    /// Nothing if the thread has ended meanwhile, or if the process may not have more timers.
    #[expect(unsafe_code, reason = "system calls")]
    fn start(thread: libc::pid_t, period: Duration) -> Option<Self> {
        // SAFETY: all fields of the structure may be zero.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGPROF;
        event.sigev_notify_thread_id = thread;
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both structures live until the call returns.
        let created = unsafe { libc::timer_create(cpu_clock_of(thread), &raw mut event, &raw mut id) };
        if created != 0 {
            return None;
        }
        let timer = Self { id };
        let interval = libc::timespec {
            tv_sec: libc::time_t::try_from(period.as_secs()).ok()?,
            tv_nsec: libc::c_long::from(period.subsec_nanos()),
        };
        let times = libc::itimerspec { it_interval: interval, it_value: interval };
        // SAFETY: the timer was created above, and no old value is asked for.
        let set = unsafe { libc::timer_settime(id, 0, &raw const times, std::ptr::null_mut()) };
        (set == 0).then_some(timer)
    }
}

impl Drop for Timer {
    #[expect(unsafe_code, reason = "a system call")]
    fn drop(&mut self) {
        // SAFETY: the timer was created by `start` and is deleted once.
        unsafe { libc::timer_delete(self.id) };
    }
}

/// The clock of a thread's CPU time.
///
/// Source: Linux `include/linux/posix-timers_types.h`, `make_thread_cpuclock`: the inverted id above three bits, of
/// which 4 means a thread and 2 its time on a core.
fn cpu_clock_of(thread: libc::pid_t) -> libc::clockid_t {
    (!thread << 3) | 4 | 2
}
