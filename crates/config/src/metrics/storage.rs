//! Heads, blocks, and the bucket that keeps them.

use std::path::PathBuf;
use std::time::Duration;

use crate::section::{choices, section};

section! {
    /// Heads, blocks, and the bucket that keeps them.
    pub struct BlocksStorageConfig {
        /// The kind of bucket.
        pub backend: StorageBackend,
        /// The bucket as a folder.
        pub filesystem: Filesystem,
        /// A prefix of all names in the bucket; empty, or without slashes at its ends.
        pub storage_prefix: String,
        /// How blocks in the bucket are read.
        pub bucket_store: BucketStoreConfig,
        /// The heads of an ingester.
        pub tsdb: TsdbConfig,
    }
}

choices! {
    /// The kind of a bucket.
    pub enum StorageBackend {
        /// A folder.
        Filesystem = "filesystem",
        /// S3 and what speaks its protocol.
        S3 = "s3",
        /// Google Cloud Storage.
        Gcs = "gcs",
        /// Azure blob storage.
        Azure = "azure",
        /// OpenStack Swift.
        Swift = "swift",
    }
}

section! {
    /// A bucket as a folder.
    pub struct Filesystem {
        /// The folder.
        pub dir: PathBuf,
    }
}

section! {
    /// How blocks in the bucket are read.
    pub struct BucketStoreConfig {
        /// How often the store-gateway looks for new blocks.
        pub sync_interval: Duration,
        /// Most requests that are served at once.
        pub max_concurrent: usize,
        /// How long a request waits for its turn; zero waits on.
        pub max_concurrent_queue_timeout: Duration,
        /// Tenants whose blocks are looked for at once.
        pub tenant_sync_concurrency: usize,
        /// Blocks of one tenant that are opened at once.
        pub block_sync_concurrency: usize,
        /// How long after its deletion mark a block is still opened.
        pub ignore_deletion_mark_delay: Duration,
        /// How long after its deletion mark a block is still queried.
        pub ignore_deletion_mark_while_querying_delay: Duration,
        /// The index of a tenant's blocks.
        pub bucket_index: BucketIndexConfig,
        /// Blocks whose samples are younger are not opened; zero opens all.
        pub ignore_blocks_within: Duration,
        /// How index headers are opened and closed.
        pub index_header: IndexHeaderConfig,
    }
}

section! {
    /// The index of a tenant's blocks.
    pub struct BucketIndexConfig {
        /// An older index fails the query.
        pub max_stale_period: Duration,
    }
}

section! {
    /// How index headers are opened and closed.
    pub struct IndexHeaderConfig {
        /// Whether an index header is opened by the first query that needs it.
        pub lazy_loading_enabled: bool,
        /// After which time without a query an index header is closed.
        pub lazy_loading_idle_timeout: Duration,
        /// Index headers that are opened at once.
        pub lazy_loading_concurrency: usize,
        /// How long a query waits for its turn to open one.
        pub lazy_loading_concurrency_queue_timeout: Duration,
    }
}

section! {
    /// The heads of an ingester.
    pub struct TsdbConfig {
        /// The folder of heads and logs, one folder a tenant.
        pub dir: PathBuf,
        /// The lengths of blocks that heads are cut to.
        pub block_ranges_period: Vec<Duration>,
        /// How long shipped blocks are kept on this disk.
        pub retention_period: Duration,
        /// How often new blocks are shipped; zero never ships.
        pub ship_interval: Duration,
        /// Tenants that ship at once.
        pub ship_concurrency: usize,
        /// How often it is checked whether heads have to be cut.
        pub head_compaction_interval: Duration,
        /// Tenants whose heads are cut at once.
        pub head_compaction_concurrency: usize,
        /// After which silence a head is cut whatever its length; zero never.
        pub head_compaction_idle_timeout: Duration,
        /// Length of a file of the log, in bytes.
        pub wal_segment_size_bytes: u64,
        /// Whether a stopping ingester cuts and ships all heads.
        pub flush_blocks_on_shutdown: bool,
        /// After which silence a tenant's storage is closed, when all is shipped.
        pub close_idle_tsdb_timeout: Duration,
        /// Whether that also holds for tenants whose blocks are not shipped.
        pub close_idle_tsdb_when_shipping_disabled: bool,
        /// Series in memory from which on heads are cut early.
        pub early_head_compaction_min_in_memory_series: u64,
        /// The share of series that an early cut has to free, in percent.
        pub early_head_compaction_min_estimated_series_reduction_percentage: u64,
    }
}
