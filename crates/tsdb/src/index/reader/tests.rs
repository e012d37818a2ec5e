use bytes::Bytes;
use norn_model::select::TimeRange;
use proptest::prelude::*;

use super::super::matching::MatchingSeries;
use super::super::series::ChunkMeta;
use super::super::writer::IndexWriter;
use super::*;
use crate::chunk::segment::ChunkRef;

fn chunk(start_ms: i64, end_ms: i64, segment: u32, offset: u32) -> ChunkMeta {
    ChunkMeta { range: TimeRange { start_ms, end_ms }, place: ChunkRef::new(segment, offset) }
}

/// Two series, one with three chunks in two segments.
fn index_bytes() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let mut writer = IndexWriter::create(&path, ["__name__", "a", "job", "up"]).unwrap();
    let up = Labels::from_pairs([("__name__", "up")]);
    let chunks = [chunk(-1000, 0, 0, 8), chunk(1, 500, 0, 100), chunk(60_000, 60_000, 1, 8)];
    writer.add_series(up.as_ref(), &chunks).unwrap();
    let job = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    writer.add_series(job.as_ref(), &[chunk(5, 6, 1, 60)]).unwrap();
    let size = writer.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<IndexReader, FileError> {
    IndexReader::open(NamedSource::new("index", Bytes::from(bytes)))
}

#[test]
fn series_read_back() {
    let index = open(index_bytes()).unwrap();
    let symbols: Vec<_> = index.symbols().iter().collect();
    assert_eq!(symbols, ["", "__name__", "a", "job", "up"]);
    let all = index.all_series().unwrap();
    let mut entry = SeriesEntry::default();
    index.series(all[0], &mut entry).unwrap();
    assert_eq!(format!("{:?}", index.labels(&entry).unwrap()), r#"{__name__="up"}"#);
    assert_eq!(entry.chunks, [chunk(-1000, 0, 0, 8), chunk(1, 500, 0, 100), chunk(60_000, 60_000, 1, 8)]);
    index.series(all[1], &mut entry).unwrap();
    assert_eq!(format!("{:?}", index.labels(&entry).unwrap()), r#"{__name__="up", job="a"}"#);
    assert_eq!(entry.chunks, [chunk(5, 6, 1, 60)]);
}

#[test]
fn the_writer_keeps_the_order() {
    let directory = tempfile::tempdir().unwrap();
    let error = IndexWriter::create(&directory.path().join("1"), ["b", "a"]).unwrap_err().to_string();
    assert!(error.ends_with("/1: symbols must strictly ascend"), "{error}");
    let mut writer = IndexWriter::create(&directory.path().join("2"), ["a", "b"]).unwrap();
    let labels = |value: &str| Labels::from_pairs([("a", value)]);
    writer.add_series(labels("b").as_ref(), &[]).unwrap();
    for (value, expected) in [
        ("b", "series must strictly ascend by their labels"),
        ("a", "series must strictly ascend by their labels"),
        ("c", "a series has a string that is not among the symbols"),
    ] {
        let error = writer.add_series(labels(value).as_ref(), &[]).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn damage_is_named_with_its_place() {
    let good = index_bytes();
    let toc = good.len() - 52;
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let read = || {
            let index = open(bytes)?;
            let mut entry = SeriesEntry::default();
            for id in index.all_series()? {
                index.series(id, &mut entry)?;
            }
            index.postings("job", "a")
        };
        let error = read().expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}, expected {expected}");
    };
    check(&|bytes| bytes[1] = 0, "index, byte 0: magic number is 0xba00d700, expected 0xbaaad700");
    check(&|bytes| bytes[4] = 1, "index, byte 4: index version is 0x1, expected 0x2");
    check(&|bytes| bytes.truncate(3), "index, byte 0: header takes 5 bytes, 3 are there");
    check(&|bytes| bytes[toc] = 1, &format!("index, byte {toc}: checksum of table of contents is 0x"));
    check(&|bytes| bytes[14] ^= 1, "index, byte 5: checksum of symbol table is 0x");
    check(&|bytes| bytes[50] ^= 1, "index, byte 48: checksum of series is 0x");
    check(&|bytes| bytes[toc - 6] ^= 1, "index, byte ");
    check(&|bytes| bytes.truncate(bytes.len() - 1), "index, byte ");
}

proptest! {
    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>(), fix in any::<bool>()) {
        let mut bytes = index_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        bytes.truncate(if cut { at } else { bytes.len() });
        if fix && bytes.len() > 60 {
            fix_checksums(&mut bytes);
        }
        if let Ok(index) = open(bytes) {
            if let Ok(search) = MatchingSeries::run(&index, &[]) {
                let mut entry = SeriesEntry::default();
                for id in search.into_found().0 {
                    if index.series(id, &mut entry).is_ok() {
                        let _ = index.labels(&entry);
                    }
                }
            }
            let names: Vec<String> = index.label_names().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                for value in index.label_values(&name, 0) {
                    let _ = index.postings(&name, value);
                }
            }
        }
    }
}

/// Makes the checksums right again, so that what they protect is read although it is damaged.
fn fix_checksums(bytes: &mut [u8]) {
    use crate::block::file::crc32c;
    let good = index_bytes();
    let toc = good.len() - 52;
    let offsets: Vec<usize> =
        good[toc..toc + 48].as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes) as usize).collect();
    let mut sections = vec![offsets[0], offsets[5]];
    let mut at = offsets[4].next_multiple_of(4);
    while at < offsets[5] {
        sections.push(at);
        at += 8 + be_u32(&good[at..]) as usize;
    }
    for start in sections {
        let end = start + 4 + be_u32(&good[start..]) as usize;
        if end + 4 <= bytes.len() {
            let crc = crc32c(&bytes[start + 4..end]);
            bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        }
    }
    let mut at = offsets[1].next_multiple_of(16);
    while at < offsets[2] {
        let end = at + 1 + usize::from(good[at]);
        if end + 4 <= bytes.len() {
            let crc = crc32c(&bytes[at + 1..end]);
            bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        }
        at = (end + 4).next_multiple_of(16);
    }
    if let Some(start) = bytes.len().checked_sub(52) {
        let crc = crc32c(&bytes[start..start + 48]);
        bytes[start + 48..].copy_from_slice(&crc.to_be_bytes());
    }
}
