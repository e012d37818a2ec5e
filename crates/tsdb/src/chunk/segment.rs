//! Segment files: the chunks of a block, one after the other.
//!
//! ```text
//! ┌────────────────────┬────────────┬─────────────┐
//! │ magic 0x85BD40DD   │ version 1  │ 3 zeros     │   8 bytes
//! ├────────────────────┴────────────┴─────────────┤
//! │ length uvarint │ encoding u8 │ data │ crc u32 │   of the data alone; of encoding and data
//! │ ...                                           │
//! └───────────────────────────────────────────────┘
//! ```
//!
//! Files are called `000001`, `000002` and so on, and hold at most 512 MiB. A [`ChunkRef`] says in which file and at
//! which byte a chunk's length stands.
//!
//! Source: Prometheus `tsdb/docs/format/chunks.md`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{ChunkError, Encoding};
use crate::block::cursor::{Cursor, push_uvarint};
use crate::block::file::{FileError, NamedSource, be_u32, crc32c};

const MAGIC: u32 = 0x85BD_40DD;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;

/// Bytes of a length, an encoding and a checksum at most.
const FRAME_BYTES_MAX: u64 = 5 + 1 + 4;

/// How large a segment file becomes.
pub const SEGMENT_BYTES_MAX: u64 = 512 << 20;

/// Where a chunk lies: the segment's place in the list of files, from 0, and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(u64);

impl ChunkRef {
    /// A place inside a segment.
    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The number that stands for it in an index.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number that stands for it in an index.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// Which file, from 0: file `000001` is 0.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte at which the chunk's length stands.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// A chunk as it lies in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawChunk {
    /// How the data is laid out.
    pub encoding: Encoding,
    /// Without length, encoding and checksum.
    pub data: Bytes,
}

/// The name of a segment file, from 0.
pub fn segment_name(index: usize) -> String {
    format!("{:06}", index + 1)
}

/// Reads chunks out of the segment files of one block.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    segments: Vec<NamedSource>,
}

impl SegmentReader {
    /// A reader of these files, in order. Checks the head of each.
    pub fn new(segments: Vec<NamedSource>) -> Result<Self, FileError> {
        for segment in &segments {
            let head = segment.read(0, HEADER_BYTES, "header")?;
            segment.expect(0, "magic number", u64::from(be_u32(&head)), u64::from(MAGIC))?;
            segment.expect(4, "version", u64::from(head[4]), u64::from(VERSION))?;
        }
        Ok(Self { segments })
    }

    /// Maps the files of a `chunks` directory.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let mut segments = Vec::new();
        loop {
            let path = directory.join(segment_name(segments.len()));
            if !path.exists() {
                return Self::new(segments);
            }
            segments.push(NamedSource::map(&path)?);
        }
    }

    /// The size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.source.len()).sum()
    }

    /// The chunk at a place, its checksum checked. Cost: no copy where the file is mapped.
    pub fn read(&self, chunk: ChunkRef) -> Result<RawChunk, FileError> {
        let (segment, offset) = self.locate(chunk)?;
        let head = segment.read_up_to(offset, FRAME_BYTES_MAX, "chunk")?;
        let mut cursor = Cursor::new(&head);
        let Some(length) = cursor.uvarint32() else {
            return Err(segment.damaged(offset, "the length of a chunk is not a number of 32 bits"));
        };
        let start = offset + cursor.position() as u64;
        let frame = segment.read(start, u64::from(length) + 5, "chunk")?;
        segment.check_crc(offset, &frame, "chunk")?;
        let encoding = Encoding::from_code(frame[0]).map_err(|error| self.chunk_error(chunk, error))?;
        Ok(RawChunk { encoding, data: frame.slice(1..frame.len() - 4) })
    }

    /// Names the place of a chunk whose data cannot be decoded.
    pub fn chunk_error(&self, chunk: ChunkRef, source: ChunkError) -> FileError {
        let file = match self.segments.get(chunk.segment() as usize) {
            Some(segment) => segment.name.clone(),
            None => "chunks".into(),
        };
        FileError::Chunk { file, offset: u64::from(chunk.offset()), source }
    }

    fn locate(&self, chunk: ChunkRef) -> Result<(&NamedSource, u64), FileError> {
        let offset = u64::from(chunk.offset());
        match self.segments.get(chunk.segment() as usize) {
            Some(segment) => Ok((segment, offset)),
            None => Err(FileError::Unexpected {
                file: "chunks".into(),
                offset,
                what: "segment file of a chunk, from 0,",
                found: u64::from(chunk.segment()),
                expected: (self.segments.len() as u64).saturating_sub(1),
            }),
        }
    }
}

/// Writes segment files into a directory.
#[derive(Debug)]
pub struct SegmentWriter {
    directory: PathBuf,
    segment_bytes_max: u64,
    finished: Vec<(String, u64)>,
    open: Option<BufWriter<File>>,
    /// Bytes of the open file.
    position: u64,
    frame: Vec<u8>,
}

