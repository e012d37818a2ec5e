//! Tests of the crate from outside.

// Series as lists of times and values, to compare answers with what was recorded.
#[cfg(test)]
mod readable;

// Real blocks of the original server: read, written again, compacted.
#[cfg(test)]
mod conformance;

// A block as the first release wrote it.
#[cfg(test)]
mod released;
