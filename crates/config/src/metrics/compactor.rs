//! The compactor and the store-gateway.

use std::path::PathBuf;
use std::time::Duration;

use crate::section::{choices, section};

section! {
    /// The compactor.
    pub struct CompactorConfig {
        /// The lengths of compacted blocks, ascending, each a multiple of the one before.
        pub block_ranges: Vec<Duration>,
        /// Blocks that are downloaded and uploaded at once.
        pub block_sync_concurrency: usize,
        /// `meta.json` files that are read at once.
        pub meta_sync_concurrency: usize,
        /// The folder of blocks in work.
        pub data_dir: PathBuf,
        /// How often tenants are compacted.
        pub compaction_interval: Duration,
        /// How often a tenant's compaction is tried.
        pub compaction_retries: usize,
        /// Compactions that run at once.
        pub compaction_concurrency: usize,
        /// How long blocks of the first level wait for those of slower ingesters.
        pub first_level_compaction_wait_period: Duration,
        /// Whether first-level jobs with samples of the future are skipped.
        pub first_level_compaction_skip_future_max_time: bool,
        /// How often a tenant's bucket is cleaned up and its index written.
        pub cleanup_interval: Duration,
        /// Tenants that are cleaned up at once.
        pub cleanup_concurrency: usize,
        /// How long a block stays after its deletion mark.
        pub deletion_delay: Duration,
        /// How long after a tenant's deletion its last files stay.
        pub tenant_cleanup_delay: Duration,
        /// How long one tenant may be compacted before the next has its turn.
        pub max_compaction_time: Duration,
        /// Blocks that are opened at once.
        pub max_opening_blocks_concurrency: usize,
        /// Blocks of the index that are updated at once.
        pub update_blocks_concurrency: usize,
        /// The tenants to compact; empty is all.
        pub enabled_tenants: Vec<String>,
        /// The tenants not to compact.
        pub disabled_tenants: Vec<String>,
        /// Which jobs come first.
        pub compaction_jobs_order: CompactionOrder,
    }
}

choices! {
    /// Which compaction jobs come first.
    pub enum CompactionOrder {
        /// Short ranges first, within them old blocks.
        SmallestRangeOldestBlocksFirst = "smallest-range-oldest-blocks-first",
        /// The newest blocks first.
        NewestBlocksFirst = "newest-blocks-first",
    }
}

section! {
    /// The store-gateway.
    pub struct StoreGatewayConfig {
        /// The tenants to serve; empty is all.
        pub enabled_tenants: Vec<String>,
        /// The tenants not to serve.
        pub disabled_tenants: Vec<String>,
    }
}
