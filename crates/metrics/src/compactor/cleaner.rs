//! Keeps a tenant's bucket tidy: applies retention, deletes what is marked, and writes the index that readers follow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use norn_base::{Error, Result};
use norn_bucket::{Bucket, BucketError, delete_below};
use norn_tsdb::block::BlockMeta;
use norn_tsdb::ulid::Ulid;

use crate::blocks::index::{BlockEntry, BucketIndex, DeletionMarkEntry, INDEX_KEY};
use crate::blocks::markers::{
    DeletionMark, MARKERS_PREFIX, MarkKind, TenantDeletionMark, mark_block, marked_blocks, read_deletion_mark,
    remove_listed_mark, remove_tenant_mark, write_tenant_mark,
};
use crate::concurrency::at_most;

/// How one tenant is tidied up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleaningRules {
    /// How long samples are kept; zero: for ever.
    pub retention: Duration,
    /// How long a block stays after it was marked.
    pub deletion_delay: Duration,
    /// After which silence the rests of an upload are deleted; zero: never.
    pub partial_block_delay: Duration,
    /// How long after a tenant's deletion its last files stay.
    pub tenant_cleanup_delay: Duration,
    /// How many `meta.json` files are read at once.
    pub metas_at_once: usize,
}

/// What one run found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleaningReport {
    /// Complete blocks that are there afterwards.
    pub blocks: usize,
    /// Blocks without `meta.json`.
    pub partial_blocks: usize,
    /// Blocks that were marked because their samples are too old.
    pub marked_by_retention: usize,
    /// Blocks that were deleted.
    pub deleted_blocks: usize,
}

/// Tidies up a tenant that is in use. `now_ms` is milliseconds since the Unix epoch.
pub async fn clean_tenant(bucket: &dyn Bucket, rules: CleaningRules, now_ms: i64) -> Result<CleaningReport> {
    let mut inventory = Inventory::take(bucket, rules.metas_at_once).await?;
    let marked_by_retention = apply_retention(bucket, &mut inventory, rules.retention, now_ms).await?;
    let mut report = CleaningReport { marked_by_retention, ..CleaningReport::default() };
    report.deleted_blocks = delete_marked(bucket, &mut inventory, rules.deletion_delay, now_ms).await?;
    report.deleted_blocks += clean_partial(bucket, &mut inventory, rules, now_ms).await?;
    report.blocks = inventory.blocks.len();
    report.partial_blocks = inventory.partial.len();
    if inventory.blocks.is_empty() && inventory.partial.is_empty() {
        bucket.delete(INDEX_KEY).await?;
        delete_below(bucket, MARKERS_PREFIX).await?;
    } else {
        inventory.into_index(now_ms).write(bucket).await?;
    }
    Ok(report)
}

