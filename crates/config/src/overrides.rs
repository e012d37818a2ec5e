//! The tenants' own limits: the runtime configuration, reloaded while the process runs.
//!
//! The files are merged from left to right; each tenant's section is laid over the defaults of the process. A set of
//! files is taken as a whole or not at all: with one unknown key, or one value that does not fit, what was loaded
//! last stays, and the failure is told to whoever asked for the reload. Readers take no lock.
//!
//! The owner holds the timer: it calls [`Overrides::reload_if_changed`] every
//! [`RuntimeConfigFiles::period`](crate::metrics::RuntimeConfigFiles::period). Rejected: watching the files for
//! events, which mounts of configuration maps and network folders do not deliver.

mod instance;
mod read;

use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use norn_model::TenantId;
use parking_lot::Mutex;

pub use instance::{DistributorInstanceOverrides, IngesterInstanceOverrides};

use crate::limits::Limits;
use crate::section::FromSettings;
use crate::settings::Settings;
use crate::yaml::{self, Node, NodeError};

/// The limits of all tenants, now. Shared by all roles of a process.
#[derive(Debug)]
pub struct Overrides {
    current: ArcSwap<Runtime>,
    files: Option<Files>,
    succeeded: AtomicBool,
    reloads: AtomicU64,
    failures: AtomicU64,
}

/// One state of the runtime configuration.
#[derive(Debug)]
pub struct Runtime {
    /// The limits of tenants that have none of their own.
    pub defaults: Arc<Limits>,
    /// The limits of the others, by tenant.
    pub tenants: TenantLimits,
    /// What replaces [`IngesterInstanceLimits`](crate::metrics::IngesterInstanceLimits).
    pub ingester_limits: Option<IngesterInstanceOverrides>,
    /// What replaces [`DistributorInstanceLimits`](crate::metrics::DistributorInstanceLimits).
    pub distributor_limits: Option<DistributorInstanceOverrides>,
    /// The merged files; `None` if none were loaded.
    pub document: Option<Node>,
}

/// Limits by tenant.
pub type TenantLimits = HashMap<String, Arc<Limits>>;

/// Why a runtime configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    /// A file could not be read.
    #[error("read runtime configuration {file}")]
    Read {
        /// The file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file names a source that norn does not read.
    #[error("runtime configuration {file}: norn reads it from files only; mount it as one")]
    NotAFile {
        /// The source.
        file: String,
    },
    /// The process's own settings do not fit.
    #[error("{0}")]
    Defaults(String),
    /// A key or value at a place is wrong.
    #[error(transparent)]
    Content(#[from] NodeError),
    /// A tenant's limits do not fit.
    #[error("overrides of tenant {tenant}: {problem}")]
    Tenant {
        /// The tenant.
        tenant: String,
        /// What is wrong.
        problem: String,
    },
}

/// How the reloads went, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadStatus {
    /// Whether the last one succeeded.
    pub last_successful: bool,
    /// How many changes were taken, the first load among them.
    pub reloads: u64,
    /// How many were not.
    pub failures: u64,
}

#[derive(Debug)]
struct Files {
    names: Vec<String>,
    base: Settings,
    /// A hash of the contents that were looked at last, taken or not: the same fault is reported once. `None` after
    /// they could not be read.
    seen: Mutex<Option<u64>>,
}

impl Overrides {
    /// All tenants have `limits`, for ever.
    pub fn fixed(limits: Limits) -> Arc<Self> {
        let runtime = Runtime {
            defaults: Arc::new(limits),
            tenants: HashMap::default(),
            ingester_limits: None,
            distributor_limits: None,
            document: None,
        };
        Arc::new(Self::new(runtime, None))
    }

    /// Loads the runtime configuration that `settings` name. No file is no overrides.
    ///
    /// Fails if the files cannot be read or taken, and if the defaults do not fit the model. Reads files: blocks.
    pub fn load(settings: &Settings) -> Result<Arc<Self>, OverridesError> {
        let defaults = read::limits(settings)?;
        let names: Vec<String> = FromSettings::read(settings, "runtime_config.file")
            .map_err(|error| OverridesError::Defaults(settings.locate(&error)))?;
        if names.is_empty() {
            return Ok(Self::fixed(defaults));
        }
        let contents = read_files(&names)?;
        let runtime = read::runtime(settings, &contents)?;
        let seen = Mutex::new(Some(hash(&contents)));
        Ok(Arc::new(Self::new(runtime, Some(Files { names, base: settings.clone(), seen }))))
    }

    fn new(runtime: Runtime, files: Option<Files>) -> Self {
        Self {
            current: ArcSwap::from_pointee(runtime),
            files,
            succeeded: AtomicBool::new(true),
            reloads: AtomicU64::new(1),
            failures: AtomicU64::new(0),
        }
    }

    /// The limits of a tenant, now. Cost: one atomic load and one lookup.
    pub fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.current.load().limits(tenant.as_str()).clone()
    }

    /// The whole state, now.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.current.load_full()
    }

    /// Whether there are files that can change.
    pub fn has_files(&self) -> bool {
        self.files.is_some()
    }

    /// How the reloads went.
    pub fn status(&self) -> ReloadStatus {
        ReloadStatus {
            last_successful: self.succeeded.load(Ordering::Relaxed),
            reloads: self.reloads.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Looks at the files, and takes them if they differ from what was looked at last. Returns whether they were taken.
    ///
    /// On an error the last good state stays; the same faulty files fail once, not at every look, though
    /// [`ReloadStatus::last_successful`] stays false. Reads files: blocks.
    pub fn reload_if_changed(&self) -> Result<bool, OverridesError> {
        let Some(files) = &self.files else { return Ok(false) };
        // Held to the end, so that of two reloads at once the later files win.
        let mut seen = files.seen.lock();
        let before = seen.take();
        let result = read_files(&files.names).and_then(|contents| {
            *seen = Some(hash(&contents));
            if *seen == before { Ok(None) } else { read::runtime(&files.base, &contents).map(Some) }
        });
        match result {
            Ok(None) => Ok(false),
            Ok(Some(runtime)) => {
                self.current.store(Arc::new(runtime));
                self.succeeded.store(true, Ordering::Relaxed);
                self.reloads.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) => {
                self.succeeded.store(false, Ordering::Relaxed);
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

impl Runtime {
    /// The limits of a tenant.
    pub fn limits(&self, tenant: &str) -> &Arc<Limits> {
        self.tenants.get(tenant).unwrap_or(&self.defaults)
    }

    /// The merged files as YAML; `None` if none were loaded.
    pub fn to_yaml(&self) -> Option<String> {
        let mut text = String::new();
        yaml::print(self.document.as_ref()?, 0, &mut text);
        Some(text)
    }
}

/// A file's name and its text.
type Contents = Vec<(String, String)>;

fn read_files(names: &[String]) -> Result<Contents, OverridesError> {
    let mut contents = Contents::new();
    for name in names {
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(OverridesError::NotAFile { file: name.clone() });
        }
        let text = read_file(name).map_err(|source| OverridesError::Read { file: name.clone(), source })?;
        contents.push((name.clone(), text));
    }
    Ok(contents)
}

/// The text of a file, decompressed if its name ends in `.gz`.
fn read_file(name: &str) -> std::io::Result<String> {
    let bytes = std::fs::read(name)?;
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
    }
    Ok(text)
}

/// A hash that is the same for the same contents within this process.
fn hash(contents: &Contents) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for (name, text) in contents {
        hasher.write(name.as_bytes());
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
