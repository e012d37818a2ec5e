use std::fs;
use std::sync::LazyLock;

use bytes::Bytes;
use norn_model::estimate::SeriesEstimate;
use norn_model::select::{Projection, SeriesOrder, Shard};
use proptest::prelude::*;

use super::super::testing::{answer, labels, open, ulid, write_block};
use super::*;

const SERIES: [(&str, &str); 4] = [
    ("__name__=up job=a", "10:1 20:2 30:stale | 40:4 50:5"),
    ("__name__=up job=b", "15:1 500:2"),
    ("__name__=load job=a zone=x", "10:0.5"),
    ("__name__=load job=c", "900:7 | 950:8"),
];

fn range(start_ms: i64, end_ms: i64) -> TimeRange {
    TimeRange { start_ms, end_ms }
}

#[test]
fn series_come_with_what_the_range_holds() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let block = open(directory.path(), 1);
    let check = |matchers: &[Matcher], range: TimeRange, expected: &[&str]| {
        assert_eq!(answer(&block, SeriesRequest::new(matchers.to_vec(), range)).unwrap(), expected);
    };
    let job = |value: &str| Matcher::equal("job", value);
    check(
        &[job("a")],
        TimeRange::ALL,
        &["__name__=load job=a zone=x: 10:0.5", "__name__=up job=a: 10:1 20:2 30:stale 40:4 50:5"],
    );
    check(&[job("a")], range(20, 40), &["__name__=up job=a: 20:2 30:stale 40:4"]);
    check(&[job("c")], range(901, 960), &["__name__=load job=c: 950:8"]);
    // The chunk reaches over the range, and has no sample in it.
    check(&[job("b")], range(16, 499), &[]);
    check(&[job("b")], range(16, 500), &["__name__=up job=b: 500:2"]);
    check(&[], range(1000, 2000), &[]);
    check(&[job("d")], TimeRange::ALL, &[]);
}

#[test]
fn requests_say_which_labels_shards_and_order() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let block = open(directory.path(), 1);
    let all = SeriesRequest { labels_only: true, ..SeriesRequest::new(vec![], TimeRange::ALL) };
    let ask = |request: &SeriesRequest| answer(&block, request.clone()).unwrap();
    let only = SeriesRequest { projection: Projection::Only([Box::from("job")].into()), ..all.clone() };
    assert_eq!(ask(&only), ["job=a: ", "job=c: ", "job=a: ", "job=b: "]);
    let names = [Box::from("job"), Box::from("zone")];
    let without = SeriesRequest { projection: Projection::Without(names.into()), ..all.clone() };
    assert_eq!(ask(&without), ["__name__=load: ", "__name__=load: ", "__name__=up: ", "__name__=up: "]);

    let mut by_hash: Vec<_> = SERIES.iter().map(|(pairs, _)| (labels(pairs).stable_hash(), *pairs)).collect();
    by_hash.sort_unstable();
    let hashed = SeriesRequest { order: SeriesOrder::ByHash, ..all };
    let expected: Vec<String> = by_hash.iter().map(|(_, pairs)| format!("{pairs}: ")).collect();
    assert_eq!(ask(&hashed), expected);
    for index in 0..2 {
        let shard = SeriesRequest { shard: Some(Shard { index, count: 2 }), ..hashed.clone() };
        let of_shard = by_hash.iter().filter(|(hash, _)| hash % 2 == u64::from(index));
        assert_eq!(ask(&shard), of_shard.map(|(_, pairs)| format!("{pairs}: ")).collect::<Vec<_>>());
    }
}

#[test]
fn labels_are_listed_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let block = open(directory.path(), 1);
    let up = [Matcher::equal("__name__", "up")];
    assert_eq!(block.label_names(&[], TimeRange::ALL).unwrap(), ["__name__", "job", "zone"]);
    assert_eq!(block.label_names(&up, TimeRange::ALL).unwrap(), ["__name__", "job"]);
    assert_eq!(block.label_names(&[], range(1000, 2000)).unwrap(), [""; 0]);
    assert_eq!(block.label_values("job", &[], TimeRange::ALL).unwrap(), ["a", "b", "c"]);
    assert_eq!(block.label_values("job", &up, TimeRange::ALL).unwrap(), ["a", "b"]);
    assert_eq!(block.label_values("none", &up, TimeRange::ALL).unwrap(), [""; 0]);
    assert_eq!(block.series_count().unwrap(), 4);
    let counts = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(block.label_cardinality(), counts(&[("__name__", 2), ("job", 3), ("zone", 1)]));
    assert_eq!(block.value_cardinality("job", &[]).unwrap(), counts(&[("a", 2), ("b", 1), ("c", 1)]));
    assert_eq!(block.value_cardinality("job", &up).unwrap(), counts(&[("a", 1), ("b", 1)]));
}

#[test]
fn deleted_samples_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let id = u64::from(open(directory.path(), 1).index().postings("zone", "x").unwrap()[0]);
    let up = u64::from(open(directory.path(), 1).index().postings("__name__", "up").unwrap()[0]);
    let mut tombstones = Tombstones::default();
    tombstones.add(id, TimeRange::ALL);
    tombstones.add(up, range(20, 45));
    fs::write(directory.path().join(ulid(1).to_string()).join(TOMBSTONES_FILE), tombstones.to_bytes()).unwrap();
    let request = SeriesRequest::new(vec![Matcher::equal("job", "a")], TimeRange::ALL);
    assert_eq!(answer(&open(directory.path(), 1), request).unwrap(), ["__name__=up job=a: 10:1 50:5"]);
}

