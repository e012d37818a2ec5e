use super::*;
use crate::block::meta::{BlockStats, Compaction, ThanosMeta};

const HOUR: i64 = 3_600_000;

fn ulid(number: u32) -> Ulid {
    format!("{number:026}").parse().unwrap()
}

/// A block of level 1 over some hours.
fn block(number: u32, hours: std::ops::Range<i64>) -> BlockMeta {
    BlockMeta {
        ulid: ulid(number),
        min_time: hours.start * HOUR,
        max_time: hours.end * HOUR,
        stats: BlockStats::default(),
        compaction: Compaction::of_head(ulid(number)),
        version: 1,
        out_of_order: false,
        thanos: Some(ThanosMeta::default()),
    }
}

fn compacted(number: u32, hours: std::ops::Range<i64>, level: u32, sources: &[u32]) -> BlockMeta {
    let sources = sources.iter().map(|source| ulid(*source)).collect();
    BlockMeta { compaction: Compaction { level, sources, ..Compaction::default() }, ..block(number, hours) }
}

fn labelled(meta: BlockMeta, name: &str, value: &str) -> BlockMeta {
    let labels = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    BlockMeta { thanos: Some(ThanosMeta { labels, ..ThanosMeta::default() }), ..meta }
}

fn shard(meta: BlockMeta, value: &str) -> BlockMeta {
    labelled(meta, COMPACTOR_SHARD_LABEL, value)
}

/// `stage shard start-end: blocks` of each job, times in hours.
fn jobs(metas: &[BlockMeta], options: &PlannerOptions, now_hours: i64) -> Vec<String> {
    let candidates: Vec<_> = metas.iter().map(|meta| Candidate { meta: meta.clone(), uploaded_ms: 0 }).collect();
    let show = |job: &Job| {
        let blocks: Vec<String> =
            job.blocks.iter().map(|meta| meta.ulid.to_string().trim_start_matches('0').to_owned()).collect();
        format!(
            "{:?} {:?} {}-{}: {}",
            job.stage,
            job.shard,
            job.range_start_ms / HOUR,
            job.range_end_ms / HOUR,
            blocks.join(" ")
        )
    };
    plan(&candidates, options, now_hours * HOUR).iter().map(show).collect()
}

#[test]
fn ranges_are_merged_when_they_are_over() {
    let check = |metas: &[BlockMeta], expected: &[&str]| {
        assert_eq!(jobs(metas, &PlannerOptions::default(), 0), expected, "{metas:?}");
    };
    check(&[], &[]);
    check(&[block(1, 0..2)], &[]);
    // Two replicas of one range; the longer range waits, because it would touch the same samples.
    check(&[block(1, 0..2), block(2, 0..2), block(3, 2..4)], &["Merge \"\" 0-2: 1 2"]);
    // Blocks of level 1 in one range of twelve hours, though more may come.
    check(&[block(1, 0..2), block(2, 2..4)], &["Merge \"\" 0-12: 1 2"]);
    // A range that another block shows to be over.
    check(&[compacted(1, 0..2, 2, &[11, 12]), block(2, 2..4), block(3, 12..14)], &["Merge \"\" 0-12: 1 2"]);
    // Here more may come.
    check(&[compacted(1, 0..2, 2, &[11, 12]), block(2, 2..4)], &[]);
    // The block in the middle reaches over the end of its range.
    check(&[block(1, 0..2), block(2, 1..3), block(3, 2..4)], &["Merge \"\" 0-12: 1 2 3"]);
    check(&[block(1, 0..2), block(2, 23..25)], &[]);
    // Before 1970.
    check(&[block(1, -2..0), block(2, -2..0)], &["Merge \"\" -2-0: 1 2"]);
}

#[test]
fn times_that_no_block_has_do_not_panic() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    let wild = ends.iter().flat_map(|start| ends.iter().map(move |end| (*start, *end)));
    let wild = wild.enumerate().map(|(number, (min_time, max_time))| {
        let number = u32::try_from(number).unwrap();
        BlockMeta { min_time, max_time, ..block(number, 0..2) }
    });
    let candidates: Vec<_> = wild.map(|meta| Candidate { meta, uploaded_ms: i64::MIN }).collect();
    for now_ms in [i64::MIN, 0, i64::MAX] {
        let options = PlannerOptions { first_level_wait_ms: 1, skip_future_blocks: true, ..PlannerOptions::default() };
        plan(&candidates, &options, now_ms);
        plan(&candidates, &PlannerOptions::default(), now_ms);
    }
}

#[test]
fn jobs_are_called_by_tenant_stage_range_and_shard() {
    let shards = [shard(block(1, 0..2), "1_of_2"), shard(block(2, 0..2), "1_of_2")];
    let candidates = shards.map(|meta| Candidate { meta, uploaded_ms: 0 });
    let jobs = plan(&candidates, &PlannerOptions::default(), 0);
    assert_eq!(jobs[0].key("team"), "team-merge-0-7200000-1_of_2");
    assert_eq!(jobs[0].result_labels().get(COMPACTOR_SHARD_LABEL).map(String::as_str), Some("1_of_2"));
    assert_eq!(jobs[0].labels, BTreeMap::new());
}

