//! Builds the roles of a process and hands each the clients of those that it calls.
//!
//! Everything is built before anything starts, so that the server can answer from the first moment on; a role that has
//! not started yet says so to its callers.

mod activity;
mod index;
mod listeners;
mod memory;
mod reads;
mod routes;
mod runtime_config;
mod server;
mod writes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use norn_base::clock::SharedClock;
use norn_base::pool::ComputePool;
use norn_base::random::SharedRandom;
use norn_base::tasks::{Stop, Tasks};
use norn_base::{Error, Result};
use norn_bucket::{ObjectBucket, SharedBucket};
use norn_config::environment::Environment;
use norn_config::load::Loaded;
use norn_config::metrics::StorageBackend;
use norn_config::overrides::Overrides;
use norn_metrics::compactor::{Compactor, CompactorSettings};
use norn_metrics::distributor::Distributor;
use norn_metrics::distributor::ha::elected::ElectedReplicas;
use norn_metrics::frontend::Frontend;
use norn_metrics::ingester::{Ingester, IngesterSettings};
use norn_metrics::querier::Querier;
use norn_metrics::reader::{IngesterReader, SeriesReader};
use norn_metrics::store_gateway::{StoreGateway, StoreGatewaySettings};
use norn_model::TenantId;
use norn_server::body::BodyReader;
use norn_server::services::{Part, Running, ServicesView};
use norn_server::telemetry::MetricsRegistry;

/// How long background work of a role may take to notice that it is to stop.
const TASK_STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Computations that may wait at once; beyond, work is refused.
const COMPUTATIONS_MAX: usize = 10_000;

/// How often it is looked whether highly available pairs need another election.
const ELECTION_INTERVAL: Duration = Duration::from_secs(1);

/// After how many looks marks of forgotten elections are removed: every half hour.
const TICKS_PER_CLEANING: u64 = 1800;

/// All roles of this process, built and not started.
pub(crate) struct Wiring {
    shared: Arc<Shared>,
}

/// What the parts of the process share.
struct Shared {
    loaded: Loaded,
    hostname: String,
    clock: SharedClock,
    random: SharedRandom,
    registry: MetricsRegistry,
    bodies: BodyReader,
    overrides: Arc<Overrides>,
    ingester: Arc<Ingester>,
    store_gateway: Arc<StoreGateway>,
    compactor: Arc<Compactor>,
    distributor: Arc<Distributor>,
    frontend: Arc<Frontend>,
    services: OnceLock<ServicesView>,
}

impl Wiring {
    /// Builds all roles. To be called within the asynchronous runtime.
    pub(crate) fn new(
        loaded: Loaded,
        environment: &Environment,
        clock: SharedClock,
        random: SharedRandom,
        registry: MetricsRegistry,
    ) -> Result<Self> {
        let pool = ComputePool::with_cores(COMPUTATIONS_MAX)?;
        let budgets = memory::Budgets::of_process();
        let overrides = Overrides::load(&loaded.settings).map_err(|error| {
            Error::bad_request(format!("failed to load runtime config: {error}")).with_source(error)
        })?;
        let bucket = bucket(&loaded, random.clone())?;
        let config = &loaded.metrics;
        let ingester = Ingester::new(
            IngesterSettings::of(config),
            overrides.clone(),
            bucket.clone(),
            pool.clone(),
            clock.clone(),
            random.clone(),
            &registry,
        );
        let store_gateway =
            StoreGateway::new(bucket.clone(), StoreGatewaySettings::of(config), pool.clone(), clock.clone());
        let compactor = Compactor::new(
            CompactorSettings::of(config),
            overrides.clone(),
            bucket,
            pool.clone(),
            clock.clone(),
            random.clone(),
            &registry,
        );
        let distributor = writes::distributor(&loaded, &overrides, ingester.clone(), &clock, &random, &registry);
        let readers: (Arc<dyn IngesterReader>, Arc<dyn SeriesReader>) =
            (Arc::new(ingester.clone()), Arc::new(store_gateway.clone()));
        let querier = Querier::new(readers.0, readers.1, clock.clone());
        let frontend = reads::frontend(&loaded, querier, &overrides, &pool, &budgets, &clock);
        let bodies = BodyReader::new(budgets.receive, pool.clone());
        let shared = Shared {
            hostname: environment.hostname.clone(),
            loaded,
            clock,
            random,
            registry,
            bodies,
            overrides,
            ingester,
            store_gateway,
            compactor,
            distributor,
            frontend,
            services: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Tells the pages which parts the process has.
    pub(crate) fn set_services(&self, view: ServicesView) {
        self.shared.services.set(view).expect("a process has one set of services");
    }

    /// The listeners and their routes.
    pub(crate) fn server(&self) -> Part {
        let shared = self.shared.clone();
        part(move |stop| async move { server::start(shared, stop).await })
    }

    /// Follows the files of the tenants' own limits.
    pub(crate) fn runtime_config(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            runtime_config::show_config_hash(&shared.registry, &shared.loaded.file_bytes);
            let follower = runtime_config::Follower::new(shared.overrides.clone(), &shared.registry);
            let work = shared.clone();
            let apply = move || {
                let configured = &work.loaded.metrics.distributor.instance_limits;
                runtime_config::apply_to_distributor(&work.overrides, configured, &work.distributor);
            };
            apply();
            let apply = Arc::new(apply);
            let reload = move || {
                let (follower, apply) = (follower.clone(), apply.clone());
                async move {
                    if follower.follow().await {
                        apply();
                    }
                }
            };
            Ok(shared.looping("runtime-config", shared.loaded.metrics.runtime_config.period, reload))
        })
    }

