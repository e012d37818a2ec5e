//! Reading back: record after record, in bounded memory, around damage.
//!
//! A reader holds one window of a file, as large as its largest record or 256 KiB. Where a record's body is damaged, its
//! head still says where the next one starts. Where a head is damaged, the reader searches for the next place whose
//! bytes are a valid head *in that place*; since a head's checksum covers the file's random salt and the offset, no
//! payload can look like one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::position::Position;
use crate::record::{HEAD_BYTES, Head, Place, RECORD_MAGIC, RecordView};
use crate::segment::{FIRST_RECORD, FileKind, Header, HeaderError, segment_path};

/// How much of a file is read at once.
const WINDOW_BYTES: usize = 256 << 10;

/// A stretch of a file that holds no readable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where it starts.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong.
    pub what: &'static str,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, offset, bytes, what } = self;
        write!(formatter, "{}: {bytes} bytes at {offset} are lost: {what}", path.display())
    }
}

/// What a reader comes upon.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record and where it starts.
    Record(Position, RecordView<'a>),
    /// Bytes that were stepped over.
    Damage(Damage),
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("read {path}, byte {offset}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A file that this norn must not replay, and must not ignore.
    #[error("read {path}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
}

/// Reads one file, a segment or a checkpoint.
pub(crate) struct FileReader {
    path: PathBuf,
    file: File,
    file_len: u64,
    pub(crate) header: Header,
    window: Vec<u8>,
    window_start: u64,
    offset: u64,
}

/// What lies at an offset.
enum Found {
    End,
    Record(Head),
    DamagedBody(u64),
    DamagedHead,
}

impl FileReader {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path, kind: FileKind) -> Result<Self, ReadError> {
        let read_error = |source| ReadError::Read { path: path.to_owned(), offset: 0, source };
        let file = File::open(path).map_err(read_error)?;
        let file_len = file.metadata().map_err(read_error)?.len();
        let mut start = vec![0; FIRST_RECORD.min(usize::try_from(file_len).unwrap_or(FIRST_RECORD))];
        file.read_exact_at(&mut start, 0).map_err(read_error)?;
        let header =
            Header::decode(kind, &start).map_err(|source| ReadError::Header { path: path.to_owned(), source })?;
        let offset = FIRST_RECORD as u64;
        Ok(Self { path: path.to_owned(), file, file_len, header, window: Vec::new(), window_start: 0, offset })
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record or stretch of damage; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        let start = self.offset;
        let head = match self.look(start)? {
            Found::End => return Ok(None),
            Found::Record(head) => head,
            Found::DamagedBody(bytes) => {
                self.offset = start + bytes;
                return Ok(Some(self.damage(start, "a record's body does not fit its checksum")));
            }
            Found::DamagedHead => {
                self.offset = self.search(start + 1)?;
                return Ok(Some(self.damage(start, "no valid record starts here")));
            }
        };
        self.offset = start + head.record_len() as u64;
        let position = Position { segment: self.header.position.segment, offset: start };
        let bytes = self.bytes(start, head.record_len())?;
        let record = head.record(bytes).expect("the same bytes were checked a moment ago");
        Ok(Some(Entry::Record(position, record)))
    }

    fn damage<'a>(&self, start: u64, what: &'static str) -> Entry<'a> {
        Entry::Damage(Damage { path: self.path.clone(), offset: start, bytes: self.offset - start, what })
    }

    fn place(&self, offset: u64) -> Place {
        Place { salt: self.header.salt, offset }
    }

    fn look(&mut self, offset: u64) -> Result<Found, ReadError> {
        if offset >= self.file_len {
            return Ok(Found::End);
        }
        let place = self.place(offset);
        let left = self.file_len - offset;
        let Some(head) = Head::decode(self.bytes(offset, HEAD_BYTES)?, place) else {
            return Ok(Found::DamagedHead);
        };
        if head.record_len() as u64 > left {
            return Ok(Found::DamagedHead);
        }
        let bytes = self.bytes(offset, head.record_len())?;
        Ok(match head.record(bytes) {
            Some(_) => Found::Record(head),
            None => Found::DamagedBody(head.record_len() as u64),
        })
    }

    /// The next offset from `offset` on where a whole record starts, or the end of the file.
    fn search(&mut self, mut offset: u64) -> Result<u64, ReadError> {
        while offset + HEAD_BYTES as u64 <= self.file_len {
            let bytes = self.bytes(offset, WINDOW_BYTES)?;
            let Some(found) = bytes.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC) else {
                // The last bytes may be the start of a magic that the next window completes.
                offset += (bytes.len() - (RECORD_MAGIC.len() - 1)) as u64;
                continue;
            };
            offset += found as u64;
            let (place, left) = (self.place(offset), self.file_len - offset);
            let head = Head::decode(self.bytes(offset, HEAD_BYTES)?, place);
            if head.is_some_and(|head| head.record_len() as u64 <= left) {
                return Ok(offset);
            }
            offset += 1;
        }
        Ok(self.file_len)
    }

    /// `len` bytes from `offset` on, or fewer at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.file_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let inside = offset >= self.window_start && offset + len as u64 <= self.window_start + self.window.len() as u64;
        if !inside {
            self.window.resize(len.max(WINDOW_BYTES).min(left), 0);
            self.window_start = offset;
            self.file.read_exact_at(&mut self.window, offset).map_err(|source| ReadError::Read {
                path: self.path.clone(),
                offset,
                source,
            })?;
        }
        let start = usize::try_from(offset - self.window_start).expect("the offset lies in the window");
        Ok(&self.window[start..start + len])
    }
}

