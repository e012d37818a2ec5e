//! The checks of a whole configuration, before anything starts.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::metrics::{MetricsConfig, StorageBackend};
use crate::section::Source;
use crate::settings::Settings;
use crate::value::Value;

/// Checks what no single setting can: combinations of them, and values that norn does not have yet.
pub(crate) fn metrics(settings: &Settings, config: &MetricsConfig) -> Result<(), String> {
    buckets_differ(settings)?;
    supported(settings, config)?;
    single_values(settings, config)?;
    paths_do_not_overlap(settings, config)?;
    times_fit(config)?;
    if !flag(settings, "ingester.push_grpc_method_enabled") && !flag(settings, "ingest_storage.enabled") {
        return Err("cannot disable Push gRPC method in ingester, while ingest storage (-ingest-storage.enabled) is \
                    not enabled"
            .to_owned());
    }
    block_ranges_ascend(&config.compactor.block_ranges)?;
    config.limits.check()
}

fn text<'a>(settings: &'a Settings, path: &str) -> &'a str {
    match settings.value(path) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn flag(settings: &Settings, path: &str) -> bool {
    matches!(settings.value(path), Some(Value::Bool(true)))
}

/// Refuses what would otherwise be read as missing data: buckets and key-value stores that norn does not speak.
fn supported(settings: &Settings, config: &MetricsConfig) -> Result<(), String> {
    let backend = config.blocks_storage.backend;
    if backend != StorageBackend::Filesystem {
        return Err(format!(
            "blocks_storage.backend: norn does not have the object store {:?} yet; use \"filesystem\"",
            backend.as_str()
        ));
    }
    for setting in settings.table().settings().iter().filter(|setting| setting.path.ends_with(".kvstore.store")) {
        let store = text(settings, setting.path);
        if !matches!(store, "memberlist" | "inmemory") {
            let path = setting.path;
            return Err(format!(
                "{path}: norn does not have the key-value store {store:?} yet; use \"memberlist\" or \"inmemory\""
            ));
        }
    }
    Ok(())
}

/// Rules and alerts may not share bucket and prefix with blocks.
fn buckets_differ(settings: &Settings) -> Result<(), String> {
    // The kind of bucket, the keys that name it, and the sentence when all of them are the same.
    const KINDS: [(&str, &[&str], &str); 4] = [
        ("s3", &["bucket_name"], "S3 bucket name and storage prefix cannot be the same as the one used in"),
        ("gcs", &["bucket_name"], "GCS bucket name and storage prefix cannot be the same as the one used in"),
        (
            "azure",
            &["container_name", "account_name"],
            "Azure container and account names and storage prefix cannot be the same as the ones used in",
        ),
        (
            "swift",
            &["container_name", "project_name"],
            "Swift container and project names and storage prefix cannot be the same as the ones used in",
        ),
    ];
    for section in ["ruler_storage", "alertmanager_storage"] {
        let same =
            |key: &str| text(settings, &format!("{section}.{key}")) == text(settings, &format!("blocks_storage.{key}"));
        for (kind, keys, sentence) in KINDS {
            let used = text(settings, &format!("{section}.backend")) == kind && same("backend");
            if used && same("storage_prefix") && keys.iter().all(|key| same(&format!("{kind}.{key}"))) {
                return Err(format!("{section}: {sentence} blocks storage config"));
            }
        }
    }
    Ok(())
}

/// A folder that a part of norn owns.
struct OwnedPath {
    name: &'static str,
    configured: String,
    used: PathBuf,
}

/// No part of norn may write into the folder of another.
fn paths_do_not_overlap(settings: &Settings, config: &MetricsConfig) -> Result<(), String> {
    let paths = owned_paths(settings, config);
    for (index, left) in paths.iter().enumerate() {
        for right in &paths[index + 1..] {
            if left.used.starts_with(&right.used) || right.used.starts_with(&left.used) {
                return Err(format!(
                    "the configured {} {:?} cannot overlap with the configured {} {:?}; please set different paths, \
                     also ensuring one is not a subdirectory of the other one",
                    left.name, left.configured, right.name, right.configured
                ));
            }
        }
    }
    Ok(())
}

