//! Rates: a token bucket that limits them, and a moving average that shows them.
//!
//! Neither runs in the background: both look at the clock when they are asked.

use std::time::Duration;

/// A bucket of tokens that refills with `per_second`, up to `burst`.
///
/// A request takes all of its tokens or none. A new bucket is full. Changing the limits keeps what is in the bucket.
///
/// Source: Go's `golang.org/x/time/rate`, whose `AllowN` this answers like.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    refilled_at: Duration,
}

impl TokenBucket {
    /// A full bucket. An infinite rate allows everything.
    pub(super) fn new(per_second: f64, burst: u64, now: Duration) -> Self {
        Self { per_second, burst: burst as f64, tokens: burst as f64, refilled_at: now }
    }

    /// Changes the limits from `now` on.
    pub(super) fn set_limits(&mut self, per_second: f64, burst: u64, now: Duration) {
        let burst = burst as f64;
        if (self.per_second, self.burst) != (per_second, burst) {
            self.refill(now);
            (self.per_second, self.burst) = (per_second, burst);
        }
    }

    /// Takes `count` tokens if there are so many.
    pub(super) fn allow(&mut self, count: u64, now: Duration) -> bool {
        if self.per_second == f64::INFINITY {
            return true;
        }
        self.refill(now);
        // A request above the burst never fits, not even into a bucket that a larger burst has filled.
        let left = self.tokens - count as f64;
        if count as f64 > self.burst || left < 0.0 {
            return false;
        }
        self.tokens = left;
        true
    }

    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.refilled_at);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * self.per_second).min(self.burst);
        self.refilled_at = self.refilled_at.max(now);
    }
}

/// An exponentially weighted moving average of a rate, over intervals of equal length.
#[derive(Debug, Clone)]
pub(crate) struct MovingRate {
    weight: f64,
    interval: Duration,
    interval_start: Duration,
    counted: u64,
    // None: no interval has ended yet.
    per_second: Option<f64>,
}

impl MovingRate {
    /// Counts in intervals; each new one has `weight`, in `0.0..=1.0`, against all before it.
    pub(crate) fn new(weight: f64, interval: Duration, now: Duration) -> Self {
        Self { weight, interval, interval_start: now, counted: 0, per_second: None }
    }

    /// Counts events.
    pub(crate) fn add(&mut self, count: u64, now: Duration) {
        self.end_intervals(now);
        self.counted += count;
    }

    /// Events per second, up to the last interval that ended.
    pub(crate) fn per_second(&mut self, now: Duration) -> f64 {
        self.end_intervals(now);
        self.per_second.unwrap_or(0.0)
    }

    fn end_intervals(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.interval_start);
        let ended = (elapsed.as_secs_f64() / self.interval.as_secs_f64()) as u32;
        if ended == 0 {
            return;
        }
        let measured = self.counted as f64 / self.interval.as_secs_f64();
        let averaged = self.per_second.map_or(measured, |old| old + self.weight * (measured - old));
        // The intervals after the first were empty.
        let idle = i32::try_from(ended - 1).unwrap_or(i32::MAX);
        self.per_second = Some(averaged * (1.0 - self.weight).powi(idle));
        self.counted = 0;
        self.interval_start += self.interval * ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn buckets_take_all_or_nothing_and_refill() {
        let mut bucket = TokenBucket::new(10.0, 5, at(0));
        let mut check = |now, count, expected| assert_eq!(bucket.allow(count, at(now)), expected, "{now} ms");
        check(0, 6, false);
        check(0, 3, true);
        check(0, 3, false);
        check(0, 2, true);
        check(99, 1, false);
        check(100, 1, true);
        check(10_000, 6, false);
        check(10_000, 5, true);
        check(9_000, 1, false);
        check(10_000, 0, true);
    }

    #[test]
    fn a_rate_of_zero_allows_the_burst_once() {
        let mut bucket = TokenBucket::new(0.0, 2, at(0));
        assert!(bucket.allow(2, at(0)));
        assert!(!bucket.allow(1, at(1_000_000)));
        assert!(TokenBucket::new(f64::INFINITY, 0, at(0)).allow(u64::MAX, at(0)));
    }

    #[test]
    fn new_limits_keep_the_tokens() {
        let mut bucket = TokenBucket::new(1.0, 10, at(0));
        assert!(bucket.allow(8, at(0)));
        bucket.set_limits(1.0, 100, at(1000));
        assert!(!bucket.allow(4, at(1000)));
        assert!(bucket.allow(3, at(1000)));
    }

    #[test]
    fn averages_follow_the_rate() {
        let mut rate = MovingRate::new(0.5, at(1000), at(0));
        rate.add(100, at(10));
        assert_eq!(rate.per_second(at(999)), 0.0);
        assert_eq!(rate.per_second(at(1000)), 100.0);
        rate.add(200, at(1500));
        assert_eq!(rate.per_second(at(2000)), 150.0);
        assert_eq!(rate.per_second(at(4000)), 37.5);
    }
}
