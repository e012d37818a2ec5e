//! Randomness as a value that is handed in.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

/// Where a part of norn draws random numbers. Not for secrets.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// The next number, uniform over all 64 bits.
    fn next_u64(&self) -> u64;

    /// A number in `0.0..1.0`.
    fn next_f64(&self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Randomness that many owners share.
pub type SharedRandom = Arc<dyn Random>;

/// SplitMix64 behind a lock: one seed gives one sequence.
///
/// Source: Sebastiano Vigna, "Further scramblings of Marsaglia's xorshift generators".
#[derive(Debug)]
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    pub fn shared(seed: u64) -> SharedRandom {
        Arc::new(Self { state: Mutex::new(seed) })
    }

    /// A sequence whose seed the operating system chose.
    pub fn from_entropy() -> SharedRandom {
        // The standard library seeds its hashers from the operating system.
        let hasher = std::collections::hash_map::RandomState::new().build_hasher();
        Self::shared(hasher.finish())
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