fn owned_paths(settings: &Settings, config: &MetricsConfig) -> Vec<OwnedPath> {
    let runs = |roles: &[&str]| config.target.iter().any(|target| roles.contains(&target.as_str()));
    // As one of all roles the ruler starts only with a storage of its own.
    let ruler_configured = settings.is_section_changed("ruler_storage") || runs(&["ruler", "backend"]);
    let mut paths = Vec::new();
    let mut own = |enabled: bool, name: &'static str, path: &str, below: &[&str]| {
        let configured = text(settings, path).to_owned();
        if enabled && !configured.is_empty() {
            let used = below.iter().fold(PathBuf::from(&configured), |path, part| path.join(part));
            paths.push(OwnedPath { name, configured, used: clean(&used) });
        }
    };
    let prefix = |section: &str| text(settings, &format!("{section}.storage_prefix")).to_owned();
    let local = |section: &str| text(settings, &format!("{section}.backend")) == "filesystem";
    let ruler = runs(&["all", "backend", "ruler"]) && ruler_configured;
    let alertmanager = runs(&["backend", "alertmanager"]);
    let (blocks_prefix, rules_prefix, alerts_prefix) =
        (prefix("blocks_storage"), prefix("ruler_storage"), prefix("alertmanager_storage"));
    own(runs(&["all", "write", "ingester"]), "tsdb directory", "blocks_storage.tsdb.dir", &[]);
    own(
        runs(&["all", "backend", "store-gateway"]),
        "bucket store sync directory",
        "blocks_storage.bucket_store.sync_dir",
        &[],
    );
    own(runs(&["all", "backend", "compactor"]), "compactor data directory", "compactor.data_dir", &[]);
    own(ruler, "ruler data directory", "ruler.rule_path", &[]);
    own(alertmanager, "alertmanager data directory", "alertmanager.data_dir", &[]);
    own(
        local("blocks_storage"),
        "blocks storage filesystem directory",
        "blocks_storage.filesystem.dir",
        &[&blocks_prefix],
    );
    own(
        ruler && local("ruler_storage"),
        "ruler storage filesystem directory",
        "ruler_storage.filesystem.dir",
        &[&rules_prefix, "rules"],
    );
    for part in ["alerts", "alertmanager"] {
        own(
            alertmanager && local("alertmanager_storage"),
            "alertmanager storage filesystem directory",
            "alertmanager_storage.filesystem.dir",
            &[&alerts_prefix, part],
        );
    }
    paths
}

/// The path without `.`, and with `..` resolved as far as the text alone tells.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(clean.components().next_back(), Some(Component::Normal(_))) => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Bounds of single settings that their types do not say.
fn single_values(settings: &Settings, config: &MetricsConfig) -> Result<(), String> {
    if matches!(settings.value("ingester.ring.replication_factor"), Some(Value::Integer(..=0))) {
        return Err("ingester.ring.replication_factor has to be at least 1".to_owned());
    }
    let retry = &config.distributor.retry_after_header;
    if retry.min_backoff < Duration::from_secs(1) || retry.max_backoff < retry.min_backoff {
        return Err(format!(
            "distributor.retry_after_header: min_backoff ({:?}) has to be at least 1s, and max_backoff ({:?}) at least \
             min_backoff",
            retry.min_backoff, retry.max_backoff
        ));
    }
    let prefixes = [
        ("api.prometheus_http_prefix", &config.api.prometheus_http_prefix),
        ("server.http_path_prefix", &config.server.http_path_prefix),
    ];
    for (path, prefix) in prefixes {
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(format!("{path}: {prefix:?} has to begin with a slash"));
        }
    }
    Ok(())
}

fn times_fit(config: &MetricsConfig) -> Result<(), String> {
    let (timeout, write_timeout) = (config.querier.timeout, config.server.http_server_write_timeout);
    if timeout > write_timeout {
        return Err(format!(
            "querier timeout ({timeout:?}) must be lower than or equal to HTTP server write timeout ({write_timeout:?})"
        ));
    }
    let (within, after) = (config.limits.query_ingesters_within, config.querier.query_store_after);
    if within > Duration::ZERO && after > Duration::ZERO && after >= within {
        return Err(format!(
            "query_store_after ({after:?}) must be lower than query_ingesters_within ({within:?}): samples between them \
             would not be found"
        ));
    }
    Ok(())
}

/// Each range of compaction is a multiple of the one before.
fn block_ranges_ascend(ranges: &[Duration]) -> Result<(), String> {
    for pair in ranges.windows(2) {
        let [shorter, longer] = pair else { continue };
        if shorter.is_zero() || longer <= shorter || longer.as_nanos() % shorter.as_nanos() != 0 {
            return Err(format!(
                "compactor block range periods should be divisible by the previous one, but {longer:?} is not \
                 divisible by {shorter:?}"
            ));
        }
    }
    Ok(())
}
