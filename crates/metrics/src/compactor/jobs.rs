//! Planning and doing one tenant's compactions.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use norn_base::{Error, ErrorKind, Result};
use norn_bucket::{Bucket, SharedBucket};
use norn_model::TenantId;
use norn_tsdb::block::{BlockMeta, BlockReader, FileError};
use norn_tsdb::compact::merge::compact;
use norn_tsdb::compact::plan::{Job, PlannerOptions, Stage, covered_blocks};
use norn_tsdb::compact::{Candidate, CompactionOptions, plan};

use super::Compactor;
use super::cleaner::mark_for_deletion;
use crate::blocks::markers::{MarkKind, NoCompactMark, mark_block, marked_blocks};
use crate::blocks::upload::upload_block;
use crate::concurrency::{all_or_first_error, at_most};

/// Who made a block, in its `meta.json`.
const SOURCE: &str = "compactor";

impl Compactor {
    /// Plans and does jobs until none is left, or the tenant has had its time.
    pub(super) async fn compact_tenant(&self, tenant: &TenantId, bucket: &SharedBucket) -> Result<()> {
        let begun = self.clock.monotonic();
        loop {
            let candidates = self.candidates(tenant, bucket).await?;
            let planner = self.planner(tenant);
            let jobs = plan(&candidates, &planner, self.clock.now_ms());
            if jobs.is_empty() {
                return Ok(());
            }
            let has_time = || {
                let spent = self.clock.monotonic().saturating_sub(begun);
                self.settings.tenant_time_max.is_zero() || spent <= self.settings.tenant_time_max
            };
            let has_failed = AtomicBool::new(false);
            let done = at_most(self.settings.concurrency.jobs, &jobs, |job| async {
                // After a failure, and after the tenant's time, only the jobs that have begun go on.
                if has_failed.load(Ordering::Relaxed) || !has_time() {
                    return Ok(());
                }
                let done = self.try_job(tenant, bucket, job, planner.shards).await;
                has_failed.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            });
            all_or_first_error(done.await)?;
            if !has_time() {
                tracing::info!(%tenant, "compaction of the tenant goes on at the next run, so that others have their turn");
                return Ok(());
            }
        }
    }

    /// What the planner goes by for a tenant.
    pub(super) fn planner(&self, tenant: &TenantId) -> PlannerOptions {
        let limits = self.overrides.limits(tenant);
        PlannerOptions {
            shards: limits.compactor_split_and_merge_shards,
            split_groups: limits.compactor_split_groups.max(1),
            ..self.settings.planner.clone()
        }
    }

    /// Blocks that may be compacted. Those that others cover are marked for deletion on the way.
    pub(super) async fn candidates(&self, tenant: &TenantId, bucket: &SharedBucket) -> Result<Vec<Candidate>> {
        let limits = self.overrides.limits(tenant);
        let now_ms = self.clock.now_ms();
        let lookback_ms = i64::try_from(limits.compactor_max_lookback.as_millis()).unwrap_or(i64::MAX);
        let mut excluded = marked_blocks(&**bucket, MarkKind::Deletion).await?;
        excluded.extend(marked_blocks(&**bucket, MarkKind::NoCompact).await?);
        let mut folders = bucket.list("").await?.folders;
        folders.retain(|id| id.parse::<norn_tsdb::ulid::Ulid>().is_ok() && !excluded.contains(id));
        let read = |id: &String| {
            let id = id.clone();
            async move { read_candidate(&**bucket, &id).await }
        };
        let read = all_or_first_error(at_most(self.settings.concurrency.planned_metas, &folders, read).await)?;
        let is_young = |candidate: &Candidate| lookback_ms == 0 || now_ms - candidate.uploaded_ms <= lookback_ms;
        let mut candidates: Vec<Candidate> = read.into_iter().flatten().filter(is_young).collect();
        let metas: Vec<BlockMeta> = candidates.iter().map(|candidate| candidate.meta.clone()).collect();
        let covered = covered_blocks(&metas);
        for id in &covered {
            mark_for_deletion(&**bucket, &id.to_string(), "outdated block", now_ms).await?;
            self.metrics.blocks_marked.inc();
        }
        candidates.retain(|candidate| !covered.contains(&candidate.meta.ulid));
        Ok(candidates)
    }

    async fn try_job(&self, tenant: &TenantId, bucket: &SharedBucket, job: &Job, shards: u32) -> Result<()> {
        let key = job.key(tenant.as_str());
        let mut tried = 0;
        loop {
            tried += 1;
            match self.run_job(tenant, bucket, job, &key, shards).await {
                Ok(()) => {
                    self.metrics.compactions.inc();
                    return Ok(());
                }
                Err(JobError::Damaged { block, error }) => {
                    self.metrics.compactions_failed.inc();
                    return self.exclude(bucket, &block, &error).await;
                }
                Err(JobError::Failed(error)) if tried < self.settings.tries => {
                    tracing::warn!(job = key, error = %error.chain(), "compaction job failed and is tried again");
                }
                Err(JobError::Failed(error)) => {
                    self.metrics.compactions_failed.inc();
                    return Err(error);
                }
            }
        }
    }

