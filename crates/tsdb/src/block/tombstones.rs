//! `tombstones`: samples of a block that count as deleted.
//!
//! ```text
//! magic 0x0130BA30 │ version 1 │ (series uvarint, first varint, last varint)* │ crc u32 of what follows the version
//! ```
//!
//! Source: Prometheus `tsdb/docs/format/tombstones.md`.

use std::collections::BTreeMap;

use norn_model::select::TimeRange;

use super::cursor::{Cursor, push_uvarint, push_varint};
use super::file::{FileError, NamedSource, be_u32, crc32c};

/// The file's name.
pub const TOMBSTONES_FILE: &str = "tombstones";

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 5;

/// What is deleted in each series of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// By the id of the series; ranges ascend and do not touch.
    by_series: BTreeMap<u64, Vec<TimeRange>>,
}

impl Tombstones {
    /// Reads a file.
    pub fn read(file: &NamedSource) -> Result<Self, FileError> {
        let length = file.source.len();
        let bytes = file.read(0, length.max(HEADER_BYTES + 4), "tombstones")?;
        file.expect(0, "magic number", u64::from(be_u32(&bytes)), u64::from(MAGIC))?;
        file.expect(4, "tombstones version", u64::from(bytes[4]), u64::from(VERSION))?;
        file.check_crc(HEADER_BYTES, &bytes[HEADER_BYTES as usize..], "tombstones")?;
        let mut tombstones = Self::default();
        let mut cursor = Cursor::new(&bytes[HEADER_BYTES as usize..bytes.len() - 4]);
        while !cursor.is_at_end() {
            let at = HEADER_BYTES + cursor.position() as u64;
            let mut stone = || Some((cursor.uvarint()?, cursor.varint()?, cursor.varint()?));
            let (series, start_ms, end_ms) = stone().ok_or_else(|| file.damaged(at, "a tombstone cannot be read"))?;
            tombstones.add(series, TimeRange { start_ms, end_ms });
        }
        Ok(tombstones)
    }

    /// Deletes a range of a series.
    pub fn add(&mut self, series: u64, range: TimeRange) {
        if range.start_ms > range.end_ms {
            return;
        }
        let ranges = self.by_series.entry(series).or_default();
        let mut joined = range;
        ranges.retain(|other| {
            let touches =
                other.start_ms <= joined.end_ms.saturating_add(1) && joined.start_ms <= other.end_ms.saturating_add(1);
            if touches {
                joined.start_ms = joined.start_ms.min(other.start_ms);
                joined.end_ms = joined.end_ms.max(other.end_ms);
            }
            !touches
        });
        let place = ranges.partition_point(|other| other.start_ms < joined.start_ms);
        ranges.insert(place, joined);
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// What is left of a range of a series: ascending, without overlaps.
    pub fn kept(&self, series: u64, range: TimeRange) -> Vec<TimeRange> {
        let mut kept = Vec::new();
        let mut start_ms = range.start_ms;
        for deleted in self.by_series.get(&series).into_iter().flatten() {
            if deleted.end_ms < start_ms || deleted.start_ms > range.end_ms {
                continue;
            }
            if deleted.start_ms > start_ms {
                kept.push(TimeRange { start_ms, end_ms: deleted.start_ms - 1 });
            }
            match deleted.end_ms.checked_add(1) {
                Some(next_ms) => start_ms = next_ms,
                None => return kept,
            }
        }
        if start_ms <= range.end_ms {
            kept.push(TimeRange { start_ms, end_ms: range.end_ms });
        }
        kept
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.push(VERSION);
        for (series, ranges) in &self.by_series {
            for range in ranges {
                push_uvarint(&mut bytes, *series);
                push_varint(&mut bytes, range.start_ms);
                push_varint(&mut bytes, range.end_ms);
            }
        }
        let crc = crc32c(&bytes[HEADER_BYTES as usize..]);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn range(start_ms: i64, end_ms: i64) -> TimeRange {
        TimeRange { start_ms, end_ms }
    }

    fn read(bytes: Vec<u8>) -> Result<Tombstones, FileError> {
        Tombstones::read(&NamedSource::new("tombstones", Bytes::from(bytes)))
    }

    #[test]
    fn ranges_join_and_leave_gaps() {
        let mut tombstones = Tombstones::default();
        for (start_ms, end_ms) in [(10, 20), (40, 50), (21, 30), (60, 55)] {
            tombstones.add(7, range(start_ms, end_ms));
        }
        let check = |start_ms, end_ms, expected: &[TimeRange]| {
            assert_eq!(tombstones.kept(7, range(start_ms, end_ms)), expected);
        };
        check(0, 100, &[range(0, 9), range(31, 39), range(51, 100)]);
        check(15, 45, &[range(31, 39)]);
        check(12, 18, &[]);
        check(31, 39, &[range(31, 39)]);
        assert_eq!(tombstones.kept(8, TimeRange::ALL), [TimeRange::ALL]);
        assert_eq!(read(tombstones.to_bytes()).unwrap(), tombstones);
    }

    #[test]
    fn damage_is_named() {
        let mut tombstones = Tombstones::default();
        tombstones.add(1, range(-5, i64::MAX));
        let good = tombstones.to_bytes();
        for length in 0..good.len() {
            read(good[..length].to_vec()).unwrap_err();
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            read(bytes).unwrap_err();
        }
    }
}
