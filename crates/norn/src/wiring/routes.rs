//! Which paths the process answers: those of its roles, and those that every process has.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use norn_base::{Error, Result};
use norn_config::metrics::RetryAfterHeader;
use norn_config::show;
use norn_metrics::api;
use norn_metrics::api::status::{BuildInfo, Features};
use norn_metrics::distributor::grpc::{self, GrpcSettings};
use norn_metrics::distributor::http::{self, HttpSettings};
use norn_metrics::distributor::influx::{self, InfluxSettings};
use norn_metrics::membership::Membership;
use norn_metrics::usage::Usage;
use norn_server::admin::{Admin, ConfigHook};
use norn_server::app::App;
use norn_server::errors::RetryAfter;
use norn_server::services::ServicesView;
use norn_server::telemetry::{RequestMetrics, RequestObserver};
use norn_server::tenant::{Tenancy, Tenant};

use super::listeners::request_log;
use super::{Shared, index};
use crate::profiles;

/// All routes of the process's roles, and the pages that every process has.
pub(super) fn routes(shared: &Arc<Shared>, services: tonic::service::Routes) -> Result<Router> {
    let config = &shared.loaded.metrics;
    let tenancy =
        if config.multitenancy_enabled { Tenancy::by_header() } else { Tenancy::fixed(shared.no_auth_tenant()) };
    let observer = RequestObserver::new(RequestMetrics::register(&shared.registry), shared.clock.clone())
        .with_log(request_log(&config.server)?);
    let services_view = shared.services.get().ok_or_else(|| Error::internal("pages need the process's parts"))?;
    let roles: Vec<&str> = services_view.states().into_iter().map(|(name, _)| name).collect();
    let runs = |role: &str| roles.contains(&role);
    let membership = Membership::new(
        config.ingester.ring.instance_id.clone(),
        format!("{}:{}", shared.hostname, config.server.grpc_listen_port),
        services_view.clone(),
        shared.clock.clone(),
    );
    let mut app = App::new(observer, &config.server.http_path_prefix)
        .grpc(services)
        .admin(everywhere(shared))
        .admin(membership.routes())
        .admin(admin(shared, services_view.clone(), &membership, tenancy.is_by_header()).router())
        .api(tenancy.protect(Router::new().route("/api/v1/user_limits", get(user_limits)).with_state(shared.clone())));
    if runs("distributor") {
        let usage = Usage::new(shared.distributor.clone(), Arc::new(shared.ingester.clone()), shared.clock.clone());
        app = app
            .push(tenancy.protect(push_routes(shared)))
            .grpc_router(tenancy.protect(otlp_service(shared)))
            .admin(norn_metrics::distributor::pages::routes(shared.distributor.clone(), shared.clock.clone()))
            .admin(usage.admin_routes())
            .api(tenancy.protect(usage.tenant_routes()));
    }
    if runs("ingester") {
        app = app.api(tenancy.protect(shared.ingester.tenant_routes())).admin(shared.ingester.admin_routes());
    }
    if runs("query-frontend") {
        let prefix = config.api.prometheus_http_prefix.trim_end_matches('/');
        app = app.api(tenancy.protect(api::tenant_routes(prefix, shared.frontend.clone())));
    }
    if runs("store-gateway") {
        app = app.admin(shared.store_gateway.admin_routes());
    }
    if runs("compactor") {
        app = app.api(tenancy.protect(shared.compactor.tenant_routes())).admin(shared.compactor.admin_routes());
    }
    Ok(app.finish())
}

/// What every process answers, whatever its roles.
fn everywhere(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new().route("/api/v1/status/buildinfo", get(build_info));
    let prefix = shared.loaded.metrics.api.prometheus_http_prefix.trim_end_matches('/');
    if !prefix.is_empty() {
        router = router.route(&format!("{prefix}/api/v1/status/buildinfo"), get(build_info));
    }
    router.with_state(shared.clone())
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

fn admin(shared: &Arc<Shared>, services: ServicesView, membership: &Membership, names_tenants: bool) -> Admin {
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
    let roles: Vec<&str> = services.states().into_iter().map(|(name, _)| name).collect();
    Admin {
        title: format!("norn {}", env!("CARGO_PKG_VERSION")),
        path_prefix: shared.loaded.metrics.server.http_path_prefix.clone(),
        registry: shared.registry.clone(),
        clock: shared.clock.clone(),
        instrumentation: shared.loaded.metrics.server.register_instrumentation,
        config,
        links: index::links(&roles, membership, runtime_config.is_some()),
        guides: index::guides(&roles, &shared.loaded.metrics, names_tenants),
        runtime_config,
        profiler: profiles::profiler(&shared.clock),
        services,
    }
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