    /// Leaves a damaged block out of compactions from now on, so that the others go on.
    async fn exclude(&self, bucket: &SharedBucket, block: &str, error: &FileError) -> Result<()> {
        tracing::error!(block, %error, "damaged block is left out of compactions; replace it or delete its mark");
        let mark = NoCompactMark {
            id: block.to_owned(),
            version: 1,
            details: error.to_string(),
            no_compact_time: self.clock.now_ms() / 1000,
            reason: "critical".to_owned(),
        };
        Ok(mark_block(&**bucket, block, MarkKind::NoCompact, &mark).await?)
    }

    async fn run_job(
        &self,
        tenant: &TenantId,
        bucket: &SharedBucket,
        job: &Job,
        key: &str,
        shards: u32,
    ) -> Result<(), JobError> {
        let directory = self.settings.directory.join("compact").join(key);
        prepare(&directory)?;
        let readers = self.open_sources(bucket, job, &directory).await?;
        let results = directory.join("results");
        std::fs::create_dir_all(&results).map_err(disk_error)?;
        let options = CompactionOptions {
            shards: if job.stage == Stage::Split { shards } else { 0 },
            external_labels: job.result_labels(),
            source: SOURCE.to_owned(),
        };
        let (target, clock, random) = (results.clone(), self.clock.clone(), self.random.clone());
        let work = self.pool.compute(move || compact(readers, &target, options, &*clock, &*random));
        let made = work
            .await?
            .map_err(|error| Error::new(ErrorKind::Internal, "blocks were not put together").with_source(error))?;
        let files_at_once = self.overrides.limits(tenant).compactor_max_per_block_upload_concurrency;
        let upload = |meta: &BlockMeta| {
            let (made, meta) = (results.join(meta.ulid.to_string()), meta.clone());
            async move { upload_block(&**bucket, &made, &meta, SOURCE, files_at_once).await }
        };
        all_or_first_error(at_most(self.settings.concurrency.transfers, made.iter().flatten(), upload).await)?;
        let now_ms = self.clock.now_ms();
        for meta in &job.blocks {
            let id = meta.ulid.to_string();
            mark_for_deletion(&**bucket, &id, "source of compacted block", now_ms).await.map_err(Error::from)?;
            self.metrics.blocks_marked.inc();
        }
        tracing::info!(
            job = key,
            sources = job.blocks.len(),
            results = made.iter().flatten().count(),
            "compacted blocks"
        );
        std::fs::remove_dir_all(&directory).map_err(disk_error)?;
        Ok(())
    }

    /// Brings the blocks of a job to this machine, where they are not there, and opens them.
    async fn open_sources(
        &self,
        bucket: &SharedBucket,
        job: &Job,
        directory: &Path,
    ) -> Result<Vec<BlockReader>, JobError> {
        let fetch = |meta: &BlockMeta| {
            let id = meta.ulid.to_string();
            async move {
                match bucket.local_path(&id) {
                    Some(path) => Ok::<_, Error>((id, path)),
                    None => {
                        let path = download(&**bucket, &id, directory).await?;
                        Ok((id, path))
                    }
                }
            }
        };
        let fetched = all_or_first_error(at_most(self.settings.concurrency.transfers, &job.blocks, fetch).await)?;
        let open = |(id, path): (String, PathBuf)| async move {
            let opened = tokio::task::spawn_blocking(move || BlockReader::open(&path)).await;
            let opened = opened.map_err(|error| Error::internal("opening a block panicked").with_source(error))?;
            opened.map_err(|error| JobError::Damaged { block: id, error })
        };
        all_or_first_error(at_most(self.settings.concurrency.opened_blocks, fetched, open).await)
    }
}

/// Why a job was not done.
enum JobError {
    /// One of its blocks is damaged.
    Damaged { block: String, error: FileError },
    /// Something else.
    Failed(Error),
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn disk_error(error: std::io::Error) -> Error {
    Error::unavailable("the compactor cannot use its data_dir").with_source(error)
}

/// An empty directory, whatever an earlier run left there.
fn prepare(directory: &Path) -> Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(disk_error)?;
    }
    std::fs::create_dir_all(directory).map_err(disk_error)
}

/// A block's `meta.json` and its age; `None` where the block is not complete or not readable.
async fn read_candidate(bucket: &dyn Bucket, id: &str) -> Result<Option<Candidate>> {
    let key = format!("{id}/meta.json");
    let (bytes, info) = match (bucket.get(&key).await, bucket.head(&key).await) {
        (Ok(bytes), Ok(info)) => (bytes, info),
        (Err(error), _) | (_, Err(error)) if error.is_not_found() => return Ok(None),
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    match BlockMeta::from_json(&key, &bytes) {
        Ok(meta) => Ok(Some(Candidate { meta, uploaded_ms: info.modified_ms })),
        Err(error) => {
            tracing::error!(block = id, %error, "block with a damaged meta.json is left alone");
            Ok(None)
        }
    }
}

async fn download(bucket: &dyn Bucket, id: &str, directory: &Path) -> Result<PathBuf> {
    let target = directory.join("sources").join(id);
    std::fs::create_dir_all(target.join("chunks")).map_err(disk_error)?;
    let mut keys = vec![format!("{id}/meta.json"), format!("{id}/index")];
    keys.extend(bucket.list(&format!("{id}/chunks/")).await?.objects.into_iter().map(|object| object.key));
    for key in keys {
        let bytes = bucket.get(&key).await?;
        let name = key.strip_prefix(&format!("{id}/")).unwrap_or(&key);
        tokio::fs::write(target.join(name), bytes).await.map_err(disk_error)?;
    }
    Ok(target)
}