/// Deletes all blocks of a tenant that is to go. Its mark stays for a while, so that nobody who is late writes anew.
pub async fn delete_tenant(
    bucket: &dyn Bucket,
    mark: TenantDeletionMark,
    rules: CleaningRules,
    now_ms: i64,
) -> Result<CleaningReport> {
    // Without an index no reader finds blocks while they vanish.
    bucket.delete(INDEX_KEY).await?;
    let mut report = CleaningReport::default();
    for block in block_folders(bucket).await? {
        delete_block(bucket, &block).await?;
        report.deleted_blocks += 1;
    }
    if mark.finished_time == 0 {
        write_tenant_mark(bucket, &TenantDeletionMark { finished_time: now_ms / 1000, ..mark }).await?;
    } else if now_ms / 1000 - mark.finished_time > seconds(rules.tenant_cleanup_delay) {
        delete_below(bucket, MARKERS_PREFIX).await?;
        remove_tenant_mark(bucket).await?;
    }
    Ok(report)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// What a tenant's bucket holds.
#[derive(Debug, Default)]
struct Inventory {
    blocks: BTreeMap<String, BlockEntry>,
    /// When blocks were marked, in seconds since the Unix epoch.
    marks: BTreeMap<String, i64>,
    /// Folders of blocks without `meta.json`.
    partial: BTreeSet<String>,
}

impl Inventory {
    /// Lists the bucket. Of blocks that the last index knows nothing is read again.
    async fn take(bucket: &dyn Bucket, metas_at_once: usize) -> Result<Self> {
        let known = match BucketIndex::read(bucket).await {
            // A first-generation index lacks what sharding needs, so its blocks are read again.
            Ok(Some(index)) if index.version >= 2 => index,
            Ok(_) => BucketIndex::default(),
            Err(error) => {
                tracing::warn!(error = %Error::from(error).chain(), "bucket index is damaged and made anew");
                BucketIndex::default()
            }
        };
        let mut known: BTreeMap<String, BlockEntry> =
            known.blocks.into_iter().map(|entry| (entry.block_id.clone(), entry)).collect();
        let mut inventory = Self::default();
        let mut unknown = Vec::new();
        for id in block_folders(bucket).await? {
            match known.remove(&id) {
                Some(entry) => drop(inventory.blocks.insert(id, entry)),
                None => unknown.push(id),
            }
        }
        let read = at_most(metas_at_once, unknown, |id| async move { (read_block(bucket, &id).await, id) }).await;
        for (found, id) in read {
            match found? {
                Found::Block(entry) => drop(inventory.blocks.insert(id, *entry)),
                Found::Partial => drop(inventory.partial.insert(id)),
                Found::Damaged => {}
            }
        }
        for id in marked_blocks(bucket, MarkKind::Deletion).await? {
            if let Some(mark) = read_deletion_mark(bucket, &id).await? {
                inventory.marks.insert(id, mark.deletion_time);
            }
        }
        Ok(inventory)
    }

    fn into_index(self, now_ms: i64) -> BucketIndex {
        let mark = |(block_id, deletion_time)| DeletionMarkEntry { block_id, deletion_time };
        let blocks: Vec<_> = self.blocks.into_values().collect();
        BucketIndex::new(blocks, self.marks.into_iter().map(mark).collect(), now_ms / 1000)
    }
}

/// A folder with the name of a block.
enum Found {
    Block(Box<BlockEntry>),
    /// Without `meta.json`.
    Partial,
    /// With one that nobody can read.
    Damaged,
}

async fn read_block(bucket: &dyn Bucket, id: &str) -> Result<Found> {
    let key = format!("{id}/meta.json");
    let (bytes, info) = match (bucket.get(&key).await, bucket.head(&key).await) {
        (Ok(bytes), Ok(info)) => (bytes, info),
        (Err(error), _) | (_, Err(error)) if error.is_not_found() => return Ok(Found::Partial),
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    match BlockMeta::from_json(&key, &bytes) {
        Ok(meta) => Ok(Found::Block(Box::new(entry_of(&meta, info.modified_ms / 1000)))),
        // A version that norn does not read would be data missing from answers.
        Err(error @ norn_tsdb::block::FileError::Unexpected { .. }) => {
            Err(Error::internal(format!("unexpected block meta version: {error}")).with_source(error))
        }
        Err(error) => {
            tracing::error!(block = %id, %error, "block with a damaged meta.json is left out of the index");
            Ok(Found::Damaged)
        }
    }
}

/// What the index says of a block.
fn entry_of(meta: &BlockMeta, uploaded_at: i64) -> BlockEntry {
    let thanos = meta.thanos.clone().unwrap_or_default();
    let numbered = thanos.segment_files.iter().enumerate().all(|(index, name)| *name == format!("{:06}", index + 1));
    let regular = numbered && !thanos.segment_files.is_empty();
    BlockEntry {
        block_id: meta.ulid.to_string(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        segments_format: if regular { "1b6d".to_owned() } else { String::new() },
        segments_num: if regular { i64::try_from(thanos.segment_files.len()).unwrap_or(0) } else { 0 },
        uploaded_at,
        compactor_shard_id: meta.shard().to_owned(),
        source: thanos.source,
        compaction_level: i64::from(meta.compaction.level),
        out_of_order: meta.compaction.is_out_of_order(),
        labels: thanos.labels,
    }
}

/// Names of folders that are blocks, complete or not.
async fn block_folders(bucket: &dyn Bucket) -> Result<Vec<String>, BucketError> {
    let listing = bucket.list("").await?;
    Ok(listing.folders.into_iter().filter(|name| name.parse::<Ulid>().is_ok()).collect())
}

async fn apply_retention(
    bucket: &dyn Bucket,
    inventory: &mut Inventory,
    retention: Duration,
    now_ms: i64,
) -> Result<usize, BucketError> {
    if retention.is_zero() {
        return Ok(0);
    }
    let oldest_ms = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let expired: Vec<String> = inventory
        .blocks
        .values()
        .filter(|entry| entry.max_time < oldest_ms && !inventory.marks.contains_key(&entry.block_id))
        .map(|entry| entry.block_id.clone())
        .collect();
    for id in &expired {
        let details = "block exceeding retention";
        mark_for_deletion(bucket, id, details, now_ms).await?;
        inventory.marks.insert(id.clone(), now_ms / 1000);
    }
    Ok(expired.len())
}

/// Marks a block so that it is deleted after a while.
pub async fn mark_for_deletion(bucket: &dyn Bucket, id: &str, details: &str, now_ms: i64) -> Result<(), BucketError> {
    let mark =
        DeletionMark { id: id.to_owned(), version: 1, details: details.to_owned(), deletion_time: now_ms / 1000 };
    mark_block(bucket, id, MarkKind::Deletion, &mark).await
}

async fn delete_marked(
    bucket: &dyn Bucket,
    inventory: &mut Inventory,
    delay: Duration,
    now_ms: i64,
) -> Result<usize, BucketError> {
    let due = |marked_at: &i64| now_ms / 1000 - marked_at >= seconds(delay);
    let ids: Vec<String> =
        inventory.marks.iter().filter(|(_, marked_at)| due(marked_at)).map(|(id, _)| id.clone()).collect();
    for id in &ids {
        delete_block(bucket, id).await?;
        inventory.blocks.remove(id);
        inventory.partial.remove(id);
        inventory.marks.remove(id);
    }
    Ok(ids.len())
}

/// Removes partial blocks that are marked, and those that nobody has touched for long.
async fn clean_partial(
    bucket: &dyn Bucket,
    inventory: &mut Inventory,
    rules: CleaningRules,
    now_ms: i64,
) -> Result<usize, BucketError> {
    let mut deleted = 0;
    for id in inventory.partial.clone() {
        let marked = inventory.marks.contains_key(&id);
        if marked || is_abandoned(bucket, &id, rules.partial_block_delay, now_ms).await? {
            delete_block(bucket, &id).await?;
            inventory.partial.remove(&id);
            inventory.marks.remove(&id);
            deleted += 1;
        }
    }
    Ok(deleted)
}

async fn is_abandoned(bucket: &dyn Bucket, id: &str, delay: Duration, now_ms: i64) -> Result<bool, BucketError> {
    if delay.is_zero() {
        return Ok(false);
    }
    let mut newest_ms = i64::MIN;
    for prefix in [format!("{id}/"), format!("{id}/chunks/")] {
        let listing = bucket.list(&prefix).await?;
        newest_ms = listing.objects.iter().map(|object| object.modified_ms).max().unwrap_or(i64::MIN).max(newest_ms);
    }
    // An empty folder is what a filesystem keeps of a deleted block.
    let untouched_ms = now_ms.saturating_sub(newest_ms);
    Ok(untouched_ms > i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

/// Deletes a block: what makes it complete first, its mark last.
async fn delete_block(bucket: &dyn Bucket, id: &str) -> Result<(), BucketError> {
    bucket.delete(&format!("{id}/meta.json")).await?;
    let mark_key = format!("{id}/deletion-mark.json");
    let mut pending = vec![format!("{id}/")];
    while let Some(prefix) = pending.pop() {
        let listing = bucket.list(&prefix).await?;
        for object in listing.objects.iter().filter(|object| object.key != mark_key) {
            bucket.delete(&object.key).await?;
        }
        pending.extend(listing.folders.iter().map(|folder| format!("{prefix}{folder}/")));
    }
    bucket.delete(&mark_key).await?;
    for kind in [MarkKind::Deletion, MarkKind::NoCompact] {
        remove_listed_mark(bucket, id, kind).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use norn_bucket::{ObjectBucket, SharedBucket};

    use super::*;

    const RULES: CleaningRules = CleaningRules {
        retention: Duration::ZERO,
        deletion_delay: Duration::from_secs(3600),
        partial_block_delay: Duration::from_secs(86_400),
        tenant_cleanup_delay: Duration::from_secs(60),
        metas_at_once: 2,
    };
    const FIRST: &str = "01M7XS5Z9XV1SC9Z7W07273SYP";
    const SECOND: &str = "01M7XS5Z9XV1SC9Z7W07273SYQ";

    async fn put_block(bucket: &SharedBucket, id: &str, max_time: i64) {
        let meta = format!(
            r#"{{"ulid":"{id}","minTime":0,"maxTime":{max_time},"version":1,"compaction":{{"level":1,"sources":["{id}"]}},
            "thanos":{{"labels":{{}},"downsample":{{"resolution":0}},"source":"receive","segment_files":["000001"]}}}}"#
        );
        for (name, bytes) in [("index", "i"), ("chunks/000001", "c"), ("meta.json", meta.as_str())] {
            bucket.put(&format!("{id}/{name}"), bytes.to_owned().into()).await.unwrap();
        }
    }

    async fn index_of(bucket: &SharedBucket) -> BucketIndex {
        BucketIndex::read(&**bucket).await.unwrap().unwrap()
    }

    fn now_ms(bucket_seconds: i64) -> i64 {
        bucket_seconds * 1000
    }

    #[tokio::test]
    async fn complete_blocks_are_in_the_index_and_partial_ones_are_not() {
        let bucket = ObjectBucket::in_memory();
        put_block(&bucket, FIRST, 100).await;
        bucket.put(&format!("{SECOND}/index"), "i".into()).await.unwrap();
        let report = clean_tenant(&*bucket, RULES, now_ms(0)).await.unwrap();
        assert_eq!((report.blocks, report.partial_blocks), (1, 1));
        let index = index_of(&bucket).await;
        let entry = &index.blocks[0];
        assert_eq!((entry.block_id.as_str(), entry.segments_format.as_str(), entry.segments_num), (FIRST, "1b6d", 1));
        assert_eq!((entry.source.as_str(), entry.compaction_level), ("receive", 1));
    }

    #[tokio::test]
    async fn what_is_too_old_is_marked_and_later_deleted() {
        let bucket = ObjectBucket::in_memory();
        put_block(&bucket, FIRST, 1_000).await;
        put_block(&bucket, SECOND, 1_000_000_000).await;
        let rules = CleaningRules { retention: Duration::from_secs(500_000), ..RULES };
        let report = clean_tenant(&*bucket, rules, now_ms(1_000_000)).await.unwrap();
        assert_eq!((report.marked_by_retention, report.blocks), (1, 2));
        assert_eq!(index_of(&bucket).await.deletion_time(FIRST), Some(1_000_000));

        let report = clean_tenant(&*bucket, rules, now_ms(1_000_000 + 3600)).await.unwrap();
        assert_eq!((report.deleted_blocks, report.blocks), (1, 1));
        let index = index_of(&bucket).await;
        assert_eq!((index.blocks[0].block_id.as_str(), index.block_deletion_marks.len()), (SECOND, 0));
        assert!(bucket.list(&format!("{FIRST}/")).await.unwrap().objects.is_empty());
        assert!(marked_blocks(&*bucket, MarkKind::Deletion).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_tenant_without_blocks_leaves_nothing_behind() {
        let bucket = ObjectBucket::in_memory();
        put_block(&bucket, FIRST, 1_000).await;
        clean_tenant(&*bucket, RULES, now_ms(0)).await.unwrap();
        mark_for_deletion(&*bucket, FIRST, "test", now_ms(0)).await.unwrap();
        clean_tenant(&*bucket, RULES, now_ms(7200)).await.unwrap();
        assert_eq!(bucket.list("").await.unwrap(), norn_bucket::Listing::default());
    }

    #[tokio::test]
    async fn a_deleted_tenant_goes_with_its_mark_last() {
        let bucket = ObjectBucket::in_memory();
        put_block(&bucket, FIRST, 1_000).await;
        clean_tenant(&*bucket, RULES, now_ms(0)).await.unwrap();
        let mark = TenantDeletionMark { deletion_time: 1, finished_time: 0 };
        write_tenant_mark(&*bucket, &mark).await.unwrap();
        assert_eq!(delete_tenant(&*bucket, mark, RULES, now_ms(10)).await.unwrap().deleted_blocks, 1);
        let mark = crate::blocks::markers::read_tenant_mark(&*bucket).await.unwrap().unwrap();
        assert_eq!(mark.finished_time, 10);
        delete_tenant(&*bucket, mark, RULES, now_ms(1000)).await.unwrap();
        assert_eq!(bucket.list("").await.unwrap(), norn_bucket::Listing::default());
    }
}
