//! The first and the last bytes of a segment: beginning a file, and cutting off what a killed process left unfinished.

use std::io;
use std::path::Path;
use std::sync::Arc;

use norn_base::random::SharedRandom;

use crate::position::Position;
use crate::reader::{Damage, Entry, FileReader, ReadError};
use crate::segment::{FileKind, Header, HeaderError, SegmentFile, segment_path, sync_directory};
use crate::settings::LogSettings;

/// Creates a segment's file with its header. A failure leaves no file behind.
pub(crate) fn begin_segment(
    settings: &LogSettings,
    random: &SharedRandom,
    segment: u64,
) -> io::Result<(Arc<dyn SegmentFile>, u64)> {
    let path = segment_path(&settings.directory, segment);
    let salt = random.next_u64();
    let header = Header { kind: FileKind::Segment, position: Position { segment, offset: 0 }, salt };
    // An attempt that failed may have left a file, when the disk would not even let it go.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = settings.files.create(&path)?;
    let written = file.write_all_at(&header.encode(), 0).and_then(|()| sync_directory(&settings.directory));
    if let Err(error) = written {
        // A header without records harms nobody if it cannot be removed either.
        drop(std::fs::remove_file(&path));
        return Err(error);
    }
    Ok((file, salt))
}

/// Cuts off what the last write of a killed process left unfinished. Cost: reads the segment once.
pub(crate) fn repair_tail(path: &Path) -> Result<Option<Damage>, ReadError> {
    let failed = |source| ReadError::Read { path: path.to_owned(), offset: 0, source };
    let mut reader = match FileReader::open(path, FileKind::Segment) {
        Ok(reader) => reader,
        // The process ended while it made the file; nothing was acknowledged in it.
        Err(ReadError::Header { source: HeaderError::Truncated, .. }) => {
            let bytes = std::fs::metadata(path).map_err(failed)?.len();
            std::fs::remove_file(path).map_err(failed)?;
            let what = "the segment was being created";
            return Ok(Some(Damage { path: path.to_owned(), offset: 0, bytes, what }));
        }
        Err(ReadError::Header { source: HeaderError::Damaged { .. }, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut last_damage = None;
    while let Some(entry) = reader.next()? {
        last_damage = match entry {
            Entry::Damage(damage) => Some(damage),
            Entry::Record(..) => None,
        };
    }
    if let Some(damage) = &last_damage {
        let file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(damage.offset).map_err(failed)?;
    }
    Ok(last_damage)
}
