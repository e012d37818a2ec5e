//! Writes an index as its series come, so that no more than symbols and lists of ids are held in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use norn_model::labels::LabelsRef;
use smallvec::SmallVec;

use super::offset_table::ENTRY_STRINGS;
use super::series::{ChunkMeta, SeriesEntry};
use super::symbols::{SymbolTable, SymbolsError};
use super::toc::Toc;
use super::{ALL_SERIES, HASH_SEED, HEADER_BYTES, MAGIC, SERIES_ALIGNMENT, VERSION};
use crate::block::cursor::{push_prefixed, push_uvarint};
use crate::block::file::{FileError, crc32c};

/// Lists start at multiples of this.
const LIST_ALIGNMENT: u64 = 4;

/// Most pairs belong to one series or a few, so short lists need no memory of their own.
type List = SmallVec<[u32; 4]>;

/// Writes the index of one block.
pub struct IndexWriter {
    name: Arc<str>,
    file: BufWriter<File>,
    position: u64,
    toc: Toc,
    symbols: SymbolTable,
    /// The series of each pair, by the places of name and value in the symbols.
    lists: HashMap<(u32, u32), List, FixedState>,
    all: Vec<u32>,
    /// The labels of the last series, by which the next one is known to come after it.
    last: Vec<(u32, u32)>,
    entry: SeriesEntry,
    buffer: Vec<u8>,
}

impl IndexWriter {
    /// Creates a file and writes the strings, which strictly ascend and hold all names and values of the series to come.
    pub fn create<S: AsRef<str>>(path: &Path, symbols: impl IntoIterator<Item = S>) -> Result<Self, FileError> {
        let name: Arc<str> = path.display().to_string().into();
        let symbols = SymbolTable::new(symbols).map_err(|error| match error {
            SymbolsError::Unsorted => FileError::Order { file: name.clone(), what: "symbols must strictly ascend" },
            SymbolsError::TooLarge(found) => too_large(&name, "bytes of the symbol table", found),
        })?;
        let failed = |source| FileError::Io { file: name.clone(), action: "create", source };
        let file = BufWriter::with_capacity(1 << 18, File::create_new(path).map_err(failed)?);
        let mut writer = Self {
            name,
            file,
            position: 0,
            toc: Toc { symbols: HEADER_BYTES, ..Toc::default() },
            symbols,
            lists: HashMap::with_hasher(FixedState::with_seed(HASH_SEED)),
            all: Vec::new(),
            last: Vec::new(),
            entry: SeriesEntry::default(),
            buffer: Vec::new(),
        };
        writer.put(&MAGIC.to_be_bytes())?;
        writer.put(&[VERSION])?;
        let section = writer.symbols.to_bytes();
        writer.put(&section)?;
        writer.toc.series = writer.position;
        Ok(writer)
    }

