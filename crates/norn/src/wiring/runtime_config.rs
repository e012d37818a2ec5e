//! Follows the files of the tenants' own limits, and tells dashboards which ones hold.

use std::sync::Arc;

use norn_base::Error;
use norn_config::metrics::DistributorInstanceLimits;
use norn_config::overrides::Overrides;
use norn_metrics::distributor::Distributor;
use norn_server::telemetry::MetricsRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sha256 {
    sha256: String,
}

impl Sha256 {
    fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Self { sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

/// Says which configuration file the process was started with: instances that differ are an alert.
pub(super) fn show_config_hash(registry: &MetricsRegistry, file_bytes: &[u8]) {
    let hash = registry.gauges::<Sha256>("cortex_config_hash", "Hash of the configuration files.");
    hash.get_or_create(&Sha256::of(file_bytes)).set(1);
}

/// Takes what the files say now, as often as it is called.
pub(super) struct Follower {
    overrides: Arc<Overrides>,
    last_successful: Gauge,
    hash: Family<Sha256, Gauge>,
}

impl Follower {
    pub(super) fn new(overrides: Arc<Overrides>, registry: &MetricsRegistry) -> Arc<Self> {
        let last_successful = registry.gauge(
            "cortex_runtime_config_last_reload_successful",
            "Whether the runtime configuration was usable at the last look.",
        );
        let hash = registry.gauges("cortex_runtime_config_hash", "Hash of the runtime configuration in force.");
        let follower = Self { overrides, last_successful, hash };
        follower.show();
        Arc::new(follower)
    }

    /// Looks at the files, on a thread that may block. Returns whether they were taken.
    pub(super) async fn follow(self: &Arc<Self>) -> bool {
        let follower = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let outcome = follower.overrides.reload_if_changed();
            follower.show();
            outcome
        });
        match looked.await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                let error = Error::internal("runtime config is not usable").with_source(error);
                tracing::error!(error = %error.chain(), "the last good runtime config stays in force");
                false
            }
            Err(error) => {
                tracing::error!(%error, "looking at the runtime config panicked");
                false
            }
        }
    }

    fn show(&self) {
        self.last_successful.set(i64::from(self.overrides.status().last_successful));
        let text = self.overrides.runtime().to_yaml();
        let label = Sha256::of(text.unwrap_or_default().as_bytes());
        // The series of what held before would stay for ever.
        self.hash.clear();
        self.hash.get_or_create(&label).set(1);
    }
}

/// Gives the distributor the limits of the process that hold now.
pub(super) fn apply_to_distributor(
    overrides: &Overrides,
    configured: &DistributorInstanceLimits,
    distributor: &Distributor,
) {
    let runtime = overrides.runtime();
    let limits =
        runtime.distributor_limits.as_ref().map_or_else(|| configured.clone(), |limits| limits.over(configured));
    distributor.set_instance_limits(&limits);
}

#[cfg(test)]
mod tests {
    use norn_config::environment::Environment;
    use norn_config::flags::CommandLine;
    use norn_config::load;
    use norn_config::table::Dialect;

    use super::*;

    fn value(registry: &MetricsRegistry, name: &str) -> Vec<String> {
        let text = registry.prometheus_text(&[name.to_owned()]);
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn dashboards_see_which_files_hold() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("overrides.yaml");
        std::fs::write(&file, "overrides: {team: {ingestion_rate: 5}}").unwrap();
        let line = [format!("-runtime-config.file={}", file.display())];
        let line = CommandLine::parse(&line, Dialect::Mimir.table()).unwrap();
        let loaded = load::load(Dialect::Mimir, &line, &Environment::default()).unwrap();
        let registry = MetricsRegistry::default();
        show_config_hash(&registry, b"target: all\n");
        let hash = "e4bfcb0aa9f025dda50c7cb6d77b482629ca62766bbb47382cc5b93de5f44f3d";
        assert_eq!(value(&registry, "cortex_config_hash"), [format!("cortex_config_hash{{sha256=\"{hash}\"}} 1")]);
        let follower = Follower::new(Overrides::load(&loaded.settings).unwrap(), &registry);
        let first = value(&registry, "cortex_runtime_config_hash");
        assert_eq!(first.len(), 1);
        let successful = || value(&registry, "cortex_runtime_config_last_reload_successful");
        assert_eq!(successful(), ["cortex_runtime_config_last_reload_successful 1"]);

        assert!(!follower.follow().await, "nothing has changed");
        std::fs::write(&file, "overrides: {team: {no_such_limit: 5}}").unwrap();
        assert!(!follower.follow().await);
        assert_eq!(successful(), ["cortex_runtime_config_last_reload_successful 0"]);
        assert_eq!(value(&registry, "cortex_runtime_config_hash"), first, "the last good one holds");
        std::fs::write(&file, "overrides: {team: {ingestion_rate: 6}}").unwrap();
        assert!(follower.follow().await);
        assert_eq!(successful(), ["cortex_runtime_config_last_reload_successful 1"]);
        let second = value(&registry, "cortex_runtime_config_hash");
        assert_eq!(second.len(), 1);
        assert_ne!(second, first);
    }
}
