//! Makes a block out of series that come in order.
//!
//! Chunks go to disk as they come; in memory are the symbols and the lists of ids. Everything is written into a
//! directory of another name, brought to disk, and renamed at the very end. A writer that is dropped before that takes
//! its directory away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use norn_model::labels::LabelsRef;
use norn_model::select::TimeRange;

use super::file::FileError;
use super::meta::{BlockMeta, BlockStats, Compaction, FileMeta, META_FILE, ThanosMeta};
use crate::chunk::segment::{SEGMENT_BYTES_MAX, SegmentWriter};
use crate::chunk::{Encoding, sample_count};
use crate::index::{ChunkMeta, IndexWriter};
use crate::ulid::Ulid;

/// What a directory's name ends with as long as the block in it is not whole. Prometheus removes such ones at start.
pub const UNFINISHED_SUFFIX: &str = ".tmp-for-creation";

/// Files of a block.
pub(crate) const INDEX_FILE: &str = "index";
pub(crate) const CHUNKS_DIRECTORY: &str = "chunks";

/// A chunk that goes into a block.
#[derive(Debug, Clone, Copy)]
pub struct ChunkToWrite<'a> {
    /// The times of its first and last sample.
    pub range: TimeRange,
    /// How it is laid out.
    pub encoding: Encoding,
    /// Its data.
    pub data: &'a [u8],
}

/// What a block says of itself beside what is in it.
#[derive(Debug, Clone, Default)]
pub struct BlockDescription {
    /// See [`BlockMeta::min_time`].
    pub min_time: i64,
    /// See [`BlockMeta::max_time`].
    pub max_time: i64,
    /// How it came to be.
    pub compaction: Compaction,
    /// External labels.
    pub external_labels: BTreeMap<String, String>,
    /// Who made it.
    pub source: String,
}

/// Makes one block.
#[derive(Debug)]
pub struct BlockWriter {
    ulid: Ulid,
    /// Where the block goes.
    target: PathBuf,
    /// Where it is made; removed when the writer is dropped, gone by then if the block is whole.
    unfinished: UnfinishedDirectory,
    index: IndexWriter,
    segments: SegmentWriter,
    stats: BlockStats,
    chunks: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Begins a block in the directory `parent`, which exists.
    ///
    /// - `symbols`: all label names and values of the series to come, strictly ascending. They may hold more.
    pub fn create<S: AsRef<str>>(
        parent: &Path,
        ulid: Ulid,
        symbols: impl IntoIterator<Item = S>,
    ) -> Result<Self, FileError> {
        let unfinished = UnfinishedDirectory { path: parent.join(format!("{ulid}{UNFINISHED_SUFFIX}")) };
        let chunks = unfinished.path.join(CHUNKS_DIRECTORY);
        fs::create_dir_all(&chunks).map_err(failed(&chunks, "create directory"))?;
        Ok(Self {
            ulid,
            target: parent.join(ulid.to_string()),
            index: IndexWriter::create(&unfinished.path.join(INDEX_FILE), symbols)?,
            unfinished,
            segments: SegmentWriter::new(&chunks, SEGMENT_BYTES_MAX),
            stats: BlockStats::default(),
            chunks: Vec::new(),
        })
    }

