//! What is known of one tenant's blocks, and those that are open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use norn_base::Error;
use norn_bucket::SharedBucket;
use norn_model::select::TimeRange;
use norn_tsdb::block::{BlockMeta, BlockReader, NamedSource};
use parking_lot::Mutex;

use super::StoreGatewaySettings;
use super::turns::Turns;
use crate::blocks::index::{BlockEntry, BucketIndex};

/// The blocks of one tenant, as its index said last.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    blocks: BTreeMap<String, Arc<Block>>,
    updated_ms: i64,
    /// Why the index could not be read the last time.
    problem: Option<String>,
}

/// One block in the bucket.
#[derive(Debug)]
pub(super) struct Block {
    entry: BlockEntry,
    deletion_time_ms: Option<i64>,
    bucket: SharedBucket,
    // Shared between versions of the catalog, so that a sync does not close what is open.
    open: Arc<Mutex<Opened>>,
}

#[derive(Debug, Default)]
struct Opened {
    reader: Option<BlockReader>,
    /// When a query used it last.
    used: Duration,
    /// Why it was set aside.
    damage: Option<String>,
}

/// A block as pages show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BlockState {
    /// What the index says.
    #[serde(flatten)]
    pub entry: BlockEntry,
    /// When it was marked for deletion, in milliseconds since the Unix epoch.
    pub deletion_time_ms: Option<i64>,
    /// Whether it is open.
    pub is_open: bool,
    /// Why it was set aside.
    pub damage: Option<String>,
}

impl Catalog {
    /// The catalog that follows from a new index. Blocks that stay keep their readers.
    pub(super) fn updated(
        &self,
        index: &BucketIndex,
        settings: &StoreGatewaySettings,
        bucket: SharedBucket,
        now_ms: i64,
    ) -> Self {
        let marks: BTreeMap<&str, i64> =
            index.block_deletion_marks.iter().map(|mark| (mark.block_id.as_str(), mark.deletion_time * 1000)).collect();
        let too_young =
            |entry: &BlockEntry| settings.ignore_within_ms > 0 && entry.min_time > now_ms - settings.ignore_within_ms;
        let forgotten = |entry: &BlockEntry| {
            let marked_ms = marks.get(entry.block_id.as_str());
            marked_ms.is_some_and(|marked_ms| now_ms - marked_ms > settings.forget_marked_after_ms)
        };
        let kept = index.blocks.iter().filter(|entry| !too_young(entry) && !forgotten(entry));
        let blocks = kept.map(|entry| {
            let open = self.blocks.get(&entry.block_id).map(|block| block.open.clone()).unwrap_or_default();
            let deletion_time_ms = marks.get(entry.block_id.as_str()).copied();
            let block = Block { entry: entry.clone(), deletion_time_ms, bucket: bucket.clone(), open };
            (entry.block_id.clone(), Arc::new(block))
        });
        Self { blocks: blocks.collect(), updated_ms: index.updated_at * 1000, problem: None }
    }

    /// The same blocks, and why nothing newer is known.
    pub(super) fn failed(&self, problem: String) -> Self {
        Self { blocks: self.blocks.clone(), updated_ms: self.updated_ms, problem: Some(problem) }
    }

    /// All blocks, by their ids.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.problem.is_none()
    }

    /// When the index was made, in milliseconds since the Unix epoch.
    pub(super) fn updated_ms(&self) -> i64 {
        self.updated_ms
    }

    pub(super) fn blocks_for(&self, range: TimeRange, now_ms: i64, ignore_marked_after_ms: i64) -> Vec<Arc<Block>> {
        let wanted = |block: &&Arc<Block>| {
            let held = TimeRange { start_ms: block.entry.min_time, end_ms: block.entry.max_time - 1 };
            let gone = block.deletion_time_ms.is_some_and(|marked_ms| now_ms - marked_ms > ignore_marked_after_ms);
            held.overlaps(range) && !gone
        };
        self.blocks.values().filter(wanted).cloned().collect()
    }

    pub(super) fn close_idle(&self, now: Duration, idle_after: Duration) {
        if idle_after.is_zero() {
            return;
        }
        for block in self.blocks.values() {
            let mut open = block.open.lock();
            if open.reader.is_some() && now.saturating_sub(open.used) > idle_after {
                open.reader = None;
            }
        }
    }

    pub(super) fn states(&self) -> Vec<BlockState> {
        let state = |block: &Arc<Block>| {
            let open = block.open.lock();
            BlockState {
                entry: block.entry.clone(),
                deletion_time_ms: block.deletion_time_ms,
                is_open: open.reader.is_some(),
                damage: open.damage.clone(),
            }
        };
        self.blocks.values().map(state).collect()
    }
}

