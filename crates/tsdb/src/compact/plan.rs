//! Which blocks to put together.
//!
//! Blocks are grouped by their external labels, then by ranges of growing length. A range is compacted when it is
//! over, so that each sample is rewritten once per length. The rules are those of the original compactor, so that both
//! plan the same over one bucket.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::BlockMeta;
use crate::block::meta::COMPACTOR_SHARD_LABEL;
use crate::ulid::Ulid;

/// What the planner goes by.
#[derive(Debug, Clone)]
pub struct PlannerOptions {
    /// Lengths of ranges in milliseconds, ascending, each a multiple of the one before.
    pub ranges_ms: Vec<i64>,
    /// Into how many shards blocks are split; 0 for not at all.
    pub shards: u32,
    /// In how many jobs the blocks of one range are split, at least 1.
    pub split_groups: u32,
    /// How long blocks of level 1 are left alone after their upload, because others of their time may follow.
    pub first_level_wait_ms: i64,
    /// Whether blocks of level 1 are left alone, too, while they reach beyond that time.
    pub skip_future_blocks: bool,
    /// What comes first.
    pub order: JobOrder,
}

impl Default for PlannerOptions {
    fn default() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            ranges_ms: vec![2 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS],
            shards: 0,
            split_groups: 1,
            first_level_wait_ms: 0,
            skip_future_blocks: false,
            order: JobOrder::SmallestRangeOldestBlocks,
        }
    }
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOrder {
    /// Splits, then short ranges, then old ones.
    SmallestRangeOldestBlocks,
    /// What queries ask for most.
    NewestBlocks,
}

/// A block to plan with.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it says of itself.
    pub meta: BlockMeta,
    /// When it was uploaded, in milliseconds since the Unix epoch.
    pub uploaded_ms: i64,
}

/// What is done with the blocks of a job. Splits sort before merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// They are put together and split into shards.
    Split,
    /// They are put together into one.
    Merge,
}

/// Blocks to put together.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What is done with them.
    pub stage: Stage,
    /// For a split `1_of_2`, its part of the blocks; for a merge the shard of the blocks, or nothing.
    pub shard: String,
    /// The range that the blocks lie in, the end not included, in milliseconds since the Unix epoch.
    pub range_start_ms: i64,
    /// See `range_start_ms`.
    pub range_end_ms: i64,
    /// External labels of all the blocks, without the shard.
    pub labels: BTreeMap<String, String>,
    /// Of all the blocks.
    pub resolution: i64,
    /// The blocks, by start of their time, then by name.
    pub blocks: Vec<BlockMeta>,
}

impl Job {
    /// What the job is called; its hash decides who does it.
    pub fn key(&self, tenant: &str) -> String {
        let stage = match self.stage {
            Stage::Split => "split",
            Stage::Merge => "merge",
        };
        format!("{tenant}-{stage}-{}-{}-{}", self.range_start_ms, self.range_end_ms, self.shard)
    }

    /// External labels of what a merge gives; a split adds the shard of each result.
    pub fn result_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        if self.stage == Stage::Merge && !self.shard.is_empty() {
            labels.insert(COMPACTOR_SHARD_LABEL.to_owned(), self.shard.clone());
        }
        labels
    }

    fn min_time(&self) -> i64 {
        self.blocks.iter().map(|block| block.min_time).min().unwrap_or(self.range_start_ms)
    }

    fn max_time(&self) -> i64 {
        self.blocks.iter().map(|block| block.max_time).max().unwrap_or(self.range_end_ms)
    }

    fn range_ms(&self) -> i64 {
        self.range_end_ms.saturating_sub(self.range_start_ms)
    }

    /// Whether both would touch the same series at the same time, so that this one has to wait for the other.
    fn conflicts(&self, other: &Self) -> bool {
        self.range_start_ms < other.range_end_ms
            && other.range_start_ms < self.range_end_ms
            && self.labels == other.labels
            && self.resolution == other.resolution
            && (self.stage != other.stage || self.shard == other.shard)
    }
}

