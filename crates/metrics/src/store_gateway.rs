//! The store-gateway: serves the blocks in the bucket.
//!
//! It follows the bucket index of every tenant, so that nothing is listed while a query waits, and opens a block when
//! the first query needs it. A block that cannot be opened is set aside and named, in the log and in the answers that
//! miss it; the others go on answering. An index that was not renewed for long fails the query: it is better to say
//! nothing than to leave out what came since.

mod catalog;
mod pages;
mod source;
mod turns;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashMap;
use norn_base::clock::SharedClock;
use norn_base::pool::ComputePool;
use norn_base::{Error, ErrorKind, Result};
use norn_bucket::SharedBucket;
use norn_config::metrics::MetricsConfig;
use norn_model::estimate::{SeriesCount, SeriesEstimate};
use norn_model::select::{SeriesRequest, SeriesSource, TimeRange};
use norn_model::{Matcher, TenantId};
use norn_tsdb::block::BlockReader;
use parking_lot::RwLock;

use crate::blocks::index::BucketIndex;
use crate::blocks::tenants::tenants_in;
use crate::concurrency::at_most;
use crate::reader::{FailedSource, LabelRequest, NameList, SeriesReader};
use catalog::{Block, Catalog, NotOpened};
use turns::{Turn, Turns};

pub use catalog::BlockState;

/// How blocks are served. Times are milliseconds.
#[derive(Debug, Clone)]
pub struct StoreGatewaySettings {
    /// A block is not queried any more once its deletion mark is older.
    pub ignore_marked_after_ms: i64,
    /// Blocks that start later than so long ago are left to the ingesters; 0 serves all.
    pub ignore_within_ms: i64,
    /// An index that was not renewed for longer fails queries; 0 never does.
    pub index_stale_after_ms: i64,
    /// A block is not known any more once its deletion mark is older.
    pub forget_marked_after_ms: i64,
    /// Whether a block is opened by the first query that needs it; else at once, and never closed.
    pub opens_lazily: bool,
    /// A block that nobody asked for so long is closed.
    pub idle_after: Duration,
    /// Blocks that queries open at once, and how long one waits for its turn; zero waits on.
    pub lazy_opens: (usize, Duration),
    /// Requests that are served at once, and how long one waits for its turn; zero waits on.
    pub requests: (usize, Duration),
    /// Tenants whose indexes are read at once.
    pub synced_tenants: usize,
    /// Blocks of a tenant that are opened at once, where they are not opened lazily.
    pub eager_opens: usize,
    /// Tenants to serve; empty is all.
    pub enabled_tenants: BTreeSet<String>,
    /// Tenants not to serve.
    pub disabled_tenants: BTreeSet<String>,
}

impl StoreGatewaySettings {
    /// What of the configuration concerns the store-gateway.
    pub fn of(config: &MetricsConfig) -> Self {
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let store = &config.blocks_storage.bucket_store;
        let header = &store.index_header;
        Self {
            ignore_marked_after_ms: milliseconds(store.ignore_deletion_mark_while_querying_delay),
            ignore_within_ms: milliseconds(store.ignore_blocks_within),
            index_stale_after_ms: milliseconds(store.bucket_index.max_stale_period),
            forget_marked_after_ms: milliseconds(store.ignore_deletion_mark_delay),
            opens_lazily: header.lazy_loading_enabled,
            idle_after: header.lazy_loading_idle_timeout,
            lazy_opens: (header.lazy_loading_concurrency, header.lazy_loading_concurrency_queue_timeout),
            requests: (store.max_concurrent, store.max_concurrent_queue_timeout),
            synced_tenants: store.tenant_sync_concurrency,
            eager_opens: store.block_sync_concurrency,
            enabled_tenants: config.store_gateway.enabled_tenants.iter().cloned().collect(),
            disabled_tenants: config.store_gateway.disabled_tenants.iter().cloned().collect(),
        }
    }
}

/// Serves blocks.
pub struct StoreGateway {
    bucket: SharedBucket,
    tenants: RwLock<HashMap<TenantId, Arc<Catalog>>>,
    settings: StoreGatewaySettings,
    pool: ComputePool,
    runtime: tokio::runtime::Handle,
    clock: SharedClock,
    requests: Turns,
    lazy_opens: Turns,
}

