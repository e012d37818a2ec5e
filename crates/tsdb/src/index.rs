//! The index of a block: which series it has, which labels lead to them, and where their chunks lie.
//!
//! ```text
//! ┌──────────────────────────────┐
//! │ magic 0xBAAAD700 │ version 2 │  5 bytes
//! ├──────────────────────────────┤
//! │ symbols                      │  all strings, once, in bytewise order; referred to by their place
//! │ series                       │  ascending by labels; each starts at a multiple of 16, and offset / 16 is its id
//! │ postings                     │  one list of series ids for each pair of name and value; all series come first
//! │ postings offset table        │  name, value, where the list lies; ascending by name and value
//! │ table of contents            │  52 bytes: where the parts lie
//! └──────────────────────────────┘
//! ```
//!
//! Every part carries a CRC-32C, which is checked when the part is read: symbols, table and contents at opening, a
//! series or a list when someone asks for it. So a damaged series costs that series, with file and offset in the error.
//!
//! Rules:
//! - What the writer gives is what Prometheus gives for the same input, byte for byte.
//! - Ids of series ascend with their label sets, so a sorted list of ids is a sorted list of series.
//!
//! The bytes are drawn in `docs/format/blocks.md`. Source: Prometheus `tsdb/docs/format/index.md`.

// Where the parts lie.
mod toc;
// All strings.
pub mod symbols;
// Which pairs of name and value there are.
mod offset_table;
// One series: its labels and chunks.
pub mod series;

// Reading.
pub mod reader;
// Which series fulfil some matchers.
pub mod matching;

// Writing.
pub mod writer;

pub use reader::IndexReader;
pub use series::{ChunkMeta, SeriesEntry};
pub use writer::IndexWriter;

const MAGIC: u32 = 0xBAAA_D700;
const VERSION: u8 = 2;
const HEADER_BYTES: u64 = 5;

/// Series start at multiples of this; an id counts in it.
const SERIES_ALIGNMENT: u64 = 16;

/// Seed of the writer's hash tables, so that equal inputs do equal work.
const HASH_SEED: u64 = 0x6e6f_726e;

/// The pair under which the list of all series stands.
pub(crate) const ALL_SERIES: (&str, &str) = ("", "");
