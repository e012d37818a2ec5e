//! The table of contents at the end of an index.

use crate::block::cursor::Cursor;
use crate::block::file::{FileError, NamedSource, crc32c};

/// Six offsets and a checksum.
pub(super) const TOC_BYTES: u64 = 6 * 8 + 4;

/// Where the parts of an index lie, in bytes from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Toc {
    pub(super) symbols: u64,
    /// The end of the symbols; the first series comes after padding.
    pub(super) series: u64,
    /// The end of the series; the first list comes after padding.
    pub(super) postings: u64,
    pub(super) postings_table: u64,
}

impl Toc {
    pub(super) fn read(file: &NamedSource) -> Result<Self, FileError> {
        let offset = file.source.len().saturating_sub(TOC_BYTES);
        let bytes = file.read(offset, TOC_BYTES, "table of contents")?;
        file.check_crc(offset, &bytes, "table of contents")?;
        let mut cursor = Cursor::new(&bytes);
        let mut next = || cursor.u64().expect("six offsets and a checksum were read");
        let (symbols, series, _label_indices, _label_table) = (next(), next(), next(), next());
        let toc = Self { symbols, series, postings: next(), postings_table: next() };
        let ascending = toc.symbols <= toc.series && toc.series <= toc.postings && toc.postings <= toc.postings_table;
        if !ascending || toc.postings_table > offset {
            return Err(file.damaged(offset, "the parts of the table of contents do not follow each other"));
        }
        Ok(toc)
    }

    /// The bytes at the end of an index. The label indices are no longer written; their entries repeat the postings'.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let parts = [self.symbols, self.series, self.postings, self.postings_table, self.postings, self.postings_table];
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }
}
