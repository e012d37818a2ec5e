//! Metrics storage: the head that takes samples in, the blocks they become, and the compaction of blocks.

// Compressed runs of one series' samples, and the segment files that hold them.
pub mod chunk;

// Names of blocks.
pub mod ulid;
// Sorted lists of series ids, and sets of them.
pub mod postings;
// Which series a block has, and where their chunks lie.
pub mod index;
// Directories that hold the series of a span of time.
pub mod block;
// Several blocks become one, or one several.
pub mod compact;
// A tenant's newest samples, in memory.
pub mod head;
// Heads, blocks and the log of all tenants.
pub mod database;
