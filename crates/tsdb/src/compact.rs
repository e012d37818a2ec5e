//! Compaction: several blocks become one, or one becomes several.
//!
//! Blocks of two hours are merged into longer ones, so that a query over weeks opens few of them; blocks whose times
//! overlap, from replicas and from samples that came late, are merged so that every sample is there once; and blocks of
//! large tenants are split into shards by the hash of their series, each of which stays small enough to handle.
//!
//! [`plan()`] looks at what blocks say of themselves and says which to put together; [`mod@merge`] does it, as a stream: in
//! memory are the symbols, the lists of ids, and the chunks of one series.
//!
//! Rules:
//! - A chunk that no other overlaps is copied as it is. The others are decoded, merged by the rules of
//!   [`crate::chunk::samples`], and encoded again.
//! - A result names all blocks of level 1 that went into it, so that a crash between writing it and removing its
//!   sources is seen: a block whose sources are all in another is [covered](plan::covered_blocks).
//! - Sources are never changed.

// Which blocks to put together.
pub mod plan;
// Whether a block is fit for it.
pub mod health;
// Putting them together.
pub mod merge;

pub use health::BlockHealth;
pub use merge::{Compaction, CompactionOptions};
pub use plan::{Candidate, Job, PlannerOptions, plan};
