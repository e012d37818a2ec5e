//! Asks a block.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use norn_model::Matcher;
use norn_model::select::{SeriesRequest, SeriesSource, SeriesStore, TimeRange};

use super::file::{FileError, NamedSource};
use super::meta::BlockMeta;
use super::source::BlockSource;
use super::tombstones::{TOMBSTONES_FILE, Tombstones};
use super::writer::{CHUNKS_DIRECTORY, INDEX_FILE};
use crate::chunk::segment::SegmentReader;
use crate::index::matching::{MatchingSeries, fulfils};
use crate::index::{IndexReader, SeriesEntry};
use crate::postings::SeriesSet;

/// One block; cheap to clone.
#[derive(Debug, Clone)]
pub struct BlockReader {
    parts: Arc<BlockParts>,
}

/// What all who read one block share.
#[derive(Debug)]
pub(super) struct BlockParts {
    pub(super) meta: BlockMeta,
    pub(super) index: IndexReader,
    pub(super) segments: SegmentReader,
    pub(super) tombstones: Tombstones,
    /// Why the block is set aside, if a query came upon damage in it.
    damage: OnceLock<String>,
}

impl BlockParts {
    /// What an answer says that misses this block; nothing where the block is whole, as far as is known.
    pub(super) fn damage(&self) -> Option<String> {
        self.damage.get().cloned()
    }

    /// Sets the block aside: no query asks it any more, and answers name it. Returns what they say. An error that is no
    /// damage comes back.
    pub(super) fn set_aside(&self, error: FileError) -> Result<String, FileError> {
        if !error.is_damage() {
            return Err(error);
        }
        let ulid = self.meta.ulid;
        let chain = norn_base::Error::from(error).chain();
        let warning = self.damage.get_or_init(|| {
            tracing::error!(block = %ulid, error = %chain, "set a damaged block aside");
            format!("block {ulid} is damaged, and samples of it are missing from this answer: {chain}")
        });
        Ok(warning.clone())
    }
}

