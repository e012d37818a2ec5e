//! Real blocks of the original server: read, written again, compacted.

use std::path::Path;

use norn_base::clock::{Clock, ManualClock};
use norn_base::random::SeededRandom;
use norn_model::Matcher;
use norn_model::histogram::{FloatHistogram, Histogram};
use norn_model::select::{Projection, SeriesOrder, SeriesRequest, Shard, TimeRange};
use norn_tsdb::block::writer::{BlockDescription, ChunkToWrite};
use norn_tsdb::block::{BlockMeta, BlockReader, BlockWriter};
use norn_tsdb::chunk::samples::{TimedValue, Value, decode_samples};
use norn_tsdb::chunk::{HistogramAppender, XorAppender};
use norn_tsdb::compact::merge::compact;
use norn_tsdb::compact::plan::covered_blocks;
use norn_tsdb::compact::{Candidate, CompactionOptions, PlannerOptions, plan};
use norn_tsdb::index::SeriesEntry;

use super::readable::{Answer, add_answer, block_directories, material, recorded, select};

/// Everything, or what a range holds.
fn request(range: TimeRange) -> SeriesRequest {
    SeriesRequest::new(vec![], range)
}

fn answer_of(tenant: &Path, range: TimeRange) -> Answer {
    let mut answer = Answer::new();
    for directory in block_directories(tenant) {
        add_answer(&BlockReader::open(&directory).unwrap(), request(range), &mut answer);
    }
    answer
}

