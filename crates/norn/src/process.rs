//! One running process: logs, runtime, roles, and its end.

use std::process::ExitCode;
use std::time::Duration;

use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;
use norn_base::{Error, Result};
use norn_config::environment::Environment;
use norn_config::load::Loaded;
use norn_config::metrics::{LogFormat, LogLevel};
use norn_config::process::Signal;
use norn_server::logging::{self, LogOptions};
use norn_server::services::{Services, on_shutdown_signal};
use norn_server::telemetry::MetricsRegistry;

use crate::profiles;
use crate::roles;
use crate::wiring::Wiring;

/// How long one part of the process may take to stop; a head is cut and shipped within it.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);

/// Runs the roles until the process is asked to end, or one of them fails.
pub(crate) fn run(loaded: Loaded, environment: &Environment) -> ExitCode {
    if !loaded.process.signals.contains(&Signal::Metrics) {
        eprintln!("signals: this version has metrics only; add metrics, or leave the setting out");
        return ExitCode::FAILURE;
    }
    let roles = match roles::select(&loaded.metrics.target) {
        Ok(roles) => roles,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    use_small_pages();
    // The one provider of cryptography in the tree; a second call would find it installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    match serve(loaded, environment, &roles) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error.chain(), "norn ends");
            eprintln!("norn: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded, environment: &Environment, roles: &[&'static roles::Role]) -> Result<()> {
    let clock = SystemClock::shared();
    let random = SeededRandom::from_entropy();
    let registry = MetricsRegistry::default();
    logging::install(&log_options(&loaded), clock.clone(), &registry)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    profiles::start(&random);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("norn-io")
        // Queries are parsed here; see the pool for computing.
        .thread_stack_size(8 << 20)
        .build()
        .map_err(|error| Error::internal("the asynchronous runtime did not start").with_source(error))?;
    runtime.block_on(async {
        let shutdown =
            on_shutdown_signal().map_err(|error| Error::internal("signals cannot be received").with_source(error))?;
        let shutdown_delay = loaded.metrics.shutdown_delay;
        let wiring = Wiring::new(loaded, environment, clock, random, registry)?;
        let services = Services::new(roles.iter().map(|role| role.part(&wiring)).collect())?;
        wiring.set_services(services.view());
        services.run(shutdown, shutdown_delay, STOP_TIMEOUT).await
    })
}

/// Keeps the kernel from backing memory with huge pages: heads and queries take and return memory in small pieces, and a
/// huge page that is used in part is resident as a whole. That made a third of the process where the kernel gives huge
/// pages to all who do not refuse them, and saved no time.
fn use_small_pages() {
    // It is only a saving; a kernel that does not know it refuses.
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
}

fn log_options(loaded: &Loaded) -> LogOptions {
    let server = &loaded.metrics.server;
    let format = match server.log_format {
        LogFormat::Logfmt => logging::LogFormat::Logfmt,
        LogFormat::Json => logging::LogFormat::Json,
    };
    let level = match server.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    LogOptions { format, level: level.to_owned(), ..LogOptions::default() }
}