    /// Writes a series; its labels come after those of the series before, and `chunks` are in order of time.
    pub fn add_series(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<(), FileError> {
        self.entry.labels.clear();
        for (name, value) in labels.iter() {
            let (Some(name), Some(value)) = (self.symbols.find(name), self.symbols.find(value)) else {
                return Err(self.order("a series has a string that is not among the symbols"));
            };
            self.entry.labels.push((name, value));
        }
        // Symbols ascend, so places compare as the strings do.
        if !self.all.is_empty() && self.entry.labels <= self.last {
            return Err(self.order("series must strictly ascend by their labels"));
        }
        self.entry.chunks.clear();
        self.entry.chunks.extend_from_slice(chunks);
        self.pad(SERIES_ALIGNMENT)?;
        let id = self.position / SERIES_ALIGNMENT;
        let Ok(id) = u32::try_from(id) else {
            return Err(FileError::TooLarge {
                file: self.name.clone(),
                what: "id of a series",
                found: id,
                most: u64::from(u32::MAX),
            });
        };
        self.put_entry()?;
        self.all.push(id);
        for pair in &self.entry.labels {
            self.lists.entry(*pair).or_default().push(id);
        }
        std::mem::swap(&mut self.last, &mut self.entry.labels);
        Ok(())
    }

    fn put_entry(&mut self) -> Result<(), FileError> {
        let mut body = std::mem::take(&mut self.buffer);
        body.clear();
        self.entry.encode(&mut body);
        let mut length = Vec::with_capacity(10);
        push_uvarint(&mut length, body.len() as u64);
        let crc = crc32c(&body);
        body.extend_from_slice(&crc.to_be_bytes());
        let outcome = self.put(&length).and_then(|()| self.put(&body));
        self.buffer = body;
        outcome
    }

    /// Writes lists, tables and contents, and brings the file to disk. Returns its size in bytes.
    pub fn finish(mut self) -> Result<u64, FileError> {
        self.toc.postings = self.position;
        self.pad(LIST_ALIGNMENT)?;
        let mut table = Vec::new();
        let mut entries = 1u32;
        let all = std::mem::take(&mut self.all);
        push_table_entry(&mut table, ALL_SERIES.0.as_bytes(), ALL_SERIES.1.as_bytes(), self.position);
        self.put_list(&all)?;
        drop(all);
        let mut lists: Vec<((u32, u32), List)> = std::mem::take(&mut self.lists).into_iter().collect();
        lists.sort_unstable_by_key(|(pair, _)| *pair);
        for ((name, value), list) in lists {
            push_table_entry(&mut table, self.symbols.bytes_at(name), self.symbols.bytes_at(value), self.position);
            entries += 1;
            self.put_list(&list)?;
        }
        self.toc.postings_table = self.position;
        self.put_table(entries, &table)?;
        let toc = self.toc.to_bytes();
        self.put(&toc)?;
        let outcome = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        outcome.map_err(|source| FileError::Io { file: self.name.clone(), action: "sync", source })?;
        Ok(self.position)
    }

    fn put_list(&mut self, list: &[u32]) -> Result<(), FileError> {
        let mut body = std::mem::take(&mut self.buffer);
        body.clear();
        // Ids are 32 bits wide, and each list has each id once, but four bytes an id can be too many.
        let length = list.len() as u64 * 4 + 4;
        if length > u64::from(u32::MAX) {
            return Err(too_large(&self.name, "bytes of a list of postings", length));
        }
        body.extend_from_slice(&(list.len() as u32).to_be_bytes());
        body.extend(list.iter().flat_map(|id| id.to_be_bytes()));
        let crc = crc32c(&body);
        body.extend_from_slice(&crc.to_be_bytes());
        let outcome = self.put(&(length as u32).to_be_bytes()).and_then(|()| self.put(&body));
        self.buffer = body;
        outcome
    }

    fn put_table(&mut self, entries: u32, table: &[u8]) -> Result<(), FileError> {
        let length = table.len() as u64 + 4;
        let Ok(length) = u32::try_from(length) else {
            return Err(too_large(&self.name, "bytes of the postings offset table", length));
        };
        let mut body = Vec::with_capacity(table.len() + 12);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&entries.to_be_bytes());
        body.extend_from_slice(table);
        let crc = crc32c(&body[4..]);
        body.extend_from_slice(&crc.to_be_bytes());
        self.put(&body)
    }

    fn pad(&mut self, alignment: u64) -> Result<(), FileError> {
        let missing = self.position.next_multiple_of(alignment) - self.position;
        self.put(&[0; SERIES_ALIGNMENT as usize][..missing as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let failed = |source| FileError::Io { file: self.name.clone(), action: "write", source };
        self.file.write_all(bytes).map_err(failed)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn order(&self, what: &'static str) -> FileError {
        FileError::Order { file: self.name.clone(), what }
    }
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "index writer {} ({} series, {} bytes)", self.name, self.all.len(), self.position)
    }
}

fn push_table_entry(table: &mut Vec<u8>, name: &[u8], value: &[u8], offset: u64) {
    table.push(ENTRY_STRINGS);
    push_prefixed(table, name);
    push_prefixed(table, value);
    push_uvarint(table, offset);
}

/// What the format counts in 32 bits.
fn too_large(file: &Arc<str>, what: &'static str, found: u64) -> FileError {
    FileError::TooLarge { file: file.clone(), what, found, most: u64::from(u32::MAX) }
}
