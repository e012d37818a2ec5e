//! The strings of an index, each of them once.
//!
//! ```text
//! length u32 │ count u32 │ (length uvarint, bytes)* │ crc u32
//! ```
//!
//! A reader keeps the place of every eighth string and walks over at most seven others; a writer finds the place of a
//! string by hash, over the very bytes that it writes.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::HASH_SEED;
use crate::block::cursor::{Cursor, push_prefixed};
use crate::block::file::{FileError, NamedSource, crc32c};

/// Of how many strings a reader keeps one place. Eight costs half a byte a string and a few nanoseconds a look.
const SAMPLING: usize = 8;

/// The strings of an index that is read.
#[derive(Debug, Clone)]
pub struct Symbols {
    /// Count and strings.
    section: Bytes,
    count: u32,
    /// Where strings 0, 8, 16 ... stand in `section`.
    sampled: Arc<[u32]>,
}

impl Symbols {
    /// Reads the strings; checks that they are UTF-8 and strictly ascend. Cost: one pass.
    pub(super) fn read(file: &NamedSource, offset: u64) -> Result<Self, FileError> {
        let section = file.read_section(offset, "symbol table")?;
        let mut cursor = Cursor::new(&section);
        let damaged = |at: usize, what| file.damaged(offset + 4 + at as u64, what);
        let count = cursor.u32().ok_or_else(|| damaged(0, "the symbol table has no count"))?;
        let mut sampled = Vec::new();
        let mut previous: Option<&[u8]> = None;
        for index in 0..count {
            let at = cursor.position();
            if (index as usize).is_multiple_of(SAMPLING) {
                // A section's length is a u32, so its places are, too.
                sampled.push(at as u32);
            }
            let symbol = cursor.prefixed().ok_or_else(|| damaged(at, "a symbol ends behind its table"))?;
            if std::str::from_utf8(symbol).is_err() {
                return Err(damaged(at, "a symbol is not UTF-8"));
            }
            if previous.is_some_and(|previous| previous >= symbol) {
                return Err(damaged(at, "symbols do not ascend"));
            }
            previous = Some(symbol);
        }
        Ok(Self { section, count, sampled: sampled.into() })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of the string at a place, which are UTF-8.
    #[inline]
    pub(crate) fn bytes_at(&self, index: u32) -> Option<&[u8]> {
        if index >= self.count {
            return None;
        }
        let start = *self.sampled.get(index as usize / SAMPLING)?;
        let mut cursor = Cursor::starting_at(&self.section, start as usize);
        for _ in 0..index as usize % SAMPLING {
            cursor.prefixed()?;
        }
        cursor.prefixed()
    }

    /// All strings, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut cursor = Cursor::starting_at(&self.section, 4);
        (0..self.count).map_while(move |_| std::str::from_utf8(cursor.prefixed()?).ok())
    }
}

/// The strings of an index that is written.
pub struct SymbolTable {
    /// Count and strings, as they are written.
    section: Vec<u8>,
    /// Where each string starts in `section`.
    starts: Vec<u32>,
    by_hash: HashTable<u32>,
    hasher: FixedState,
}

/// Strings that no symbol table can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolsError {
    Unsorted,
    TooLarge(u64),
}

impl SymbolTable {
    /// A table of these strings, which strictly ascend; the empty string is added where it is missing.
    pub(super) fn new<S: AsRef<str>>(symbols: impl IntoIterator<Item = S>) -> Result<Self, SymbolsError> {
        let mut table = Self {
            section: vec![0; 4],
            starts: Vec::new(),
            by_hash: HashTable::new(),
            hasher: FixedState::with_seed(HASH_SEED),
        };
        table.push("");
        let mut previous = String::new();
        for symbol in symbols {
            let symbol = symbol.as_ref();
            if symbol.is_empty() && table.starts.len() == 1 {
                continue;
            }
            if symbol <= previous.as_str() {
                return Err(SymbolsError::Unsorted);
            }
            table.push(symbol);
            symbol.clone_into(&mut previous);
            if table.section.len() > u32::MAX as usize {
                return Err(SymbolsError::TooLarge(table.section.len() as u64));
            }
        }
        let count = table.starts.len() as u32;
        table.section[..4].copy_from_slice(&count.to_be_bytes());
        Ok(table)
    }

    fn push(&mut self, symbol: &str) {
        let index = self.starts.len() as u32;
        self.starts.push(self.section.len() as u32);
        push_prefixed(&mut self.section, symbol.as_bytes());
        let Self { section, starts, by_hash, hasher } = self;
        let hash_of = |index: &u32| hasher.hash_one(symbol_at(section, starts, *index));
        by_hash.insert_unique(hasher.hash_one(symbol.as_bytes()), index, hash_of);
    }

    /// The place of a string.
    #[inline]
    pub(super) fn find(&self, symbol: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(symbol.as_bytes());
        let same = |index: &u32| symbol_at(&self.section, &self.starts, *index) == symbol.as_bytes();
        self.by_hash.find(hash, same).copied()
    }

    /// The bytes of the string at a place.
    pub(super) fn bytes_at(&self, index: u32) -> &[u8] {
        symbol_at(&self.section, &self.starts, index)
    }

    /// The section as it is written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.section.len() + 8);
        bytes.extend_from_slice(&(self.section.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.section);
        bytes.extend_from_slice(&crc32c(&self.section).to_be_bytes());
        bytes
    }
}

fn symbol_at<'a>(section: &'a [u8], starts: &[u32], index: u32) -> &'a [u8] {
    let mut cursor = Cursor::starting_at(section, starts[index as usize] as usize);
    cursor.prefixed().expect("the table's own strings are whole")
}
