//! A record of the requests in flight, on disk: after a crash the next start says what the process was busy with.
//!
//! The file has slots of equal size, one for each request in flight:
//!
//! ```text
//! slot      1024 bytes      text, UTF-8, then zeros; a slot that begins with a zero is free
//! ```
//!
//! A slot is written when a request begins and its first byte is cleared when it ends. Both go to the page cache, which
//! survives the process; they are not brought to the device, because a machine that goes down takes the cause with it.
//! A request that finds no free slot is served and not recorded. Rejected: mapping the file into memory, which saves a
//! microsecond per request and turns a full disk into a signal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes of a slot. Longer texts are cut.
const SLOT_BYTES: usize = 1024;

/// The record. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ActivityTracker {
    // None: nothing is recorded.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    free: Mutex<Vec<u64>>,
}

/// A request in flight; its slot is free again when this is dropped.
#[derive(Debug)]
pub struct Activity {
    slot: Option<(Arc<Shared>, u64)>,
}

impl ActivityTracker {
    /// Begins a record of at most `slots_max` requests. Returns it with what the record of an earlier process says was
    /// not finished. Fails where the file cannot be read or written. Blocks.
    pub fn open(path: &Path, slots_max: usize) -> io::Result<(Self, Vec<String>)> {
        let unfinished = match std::fs::read(path) {
            Ok(bytes) => unfinished(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let slots = slots_max as u64;
        file.set_len(slots * SLOT_BYTES as u64)?;
        let free = Mutex::new((0..slots).rev().collect());
        Ok((Self { shared: Some(Arc::new(Shared { file, free })) }, unfinished))
    }

    /// Records a request until the answer is dropped. `describe` is only called where there is a record.
    pub fn begin(&self, describe: impl FnOnce() -> String) -> Activity {
        let Some(shared) = &self.shared else { return Activity { slot: None } };
        let Some(slot) = shared.free.lock().pop() else { return Activity { slot: None } };
        let mut bytes = [0; SLOT_BYTES];
        let text = describe();
        // The last byte stays zero.
        let length = text.floor_char_boundary(SLOT_BYTES - 1);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        if let Err(error) = shared.file.write_all_at(&bytes, slot * SLOT_BYTES as u64) {
            tracing::debug!(%error, "a request was not recorded");
        }
        Activity { slot: Some((shared.clone(), slot)) }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let Some((shared, slot)) = self.slot.take() else { return };
        match shared.file.write_all_at(&[0], slot * SLOT_BYTES as u64) {
            Ok(()) => shared.free.lock().push(slot),
            // A slot that cannot be cleared would be taken for unfinished work, and is left alone.
            Err(error) => tracing::debug!(%error, "the end of a request was not recorded"),
        }
    }
}

/// The texts of the slots that are not free. Bytes that are no UTF-8 are replaced.
fn unfinished(bytes: &[u8]) -> Vec<String> {
    let used = bytes.chunks(SLOT_BYTES).filter(|slot| slot.first().is_some_and(|first| *first != 0));
    let text = |slot: &[u8]| {
        let end = slot.iter().position(|byte| *byte == 0).unwrap_or(slot.len());
        String::from_utf8_lossy(&slot[..end]).into_owned()
    };
    used.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_start_finds_what_was_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/activity.log");
        let (tracker, before) = ActivityTracker::open(&path, 3).unwrap();
        assert_eq!(before, Vec::<String>::new());
        let first = tracker.begin(|| "first".to_owned());
        let second = tracker.begin(|| "é".repeat(SLOT_BYTES));
        drop(first);
        let third = tracker.begin(|| "third".to_owned());
        // The process ends without ending its requests.
        std::mem::forget((second, third));
        let (tracker, mut before) = ActivityTracker::open(&path, 1).unwrap();
        before.sort();
        assert_eq!(before, ["third".to_owned(), "é".repeat((SLOT_BYTES - 1) / 2)]);
        let held = tracker.begin(|| "held".to_owned());
        let unrecorded = tracker.begin(|| unreachable!("there is one slot"));
        drop((held, unrecorded));
        assert_eq!(ActivityTracker::open(&path, 1).unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn without_a_file_nothing_is_recorded() {
        drop(ActivityTracker::default().begin(|| unreachable!("there is no record")));
    }

    #[test]
    fn any_file_can_be_read() {
        assert_eq!(unfinished(b""), Vec::<String>::new());
        assert_eq!(unfinished(b"abc"), ["abc"]);
        assert_eq!(unfinished(&[0xff, 0, 1]), ["\u{fffd}"]);
    }
}
