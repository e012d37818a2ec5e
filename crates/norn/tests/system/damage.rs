//! Files that are torn or damaged while nobody looks: what is whole is answered, what is not is named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;

use crate::harness::{Norn, PATIENCE};
use crate::write_and_query::{TENANT, push, query, remote_write, values};

const SERIES: usize = 50;
const STEPS: usize = 40;
const STEP_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// With tenants, so that norn's own metrics are not in the log as well. What is old is asked of everybody.
const ARGUMENTS: [&str; 2] = ["-auth.multitenancy-enabled=true", "-querier.query-ingesters-within=0s"];

/// A time so many days ago, in milliseconds since the Unix epoch.
fn days_ago(days: i64) -> i64 {
    SystemClock::shared().now_ms() / DAY_MS * DAY_MS - days * DAY_MS
}

fn write_steps(norn: &Norn, start_ms: i64) {
    for step in 0..STEPS {
        write_step(norn, start_ms, step);
    }
}

fn write_step(norn: &Norn, start_ms: i64, step: usize) {
    let timestamp_ms = start_ms + i64::try_from(step).unwrap() * STEP_MS;
    push(norn, &remote_write(0..SERIES, timestamp_ms, |series| (series * 1000 + step) as f64));
}

/// How many samples each series has from `start_ms` on; all have as many.
fn samples_of_each(norn: &Norn, start_ms: i64) -> usize {
    let end_ms = start_ms + STEPS as i64 * STEP_MS;
    let counts = values(norn, "count_over_time(system_test_total[2h])", end_ms);
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    assert!(counts.is_empty() || counts.len() == SERIES, "{counts:?}");
    counts.first().map_or(0, |count| *count as usize)
}

/// Files below a folder whose path ends so, ascending.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Changes a byte, as a failing device may.
fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x40;
    // A bucket on the same file system may share the file; the damage is to be in this one only.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A log with one record for each step: its segment, and how long that was after each step.
fn write_log(folder: &Path, start_ms: i64) -> (PathBuf, Vec<u64>) {
    let mut norn = Norn::start(folder, &ARGUMENTS);
    let segment = files(folder, ".wal").pop().expect("a log has a segment");
    let mut ends = Vec::new();
    for step in 0..STEPS {
        write_step(&norn, start_ms, step);
        ends.push(std::fs::metadata(&segment).unwrap().len());
    }
    norn.kill();
    (segment, ends)
}

#[test]
fn a_torn_log_keeps_what_came_before() {
    let start_ms = days_ago(1);
    let written = tempfile::tempdir().unwrap();
    let (segment, ends) = write_log(written.path(), start_ms);
    let whole = std::fs::read(&segment).unwrap();
    let random = SeededRandom::from_entropy();
    let end = *ends.last().unwrap();
    let random_cuts = (0..4).map(|_| random.next_u64() % end);
    let cuts = [ends[20], ends[20] + 1, ends[20] - 1, 0, 17, 60].into_iter().chain(random_cuts);
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(segment.parent().unwrap().strip_prefix(written.path()).unwrap());
        std::fs::create_dir_all(&log).unwrap();
        let torn = log.join(segment.file_name().unwrap());
        std::fs::write(&torn, &whole[..usize::try_from(cut).unwrap()]).unwrap();

        let norn = Norn::start(folder.path(), &ARGUMENTS);
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(samples_of_each(&norn, start_ms), expected, "cut at {cut} of {end}: {}", norn.log());
        // A segment's header is there twice; the second one alone is no loss.
        if !ends.contains(&cut) && !(40..=80).contains(&cut) {
            norn.wait_for_log("what it dropped", |line| line.contains(torn.file_name().unwrap().to_str().unwrap()));
        }
        // The log goes on behind the cut.
        write_step(&norn, start_ms, STEPS - 1);
        assert_eq!(samples_of_each(&norn, start_ms), (expected + 1).min(STEPS), "cut at {cut}");
    }
}

#[test]
fn a_damaged_record_costs_itself_alone() {
    let start_ms = days_ago(1);
    let folder = tempfile::tempdir().unwrap();
    let (segment, ends) = write_log(folder.path(), start_ms);
    flip(&segment, usize::try_from((ends[9] + ends[10]) / 2).unwrap());
    let norn = Norn::start(folder.path(), &ARGUMENTS);
    assert_eq!(samples_of_each(&norn, start_ms), STEPS - 1);
    assert_eq!(values(&norn, "count(system_test_total)", start_ms + 10 * STEP_MS), [SERIES as f64], "the look-back");
    norn.wait_for_log("what is damaged", |line| line.contains(".wal") && line.contains("lost"));
}

/// Two blocks that only the bucket has, of ten and of nine days ago. Returns the folders of the blocks, the older first.
fn write_bucket(folder: &Path) -> [PathBuf; 2] {
    let mut norn = Norn::start(folder, &ARGUMENTS);
    for days in [10, 9] {
        write_steps(&norn, days_ago(days));
        assert_eq!(norn.request("POST", "/ingester/flush?wait=true", &[], b"").status, 204);
    }
    norn.kill();
    let mut blocks: Vec<PathBuf> = files(&folder.join("norn-data/blocks"), "/meta.json");
    blocks.sort_by_key(|path| {
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        meta["minTime"].as_i64()
    });
    let blocks: Vec<PathBuf> = blocks.into_iter().map(|path| path.parent().unwrap().to_owned()).collect();
    blocks.try_into().expect("one block for each flush")
}