#[test]
fn chunks_that_overlap_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1 30:3 50:5 | 20:2 30:9 40:4 | 60:6")]);
    let request = SeriesRequest::new(vec![], range(20, 60));
    let expected = ["a=1: 20:2 30:9 40:4 50:5 60:6"];
    assert_eq!(answer(&open(directory.path(), 1), request).unwrap(), expected);
}

#[test]
fn large_answers_come_in_several_batches() {
    let directory = tempfile::tempdir().unwrap();
    let samples: Vec<String> = (0..100).map(|time| format!("{time}:{time}")).collect();
    let samples = samples.join(" ");
    let names: Vec<String> = (0..900).map(|index| format!("n={index:03}")).collect();
    let series: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), samples.as_str())).collect();
    write_block(directory.path(), 1, &series);
    let block = open(directory.path(), 1);
    for order in [SeriesOrder::Any, SeriesOrder::ByHash] {
        let mut source = block.select(SeriesRequest { order, ..SeriesRequest::new(vec![], TimeRange::ALL) });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut batch = norn_model::select::SeriesBatch::default();
        let (mut batches, mut hashes, mut samples) = (0, Vec::new(), 0);
        loop {
            match source.poll_batch(&mut context, &mut batch) {
                std::task::Poll::Ready(Ok(false)) => break,
                std::task::Poll::Ready(outcome) => assert!(outcome.unwrap()),
                std::task::Poll::Pending => continue,
            }
            batches += 1;
            samples += batch.sample_count();
            hashes.extend(batch.iter().map(|series| series.hash));
        }
        assert_eq!((batches, samples, hashes.len()), (5, 90_000, 900));
        assert_eq!(hashes.is_sorted(), order == SeriesOrder::ByHash);
    }
}

/// Reads an answer to its end: how many series, and the warnings.
fn read_on(block: &BlockReader) -> (usize, Vec<String>) {
    let mut source = block.select(SeriesRequest::new(vec![], TimeRange::ALL));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut batch = norn_model::select::SeriesBatch::default();
    let mut series = 0;
    loop {
        match source.poll_batch(&mut context, &mut batch) {
            std::task::Poll::Ready(Ok(false)) => return (series, source.warnings()),
            std::task::Poll::Ready(outcome) => assert!(outcome.unwrap()),
            std::task::Poll::Pending => {}
        }
        series += batch.len();
    }
}

#[test]
fn a_block_with_damaged_chunks_is_set_aside_and_names_the_place() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let block = open(directory.path(), 1);
    assert_eq!(read_on(&block), (SERIES.len(), Vec::new()));
    let segment = directory.path().join(ulid(1).to_string()).join("chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[14] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let block = open(directory.path(), 1);
    // The second request does not read the block again, and hears the same.
    for _ in 0..2 {
        let (series, warnings) = read_on(&block);
        assert!(series < SERIES.len());
        let expected = [ulid(1).to_string(), "chunks/000001, byte 8: checksum of chunk is 0x".to_owned()];
        assert!(warnings.len() == 1 && expected.iter().all(|part| warnings[0].contains(part)), "{warnings:?}");
    }
}

/// What a block that is damaged by a test was before.
struct Sound {
    meta: BlockMeta,
    /// The segment file and the index.
    files: [Vec<u8>; 2],
    answer: Vec<String>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let meta = write_block(directory.path(), 1, &SERIES);
    let block = directory.path().join(ulid(1).to_string());
    let files = ["chunks/000001", "index"].map(|file| fs::read(block.join(file)).unwrap());
    let answer = answer(&open(directory.path(), 1), SeriesRequest::new(vec![], TimeRange::ALL)).unwrap();
    Sound { meta, files, answer }
});

proptest! {
    #[test]
    fn no_damage_panics(in_index in any::<bool>(), at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let mut files = SOUND.files.clone();
        let file = &mut files[usize::from(in_index)];
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        file.truncate(if cut { at } else { file.len() });
        let [segment, index] = files.map(|bytes| NamedSource::new("file", Bytes::from(bytes)));
        if let Ok(block) = BlockReader::from_sources(SOUND.meta.clone(), index, vec![segment], None)
            && let Ok(found) = answer(&block, SeriesRequest::new(vec![], TimeRange::ALL))
        {
            // What comes out in spite of the damage is right, as checksums cover all but padding; or the block says so.
            if block.parts().damage().is_none() {
                prop_assert_eq!(&found, &SOUND.answer);
            } else {
                prop_assert!(found.iter().all(|series| SOUND.answer.contains(series)), "{:?}", found);
            }
        }
    }
}

#[test]
fn an_estimate_counts_chunks_of_matching_series() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &SERIES);
    let block = open(directory.path(), 1);
    let check = |matchers: &[Matcher], range: TimeRange, expected: (u64, u64)| {
        let count = block.estimate(&SeriesRequest::new(matchers.to_vec(), range)).unwrap();
        assert_eq!((count.series, count.samples), expected, "{matchers:?} {range:?}");
        assert_eq!(count.bytes > 0, count.samples > 0);
    };
    let job = |value: &str| Matcher::equal("job", value);
    // Ten samples in six chunks: each is taken to have two.
    check(&[], TimeRange::ALL, (4, 12));
    check(&[job("a")], TimeRange::ALL, (2, 6));
    check(&[job("a"), Matcher::equal("zone", "x")], TimeRange::ALL, (1, 2));
    check(&[job("d")], TimeRange::ALL, (0, 0));
    check(&[job("b")], range(0, 100), (1, 1));
    check(&[job("c")], range(0, 100), (0, 0));
    check(&[], range(1000, 2000), (0, 0));
}
