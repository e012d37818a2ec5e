//! The listeners of the process and all of its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use norn_base::tasks::{Stop, Tasks};
use norn_base::{Error, Result};
use norn_config::metrics::{HttpTls, ServerConfig};
use norn_config::show;
use norn_metrics::api;
use norn_metrics::api::status::{BuildInfo, Features};
use norn_metrics::distributor::http::HttpSettings;
use norn_server::admin::{Admin, COMMON_LINKS, ConfigHook, Link};
use norn_server::app::App;
use norn_server::errors::RetryAfter;
use norn_server::grpc::{base_services, follow_readiness};
use norn_server::listener::{
    ClientAuth, ConnectionMetrics, Listener, ListenerOptions, PemSource, Timeouts, TlsOptions, TlsVersion,
};
use norn_server::services::Running;
use norn_server::telemetry::{ProcessCollector, RequestMetrics, RequestObserver};
use norn_server::tenant::{Tenancy, Tenant};

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
    let (grpc, health) = base_services(&[])?;
    let router = routes(&shared, grpc)?;

    let tasks = Tasks::new();
    let mut listeners = Vec::new();
    for options in [http_options(config)?, grpc_options(config)?] {
        listeners.push(Listener::bind(options, shared.clock.clone(), &connections).await.map_err(listen_error)?);
    }
    for port in config.http_listen_extra_ports.iter().flatten().copied() {
        let options = ListenerOptions { port, ..http_options(config)? };
        match Listener::bind(options, shared.clock.clone(), &connections).await {
            Ok(listener) => listeners.push(listener),
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
    drop(shutdown);
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

fn routes(shared: &Arc<Shared>, grpc: tonic::service::Routes) -> Result<Router> {
    let config = &shared.loaded.metrics;
    let tenancy =
        if config.multitenancy_enabled { Tenancy::by_header() } else { Tenancy::fixed(shared.no_auth_tenant()) };
    let observer = RequestObserver::new(RequestMetrics::register(&shared.registry), shared.clock.clone());
    let retry_after = &config.distributor.retry_after_header;
    let push = norn_metrics::distributor::http::routes(
        shared.distributor.clone(),
        shared.bodies.clone(),
        shared.random.clone(),
        HttpSettings {
            write_bytes_max: size(config.distributor.max_recv_msg_size),
            otlp_bytes_max: size(config.distributor.max_otlp_request_size),
            retry_after: RetryAfter {
                enabled: retry_after.enabled,
                base: retry_after.min_backoff,
                max: retry_after.max_backoff,
            },
            skip_label_names_header: config.api.skip_label_name_validation_header_enabled,
            skip_label_count_header: config.api.skip_label_count_validation_header_enabled,
        },
    );
    let prefix = config.api.prometheus_http_prefix.trim_end_matches('/');
    let api = Router::new().nest(prefix, api::tenant_routes(shared.frontend.clone()));
    let pages = Router::new().route("/api/v1/user_limits", get(user_limits)).with_state(shared.clone());
    let open = Router::new()
        .route("/api/v1/status/buildinfo", get(build_info))
        .route(&format!("{prefix}/api/v1/status/buildinfo"), get(build_info))
        .with_state(shared.clone());
    let app = App::new(observer, &config.server.http_path_prefix)
        .push(tenancy.protect(push))
        .api(tenancy.protect(api))
        .api(tenancy.protect(pages))
        .api(tenancy.protect(shared.compactor.tenant_routes()))
        .admin(open)
        .admin(shared.ingester.admin_routes())
        .admin(shared.store_gateway.admin_routes())
        .admin(shared.compactor.admin_routes())
        .admin(norn_metrics::distributor::pages::routes(shared.distributor.clone(), shared.clock.clone()))
        .admin(admin(shared)?.router())
        .grpc(grpc);
    Ok(app.finish())
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

fn http_options(config: &ServerConfig) -> Result<ListenerOptions> {
    let header = if config.http_server_read_header_timeout.is_zero() {
        config.http_server_read_timeout
    } else {
        config.http_server_read_header_timeout
    };
    Ok(ListenerOptions {
        address: config.http_listen_address.clone(),
        connections_max: config.http_listen_conn_limit,
        tls: tls_options(&config.http_tls_config, config)?,
        timeouts: Timeouts {
            header,
            read: positive(config.http_server_read_timeout),
            write: positive(config.http_server_write_timeout),
            idle: positive(config.http_server_idle_timeout),
        },
        ..ListenerOptions::http(config.http_listen_port)
    })
}

fn grpc_options(config: &ServerConfig) -> Result<ListenerOptions> {
    Ok(ListenerOptions {
        address: config.grpc_listen_address.clone(),
        connections_max: config.grpc_listen_conn_limit,
        tls: tls_options(&config.grpc_tls_config, config)?,
        http2_streams_max: config.grpc_server_max_concurrent_streams,
        http2_ping_interval: positive(config.grpc_server_keepalive_time),
        http2_ping_timeout: config.grpc_server_keepalive_timeout,
        ..ListenerOptions::grpc(config.grpc_listen_port)
    })
}

fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// TLS of a listener; none without a certificate.
fn tls_options(tls: &HttpTls, config: &ServerConfig) -> Result<Option<TlsOptions>> {
    let source = |text: &str, file: &str| match (text, file) {
        ("", "") => None,
        ("", file) => Some(PemSource::File(file.into())),
        (text, _) => Some(PemSource::Text(text.to_owned())),
    };
    let (certificates, key) = match (source(&tls.cert, &tls.cert_file), source(tls.key.expose(), &tls.key_file)) {
        (None, None) => return Ok(None),
        (Some(certificates), Some(key)) => (certificates, key),
        _ => return Err(Error::bad_request("TLS needs a certificate and its key: set cert_file and key_file")),
    };
    let client_authorities = source(&tls.client_ca, &tls.client_ca_file);
    let invalid = |error: norn_server::listener::TlsError| Error::bad_request(error.to_string());
    let version_min = match config.tls_min_version.as_str() {
        "VersionTLS13" => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    Ok(Some(TlsOptions {
        certificates,
        key,
        client_auth: ClientAuth::parse(&tls.client_auth_type, client_authorities.is_some()).map_err(invalid)?,
        client_authorities,
        version_min,
        cipher_suites: config.tls_cipher_suites.clone(),
    }))
}
