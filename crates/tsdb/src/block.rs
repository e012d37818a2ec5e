//! Blocks.

pub(crate) mod cursor;
pub mod file;