fn name(block: &Path) -> &str {
    block.file_name().unwrap().to_str().unwrap()
}

/// Damages one file of a block where it matters: chunks in the first chunk's data, the index in its table of contents or
/// in its first series, which is read only when a query asks for it.
fn damage(block: &Path, part: &str) {
    let index = block.join("index");
    match part {
        "contents" => flip(&index, usize::try_from(std::fs::metadata(&index).unwrap().len()).unwrap() - 20),
        "series" => {
            let bytes = std::fs::read(&index).unwrap();
            // The second of the six offsets at the end, before the checksum of four bytes.
            let place = &bytes[bytes.len() - 4 - 5 * 8..][..8];
            let series = u64::from_be_bytes(place.try_into().unwrap());
            // Series lie at multiples of 16.
            flip(&index, usize::try_from(series.next_multiple_of(16)).unwrap() + 3);
        }
        "chunks" => flip(&block.join("chunks/000001"), 20),
        "meta" => std::fs::write(block.join("meta.json"), "{\"ulid\":").unwrap(),
        other => panic!("{other} is no part of a block"),
    }
}

const PARTS: [&str; 4] = ["contents", "series", "chunks", "meta"];

/// How many samples each series has, and the whole answer.
fn counts(norn: &Norn) -> (Vec<usize>, String) {
    let answer = query(norn, "count_over_time(system_test_total[12d])", days_ago(8));
    let result = answer["data"]["result"].as_array().unwrap();
    let counts = result.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap());
    (counts.collect(), answer.to_string())
}

/// Asks until a block that is whole is known and answers for all series.
#[expect(clippy::disallowed_methods, reason = "the bucket is read by another process")]
fn counts_when_known(norn: &Norn) -> (Vec<usize>, String) {
    let begin = Instant::now();
    loop {
        let (found, text) = counts(norn);
        if found.len() == SERIES || begin.elapsed() > PATIENCE {
            return (found, text);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check_damaged(norn: &Norn, [older, newer]: [&Path; 2], part: &str) {
    let (found, text) = counts_when_known(norn);
    assert_eq!(found.len(), SERIES, "{part}: {text}");
    assert!(found.iter().all(|count| *count == STEPS || *count == 2 * STEPS), "{part}: {found:?}");
    assert!(found.contains(&STEPS), "{part}: something is missing, and nothing says so: {found:?}");
    let said = norn.log() + &text;
    assert!(said.contains(name(older)), "{part}: the block is not named: {said}");
    assert!(!text.contains(name(newer)), "{part}: {text}");
}

#[test]
fn a_damaged_block_in_the_bucket_is_named_and_others_answer() {
    let arguments = [ARGUMENTS[0], ARGUMENTS[1], "-blocks-storage.bucket-store.sync-interval=200ms"];
    for part in PARTS {
        let folder = tempfile::tempdir().unwrap();
        let [older, newer] = write_bucket(folder.path());
        std::fs::remove_dir_all(folder.path().join("norn-data/tsdb")).unwrap();
        damage(&older, part);
        let norn = Norn::start(folder.path(), &arguments);
        check_damaged(&norn, [&older, &newer], part);
        // A client learns it, too; but without its meta.json a block is none.
        let (_, text) = counts(&norn);
        assert!(part == "meta" || text.contains("\"warnings\""), "{part}: {text}");
    }
}

#[test]
fn a_damaged_local_block_is_named_and_others_answer() {
    for part in PARTS {
        let folder = tempfile::tempdir().unwrap();
        let [older, newer] = write_bucket(folder.path());
        std::fs::remove_dir_all(folder.path().join("norn-data/blocks")).unwrap();
        damage(&folder.path().join("norn-data/tsdb").join(TENANT).join(name(&older)), part);
        let norn = Norn::start(folder.path(), &ARGUMENTS);
        check_damaged(&norn, [&older, &newer], part);
    }
}

#[test]
fn damaged_notes_of_the_database_do_not_keep_it_from_starting() {
    for file in ["norn-head.json", "mimir.shipper.json"] {
        let folder = tempfile::tempdir().unwrap();
        let start_ms = days_ago(1);
        let mut norn = Norn::start(folder.path(), &ARGUMENTS);
        write_steps(&norn, start_ms);
        assert_eq!(norn.request("POST", "/ingester/flush?wait=true", &[], b"").status, 204);
        norn.kill();
        std::fs::write(folder.path().join("norn-data/tsdb").join(TENANT).join(file), "{\"version\":").unwrap();
        let norn = Norn::start(folder.path(), &ARGUMENTS);
        assert_eq!(samples_of_each(&norn, start_ms), STEPS, "{file}");
        norn.wait_for_log("which file is damaged", |line| line.contains(file));
    }
}