#[test]
fn a_range_is_over_when_it_is_spanned_or_long_past() {
    let spanned = [compacted(1, 0..6, 2, &[11]), compacted(2, 6..12, 2, &[12])];
    assert_eq!(jobs(&spanned, &PlannerOptions::default(), 0), ["Merge \"\" 0-12: 1 2"]);
    let open = [compacted(1, 0..6, 2, &[11]), compacted(2, 6..11, 2, &[12])];
    assert_eq!(jobs(&open, &PlannerOptions::default(), 23), [""; 0]);
    assert_eq!(jobs(&open, &PlannerOptions::default(), 24), ["Merge \"\" 0-12: 1 2"]);
}

#[test]
fn external_labels_keep_blocks_apart() {
    let metas = [block(1, 0..2), labelled(block(2, 0..2), "__out_of_order__", "true"), shard(block(3, 0..2), "1_of_2")];
    assert_eq!(jobs(&metas, &PlannerOptions::default(), 0), [""; 0]);
    let shards = [shard(block(1, 0..2), "1_of_2"), shard(block(2, 0..2), "2_of_2"), shard(block(3, 0..2), "1_of_2")];
    assert_eq!(jobs(&shards, &PlannerOptions::default(), 0), ["Merge \"1_of_2\" 0-2: 1 3"]);
}

#[test]
fn blocks_are_split_before_they_are_merged() {
    let options = PlannerOptions { shards: 2, split_groups: 2, ..PlannerOptions::default() };
    let metas = [block(1, 0..2), block(2, 2..4), shard(block(3, 0..2), "1_of_2"), shard(block(4, 0..2), "1_of_2")];
    // The sharded blocks of the range wait, and so does the range of twelve hours.
    let expected: Vec<String> = [(0, &metas[0]), (2, &metas[1])]
        .iter()
        .map(|(start, meta)| {
            let group = meta.ulid.fnv1() % 2 + 1;
            let name = meta.ulid.to_string().trim_start_matches('0').to_owned();
            format!("Split \"{group}_of_2\" {start}-{}: {name}", start + 2)
        })
        .collect();
    assert_eq!(jobs(&metas, &options, 0), expected);
}

#[test]
fn fresh_blocks_wait_for_their_replicas() {
    let options = PlannerOptions { first_level_wait_ms: 25 * 60_000, ..PlannerOptions::default() };
    let candidate = |meta: BlockMeta, uploaded_ms| Candidate { meta, uploaded_ms };
    let now_ms = 10 * HOUR;
    let check = |left: Candidate, right: Candidate, options: &PlannerOptions, expected: usize| {
        assert_eq!(plan(&[left, right], options, now_ms).len(), expected);
    };
    check(candidate(block(1, 0..2), 0), candidate(block(2, 0..2), 0), &options, 1);
    check(candidate(block(1, 0..2), 0), candidate(block(2, 0..2), now_ms), &options, 0);
    let mut late = block(2, 0..2);
    late.compaction = Compaction::of_late_samples(late.ulid);
    check(candidate(block(1, 0..2), 0), candidate(late, now_ms), &options, 1);
    let careful = PlannerOptions { skip_future_blocks: true, ..options };
    check(candidate(block(1, 10..12), 0), candidate(block(2, 10..12), 0), &careful, 0);
}

#[test]
fn jobs_come_in_the_order_asked_for() {
    let metas =
        [block(1, 24..26), block(2, 24..26), block(3, 0..2), block(4, 2..4), block(5, 36..38), block(6, 36..38)];
    let order = |order| jobs(&metas, &PlannerOptions { order, ..PlannerOptions::default() }, 0);
    let (short, long, last) = ("Merge \"\" 24-26: 1 2", "Merge \"\" 0-12: 3 4", "Merge \"\" 36-38: 5 6");
    assert_eq!(order(JobOrder::SmallestRangeOldestBlocks), [short, last, long]);
    assert_eq!(order(JobOrder::NewestBlocks), [last, short, long]);
}

#[test]
fn leftovers_of_compactions_are_found() {
    let covered = |metas: &[BlockMeta]| -> Vec<String> {
        covered_blocks(metas).iter().map(|ulid| ulid.to_string().trim_start_matches('0').to_owned()).collect()
    };
    let merged = compacted(9, 0..4, 2, &[1, 2]);
    assert_eq!(covered(&[block(1, 0..2), block(2, 2..4), block(3, 4..6), merged.clone()]), ["1", "2"]);
    assert_eq!(covered(&[labelled(block(1, 0..2), "other", "labels"), merged.clone()]), [""; 0]);
    // Done twice: one of the two stays.
    assert_eq!(covered(&[merged.clone(), compacted(8, 0..4, 2, &[1, 2])]), ["9"]);
    // A split counts when it is whole.
    let part = |number, of: &str| shard(compacted(number, 0..2, 2, &[1]), of);
    assert_eq!(covered(&[block(1, 0..2), part(5, "1_of_2")]), [""; 0]);
    assert_eq!(covered(&[block(1, 0..2), part(5, "1_of_2"), part(6, "2_of_2")]), ["1"]);
    assert_eq!(covered(&[block(1, 0..2), part(5, "1_of_2"), part(6, "2_of_3")]), [""; 0]);
}