fn assert_same(found: &Answer, expected: &Answer) {
    for (labels, samples) in expected {
        let found = found.get(labels).unwrap_or_else(|| panic!("{labels} is missing"));
        for (time, value) in samples {
            assert_eq!(found.get(time), Some(value), "{labels} at {time}");
        }
        assert_eq!(found.len(), samples.len(), "{labels}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
#[ignore = "reads the recorded blocks in NORN_CONFORMANCE"]
fn real_blocks_give_what_was_pushed() {
    let material = material();
    for tenant in ["golden", "golden-b", "golden-legacy", "golden-limits", "golden-lookback"] {
        let mut expected = recorded(&material.join("series.jsonl"), tenant);
        // The original takes the floats of a request first; this series' histograms were then too late.
        if let Some(samples) = expected.get_mut(r#"{__name__="nh_mixed", case="alternating"}"#) {
            samples.retain(|_, value| !value.starts_with("schema"));
        }
        let bucket = material.join("blocks/bucket").join(tenant);
        assert_same(&answer_of(&bucket, TimeRange::ALL), &expected);
        let range = TimeRange { start_ms: 1_793_491_800_001, end_ms: 1_793_492_400_000 };
        let mut part = expected.clone();
        part.values_mut().for_each(|samples| samples.retain(|time, _| range.contains(*time)));
        part.retain(|_, samples| !samples.is_empty());
        assert_same(&answer_of(&bucket, range), &part);
    }
}

#[test]
#[ignore = "reads the recorded blocks in NORN_CONFORMANCE"]
fn shards_orders_and_projections_cut_one_answer() {
    let block = material().join("blocks/bucket/golden");
    let block = BlockReader::open(&block_directories(&block)[0]).unwrap();
    let mut hashes: Vec<u64> = Vec::new();
    for index in 0..3 {
        let shard = Some(Shard { index, count: 3 });
        let request = SeriesRequest {
            shard,
            order: SeriesOrder::ByHash,
            projection: Projection::Only([Box::from("job")].into()),
            labels_only: true,
            ..request(TimeRange::ALL)
        };
        let found: Vec<u64> = select(&block, request)
            .iter()
            .flat_map(|batch| batch.iter().map(|series| series.hash).collect::<Vec<_>>())
            .collect();
        assert!(found.is_sorted());
        assert!(found.iter().all(|hash| hash % 3 == u64::from(index)));
        hashes.extend(found);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 507);
    assert_eq!(block.series_count().unwrap(), 507);
    let matchers = [Matcher::equal("job", "demo")];
    let names = block.label_names(&matchers, TimeRange::ALL).unwrap();
    assert!(names.contains(&"instance".to_owned()), "{names:?}");
    let values = block.label_values("instance", &matchers, TimeRange::ALL).unwrap();
    let counts = block.value_cardinality("instance", &matchers).unwrap();
    assert_eq!(values, counts.iter().map(|(value, _)| value.clone()).collect::<Vec<_>>());
    let demo = select(&block, SeriesRequest::new(matchers.to_vec(), TimeRange::ALL));
    let demo: usize = demo.iter().map(|batch| batch.len()).sum();
    assert_eq!(
        demo as u64,
        block.value_cardinality("job", &[]).unwrap().iter().find(|(job, _)| job == "demo").unwrap().1
    );
    assert!(block.label_names(&[], TimeRange { start_ms: 0, end_ms: 1 }).unwrap().is_empty());
}

/// All blocks of the material, also those that the original compactor wrote.
fn all_blocks() -> Vec<std::path::PathBuf> {
    let blocks = material().join("blocks");
    let mut all = block_directories(&blocks.join("compacted/golden-compact"));
    for tenant in std::fs::read_dir(blocks.join("bucket")).unwrap() {
        all.extend(block_directories(&tenant.unwrap().path()));
    }
    all
}

#[test]
#[ignore = "reads the recorded blocks in NORN_CONFORMANCE"]
fn blocks_written_again_are_the_same_bytes() {
    for directory in all_blocks() {
        let block = BlockReader::open(&directory).unwrap();
        let target = tempfile::tempdir().unwrap();
        let ulid = block.meta().ulid;
        let mut writer = BlockWriter::create(target.path(), ulid, block.index().symbols().iter()).unwrap();
        let mut entry = SeriesEntry::default();
        for id in block.index().all_series().unwrap() {
            block.index().series(id, &mut entry).unwrap();
            let labels = block.index().labels(&entry).unwrap();
            let raw: Vec<_> = entry.chunks.iter().map(|chunk| block.segments().read(chunk.place).unwrap()).collect();
            let chunks = entry.chunks.iter().zip(&raw).map(|(meta, raw)| ChunkToWrite {
                range: meta.range,
                encoding: raw.encoding,
                data: &raw.data,
            });
            writer.add_series(labels.as_ref(), chunks).unwrap();
        }
        let thanos = block.meta().thanos.clone().unwrap();
        let description = BlockDescription {
            min_time: block.meta().min_time,
            max_time: block.meta().max_time,
            compaction: block.meta().compaction.clone(),
            external_labels: thanos.labels,
            source: thanos.source,
        };
        let mut meta = writer.finish(description).unwrap().unwrap();
        let written = target.path().join(ulid.to_string());
        for file in ["index", "chunks/000001"] {
            let same = std::fs::read(written.join(file)).unwrap() == std::fs::read(directory.join(file)).unwrap();
            assert!(same, "{} {file}", directory.display());
        }
        // The original compactor adds a file of its own.
        let files = &mut meta.thanos.as_mut().unwrap().files;
        files.extend(thanos.files.into_iter().filter(|file| file.rel_path == "sparse-index-header"));
        assert_eq!(meta.to_json(), std::fs::read(directory.join("meta.json")).unwrap(), "{}", directory.display());
        assert_eq!(BlockMeta::read(&written).unwrap().stats, block.meta().stats);
    }
}

/// One chunk of samples of one kind.
fn encode(samples: &[TimedValue]) -> Vec<u8> {
    let mut floats = XorAppender::new();
    let mut integers = HistogramAppender::<Histogram>::new();
    let mut float_histograms = HistogramAppender::<FloatHistogram>::new();
    for sample in samples {
        let finished = match &sample.value {
            Value::Float(value) => {
                floats.append(sample.timestamp_ms, *value);
                None
            }
            Value::Histogram(histogram) => integers.append(sample.timestamp_ms, histogram),
            Value::FloatHistogram(histogram) => float_histograms.append(sample.timestamp_ms, histogram),
        };
        assert_eq!(finished, None, "the original had all of it in one chunk");
    }
    let used = [floats.into_bytes(), integers.into_bytes(), float_histograms.into_bytes()];
    used.into_iter().find(|data| !data.is_empty()).unwrap()
}

#[test]
#[ignore = "reads the recorded blocks in NORN_CONFORMANCE"]
fn chunks_encoded_again_are_the_same_bytes() {
    let mut kinds = std::collections::BTreeMap::new();
    for directory in all_blocks() {
        let block = BlockReader::open(&directory).unwrap();
        let mut entry = SeriesEntry::default();
        for id in block.index().all_series().unwrap() {
            block.index().series(id, &mut entry).unwrap();
            for chunk in &entry.chunks {
                let raw = block.segments().read(chunk.place).unwrap();
                let mut samples = Vec::new();
                decode_samples(raw.encoding, &raw.data, TimeRange::ALL, &mut samples).unwrap();
                let ends = (samples[0].timestamp_ms, samples[samples.len() - 1].timestamp_ms);
                assert_eq!(ends, (chunk.range.start_ms, chunk.range.end_ms));
                let mut data = encode(&samples);
                // Whether the chunk before ended with a reset is a hint that is not written here.
                if data[2] != raw.data[2] && raw.encoding.code() != 1 {
                    assert_eq!(raw.data[2], 0x40, "{:?}", block.index().labels(&entry));
                    data[2] = raw.data[2];
                }
                assert!(data == raw.data, "{}: {:?}", directory.display(), block.index().labels(&entry));
                *kinds.entry(raw.encoding.code()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
#[ignore = "reads the recorded blocks in NORN_CONFORMANCE"]
fn compacting_the_recorded_bucket_gives_the_recorded_series() {
    let blocks = material().join("blocks");
    let expected = recorded(&blocks.join("golden-compact.jsonl"), "golden-compact");
    // What the original compactor left: marked blocks are not read.
    let compacted = blocks.join("compacted/golden-compact");
    let mut original = Answer::new();
    for directory in block_directories(&compacted) {
        if !directory.join("deletion-mark.json").exists() {
            add_answer(&BlockReader::open(&directory).unwrap(), request(TimeRange::ALL), &mut original);
        }
    }
    assert_same(&original, &expected);

    // The same by this compactor, over as many rounds as its plans take.
    let bucket = tempfile::tempdir().unwrap();
    for directory in block_directories(&blocks.join("bucket/golden-compact")) {
        copy_block(&directory, &bucket.path().join(directory.file_name().unwrap()));
    }
    let clock = ManualClock::at(1_793_577_600_000);
    let random = SeededRandom::shared(7);
    let mut rounds = 0;
    loop {
        let metas: Vec<BlockMeta> =
            block_directories(bucket.path()).iter().map(|directory| BlockMeta::read(directory).unwrap()).collect();
        for ulid in covered_blocks(&metas) {
            std::fs::remove_dir_all(bucket.path().join(ulid.to_string())).unwrap();
        }
        let kept = metas.iter().filter(|meta| bucket.path().join(meta.ulid.to_string()).exists());
        let candidates: Vec<_> = kept.map(|meta| Candidate { meta: meta.clone(), uploaded_ms: 0 }).collect();
        let jobs = plan(&candidates, &PlannerOptions::default(), clock.now_ms());
        if jobs.is_empty() {
            break;
        }
        rounds += 1;
        for job in jobs {
            let open = |meta: &BlockMeta| BlockReader::open(&bucket.path().join(meta.ulid.to_string())).unwrap();
            let options =
                CompactionOptions { shards: 0, external_labels: job.result_labels(), source: "compactor".to_owned() };
            let blocks = job.blocks.iter().map(open).collect();
            compact(blocks, bucket.path(), options, &*clock, &*random).unwrap();
        }
    }
    let left = block_directories(bucket.path());
    assert_eq!((rounds, left.len()), (2, 1));
    let block = BlockReader::open(&left[0]).unwrap();
    let mut found = Answer::new();
    add_answer(&block, request(TimeRange::ALL), &mut found);
    assert_same(&found, &expected);

    let result = block_directories(&compacted).into_iter().map(|directory| BlockMeta::read(&directory).unwrap());
    let original = result.max_by_key(|meta| meta.compaction.level).unwrap();
    assert_eq!(block.meta().stats, original.stats);
    assert_eq!(block.meta().compaction.sources, original.compaction.sources);
    assert_eq!(block.meta().compaction.level, original.compaction.level);
    assert_eq!((block.meta().min_time, block.meta().max_time), (original.min_time, original.max_time));
    let original = compacted.join(original.ulid.to_string());
    for file in ["index", "chunks/000001"] {
        assert!(std::fs::read(left[0].join(file)).unwrap() == std::fs::read(original.join(file)).unwrap(), "{file}");
    }
}

fn copy_block(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("chunks")).unwrap();
    for file in ["meta.json", "index", "chunks/000001"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}
