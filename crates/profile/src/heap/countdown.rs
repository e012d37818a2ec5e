//! How many bytes a thread allocates until the next sample.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::samples::MEAN_BYTES;

/// Where the random numbers of threads start; each takes the next. Set once, by [`seed`].
static SEEDS: AtomicU64 = AtomicU64::new(0);

/// The odd number of SplitMix64, which spreads seeds over all 64 bits.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A thread's own state. It has no destructor, so that it is there until the thread's last instruction.
struct Countdown {
    bytes_left: Cell<isize>,
    /// Whether the thread is at work for the profile: what it allocates meanwhile is not sampled.
    is_inside: Cell<bool>,
    /// Zero until the thread's first draw.
    random: Cell<u64>,
}

thread_local! {
    static COUNTDOWN: Countdown =
        const { Countdown { bytes_left: Cell::new(0), is_inside: Cell::new(false), random: Cell::new(0) } };
}

/// Counts an allocation; whether the count has ended with it.
#[inline(always)]
pub(super) fn is_due(bytes: usize) -> bool {
    COUNTDOWN.with(|countdown| {
        let left = countdown.bytes_left.get().wrapping_sub(bytes.cast_signed());
        countdown.bytes_left.set(left);
        left < 0
    })
}

/// Starts a new count without a sample.
pub(super) fn postpone() {
    COUNTDOWN.with(Countdown::restart);
}

/// Sets where the random numbers of threads start.
pub(super) fn seed(seed: u64) {
    SEEDS.store(seed, Ordering::Relaxed);
}

/// A stretch of work for the profile, during which its thread is not sampled.
pub(super) struct Inside;

impl Inside {
    /// Nothing if the thread is inside already.
    pub(super) fn enter() -> Option<Self> {
        COUNTDOWN.with(|countdown| {
            let was_inside = countdown.is_inside.replace(true);
            countdown.bytes_left.set(isize::MAX);
            (!was_inside).then_some(Self)
        })
    }

    /// Whether the thread is inside.
    pub(super) fn is_entered() -> bool {
        COUNTDOWN.with(|countdown| countdown.is_inside.get())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        COUNTDOWN.with(|countdown| {
            countdown.is_inside.set(false);
            countdown.restart();
        });
    }
}

impl Countdown {
    /// Draws the next count, unless the thread is inside.
    fn restart(&self) {
        let left = if self.is_inside.get() { isize::MAX } else { self.draw() };
        self.bytes_left.set(left);
    }

    /// A number from the exponential distribution.
    fn draw(&self) -> isize {
        if self.random.get() == 0 {
            self.random.set(SEEDS.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN));
        }
        let state = self.random.get().wrapping_add(GOLDEN);
        self.random.set(state);
        // In 0 < u <= 1, so that the logarithm is finite: at most 37 times the mean.
        let uniform = ((mix(state) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * MEAN_BYTES as f64) as isize
    }
}

/// The output function of SplitMix64.
///
/// Source: Sebastiano Vigna, "Further scramblings of Marsaglia's xorshift generators".
fn mix(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_that_sums_are_scaled_by() {
        let countdown = Countdown { bytes_left: Cell::new(0), is_inside: Cell::new(false), random: Cell::new(0x5eed) };
        let draws = 100_000;
        let sum: f64 = (0..draws).map(|_| countdown.draw() as f64).sum();
        let mean = sum / f64::from(draws) / MEAN_BYTES as f64;
        assert!((0.98..1.02).contains(&mean), "{mean}");
    }
}
