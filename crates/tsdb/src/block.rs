//! Blocks: the series of a span of time, in a directory that never changes.
//!
//! ```text
//! 01M7XS5Z9XV1SC9Z7W07273SYP/
//!     meta.json        what the block holds, and from which blocks it came
//!     index            which series there are, and where their chunks lie
//!     chunks/000001    the chunks
//!     tombstones       samples that are deleted, where there are any
//! ```
//!
//! A block is made under another name and gets its own when every byte of it is on disk, so a directory with the name
//! of a ULID is whole. It is read where it lies: mapped from a local directory, or piece by piece from a bucket.
//!
//! The bytes are drawn in `docs/format/blocks.md`.

// Numbers and strings one after the other.
pub(crate) mod cursor;
// Where the bytes come from, and how damage is named.
pub mod file;

// What a block says of itself.
pub mod meta;
// Samples that are deleted.
pub mod tombstones;

// Making a block.
pub mod writer;

// Asking a block.
pub mod reader;
mod source;
// How much there would be to read.
mod estimate;
// Asking blocks that follow each other in time.
pub mod successive;

#[cfg(test)]
pub(crate) mod testing;

pub use file::{ByteSource, FileError, NamedSource};
pub use meta::BlockMeta;
pub use reader::BlockReader;
pub use writer::BlockWriter;