impl StoreGateway {
    /// A store-gateway that knows no block yet. To be called within the asynchronous runtime.
    pub fn new(
        bucket: SharedBucket,
        settings: StoreGatewaySettings,
        pool: ComputePool,
        clock: SharedClock,
    ) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        let turns = |(most, wait_max), what| Turns::new(most, wait_max, what, runtime.clone());
        let requests = turns(settings.requests, ("requests", "blocks-storage.bucket-store.max-concurrent"));
        let setting = "blocks-storage.bucket-store.index-header.lazy-loading-concurrency";
        let lazy_opens = turns(settings.lazy_opens, ("openings of blocks", setting));
        Arc::new(Self { bucket, tenants: RwLock::default(), settings, pool, runtime, clock, requests, lazy_opens })
    }

    /// Takes in what the indexes of all tenants say now. A tenant whose index cannot be read keeps what was known of it.
    pub async fn sync(&self) -> Result<()> {
        let listed = tenants_in(&*self.bucket).await?;
        let served: Vec<_> = listed.into_iter().filter(|tenant| self.serves(tenant)).collect();
        at_most(self.settings.synced_tenants, &served, |tenant| self.sync_tenant(tenant)).await;
        self.tenants.write().retain(|tenant, _| served.contains(tenant));
        Ok(())
    }

    fn serves(&self, tenant: &TenantId) -> bool {
        let enabled = &self.settings.enabled_tenants;
        (enabled.is_empty() || enabled.contains(tenant.as_str()))
            && !self.settings.disabled_tenants.contains(tenant.as_str())
    }

    async fn sync_tenant(&self, tenant: &TenantId) {
        let before = self.catalog(tenant);
        let bucket = self.bucket.scoped(tenant.as_str());
        let now_ms = self.clock.now_ms();
        let next = match BucketIndex::read(&*bucket).await {
            Ok(Some(index)) => before.updated(&index, &self.settings, bucket, now_ms),
            Ok(None) => Catalog::default(),
            Err(error) => {
                let error = Error::from(error);
                tracing::error!(%tenant, error = %error.chain(), "bucket index cannot be read; known blocks are served");
                before.failed(error.message().to_owned())
            }
        };
        let now = self.clock.monotonic();
        if self.settings.opens_lazily {
            next.close_idle(now, self.settings.idle_after);
        } else {
            // What is wrong with a block is logged where it is found; queries tell what they miss.
            at_most(self.settings.eager_opens, next.blocks(), |block| async move {
                block.open(now, &self.runtime, None).await.is_ok()
            })
            .await;
        }
        self.tenants.write().insert(tenant.clone(), Arc::new(next));
    }

    fn catalog(&self, tenant: &TenantId) -> Arc<Catalog> {
        self.tenants.read().get(tenant).cloned().unwrap_or_default()
    }

    /// Pages for operators.
    pub fn admin_routes(self: &Arc<Self>) -> axum::Router {
        pages::routes(self.clone())
    }

    /// Tenants that have an index, ascending.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<_> = self.tenants.read().keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// What is known of a tenant's blocks, by their ids.
    pub fn blocks(&self, tenant: &TenantId) -> Vec<BlockState> {
        self.catalog(tenant).states()
    }

    /// Blocks that may hold samples of a range and are to be queried.
    fn blocks_for(&self, tenant: &TenantId, range: TimeRange) -> Result<Vec<Arc<Block>>> {
        let catalog = self.catalog(tenant);
        let now_ms = self.clock.now_ms();
        let age_ms = now_ms - catalog.updated_ms();
        let limit_ms = self.settings.index_stale_after_ms;
        if !catalog.is_empty() && limit_ms > 0 && age_ms > limit_ms {
            return Err(stale_index(catalog.updated_ms(), limit_ms));
        }
        Ok(catalog.blocks_for(range, now_ms, self.settings.ignore_marked_after_ms))
    }

    /// Opens blocks for a query. Those that cannot be opened are named in the warnings; the query fails where it would
    /// have to wait too long.
    async fn open(&self, blocks: Vec<Arc<Block>>) -> Result<Opened> {
        let turn = self.requests.take().await?;
        let used = self.clock.monotonic();
        let (at_once, _) = self.settings.lazy_opens;
        let open = |block: Arc<Block>| async move { block.open(used, &self.runtime, Some(&self.lazy_opens)).await };
        let (mut readers, mut warnings) = (Vec::with_capacity(blocks.len()), Vec::new());
        for opened in at_most(at_once, blocks, open).await {
            match opened {
                Ok(reader) => readers.push(reader),
                Err(NotOpened::Missing(warning)) => warnings.push(warning),
                Err(NotOpened::Refused(error)) => return Err(error),
            }
        }
        Ok(Opened { readers, warnings, turn })
    }

    async fn ask<F>(&self, tenant: &TenantId, request: LabelRequest, ask: F) -> Result<NameList>
    where
        F: Fn(&BlockReader, &[Matcher], TimeRange) -> Result<Vec<String>, norn_tsdb::block::FileError>
            + Send
            + Sync
            + 'static,
    {
        let blocks = self.blocks_for(tenant, request.range)?;
        let Opened { readers, warnings, turn } = self.open(blocks).await?;
        let names = self.pool.compute(move || ask_blocks(&readers, &request, &ask)).await??;
        drop(turn);
        Ok(NameList { names, warnings })
    }
}

