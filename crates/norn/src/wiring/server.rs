//! The listeners of the process.

use std::sync::Arc;
use std::time::Duration;

use norn_base::tasks::{Stop, Tasks};
use norn_base::{Error, Result};
use norn_config::metrics::ServerConfig;
use norn_server::grpc::{base_services, follow_readiness};
use norn_server::listener::{ConnectionMetrics, Listener, ListenerOptions};
use norn_server::services::Running;
use norn_server::telemetry::ProcessCollector;

use super::listeners::{grpc_options, http_options};
use super::routes::routes;
use super::{Shared, report_late};

/// How often readiness is looked at for the gRPC health service.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

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

/// One series for each name under which dashboards look for the version.
fn register_build_info(shared: &Shared) {
    use prometheus_client::metrics::info::Info;
    let labels = || vec![("version", env!("CARGO_PKG_VERSION")), ("revision", ""), ("branch", ""), ("goversion", "")];
    for name in ["norn_build", "mimir_build", "cortex_build"] {
        shared.registry.register(name, "The version of this process.", Info::new(labels()));
    }
}
