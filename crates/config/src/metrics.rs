//! What the roles of the metrics signal rely on: norn's own model, read from the settings of any dialect.
//!
//! The names are those of the keys that operators know. A key that has no effect here is not in the model; the
//! table of settings says so, and why. Zero means "off" or "no limit" wherever a field does not say otherwise.

mod compactor;
mod distributor;
mod ingester;
mod querier;
mod server;
mod storage;

use std::path::PathBuf;
use std::time::Duration;

pub use compactor::{CompactionOrder, CompactorConfig, StoreGatewayConfig};
pub use distributor::{DistributorConfig, DistributorInstanceLimits, HaTrackerConfig, RetryAfterHeader};
pub use ingester::{IngesterConfig, IngesterInstanceLimits, IngesterRing};
pub use querier::{CacheBackend, FrontendConfig, QuerierConfig, QuerySchedulerConfig, ResultsCache};
pub use server::{GrpcTls, HttpTls, LogFormat, LogLevel, ServerConfig};
pub use storage::{
    BlocksStorageConfig, BucketIndexConfig, BucketStoreConfig, Filesystem, IndexHeaderConfig, StorageBackend,
    TsdbConfig,
};

use crate::environment::Environment;
use crate::limits::Limits;
use crate::section::{FieldError, FromSettings, Source, section};
use crate::settings::Settings;
use crate::table::Dialect;

section! {
    /// Everything that a process of the metrics signal is configured with, except single tenants' limits.
    pub struct MetricsConfig {
        /// The roles to run, or names of groups of them.
        pub target: Vec<String>,
        /// Whether each request has to name its tenant.
        pub multitenancy_enabled: bool,
        /// The tenant of all requests without multi-tenancy.
        pub no_auth_tenant: String,
        /// How long a stopping process keeps serving, so that load balancers notice that it is not ready.
        pub shutdown_delay: Duration,
        /// The HTTP API.
        pub api: ApiConfig,
        /// Listeners and logs.
        pub server: ServerConfig,
        /// The distributor.
        pub distributor: DistributorConfig,
        /// The ingester.
        pub ingester: IngesterConfig,
        /// The querier.
        pub querier: QuerierConfig,
        /// The query-frontend.
        pub frontend: FrontendConfig,
        /// The query-scheduler.
        pub query_scheduler: QuerySchedulerConfig,
        /// The limits of a tenant that has none of its own.
        pub limits: Limits,
        /// Heads, blocks, and the bucket that keeps them.
        pub blocks_storage: BlocksStorageConfig,
        /// The compactor.
        pub compactor: CompactorConfig,
        /// The store-gateway.
        pub store_gateway: StoreGatewayConfig,
        /// Queries over several tenants.
        pub tenant_federation: TenantFederationConfig,
        /// The record of requests in flight.
        pub activity_tracker: ActivityTrackerConfig,
        /// The files of the tenants' own limits.
        pub runtime_config: RuntimeConfigFiles,
    }
}

impl MetricsConfig {
    /// Reads the whole model.
    pub fn from_settings(source: &dyn Source) -> Result<Self, FieldError> {
        Self::read(source, "")
    }
}

/// The defaults of Mimir, on a machine called `localhost`.
impl Default for MetricsConfig {
    fn default() -> Self {
        let settings = Settings::defaults(Dialect::Mimir, &Environment::default());
        Self::from_settings(&settings).expect("a test reads the defaults of every dialect")
    }
}

section! {
    /// The HTTP API.
    pub struct ApiConfig {
        /// Whether a write request may switch off the validation of label names with a header.
        pub skip_label_name_validation_header_enabled: bool,
        /// Whether a write request may switch off the limit on the number of labels with a header.
        pub skip_label_count_validation_header_enabled: bool,
        /// The path before Prometheus' API; begins with a slash.
        pub prometheus_http_prefix: String,
    }
}

section! {
    /// Queries over several tenants, `a|b` in the header.
    pub struct TenantFederationConfig {
        /// Whether a query may name several tenants.
        pub enabled: bool,
        /// Tenants that are asked for labels at once.
        pub max_concurrent: usize,
        /// Most tenants of one query.
        pub max_tenants: usize,
    }
}

section! {
    /// A file that lists the requests in flight, so that a crash can be put down to one of them.
    pub struct ActivityTrackerConfig {
        /// The file; empty switches the record off.
        pub filepath: PathBuf,
        /// Most requests that the file holds at once.
        pub max_entries: usize,
    }
}

section! {
    /// The files of the tenants' own limits.
    pub struct RuntimeConfigFiles {
        /// How often the files are looked at.
        pub period: Duration,
        /// The files, merged from left to right. None is allowed: no tenant has limits of its own.
        pub file: Vec<String>,
    }
}
