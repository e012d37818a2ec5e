//! What every part of norn stands on: time, randomness, errors, memory budgets and the pool for computing.
//!
//! Nothing in norn reads a clock, draws a random number or starts a thread on its own: these come in
//! through the seams of this crate, so that a simulation can own them.

pub mod clock;
pub mod error;
pub mod memory;
pub mod net;
pub mod pool;
pub mod random;
pub mod tasks;

pub use error::{Error, ErrorKind, Result};
