//! Which pairs of label name and value a block has, and where the list of each lies.
//!
//! ```text
//! length u32 │ count u32 │ (2 u8, name, value, offset uvarint)* │ crc u32        strings: length uvarint, bytes
//! ```
//!
//! A reader keeps all names, and for each the place of every sixteenth of its values.

use bytes::Bytes;

use super::ALL_SERIES;
use crate::block::cursor::Cursor;
use crate::block::file::{FileError, NamedSource};

/// Of how many values of a name a reader keeps one place.
const SAMPLING: u32 = 16;

/// The byte that each entry starts with: how many strings it has.
pub(super) const ENTRY_STRINGS: u8 = 2;

/// The pairs of one index.
#[derive(Debug, Clone)]
pub(super) struct OffsetTable {
    /// Count and entries.
    section: Bytes,
    names: Vec<NameEntries>,
    /// Places of the entries 0, 16, 32 ... of each name in `section`.
    sampled: Vec<u32>,
    /// Where the list of all series lies; a block without series has none.
    all_series: Option<u64>,
}

/// The entries of one name.
#[derive(Debug, Clone)]
struct NameEntries {
    name: Box<str>,
    count: u32,
    /// Its first place in `sampled`.
    sampled_start: usize,
}

/// One entry: a value of a name, and where the list lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValueEntry<'a> {
    pub(super) value: &'a str,
    pub(super) offset: u64,
}

impl OffsetTable {
    /// Reads the table; checks order, strings and offsets. Cost: one pass.
    pub(super) fn read(file: &NamedSource, offset: u64) -> Result<Self, FileError> {
        let section = file.read_section(offset, "postings offset table")?;
        let mut table = Self { section: section.clone(), names: Vec::new(), sampled: Vec::new(), all_series: None };
        let mut cursor = Cursor::new(&section);
        let damaged = |at: usize, what| file.damaged(offset + 4 + at as u64, what);
        let count = cursor.u32().ok_or_else(|| damaged(0, "the postings offset table has no count"))?;
        let mut previous: Option<(&str, &str)> = None;
        for _ in 0..count {
            let at = cursor.position();
            let (name, entry) = read_entry(&mut cursor).ok_or_else(|| damaged(at, "an entry cannot be read"))?;
            if previous.is_some_and(|previous| previous >= (name, entry.value)) {
                return Err(damaged(at, "entries do not ascend"));
            }
            if entry.offset >= offset {
                return Err(damaged(at, "an entry points behind the postings"));
            }
            previous = Some((name, entry.value));
            if (name, entry.value) == ALL_SERIES {
                table.all_series = Some(entry.offset);
            } else {
                table.add(name, at as u32);
            }
        }
        Ok(table)
    }

    fn add(&mut self, name: &str, at: u32) {
        if self.names.last().is_none_or(|last| *last.name != *name) {
            self.names.push(NameEntries { name: name.into(), count: 0, sampled_start: self.sampled.len() });
        }
        let last = self.names.last_mut().expect("one was pushed just now, or was there");
        if last.count.is_multiple_of(SAMPLING) {
            self.sampled.push(at);
        }
        last.count += 1;
    }

    pub(super) fn all_series(&self) -> Option<u64> {
        self.all_series
    }

    /// Label names, ascending, each with the number of its values.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.names.iter().map(|entries| (&*entries.name, entries.count))
    }

    fn entries(&self, name: &str) -> Option<&NameEntries> {
        let index = self.names.binary_search_by(|entries| (*entries.name).cmp(name)).ok()?;
        Some(&self.names[index])
    }

    /// How many values a name has.
    pub(super) fn value_count(&self, name: &str) -> u32 {
        self.entries(name).map_or(0, |entries| entries.count)
    }

    /// The values of a name from the one at `start` on, ascending.
    pub(super) fn values(&self, name: &str, start: u32) -> ValueEntries<'_> {
        let Some(entries) = self.entries(name).filter(|entries| start < entries.count) else {
            return ValueEntries { cursor: Cursor::new(&[]), left: 0 };
        };
        let sampled = self.sampled[entries.sampled_start + (start / SAMPLING) as usize];
        let left = entries.count - start / SAMPLING * SAMPLING;
        let mut values = ValueEntries { cursor: Cursor::starting_at(&self.section, sampled as usize), left };
        for _ in 0..start % SAMPLING {
            values.next();
        }
        values
    }

    /// The place of a name's first value that is not below `value`.
    pub(super) fn first_value_from(&self, name: &str, value: &str) -> u32 {
        if value.is_empty() {
            return 0;
        }
        let Some(entries) = self.entries(name) else { return 0 };
        let start = self.sample_before(entries, value);
        start + self.values(name, start).take_while(|entry| entry.value < value).count() as u32
    }

    /// Where the list of a pair lies.
    pub(super) fn find(&self, name: &str, value: &str) -> Option<u64> {
        let start = self.sample_before(self.entries(name)?, value);
        let mut candidates = self.values(name, start).take(SAMPLING as usize);
        candidates.find(|entry| entry.value == value).map(|entry| entry.offset)
    }

    /// The last kept place whose value is not above `value`, or the first.
    fn sample_before(&self, entries: &NameEntries, value: &str) -> u32 {
        let samples = entries.count.div_ceil(SAMPLING) as usize;
        let sampled = &self.sampled[entries.sampled_start..entries.sampled_start + samples];
        let value_at = |at: u32| {
            let (_, entry) = read_entry(&mut Cursor::starting_at(&self.section, at as usize))?;
            Some(entry.value)
        };
        let after = sampled.partition_point(|at| value_at(*at).is_some_and(|found| found <= value));
        after.saturating_sub(1) as u32 * SAMPLING
    }
}

/// Values of one name.
#[derive(Debug, Clone)]
pub(super) struct ValueEntries<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Iterator for ValueEntries<'a> {
    type Item = ValueEntry<'a>;

    fn next(&mut self) -> Option<ValueEntry<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The table was read once when it was opened, so entries are whole.
        read_entry(&mut self.cursor).map(|(_, entry)| entry)
    }
}

fn read_entry<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, ValueEntry<'a>)> {
    if cursor.u8()? != ENTRY_STRINGS {
        return None;
    }
    let name = std::str::from_utf8(cursor.prefixed()?).ok()?;
    let value = std::str::from_utf8(cursor.prefixed()?).ok()?;
    Some((name, ValueEntry { value, offset: cursor.uvarint()? }))
}