    /// Adds a series, whose labels come after those of the series before.
    ///
    /// - `chunks`: in order of time, without overlaps; a series without chunks is left out.
    pub fn add_series<'a>(
        &mut self,
        labels: LabelsRef<'_>,
        chunks: impl IntoIterator<Item = ChunkToWrite<'a>>,
    ) -> Result<(), FileError> {
        self.chunks.clear();
        for chunk in chunks {
            let place = self.segments.write(chunk.encoding, chunk.data)?;
            self.chunks.push(ChunkMeta { range: chunk.range, place });
            let samples = u64::from(sample_count(chunk.data).unwrap_or(0));
            self.stats.num_samples += samples;
            match chunk.encoding {
                Encoding::Xor => self.stats.num_float_samples += samples,
                Encoding::Histogram | Encoding::FloatHistogram => self.stats.num_histogram_samples += samples,
            }
        }
        if self.chunks.is_empty() {
            return Ok(());
        }
        self.stats.num_chunks += self.chunks.len() as u64;
        self.stats.num_series += 1;
        self.index.add_series(labels, &self.chunks)
    }

    /// How much is in the block so far.
    pub fn stats(&self) -> BlockStats {
        self.stats
    }

    /// Brings the block to disk and gives it its name. `None` where it has no series: then there is no block.
    pub fn finish(self, description: BlockDescription) -> Result<Option<BlockMeta>, FileError> {
        let Self { ulid, target, unfinished, index, segments, stats, chunks: _ } = self;
        if stats.num_series == 0 {
            return Ok(None);
        }
        let index_bytes = index.finish()?;
        let segments = segments.finish()?;
        let segment = |(name, size): &(String, u64)| file_meta(format!("{CHUNKS_DIRECTORY}/{name}"), *size);
        let mut files: Vec<FileMeta> = segments.iter().map(segment).collect();
        files.push(file_meta(INDEX_FILE.to_owned(), index_bytes));
        files.push(file_meta(META_FILE.to_owned(), 0));
        let meta = BlockMeta {
            ulid,
            min_time: description.min_time,
            max_time: description.max_time,
            stats,
            compaction: description.compaction,
            version: 1,
            out_of_order: false,
            thanos: Some(ThanosMeta {
                labels: description.external_labels,
                source: description.source,
                segment_files: segments.into_iter().map(|(name, _)| name).collect(),
                files,
                ..ThanosMeta::default()
            }),
        };
        write_file(&unfinished.path.join(META_FILE), &meta.to_json())?;
        sync_directory(&unfinished.path.join(CHUNKS_DIRECTORY))?;
        sync_directory(&unfinished.path)?;
        fs::rename(&unfinished.path, &target).map_err(failed(&target, "rename into place"))?;
        if let Some(parent) = target.parent() {
            sync_directory(parent)?;
        }
        Ok(Some(meta))
    }
}

/// A directory that goes away with its owner.
#[derive(Debug)]
struct UnfinishedDirectory {
    path: PathBuf,
}

impl Drop for UnfinishedDirectory {
    fn drop(&mut self) {
        // Nothing is lost where this fails: the name says that the block is not whole.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "failed to remove an unfinished block");
        }
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = File::create_new(path).map_err(failed(path, "create"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(path, "write"))
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed(path, "sync"))
}

fn failed(path: &Path, action: &'static str) -> impl Fn(io::Error) -> FileError {
    let file: std::sync::Arc<str> = path.display().to_string().into();
    move |source| FileError::Io { file: file.clone(), action, source }
}

fn file_meta(rel_path: String, size_bytes: u64) -> FileMeta {
    FileMeta { rel_path, size_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::testing::{chunks, labels, to_write, ulid, write_block};

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn a_block_appears_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = BlockWriter::create(directory.path(), ulid(1), ["a", "b"]).unwrap();
        let chunks = chunks("10:1 20:2 | 30:3");
        writer.add_series(labels("a=b").as_ref(), chunks.iter().map(to_write)).unwrap();
        assert_eq!(names(directory.path()), [format!("{}{UNFINISHED_SUFFIX}", ulid(1))]);
        let meta = writer.finish(BlockDescription { max_time: 31, ..BlockDescription::default() }).unwrap().unwrap();
        assert_eq!(names(directory.path()), [ulid(1).to_string()]);
        let block = directory.path().join(ulid(1).to_string());
        assert_eq!(names(&block), ["chunks", "index", "meta.json"]);
        assert_eq!(BlockMeta::read(&block).unwrap(), meta);
        let expected =
            BlockStats { num_samples: 3, num_float_samples: 3, num_series: 1, num_chunks: 2, ..BlockStats::default() };
        assert_eq!(meta.stats, expected);
        for file in meta.thanos.unwrap().files.iter().filter(|file| file.size_bytes > 0) {
            assert_eq!(fs::metadata(block.join(&file.rel_path)).unwrap().len(), file.size_bytes, "{file:?}");
        }
    }

    #[test]
    fn a_block_that_is_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        drop(BlockWriter::create(directory.path(), ulid(1), ["a"]).unwrap());
        let writer = BlockWriter::create(directory.path(), ulid(1), ["a"]).unwrap();
        assert_eq!(writer.finish(BlockDescription::default()).unwrap(), None);
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_name_that_is_taken_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        write_block(directory.path(), 1, &[("a=1", "10:1")]);
        let mut writer = BlockWriter::create(directory.path(), ulid(1), ["a", "b"]).unwrap();
        writer.add_series(labels("a=b").as_ref(), chunks("5:5").iter().map(to_write)).unwrap();
        let error = writer.finish(BlockDescription::default()).unwrap_err().to_string();
        assert!(error.ends_with("rename into place"), "{error}");
        assert_eq!(names(directory.path()), [ulid(1).to_string()]);
    }
}
