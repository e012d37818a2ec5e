//! The write-ahead log: what a process has acknowledged, in the order in which it was acknowledged.
//!
//! One log serves all tenants of one signal. Its records are opaque bytes with a type, a tenant and the id of the batch
//! that they came from; metrics, logs and traces give them meaning. `docs/format/wal.md` draws every byte.
//!
//! Rules:
//! - A record is in the log when it has been written to the operating system, whole. Then it survives the end of the
//!   process; whether it also survives the end of the machine is [`Durability`]'s question.
//! - Many threads append, one of them writes for all who wait: see [`log`].
//! - A write that fails leaves nothing behind. The log goes on as soon as there is room again.
//! - What is read back is what was written. Damage is named and stepped over; see [`reader`].
//!
//! Rejected: a log per tenant, as the original has it. Thousands of tenants would mean thousands of open files and as
//! many small writes and syncs; one log makes one write of what arrives together. The price is that a tenant's records
//! lie apart, and that one tenant could keep old segments alive; [`checkpoint`] files answer that.

// Where a record lies.
pub mod position;

// One record's bytes.
pub mod record;

// The files that records lie in, and the seam through which they are written.
pub mod segment;

// Appending.
mod begin;
pub mod log;
pub mod settings;

// Reading back.
pub mod reader;

pub mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointWriter};
pub use log::Log;
pub use position::Position;
pub use reader::{Damage, Entry, LogReader, ReadError};
pub use record::{BatchName, Record, RecordView};
pub use settings::{AppendError, Durability, LogSettings, LogStats, OpenError};

#[cfg(test)]
mod tests;