impl SegmentWriter {
    /// A writer into a directory that exists and has no segments.
    pub fn new(directory: &Path, segment_bytes_max: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            segment_bytes_max: segment_bytes_max.min(SEGMENT_BYTES_MAX),
            finished: Vec::new(),
            open: None,
            position: 0,
            frame: Vec::new(),
        }
    }

    /// Writes a chunk and says where it lies.
    pub fn write(&mut self, encoding: Encoding, data: &[u8]) -> Result<ChunkRef, FileError> {
        if u32::try_from(data.len()).is_err() {
            let (found, most) = (data.len() as u64, u64::from(u32::MAX));
            return Err(FileError::TooLarge { file: self.name(), what: "bytes of a chunk", found, most });
        }
        self.frame.clear();
        push_uvarint(&mut self.frame, data.len() as u64);
        let body = self.frame.len();
        self.frame.push(encoding.code());
        self.frame.extend_from_slice(data);
        let crc = crc32c(&self.frame[body..]);
        self.frame.extend_from_slice(&crc.to_be_bytes());
        let needed = self.frame.len() as u64;
        if self.open.is_some() && self.position + needed > self.segment_bytes_max {
            self.finish_segment()?;
        }
        self.start_segment()?;
        let place = ChunkRef::new(self.finished.len() as u32, self.position as u32);
        let frame = std::mem::take(&mut self.frame);
        let outcome = self.put(&frame);
        self.frame = frame;
        outcome.map(|()| place)
    }

    /// Ends the last file. Returns names and sizes of all; they are on disk, their directory's entries not yet.
    pub fn finish(mut self) -> Result<Vec<(String, u64)>, FileError> {
        self.finish_segment()?;
        Ok(self.finished)
    }

    fn start_segment(&mut self) -> Result<(), FileError> {
        if self.open.is_some() {
            return Ok(());
        }
        let path = self.directory.join(segment_name(self.finished.len()));
        let file = File::create_new(path).map_err(|source| self.failed("create", source))?;
        self.open = Some(BufWriter::with_capacity(1 << 20, file));
        self.position = 0;
        let mut header = [0; HEADER_BYTES as usize];
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4] = VERSION;
        self.put(&header)
    }

    fn finish_segment(&mut self) -> Result<(), FileError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let outcome = open.flush().and_then(|()| open.get_ref().sync_all());
        outcome.map_err(|source| self.failed("sync", source))?;
        self.finished.push((segment_name(self.finished.len()), self.position));
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let open = self.open.as_mut().expect("a segment is started before it is written to");
        if let Err(source) = open.write_all(bytes) {
            return Err(self.failed("write", source));
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn name(&self) -> std::sync::Arc<str> {
        self.directory.join(segment_name(self.finished.len())).display().to_string().into()
    }

    fn failed(&self, action: &'static str, source: io::Error) -> FileError {
        FileError::Io { file: self.name(), action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_read_back_over_several_segments() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::new(directory.path(), 100);
        let chunks: Vec<Vec<u8>> = (0..7u8).map(|index| vec![index; 20 + usize::from(index)]).collect();
        let places: Vec<_> = chunks.iter().map(|data| writer.write(Encoding::Xor, data).unwrap()).collect();
        let files = writer.finish().unwrap();
        assert_eq!(files.len(), 3, "{files:?}");
        assert_eq!((places[0], places[3].segment()), (ChunkRef::new(0, 8), 1));
        let reader = SegmentReader::open(directory.path()).unwrap();
        for (place, data) in places.iter().zip(&chunks) {
            assert_eq!(reader.read(*place).unwrap().data, data[..]);
        }
        for (name, size) in files {
            assert_eq!(std::fs::metadata(directory.path().join(name)).unwrap().len(), size);
        }
    }

    #[test]
    fn damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::new(directory.path(), SEGMENT_BYTES_MAX);
        let place = writer.write(Encoding::Histogram, b"data").unwrap();
        writer.finish().unwrap();
        let good = std::fs::read(directory.path().join("000001")).unwrap();
        let error = |change: &dyn Fn(&mut Vec<u8>), place: ChunkRef| {
            let mut bytes = good.clone();
            change(&mut bytes);
            let opened = SegmentReader::new(vec![NamedSource::new("000001", Bytes::from(bytes))]);
            opened.and_then(|reader| reader.read(place)).unwrap_err().to_string()
        };
        let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| assert_eq!(error(change, place), expected);
        check(&|bytes| bytes[0] = 0, "000001, byte 0: magic number is 0xbd40dd, expected 0x85bd40dd");
        check(&|bytes| bytes[4] = 9, "000001, byte 4: version is 0x9, expected 0x1");
        check(&|bytes| bytes.truncate(5), "000001, byte 0: header takes 8 bytes, 5 are there");
        check(&|bytes| bytes.truncate(15), "000001, byte 9: chunk takes 9 bytes, 6 are there");
        check(&|bytes| bytes[8..].fill(0xff), "000001, byte 8: the length of a chunk is not a number of 32 bits");
        assert!(error(&|bytes| bytes[10] ^= 1, place).starts_with("000001, byte 8: checksum of chunk is 0x"));
        assert!(error(&|_| {}, ChunkRef::new(3, 8)).contains("segment file of a chunk, from 0, is 0x3, expected 0x0"));
    }
}
