//! So many at once, and a bound on how long one waits for a turn.
//!
//! Queries are polled by threads that compute, outside of the asynchronous runtime; a wait with an end needs its timer.

use std::sync::Arc;
use std::time::Duration;

use norn_base::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns that are given to those who ask first.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    most: usize,
    wait_max: Duration,
    /// What they are for, in the plural, and the setting that says how many there are.
    what: (&'static str, &'static str),
    runtime: Handle,
}

/// A turn; it goes to the next one when this is dropped.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Turns {
    /// `most` turns at once, 0 is without limit; a wait of zero is without end.
    pub(super) fn new(most: usize, wait_max: Duration, what: (&'static str, &'static str), runtime: Handle) -> Self {
        let free = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { free, most, wait_max, what, runtime }
    }

    /// Waits for a turn; fails when that takes too long.
    pub(super) async fn take(&self) -> Result<Turn> {
        if self.most == 0 {
            return Ok(None);
        }
        if let Ok(turn) = self.free.clone().try_acquire_owned() {
            return Ok(Some(turn));
        }
        let turn = self.free.clone().acquire_owned();
        let turn = if self.wait_max.is_zero() {
            turn.await
        } else {
            let bounded = {
                let _timers = self.runtime.enter();
                tokio::time::timeout(self.wait_max, turn)
            };
            bounded.await.map_err(|_| self.too_long())?
        };
        Ok(Some(turn.expect("the semaphore is never closed")))
    }

    fn too_long(&self) -> Error {
        let (things, setting) = self.what;
        let Self { most, wait_max, .. } = self;
        Error::unavailable(format!(
            "waited {wait_max:?} for one of the {most} {things} that the store-gateway allows at once; ask for fewer \
             series or raise -{setting}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: (&str, &str) = ("requests", "some.setting");

    #[tokio::test]
    async fn a_wait_has_an_end() {
        let turns = Turns::new(1, Duration::from_millis(1), WHAT, Handle::current());
        let first = turns.take().await.unwrap();
        let error = turns.take().await.unwrap_err();
        assert_eq!(
            error.message(),
            "waited 1ms for one of the 1 requests that the store-gateway allows at once; ask for fewer series or raise \
             -some.setting"
        );
        drop(first);
        assert!(turns.take().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let turns = Turns::new(0, Duration::ZERO, WHAT, Handle::current());
        let (first, second) = (turns.take().await.unwrap(), turns.take().await.unwrap());
        assert!(first.is_none() && second.is_none());
    }
}
