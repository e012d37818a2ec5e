//! The listeners of the process and all of its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use norn_base::tasks::{Stop, Tasks};
use norn_base::{Error, Result};
use norn_config::metrics::{RetryAfterHeader, ServerConfig};
use norn_config::show;
use norn_metrics::api;
use norn_metrics::api::status::{BuildInfo, Features};
use norn_metrics::distributor::grpc::{self, GrpcSettings};
use norn_metrics::distributor::http::{self, HttpSettings};
use norn_metrics::distributor::influx::{self, InfluxSettings};
use norn_server::admin::{Admin, COMMON_LINKS, ConfigHook, Link};
use norn_server::app::App;
use norn_server::errors::RetryAfter;
use norn_server::grpc::{base_services, follow_readiness};
use norn_server::listener::{ConnectionMetrics, Listener, ListenerOptions};
use norn_server::services::Running;
use norn_server::telemetry::{ProcessCollector, RequestMetrics, RequestObserver};
use norn_server::tenant::{Tenancy, Tenant};

use super::listeners::{grpc_options, http_options, request_log};
use super::{Shared, report_late};

/// How often readiness is looked at for the gRPC health service.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Links of the index page beside those that every process has.
const LINKS: [Link; 4] = [
    Link { section: "Metrics", text: "Tenants of the ingester", path: "/ingester/tenants" },
    Link { section: "Metrics", text: "Tenants of the store-gateway", path: "/store-gateway/tenants" },
    Link { section: "Metrics", text: "Tenants of the compactor", path: "/compactor/tenants" },
    Link { section: "Metrics", text: "Usage of all tenants", path: "/distributor/all_user_stats" },
];

/// Binds the ports and serves. Ports that are taken end the process; further ones that people already use do not.
pub(super) async fn start(shared: Arc<Shared>, shutdown: Stop) -> Result<Running> {
    let config = &shared.loaded.metrics.server;
    let connections = ConnectionMetrics::register(&shared.registry);
    shared.registry.register_collector(Box::new(ProcessCollector));
    register_build_info(&shared);
    let (services, health) = base_services(&[])?;
    let router = routes(&shared, services)?;

    let tasks = Tasks::new();
    let mut listeners = Vec::new();
    for options in [http_options(config)?, grpc_options(config)?] {
        let listener = Listener::bind(options, shared.clock.clone(), &connections).await.map_err(listen_error)?;
        listeners.push(listener.closing_connections_on(shutdown.clone()));
    }
    for options in further_options(config)? {
        let port = options.port;
        match Listener::bind(options, shared.clock.clone(), &connections).await {
            Ok(listener) => listeners.push(listener.closing_connections_on(shutdown.clone())),
            Err(error) => tracing::warn!(port, %error, "a further port is not served"),
        }
    }
    // Listeners outlive the wish to stop: requests are answered while the other parts stop, one after the other.
    let serving = Stop::new();
    for listener in listeners {
        let (router, stop) = (router.clone(), serving.clone());
        let drain = config.graceful_shutdown_timeout;
        tasks.spawn("listener", async move { listener.serve(router, stop, drain).await });
    }
    if let Some(view) = shared.services.get().cloned() {
        tasks.spawn_until_stopped("health", follow_readiness(view, health, HEALTH_INTERVAL));
    }
    let deadline = config.graceful_shutdown_timeout + Duration::from_secs(1);
    Ok(Running::new(move || async move {
        serving.request();
        report_late(tasks.stop(deadline).await);
        Ok(())
    }))
}

fn listen_error(error: norn_server::listener::ListenError) -> Error {
    Error::unavailable(error.to_string()).with_source(error)
}

/// The ports that people already use; only norn's own mode has them.
fn further_options(config: &ServerConfig) -> Result<Vec<ListenerOptions>> {
    let mut further = Vec::new();
    for port in config.http_listen_extra_ports.iter().flatten().copied() {
        further.push(ListenerOptions { port, ..http_options(config)? });
    }
    for port in config.grpc_listen_extra_ports.iter().flatten().copied() {
        further.push(ListenerOptions { port, ..grpc_options(config)? });
    }
    Ok(further)
}

fn routes(shared: &Arc<Shared>, services: tonic::service::Routes) -> Result<Router> {
    let config = &shared.loaded.metrics;
    let tenancy =
        if config.multitenancy_enabled { Tenancy::by_header() } else { Tenancy::fixed(shared.no_auth_tenant()) };
    let observer = RequestObserver::new(RequestMetrics::register(&shared.registry), shared.clock.clone())
        .with_log(request_log(&config.server)?);
    let prefix = config.api.prometheus_http_prefix.trim_end_matches('/');
    let api = api::tenant_routes(prefix, shared.frontend.clone());
    let pages = Router::new().route("/api/v1/user_limits", get(user_limits)).with_state(shared.clone());
    let open = Router::new()
        .route("/api/v1/status/buildinfo", get(build_info))
        .route(&format!("{prefix}/api/v1/status/buildinfo"), get(build_info))
        .with_state(shared.clone());
    let app = App::new(observer, &config.server.http_path_prefix)
        .push(tenancy.protect(push_routes(shared)))
        .api(tenancy.protect(api))
        .api(tenancy.protect(pages))
        .api(tenancy.protect(shared.compactor.tenant_routes()))
        .admin(open)
        .admin(shared.ingester.admin_routes())
        .admin(shared.store_gateway.admin_routes())
        .admin(shared.compactor.admin_routes())
        .admin(norn_metrics::distributor::pages::routes(shared.distributor.clone(), shared.clock.clone()))
        .admin(admin(shared)?.router())
        .grpc(services)
        .grpc_router(tenancy.protect(otlp_service(shared)));
    Ok(app.finish())
}