/// What a request reads, and its turn.
struct Opened {
    readers: Vec<BlockReader>,
    warnings: Vec<String>,
    turn: Turn,
}

fn ask_blocks<F>(readers: &[BlockReader], request: &LabelRequest, ask: &F) -> Result<Vec<String>>
where
    F: Fn(&BlockReader, &[Matcher], TimeRange) -> Result<Vec<String>, norn_tsdb::block::FileError>,
{
    let any = [Vec::new()];
    let selectors = if request.selectors.is_empty() { &any[..] } else { &request.selectors };
    let mut names = BTreeSet::new();
    for reader in readers {
        for matchers in selectors {
            names.extend(ask(reader, matchers, request.range).map_err(damaged)?);
        }
    }
    Ok(names.into_iter().collect())
}

fn damaged(error: norn_tsdb::block::FileError) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a block cannot be read: {error}")).with_source(error)
}

fn stale_index(updated_ms: i64, limit_ms: i64) -> Error {
    let id = "err-mimir-bucket-index-too-old";
    let updated = norn_gotext::time::format_rfc3339(updated_ms);
    let limit = norn_gotext::duration::format_go(limit_ms.saturating_mul(1_000_000));
    let text = format!(
        "the bucket index is too old. It was last updated at {updated}, which exceeds the maximum allowed staleness period \
         of {limit} ({id})"
    );
    Error::internal(text).with_id(id)
}

#[async_trait]
impl SeriesReader for Arc<StoreGateway> {
    fn select(&self, tenant: &TenantId, request: SeriesRequest) -> Box<dyn SeriesSource> {
        match self.blocks_for(tenant, request.range) {
            Ok(blocks) => {
                let gateway = self.clone();
                let opening = async move { gateway.open(blocks).await };
                Box::new(source::BlocksSource::new(Box::pin(opening), request))
            }
            Err(error) => Box::new(FailedSource::new(error)),
        }
    }

    async fn estimate(&self, tenant: &TenantId, request: SeriesRequest) -> Result<SeriesCount> {
        let blocks = self.blocks_for(tenant, request.range)?;
        // What a block that cannot be opened holds is not read either.
        let Opened { readers, turn, .. } = self.open(blocks).await?;
        let estimate = move || {
            let mut counts = readers.iter().map(|reader| reader.estimate(&request));
            counts.try_fold(SeriesCount::default(), |count, other| Ok(count.beside(other?)))
        };
        let count = self.pool.compute(estimate).await?;
        drop(turn);
        count
    }

    async fn label_names(&self, tenant: &TenantId, request: LabelRequest) -> Result<NameList> {
        self.ask(tenant, request, BlockReader::label_names).await
    }

    async fn label_values(&self, tenant: &TenantId, name: &str, request: LabelRequest) -> Result<NameList> {
        let name = name.to_owned();
        self.ask(tenant, request, move |block, matchers, range| block.label_values(&name, matchers, range)).await
    }
}