/// Plans one tenant's jobs, in the order in which to do them. All of them can be done at once.
///
/// - `blocks`: the tenant's, without those that are marked for deletion or covered by others.
/// - `now_ms`: milliseconds since the Unix epoch.
pub fn plan(blocks: &[Candidate], options: &PlannerOptions, now_ms: i64) -> Vec<Job> {
    let uploaded: BTreeMap<Ulid, i64> = blocks.iter().map(|block| (block.meta.ulid, block.uploaded_ms)).collect();
    let newest_ms = blocks.iter().map(|block| block.meta.max_time).max().unwrap_or(i64::MIN);
    let mut jobs: Vec<Job> = Vec::new();
    for (group, mut metas) in main_groups(blocks) {
        metas.sort_by_key(|meta| (meta.min_time, meta.shard().to_owned(), meta.ulid));
        for range_ms in options.ranges_ms.iter().filter(|range_ms| **range_ms > 0) {
            let shortest = options.ranges_ms.first() == Some(range_ms);
            for (start_ms, members) in group_by_range(&metas, *range_ms) {
                let job = |stage, shard: String, blocks: Vec<BlockMeta>| Job {
                    stage,
                    shard,
                    range_start_ms: start_ms,
                    range_end_ms: start_ms.saturating_add(*range_ms),
                    labels: group.1.clone(),
                    resolution: group.0,
                    blocks,
                };
                for candidate in jobs_of_range(&members, options, shortest, job) {
                    if !jobs.iter().any(|planned| candidate.conflicts(planned)) {
                        jobs.push(candidate);
                    }
                }
            }
        }
    }
    jobs.retain(|job| is_over(job, newest_ms, now_ms) && !must_wait(job, &uploaded, options, now_ms));
    sort_jobs(&mut jobs, options.order);
    jobs
}

/// Blocks that can be put together at all: by resolution, and by external labels without the shard.
fn main_groups(blocks: &[Candidate]) -> BTreeMap<(i64, BTreeMap<String, String>), Vec<&BlockMeta>> {
    let mut groups: BTreeMap<_, Vec<&BlockMeta>> = BTreeMap::new();
    for Candidate { meta, .. } in blocks {
        groups.entry(main_group(meta)).or_default().push(meta);
    }
    groups
}

fn main_group(meta: &BlockMeta) -> (i64, BTreeMap<String, String>) {
    let mut labels = meta.external_labels().clone();
    labels.remove(COMPACTOR_SHARD_LABEL);
    (meta.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution), labels)
}

/// Blocks by the start of the range that they lie in; those that reach over its end are left out.
fn group_by_range<'a>(metas: &[&'a BlockMeta], range_ms: i64) -> BTreeMap<i64, Vec<&'a BlockMeta>> {
    let mut groups: BTreeMap<i64, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in metas {
        let start_ms = meta.min_time.div_euclid(range_ms).saturating_mul(range_ms);
        if meta.max_time <= start_ms.saturating_add(range_ms) {
            groups.entry(start_ms).or_default().push(meta);
        }
    }
    groups
}

fn jobs_of_range(
    members: &[&BlockMeta],
    options: &PlannerOptions,
    shortest: bool,
    job: impl Fn(Stage, String, Vec<BlockMeta>) -> Job,
) -> Vec<Job> {
    let mut parts: BTreeMap<(u32, &str), Vec<BlockMeta>> = BTreeMap::new();
    let unsharded = || members.iter().filter(|meta| meta.shard().is_empty());
    if options.shards > 0 && shortest && unsharded().next().is_some() {
        let groups = options.split_groups.max(1);
        for meta in unsharded() {
            parts.entry((meta.ulid.fnv1() % groups, "")).or_default().push((*meta).clone());
        }
        let split = |((group, _), blocks)| job(Stage::Split, format!("{}_of_{groups}", group + 1), blocks);
        return parts.into_iter().map(split).collect();
    }
    for meta in members {
        parts.entry((0, meta.shard())).or_default().push((*meta).clone());
    }
    parts.retain(|_, blocks| blocks.len() > 1);
    parts.into_iter().map(|((_, shard), blocks)| job(Stage::Merge, shard.to_owned(), blocks)).collect()
}