/// Reads all segments that were there when the log was opened, in order.
pub struct LogReader {
    directory: PathBuf,
    segments: std::vec::IntoIter<u64>,
    current: Option<FileReader>,
    read_bytes: u64,
    total_bytes: u64,
}

impl LogReader {
    pub(crate) fn new(directory: PathBuf, segments: Vec<u64>) -> Self {
        let len = |segment: &u64| std::fs::metadata(segment_path(&directory, *segment)).map_or(0, |meta| meta.len());
        let total_bytes = segments.iter().map(len).sum();
        Self { directory, segments: segments.into_iter(), current: None, read_bytes: 0, total_bytes }
    }

    /// Steps over segments before `segment` without reading them.
    pub fn skip_before(&mut self, segment: u64) {
        while self.segments.as_slice().first().is_some_and(|first| *first < segment) {
            self.segments.next();
        }
    }

    /// `(bytes read, bytes in all)`, for progress.
    pub fn progress(&self) -> (u64, u64) {
        let current = self.current.as_ref().map_or(0, FileReader::offset);
        (self.read_bytes + current, self.total_bytes)
    }

    /// The next record or stretch of damage; `None` at the end of the log.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        loop {
            if self.current.is_none() {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                let path = segment_path(&self.directory, segment);
                match FileReader::open(&path, FileKind::Segment) {
                    Ok(reader) => self.current = Some(reader),
                    Err(ReadError::Header { source: HeaderError::Truncated | HeaderError::Damaged { .. }, .. }) => {
                        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
                        self.read_bytes += bytes;
                        let what = "the segment's header is damaged, and without its salt no record can be told";
                        return Ok(Some(Entry::Damage(Damage { path, offset: 0, bytes, what })));
                    }
                    Err(error) => return Err(error),
                }
            }
            // The end is looked for first, because the borrow of a found entry lasts as long as the caller's.
            let reader = self.current.as_mut().expect("set just above");
            if reader.offset() >= reader.file_len {
                self.read_bytes += reader.file_len;
                self.current = None;
                continue;
            }
            return self.current.as_mut().expect("not yet at its end").next();
        }
    }
}
