//! The querier, the query-frontend and the query-scheduler.

use std::time::Duration;

use crate::section::{choices, section};

section! {
    /// The querier.
    pub struct QuerierConfig {
        /// Samples younger than this are not looked for in the bucket; zero always looks.
        pub query_store_after: Duration,
        /// Whether a query may name the sources that it reads, with the header `X-Filter-Queryables`.
        pub filter_queryables_enabled: bool,
        /// Most remote read queries of one request that run at once.
        pub max_concurrent_remote_read_queries: usize,
        /// Most queries that run at once.
        pub max_concurrent: usize,
        /// How long a query may run.
        pub timeout: Duration,
        /// Most samples that a query may have in memory.
        pub max_samples: u64,
        /// The step of subqueries that name none.
        pub default_evaluation_interval: Duration,
        /// How far a selector looks back for a sample.
        pub lookback_delta: Duration,
    }
}

section! {
    /// The query-frontend.
    pub struct FrontendConfig {
        /// Queries that take longer are logged; zero logs none, unless [`Self::query_stats_enabled`] logs all.
        pub log_queries_longer_than: Duration,
        /// Headers of requests that the log of queries shows.
        pub log_query_request_headers: Vec<String>,
        /// Largest body of a query, in bytes.
        pub max_body_size: u64,
        /// Whether statistics of each query are logged and counted.
        pub query_stats_enabled: bool,
        /// The length of the parts that a range query is split into; zero does not split.
        pub split_queries_by_interval: Duration,
        /// The cache of results.
        pub results_cache: ResultsCache,
        /// Whether results of range queries are cached.
        pub cache_results: bool,
        /// Whether errors that will not go away are cached.
        pub cache_errors: bool,
        /// How often a part of a query is tried.
        pub max_retries: usize,
        /// Whether queries are split by series.
        pub parallelize_shardable_queries: bool,
        /// Whether `fill`, `fill_left` and `fill_right` may be used; absent where the dialect has no such setting.
        pub promql_fill_modifiers_enabled: Option<bool>,
    }
}

section! {
    /// The cache of results.
    pub struct ResultsCache {
        /// Where it is.
        pub backend: CacheBackend,
    }
}

section! {
    /// The query-scheduler.
    pub struct QuerySchedulerConfig {
        /// Most requests of one tenant in the queue.
        pub max_outstanding_requests_per_tenant: usize,
    }
}

choices! {
    /// Where a cache is.
    pub enum CacheBackend {
        /// There is none.
        None = "",
        /// In this process.
        InMemory = "inmemory",
        /// In memcached servers.
        Memcached = "memcached",
    }
}
