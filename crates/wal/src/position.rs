//! Where a record lies.

use std::fmt;

/// A place in the log: before a record, or at the log's end. Later records have greater positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from the start of the segment's file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "segment {}, byte {}", self.segment, self.offset)
    }
}
