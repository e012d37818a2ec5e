//! Reads an index.

use norn_model::Labels;

use super::offset_table::OffsetTable;
use super::series::SeriesEntry;
use super::symbols::Symbols;
use super::toc::Toc;
use super::{HEADER_BYTES, MAGIC, SERIES_ALIGNMENT, VERSION};
use crate::block::cursor::{Cursor, push_prefixed};
use crate::block::file::{FileError, NamedSource, be_u32};

/// The index of a block.
///
/// In memory are all label names, the place of every eighth symbol and of every sixteenth value; the rest is read when
/// it is asked for.
#[derive(Debug, Clone)]
pub struct IndexReader {
    file: NamedSource,
    toc: Toc,
    symbols: Symbols,
    table: OffsetTable,
}

impl IndexReader {
    /// Opens an index of version 2; checks all but series and lists.
    pub fn open(file: NamedSource) -> Result<Self, FileError> {
        let head = file.read(0, HEADER_BYTES, "header")?;
        file.expect(0, "magic number", u64::from(be_u32(&head)), u64::from(MAGIC))?;
        file.expect(4, "index version", u64::from(head[4]), u64::from(VERSION))?;
        let toc = Toc::read(&file)?;
        let symbols = Symbols::read(&file, toc.symbols)?;
        let table = OffsetTable::read(&file, toc.postings_table)?;
        Ok(Self { file, toc, symbols, table })
    }

    /// The strings of the index.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Label names, ascending, each with the number of its values.
    pub fn label_names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.table.names()
    }

    /// How many values a label has.
    pub fn value_count(&self, name: &str) -> u32 {
        self.table.value_count(name)
    }

    /// The values of a label from the one at place `start` on, ascending.
    pub fn label_values(&self, name: &str, start: u32) -> impl Iterator<Item = &str> + use<'_> {
        self.table.values(name, start).map(|entry| entry.value)
    }

    /// The values of a label from the one at place `start` on, each with the place of its list.
    pub(crate) fn value_lists(&self, name: &str, start: u32) -> impl Iterator<Item = (&str, u64)> + use<'_> {
        self.table.values(name, start).map(|entry| (entry.value, entry.offset))
    }

    /// The place of a label's first value that is not below `value`.
    pub(crate) fn first_value_from(&self, name: &str, value: &str) -> u32 {
        self.table.first_value_from(name, value)
    }

    /// Where the list of a pair lies.
    pub(crate) fn list_of(&self, name: &str, value: &str) -> Option<u64> {
        self.table.find(name, value)
    }

    /// Where the list of all series lies; a block without series may have none.
    pub(crate) fn list_of_all(&self) -> Option<u64> {
        self.table.all_series()
    }

    /// All series, ascending.
    pub fn all_series(&self) -> Result<Vec<u32>, FileError> {
        self.list_of_all().map_or_else(|| Ok(Vec::new()), |offset| self.list(offset))
    }

    /// The series that have a label with this value, ascending.
    pub fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, FileError> {
        self.list_of(name, value).map_or_else(|| Ok(Vec::new()), |offset| self.list(offset))
    }

    /// How many series a list has, without reading it.
    pub(crate) fn list_len(&self, offset: u64) -> Result<u32, FileError> {
        Ok(be_u32(&self.file.read(offset + 4, 4, "postings")?))
    }

    /// The list at an offset of the table: series ids, ascending.
    pub(crate) fn list(&self, offset: u64) -> Result<Vec<u32>, FileError> {
        let mut series = Vec::new();
        self.read_list(offset, |id| series.push(id))?;
        Ok(series)
    }

    /// Calls `visit` for each series of the list at an offset of the table, ascending. Cost: reads and checks the list.
    pub(crate) fn read_list(&self, offset: u64, mut visit: impl FnMut(u32)) -> Result<(), FileError> {
        let section = self.file.read_section(offset, "postings")?;
        let body = section.get(4..).filter(|body| body.len() == be_u32(&section) as usize * 4);
        let Some(body) = body else {
            return Err(self.file.damaged(offset, "a list of postings is not as long as its count says"));
        };
        // Ids beyond the series would make sets of them huge.
        let end = u32::try_from(self.toc.postings.div_ceil(SERIES_ALIGNMENT)).unwrap_or(u32::MAX);
        let mut previous = None;
        for id in body.as_chunks::<4>().0 {
            let id = u32::from_be_bytes(*id);
            if previous >= Some(id) || id >= end {
                return Err(self.file.damaged(offset, "a list of postings does not ascend within the series"));
            }
            previous = Some(id);
            visit(id);
        }
        Ok(())
    }

    /// Reads a series into `entry`, whose memory is kept.
    pub fn series(&self, id: u32, entry: &mut SeriesEntry) -> Result<(), FileError> {
        let offset = u64::from(id) * SERIES_ALIGNMENT;
        if offset < self.toc.series || offset >= self.toc.postings {
            return Err(self.file.damaged(offset, "a list of postings points outside the series"));
        }
        let head = self.file.read_up_to(offset, 10, "series")?;
        let mut cursor = Cursor::new(&head);
        let length = cursor.uvarint32().ok_or_else(|| self.file.damaged(offset, "a series has no length"))?;
        let body = self.file.read(offset + cursor.position() as u64, u64::from(length) + 4, "series")?;
        self.file.check_crc(offset, &body, "series")?;
        if entry.decode(&body[..body.len() - 4]) {
            return Ok(());
        }
        Err(self.file.damaged(offset, "a series cannot be read"))
    }

    /// Appends the canonical encoding of an entry's labels that `keep` wants.
    ///
    /// The result is canonical only if the index is sound: check it with [`Labels::from_encoded`].
    pub(crate) fn encode_labels(
        &self,
        entry: &SeriesEntry,
        encoded: &mut Vec<u8>,
        mut keep: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), FileError> {
        for (name, value) in &entry.labels {
            let (Some(name), Some(value)) = (self.symbols.bytes_at(*name), self.symbols.bytes_at(*value)) else {
                return Err(self.file.damaged(self.toc.series, "a series refers to a symbol that is not there"));
            };
            if keep(name) {
                push_prefixed(encoded, name);
                push_prefixed(encoded, value);
            }
        }
        Ok(())
    }

    /// The labels of an entry.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels, FileError> {
        let mut encoded = Vec::new();
        self.encode_labels(entry, &mut encoded, |_| true)?;
        Labels::from_encoded(&encoded).map_err(|_| self.unsorted_labels())
    }

    /// The error for a series whose labels are out of order.
    pub(crate) fn unsorted_labels(&self) -> FileError {
        self.file.damaged(self.toc.series, "the labels of a series are not sorted by name")
    }
}

#[cfg(test)]
mod tests;
