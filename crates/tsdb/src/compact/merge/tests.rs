use norn_base::clock::ManualClock;
use norn_base::random::SeededRandom;
use norn_model::select::SeriesRequest;
use proptest::prelude::*;

use super::*;
use crate::block::testing::{answer, labels, open, ulid, write_block};
use crate::block::tombstones::{TOMBSTONES_FILE, Tombstones};

fn run(directory: &Path, numbers: &[u32], options: CompactionOptions) -> Vec<Option<BlockMeta>> {
    let blocks = numbers.iter().map(|number| open(directory, *number)).collect();
    compact(blocks, directory, options, &*ManualClock::at(5000), &*SeededRandom::shared(3)).unwrap()
}

fn read(directory: &Path, meta: &BlockMeta) -> Vec<String> {
    let block = BlockReader::open(&directory.join(meta.ulid.to_string())).unwrap();
    answer(&block, SeriesRequest::new(vec![], TimeRange::ALL)).unwrap()
}

/// Raw chunks of all series: times and bytes.
fn raw_chunks(block: &BlockReader) -> Vec<(TimeRange, Vec<u8>)> {
    let mut entry = SeriesEntry::default();
    let mut chunks = Vec::new();
    for id in block.index().all_series().unwrap() {
        block.index().series(id, &mut entry).unwrap();
        let data = |chunk: &ChunkMeta| (chunk.range, block.segments().read(chunk.place).unwrap().data.to_vec());
        chunks.extend(entry.chunks.iter().map(data));
    }
    chunks
}

#[test]
fn series_of_all_blocks_are_there_once() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1 20:2"), ("a=2", "10:1")]);
    write_block(directory.path(), 2, &[("a=1", "30:3"), ("a=3", "10:1 | 20:2")]);
    write_block(directory.path(), 3, &[("a=1", "15:9 20:7"), ("a=3", "10:1 | 20:2")]);
    let results =
        run(directory.path(), &[1, 2, 3], CompactionOptions { source: "compactor".into(), ..Default::default() });
    let [Some(meta)] = &results[..] else { panic!("{results:?}") };
    assert_eq!(read(directory.path(), meta), ["a=1: 10:1 15:9 20:7 30:3", "a=2: 10:1", "a=3: 10:1 20:2"]);
    assert_eq!(meta.compaction.level, 2);
    assert_eq!(meta.compaction.sources, [ulid(1), ulid(2), ulid(3)]);
    assert_eq!(meta.compaction.parents.len(), 3);
    assert_eq!((meta.stats.num_series, meta.stats.num_samples, meta.stats.num_chunks), (3, 7, 5));
    assert_eq!(meta.thanos.as_ref().unwrap().source, "compactor");
    assert_eq!(meta.ulid.timestamp_ms(), 5000);
}

#[test]
fn chunks_that_nothing_overlaps_are_copied() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1 20:2 | 50:5")]);
    write_block(directory.path(), 2, &[("a=1", "30:3 40:4 | 50:5")]);
    let results = run(directory.path(), &[1, 2], CompactionOptions::default());
    let result = BlockReader::open(&directory.path().join(results[0].as_ref().unwrap().ulid.to_string())).unwrap();
    let mut expected = [raw_chunks(&open(directory.path(), 1)), raw_chunks(&open(directory.path(), 2))].concat();
    expected.sort_by_key(|(range, _)| range.start_ms);
    expected.dedup();
    assert_eq!(raw_chunks(&result), expected);
    assert_eq!(expected.len(), 3);
}

#[test]
fn shards_share_the_series_by_hash() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..40).map(|index| format!("__name__=m n={index:02}")).collect();
    let series: Vec<_> = names.iter().map(|name| (name.as_str(), "10:1")).collect();
    write_block(directory.path(), 1, &series);
    let results = run(directory.path(), &[1], CompactionOptions { shards: 3, ..Default::default() });
    let mut found = Vec::new();
    for (index, meta) in results.iter().enumerate() {
        let meta = meta.as_ref().unwrap();
        assert_eq!(meta.shard(), format!("{}_of_3", index + 1));
        for line in read(directory.path(), meta) {
            let pairs = line.split_once(':').unwrap().0.to_owned();
            assert_eq!(shard_hash(&labels(&pairs)) % 3, index as u64);
            found.push(pairs);
        }
    }
    found.sort();
    assert_eq!(found, names);
    // Computed apart from this code, after the definition of XXH64.
    assert_eq!(shard_hash(&labels("__name__=m n=00")), 0xfe54_b6cf_a098_cf55);
}

#[test]
fn a_shard_without_series_is_no_block() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1")]);
    let results = run(directory.path(), &[1], CompactionOptions { shards: 2, ..Default::default() });
    assert_eq!(results.iter().flatten().count(), 1);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn deleted_samples_stay_behind() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1 20:2 30:3"), ("a=2", "10:1 20:2")]);
    let ids = open(directory.path(), 1).index().all_series().unwrap();
    let mut tombstones = Tombstones::default();
    tombstones.add(u64::from(ids[0]), TimeRange { start_ms: 15, end_ms: 25 });
    tombstones.add(u64::from(ids[1]), TimeRange { start_ms: 0, end_ms: 900 });
    let file = directory.path().join(ulid(1).to_string()).join(TOMBSTONES_FILE);
    std::fs::write(file, tombstones.to_bytes()).unwrap();
    let results = run(directory.path(), &[1], CompactionOptions::default());
    assert_eq!(read(directory.path(), results[0].as_ref().unwrap()), ["a=1: 10:1 30:3"]);
}

#[test]
fn a_compaction_that_fails_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write_block(directory.path(), 1, &[("a=1", "10:1 20:2"), ("a=2", "10:1")]);
    let segment = directory.path().join(ulid(1).to_string()).join("chunks/000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let target = tempfile::tempdir().unwrap();
    let blocks = vec![open(directory.path(), 1)];
    let random = SeededRandom::shared(3);
    let options = CompactionOptions::default();
    compact(blocks, target.path(), options, &*ManualClock::at(5000), &*random).unwrap_err();
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merging_is_a_union(blocks in prop::collection::vec(
        prop::collection::btree_map(0u8..4, prop::collection::btree_set(0i64..900, 1..40), 1..4), 1..4))
    {
        // A sample's value says its time, so that doubles agree.
        let directory = tempfile::tempdir().unwrap();
        let mut expected: BTreeMap<u8, BTreeSet<i64>> = BTreeMap::new();
        for (number, block) in blocks.iter().enumerate() {
            let texts: Vec<(String, String)> = block
                .iter()
                .map(|(name, times)| {
                    expected.entry(*name).or_default().extend(times);
                    let samples: Vec<String> = times.iter().map(|time| format!("{time}:{time}")).collect();
                    let chunks: Vec<String> = samples.chunks(7).map(|chunk| chunk.join(" ")).collect();
                    (format!("n={name}"), chunks.join(" | "))
                })
                .collect();
            let series: Vec<_> = texts.iter().map(|(name, samples)| (name.as_str(), samples.as_str())).collect();
            write_block(directory.path(), number as u32 + 1, &series);
        }
        let numbers: Vec<u32> = (1..=blocks.len() as u32).collect();
        let results = run(directory.path(), &numbers, CompactionOptions::default());
        let found = read(directory.path(), results[0].as_ref().unwrap());
        let line = |(name, times): (&u8, &BTreeSet<i64>)| {
            let samples: Vec<String> = times.iter().map(|time| format!("{time}:{time}")).collect();
            format!("n={name}: {}", samples.join(" "))
        };
        prop_assert_eq!(found, expected.iter().map(line).collect::<Vec<_>>());
    }
}