    /// Heads, their log, and the blocks that are on their way to the bucket.
    pub(crate) fn ingester(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            let ingester = shared.ingester.clone();
            ingester.start().await?;
            let tasks = Tasks::new();
            ingester.spawn_loops(&tasks);
            let readiness = ingester.clone();
            let running = Running::new(move || async move {
                report_late(tasks.stop(TASK_STOP_TIMEOUT).await);
                ingester.stop().await
            });
            Ok(running.with_readiness(move || readiness.readiness()))
        })
    }

    /// Follows the bucket.
    pub(crate) fn store_gateway(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            let gateway = shared.store_gateway.clone();
            gateway.sync().await?;
            let period = shared.loaded.metrics.blocks_storage.bucket_store.sync_interval;
            let sync = move || {
                let gateway = gateway.clone();
                async move {
                    if let Err(error) = gateway.sync().await {
                        tracing::error!(error = %error.chain(), "tenants of the bucket cannot be listed; known blocks are served");
                    }
                }
            };
            Ok(shared.looping("store-gateway", period, sync))
        })
    }

    /// Compacts and cleans the bucket.
    pub(crate) fn compactor(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            let tasks = Tasks::new();
            shared.compactor.start(&tasks).await;
            Ok(Running::new(move || async move {
                report_late(tasks.stop(TASK_STOP_TIMEOUT).await);
                Ok(())
            }))
        })
    }

    /// Takes samples in; works as soon as the ingester does. Elects one of each pair of highly available senders.
    pub(crate) fn distributor(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            let ha_tracker = &shared.loaded.metrics.distributor.ha_tracker;
            if ha_tracker.enable_elected_replica_metric {
                shared.registry.register_collector(Box::new(ElectedReplicas::new(shared.distributor.clone())));
            }
            if !ha_tracker.enable_ha_tracker {
                return Ok(Running::passive());
            }
            let distributor = shared.distributor.clone();
            let ticks = AtomicU64::new(0);
            let elect = move || {
                let distributor = distributor.clone();
                let cleans = ticks.fetch_add(1, Ordering::Relaxed).is_multiple_of(TICKS_PER_CLEANING);
                async move {
                    let cleaned = if cleans { distributor.clean().await } else { Ok(()) };
                    if let Err(error) = distributor.tick().await.and(cleaned) {
                        tracing::error!(error = %error.chain(), "elections of highly available pairs are not up to date");
                    }
                }
            };
            Ok(shared.looping("ha-tracker", ELECTION_INTERVAL, elect))
        })
    }

    /// Finds series; works as soon as those who hold them do.
    pub(crate) fn querier(&self) -> Part {
        part(|_| async { Ok(Running::passive()) })
    }

    /// The queue before the querier.
    pub(crate) fn query_scheduler(&self) -> Part {
        part(|_| async { Ok(Running::passive()) })
    }

    /// Takes queries.
    pub(crate) fn query_frontend(&self) -> Part {
        part(|_| async { Ok(Running::passive()) })
    }

    /// Stores the process's own metrics.
    pub(crate) fn self_monitoring(&self) -> Part {
        let shared = self.shared.clone();
        part(move |_| async move {
            // Whose data it would be is not known where each request names its tenant.
            if shared.loaded.metrics.multitenancy_enabled {
                return Ok(Running::passive());
            }
            let work = shared.clone();
            let store = move || {
                let shared = work.clone();
                async move {
                    crate::own_metrics::store(
                        &shared.registry,
                        &shared.distributor,
                        &shared.no_auth_tenant(),
                        &shared.hostname,
                        &shared.clock,
                    )
                    .await
                }
            };
            Ok(shared.looping("self-monitoring", crate::own_metrics::INTERVAL, store))
        })
    }
}

impl Shared {
    /// The tenant of requests without multi-tenancy.
    fn no_auth_tenant(&self) -> TenantId {
        TenantId::parse(&self.loaded.metrics.no_auth_tenant).unwrap_or_else(|_| TenantId::anonymous())
    }

    /// A part that does something again and again, from its start on.
    fn looping<F, W>(&self, name: &'static str, period: Duration, work: F) -> Running
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let tasks = Tasks::new();
        tasks.spawn_until_stopped(name, async move {
            let mut ticks = tokio::time::interval(period.max(Duration::from_millis(10)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                work().await;
            }
        });
        Running::new(move || async move {
            report_late(tasks.stop(TASK_STOP_TIMEOUT).await);
            Ok(())
        })
    }
}

fn report_late(late: Vec<&'static str>) {
    if !late.is_empty() {
        tracing::warn!(tasks = late.join(", "), "background work did not stop in time and was ended");
    }
}

/// A part without name and needs; the table of roles has those.
fn part<F>(start: impl FnOnce(Stop) -> F + Send + 'static) -> Part
where
    F: Future<Output = Result<Running>> + Send + 'static,
{
    Part::new("", &[], move |context| start(context.shutdown))
}

fn bucket(loaded: &Loaded, random: SharedRandom) -> Result<SharedBucket> {
    let storage = &loaded.metrics.blocks_storage;
    match storage.backend {
        StorageBackend::Filesystem => {
            let bucket = ObjectBucket::filesystem(&storage.filesystem.dir, random)?;
            Ok(bucket.scoped(&storage.storage_prefix))
        }
        StorageBackend::S3 | StorageBackend::Gcs | StorageBackend::Azure | StorageBackend::Swift => {
            let text = "blocks_storage.backend: this version stores blocks on the filesystem only; set it to filesystem, and \
                        blocks_storage.filesystem.dir to a folder";
            Err(Error::bad_request(text))
        }
    }
}