/// Whether no more blocks of the job's range are to be expected.
fn is_over(job: &Job, newest_ms: i64, now_ms: i64) -> bool {
    job.range_end_ms <= newest_ms
        || job.range_end_ms.saturating_add(job.range_ms()) <= now_ms
        || job.blocks.iter().all(|block| block.compaction.level == 1)
        || job.max_time().saturating_sub(job.min_time()) == job.range_ms()
}

/// Whether replicas of a block of level 1 may still be under way.
fn must_wait(job: &Job, uploaded: &BTreeMap<Ulid, i64>, options: &PlannerOptions, now_ms: i64) -> bool {
    let first_level = job.blocks.iter().any(|block| block.compaction.level <= 1);
    if !first_level || options.first_level_wait_ms <= 0 {
        return false;
    }
    let threshold_ms = now_ms.saturating_sub(options.first_level_wait_ms);
    job.blocks.iter().filter(|block| !block.compaction.is_out_of_order()).any(|block| {
        let is_fresh = uploaded.get(&block.ulid).is_some_and(|uploaded_ms| *uploaded_ms > threshold_ms);
        is_fresh || (options.skip_future_blocks && block.max_time > threshold_ms)
    })
}

fn sort_jobs(jobs: &mut [Job], order: JobOrder) {
    match order {
        JobOrder::SmallestRangeOldestBlocks => jobs.sort_by_key(|job| match job.stage {
            Stage::Split => (Stage::Split, job.min_time(), job.range_ms(), job.key("")),
            Stage::Merge => (Stage::Merge, job.range_ms(), job.min_time(), job.key("")),
        }),
        JobOrder::NewestBlocks => {
            jobs.sort_by_key(|job| (std::cmp::Reverse(job.max_time()), job.range_ms(), job.key("")));
        }
    }
}

/// Blocks all of whose samples are in others too: leftovers of a compaction that did not come to remove its sources, or
/// of one that was done twice. They can be removed.
pub fn covered_blocks(metas: &[BlockMeta]) -> Vec<Ulid> {
    let is_covered = |meta: &&BlockMeta| {
        let others = || metas.iter().filter(|other| other.ulid != meta.ulid && main_group(other) == main_group(meta));
        others().any(|other| other.shard() == meta.shard() && supersedes(other, meta))
            || (meta.shard().is_empty() && whole_sets(others(), meta))
    };
    metas.iter().filter(is_covered).map(|meta| meta.ulid).collect()
}

fn has_all_sources(other: &BlockMeta, meta: &BlockMeta) -> bool {
    let sources: BTreeSet<Ulid> = other.compaction.sources.iter().copied().collect();
    meta.compaction.sources.iter().all(|source| sources.contains(source))
}

/// Whether `other` has all of `meta`; of two that have the same, the further compacted and then the older one stays.
fn supersedes(other: &BlockMeta, meta: &BlockMeta) -> bool {
    let rank = |meta: &BlockMeta| (meta.compaction.sources.len(), meta.compaction.level, std::cmp::Reverse(meta.ulid));
    has_all_sources(other, meta) && rank(other) > rank(meta)
}

/// Whether an unsharded block is in all shards of one split.
fn whole_sets<'a>(others: impl Iterator<Item = &'a BlockMeta>, meta: &BlockMeta) -> bool {
    let mut by_count: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for other in others.filter(|other| has_all_sources(other, meta)) {
        let Some((index, count)) = other.shard().split_once("_of_") else { continue };
        if let (Ok(index), Ok(count)) = (index.parse::<u32>(), count.parse::<u32>()) {
            by_count.entry(count).or_default().insert(index);
        }
    }
    by_count.iter().any(|(count, indices)| (1..=*count).all(|index| indices.contains(&index)))
}

#[cfg(test)]
mod tests;