impl Block {
    /// A reader of the block. Opening it takes one of `turns`, where they are given.
    pub(super) async fn open(
        &self,
        used: Duration,
        runtime: &tokio::runtime::Handle,
        turns: Option<&Turns>,
    ) -> Result<BlockReader, NotOpened> {
        if let Some(known) = self.known(used) {
            return known;
        }
        let _turn = match turns {
            Some(turns) => turns.take().await.map_err(NotOpened::Refused)?,
            None => None,
        };
        // Someone else may have opened it meanwhile.
        if let Some(known) = self.known(used) {
            return known;
        }
        match self.read(runtime).await {
            Ok(reader) => {
                self.open.lock().reader = Some(reader.clone());
                Ok(reader)
            }
            Err(problem) => Err(NotOpened::Missing(self.set_aside(problem))),
        }
    }

    /// The reader of a block that is open, or why it was set aside.
    fn known(&self, used: Duration) -> Option<Result<BlockReader, NotOpened>> {
        let mut open = self.open.lock();
        open.used = used;
        match (&open.reader, &open.damage) {
            (Some(reader), _) => Some(Ok(reader.clone())),
            (None, Some(damage)) => Some(Err(NotOpened::Missing(damage.clone()))),
            (None, None) => None,
        }
    }

    fn set_aside(&self, problem: OpenError) -> String {
        let id = &self.entry.block_id;
        let chain = Error::internal("block cannot be opened").with_source(problem.source).chain();
        let warning = format!("block {id} is missing from this answer: {chain}");
        if problem.is_damage {
            tracing::error!(block = %id, bucket = ?self.bucket, "{chain}; the block is set aside until it is replaced");
            self.open.lock().damage = Some(warning.clone());
        } else {
            tracing::warn!(block = %id, "{chain}; the next query tries again");
        }
        warning
    }

    async fn read(&self, runtime: &tokio::runtime::Handle) -> Result<BlockReader, OpenError> {
        let id = self.entry.block_id.clone();
        if let Some(directory) = self.bucket.local_path(&id) {
            let opened = runtime.spawn_blocking(move || BlockReader::open(&directory)).await;
            return opened.map_err(OpenError::panicked)?.map_err(OpenError::damage);
        }
        let bucket = self.bucket.clone();
        // The bucket's client belongs to the asynchronous runtime, whoever polls the query.
        let read = runtime.spawn(async move { read_whole(bucket, &id).await });
        read.await.map_err(OpenError::panicked)?
    }
}

/// Why a query cannot read a block.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The block is not readable: a sentence for the client, whose answer misses it.
    Missing(String),
    /// There was no turn to open it; the query fails.
    Refused(Error),
}

struct OpenError {
    /// Whether trying again is useless.
    is_damage: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl OpenError {
    fn damage(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { is_damage: true, source: Box::new(source) }
    }

    fn panicked(source: tokio::task::JoinError) -> Self {
        Self { is_damage: false, source: Box::new(source) }
    }

    fn bucket(source: norn_bucket::BucketError) -> Self {
        Self { is_damage: false, source: Box::new(source) }
    }
}

/// Reads a block whose bucket is not on this machine. Its files are held in memory while it is open.
async fn read_whole(bucket: SharedBucket, id: &str) -> Result<BlockReader, OpenError> {
    let get = async |key: String| {
        let bytes = bucket.get(&key).await.map_err(OpenError::bucket)?;
        Ok::<_, OpenError>(NamedSource::new(key, bytes))
    };
    let meta_key = format!("{id}/meta.json");
    let meta_bytes = bucket.get(&meta_key).await.map_err(OpenError::bucket)?;
    let meta = BlockMeta::from_json(&meta_key, &meta_bytes).map_err(OpenError::damage)?;
    let index = get(format!("{id}/index")).await?;
    let listing = bucket.list(&format!("{id}/chunks/")).await.map_err(OpenError::bucket)?;
    let mut segments = Vec::with_capacity(listing.objects.len());
    for object in listing.objects {
        segments.push(get(object.key).await?);
    }
    BlockReader::from_sources(meta, index, segments, None).map_err(OpenError::damage)
}
