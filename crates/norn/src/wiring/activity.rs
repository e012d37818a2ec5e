//! The record of requests in flight, and what the last process left in it.

use norn_config::metrics::ActivityTrackerConfig;
use norn_server::activity::ActivityTracker;

/// Begins the record, after it has told what was not finished when the last process ended. A record that cannot be
/// written is done without.
pub(super) fn tracker(config: &ActivityTrackerConfig) -> ActivityTracker {
    if config.filepath.as_os_str().is_empty() {
        return ActivityTracker::default();
    }
    match ActivityTracker::open(&config.filepath, config.max_entries) {
        Ok((tracker, unfinished)) => {
            if !unfinished.is_empty() {
                tracing::warn!(count = unfinished.len(), "found unfinished activities from previous run");
            }
            for activity in unfinished {
                tracing::warn!(activity, "unfinished activity");
            }
            tracker
        }
        Err(error) => {
            let file = config.filepath.display();
            tracing::warn!(%file, %error, "requests in flight are not recorded");
            ActivityTracker::default()
        }
    }
}