impl BlockReader {
    /// Opens the block in a local directory, whose files are mapped.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let meta = BlockMeta::read(directory)?;
        let index = NamedSource::map(&directory.join(INDEX_FILE))?;
        let segments = SegmentReader::open(&directory.join(CHUNKS_DIRECTORY))?;
        let tombstones = directory.join(TOMBSTONES_FILE);
        let tombstones = tombstones.exists().then(|| NamedSource::map(&tombstones)).transpose()?;
        Self::from_parts(meta, index, segments, tombstones.as_ref())
    }

    /// Opens a block whose files come from elsewhere.
    pub fn from_sources(
        meta: BlockMeta,
        index: NamedSource,
        segments: Vec<NamedSource>,
        tombstones: Option<&NamedSource>,
    ) -> Result<Self, FileError> {
        Self::from_parts(meta, index, SegmentReader::new(segments)?, tombstones)
    }

    fn from_parts(
        meta: BlockMeta,
        index: NamedSource,
        segments: SegmentReader,
        tombstones: Option<&NamedSource>,
    ) -> Result<Self, FileError> {
        let index = IndexReader::open(index)?;
        let tombstones = tombstones.map(Tombstones::read).transpose()?.unwrap_or_default();
        Ok(Self { parts: Arc::new(BlockParts { meta, index, segments, tombstones, damage: OnceLock::new() }) })
    }

    /// What the block says of itself.
    pub fn meta(&self) -> &BlockMeta {
        &self.parts.meta
    }

    /// The span of time that its samples can lie in.
    pub fn range(&self) -> TimeRange {
        self.parts.range()
    }

    pub(super) fn parts(&self) -> Arc<BlockParts> {
        self.parts.clone()
    }

    /// Its index.
    pub fn index(&self) -> &IndexReader {
        &self.parts.index
    }

    /// Its chunks.
    pub fn segments(&self) -> &SegmentReader {
        &self.parts.segments
    }

    /// What is deleted in it.
    pub fn tombstones(&self) -> &Tombstones {
        &self.parts.tombstones
    }

    /// The label names of the series that fulfil `matchers`, ascending; none where the block does not reach into
    /// `range`. Without matchers it costs next to nothing, else the labels of all these series are read.
    pub fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, FileError> {
        if !self.range().overlaps(range) {
            return Ok(Vec::new());
        }
        let index = &self.parts.index;
        if matchers.is_empty() {
            return Ok(index.label_names().map(|(name, _)| name.to_owned()).collect());
        }
        let mut names = BTreeSet::new();
        self.for_each_match(matchers, |entry| names.extend(entry.labels.iter().map(|(name, _)| *name)))?;
        Ok(self.strings(names))
    }

    /// The values of a label among the series that fulfil `matchers`, ascending; none where the block does not reach
    /// into `range`.
    pub fn label_values(&self, name: &str, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, FileError> {
        if !self.range().overlaps(range) {
            return Ok(Vec::new());
        }
        if matchers.is_empty() {
            return Ok(self.parts.index.label_values(name, 0).map(str::to_owned).collect());
        }
        let mut values = BTreeSet::new();
        let symbols = self.parts.index.symbols();
        self.for_each_match(matchers, |entry| {
            let is_name = |symbol: u32| symbols.bytes_at(symbol) == Some(name.as_bytes());
            values.extend(entry.labels.iter().find(|(symbol, _)| is_name(*symbol)).map(|(_, value)| *value));
        })?;
        Ok(self.strings(values))
    }

    /// How many series there are.
    pub fn series_count(&self) -> Result<u64, FileError> {
        let index = &self.parts.index;
        index.list_of_all().map_or(Ok(0), |list| Ok(u64::from(index.list_len(list)?)))
    }

    /// Each label name with the number of its values.
    pub fn label_cardinality(&self) -> Vec<(String, u64)> {
        self.parts.index.label_names().map(|(name, values)| (name.to_owned(), u64::from(values))).collect()
    }

    /// Each value of a label with the number of series that have it and fulfil `matchers`; without those that none has.
    pub fn value_cardinality(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<(String, u64)>, FileError> {
        let index = &self.parts.index;
        let among = if matchers.is_empty() { None } else { Some(self.matching_set(matchers)?) };
        let mut counts = Vec::new();
        for (value, list) in index.value_lists(name, 0) {
            let count = match &among {
                None => u64::from(index.list_len(list)?),
                Some(among) => {
                    let mut count = 0;
                    index.read_list(list, |id| count += u64::from(among.contains(id)))?;
                    count
                }
            };
            if count > 0 {
                counts.push((value.to_owned(), count));
            }
        }
        Ok(counts)
    }

    fn matching_set(&self, matchers: &[Matcher]) -> Result<SeriesSet, FileError> {
        let (found, put_off) = MatchingSeries::run(&self.parts.index, matchers)?.into_found();
        let mut set = SeriesSet::default();
        let mut entry = SeriesEntry::default();
        for id in found {
            if put_off.is_empty() || self.belongs(id, &put_off, &mut entry)? {
                set.insert(id);
            }
        }
        Ok(set)
    }

    fn for_each_match(&self, matchers: &[Matcher], mut visit: impl FnMut(&SeriesEntry)) -> Result<(), FileError> {
        let (found, put_off) = MatchingSeries::run(&self.parts.index, matchers)?.into_found();
        let mut entry = SeriesEntry::default();
        for id in found {
            if self.belongs(id, &put_off, &mut entry)? {
                visit(&entry);
            }
        }
        Ok(())
    }

    /// Reads a series, and asks the matchers that were put off.
    fn belongs(&self, id: u32, put_off: &[Matcher], entry: &mut SeriesEntry) -> Result<bool, FileError> {
        self.parts.index.series(id, entry)?;
        Ok(put_off.is_empty() || fulfils(put_off, self.parts.index.labels(entry)?.as_ref()))
    }

    /// Symbols as strings, ascending as the symbols do.
    fn strings(&self, symbols: BTreeSet<u32>) -> Vec<String> {
        let table = self.parts.index.symbols();
        let text = |symbol: u32| Some(std::str::from_utf8(table.bytes_at(symbol)?).ok()?.to_owned());
        symbols.into_iter().filter_map(text).collect()
    }
}

impl BlockParts {
    pub(super) fn range(&self) -> TimeRange {
        TimeRange { start_ms: self.meta.min_time, end_ms: self.meta.max_time.saturating_sub(1) }
    }
}

impl SeriesStore for BlockReader {
    fn select(&self, request: SeriesRequest) -> Box<dyn SeriesSource> {
        Box::new(BlockSource::new(self.parts.clone(), request))
    }
}

#[cfg(test)]
mod tests;