/// The ways in: remote write and OTLP, and Influx' protocol where it is wanted.
fn push_routes(shared: &Shared) -> Router {
    let (config, api) = (&shared.loaded.metrics.distributor, &shared.loaded.metrics.api);
    let retry_after = retry_after(&config.retry_after_header);
    let (distributor, bodies) = (shared.distributor.clone(), shared.bodies.clone());
    let settings = HttpSettings {
        write_bytes_max: size(config.max_recv_msg_size),
        otlp_bytes_max: size(config.max_otlp_request_size),
        otlp_short_path: shared.loaded.metrics.server.http_listen_extra_ports.is_some(),
        retry_after,
        skip_label_names_header: api.skip_label_name_validation_header_enabled,
        skip_label_count_header: api.skip_label_count_validation_header_enabled,
    };
    let routes = http::routes(distributor.clone(), bodies.clone(), shared.random.clone(), settings);
    if !config.influx_endpoint_enabled {
        return routes;
    }
    let settings = InfluxSettings { bytes_max: size(config.max_influx_request_size), retry_after };
    let (clock, random) = (shared.clock.clone(), shared.random.clone());
    routes.merge(influx::routes(distributor, bodies, clock, random, settings))
}

/// OTLP over gRPC.
fn otlp_service(shared: &Shared) -> Router {
    let config = &shared.loaded.metrics.distributor;
    let settings = GrpcSettings {
        otlp_bytes_max: size(config.max_otlp_request_size),
        retry_after: retry_after(&config.retry_after_header),
    };
    grpc::routes(shared.distributor.clone(), shared.bodies.clone(), shared.random.clone(), settings)
}

fn retry_after(config: &RetryAfterHeader) -> RetryAfter {
    let RetryAfterHeader { enabled, min_backoff, max_backoff } = *config;
    RetryAfter { enabled, base: min_backoff, max: max_backoff }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn admin(shared: &Arc<Shared>) -> Result<Admin> {
    let settings = shared.loaded.settings.clone();
    let config: ConfigHook =
        Arc::new(move |mode| Ok(show::config(&settings, show::Mode::from_parameter(mode.unwrap_or("")))));
    let overrides = shared.overrides.clone();
    let runtime_config: Option<ConfigHook> = shared.overrides.has_files().then(|| {
        let hook: ConfigHook = Arc::new(move |_| {
            Ok(overrides.runtime().to_yaml().unwrap_or_else(|| "runtime config file doesn't exist".to_owned()))
        });
        hook
    });
    let services = shared.services.get().cloned().ok_or_else(|| Error::internal("pages need the process's parts"))?;
    Ok(Admin {
        title: format!("norn {}", env!("CARGO_PKG_VERSION")),
        path_prefix: shared.loaded.metrics.server.http_path_prefix.clone(),
        services,
        registry: shared.registry.clone(),
        clock: shared.clock.clone(),
        instrumentation: shared.loaded.metrics.server.register_instrumentation,
        config,
        runtime_config,
        links: COMMON_LINKS.into_iter().chain(LINKS).collect(),
    })
}

async fn user_limits(State(shared): State<Arc<Shared>>, Tenant(tenant): Tenant) -> Response {
    let limits = shared.overrides.limits(&tenant);
    api::status::user_limits(&limits)
}

async fn build_info(State(shared): State<Arc<Shared>>) -> Response {
    let sharding = shared.loaded.metrics.frontend.parallelize_shardable_queries;
    api::status::build_info(&BuildInfo {
        application: "Grafana Mimir",
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: String::new(),
        branch: String::new(),
        go_version: String::new(),
        features: Features {
            ruler_config_api: "false",
            alertmanager_config_api: "false",
            query_sharding: if sharding { "true" } else { "false" },
            federated_rules: "false",
        },
    })
}

/// One series for each name under which dashboards look for the version.
fn register_build_info(shared: &Shared) {
    use prometheus_client::metrics::info::Info;
    let labels = || vec![("version", env!("CARGO_PKG_VERSION")), ("revision", ""), ("branch", ""), ("goversion", "")];
    for name in ["norn_build", "mimir_build", "cortex_build"] {
        shared.registry.register(name, "The version of this process.", Info::new(labels()));
    }
}
