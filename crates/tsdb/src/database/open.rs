//! Opening: blocks are found, checkpoints read, the log replayed.
//!
//! Replay streams: it holds one record at a time beside the heads that it fills, which are as large as they were. A
//! record that cannot be read costs itself alone, and is named.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_model::TenantId;
use norn_wal::{Checkpoint, Damage, Entry, Log, LogReader, LogSettings, Position, ReadError, RecordView};
use parking_lot::{Mutex, RwLock};

use super::foreign::find_foreign_log;
use super::head_state::HeadState;
use super::local_blocks::{open_blocks, remove_gone};
use super::shipped::Shipped;
use super::tenant::{Snapshot, Tenant};
use super::{Database, DatabaseSettings};
use crate::head::record::RECORD_TENANT_GONE;
use crate::head::{Head, HeadReplay};

/// The log's directory; no tenant can have this name.
const LOG_DIRECTORY: &str = "@wal";
/// Progress is reported every so many bytes.
const PROGRESS_BYTES: u64 = 16 << 20;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("open the metrics database: {path}")]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server's log lies where a tenant's data is.
    #[error(
        "{path} holds samples of a Prometheus or Mimir server that are in no block yet, and norn does not replay its \
         write-ahead log. Let that server cut them to blocks (Mimir: POST /ingester/flush?wait=true, then stop it), \
         then remove wal, wbl and chunks_head beside the blocks, which norn reads"
    )]
    ForeignLog {
        /// The other log.
        path: PathBuf,
    },
    /// The log cannot be opened.
    #[error("open the metrics database")]
    Log(#[source] norn_wal::OpenError),
    /// The log or a checkpoint cannot be read.
    #[error("replay the write-ahead log")]
    Read(#[source] ReadError),
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Bytes of the log that are read.
    pub read_bytes: u64,
    /// Bytes of the log in all.
    pub total_bytes: u64,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Records that were replayed.
    pub records: u64,
    /// Samples that were replayed.
    pub samples: u64,
    /// Rows whose series was lost with a damaged record.
    pub without_series: u64,
    /// What the end of the last process left unfinished.
    pub torn: Option<Damage>,
    /// Stretches of the log, and records in it, that could not be read.
    pub damages: Vec<String>,
}

/// A tenant while its head is being filled.
struct Opening {
    id: TenantId,
    directory: PathBuf,
    head: Arc<Head>,
    replay: HeadReplay,
    tenant: Arc<Tenant>,
    head_state: HeadState,
    checkpoint: Position,
}

/// Where a record comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// The log, at a position.
    Log(Position),
    /// A checkpoint that reaches to a position.
    Checkpoint(Position),
}

/// The state of [`Database::open`].
struct Opener {
    settings: DatabaseSettings,
    random: SharedRandom,
    now_ms: i64,
    tenants: HashMap<String, Opening>,
    report: OpenReport,
}

impl Database {
    /// Opens the database of a directory. Blocks, possibly for long; `progress` is called now and then.
    pub fn open(
        settings: DatabaseSettings,
        clock: SharedClock,
        random: SharedRandom,
        progress: &mut dyn FnMut(ReplayProgress),
    ) -> Result<(Self, OpenReport), OpenError> {
        let directory = settings.directory.clone();
        std::fs::create_dir_all(&directory).map_err(failed(&directory))?;
        remove_gone(&directory).map_err(failed(&directory))?;
        let mut opener = Opener {
            settings: settings.clone(),
            random: random.clone(),
            now_ms: clock.now_ms(),
            tenants: HashMap::new(),
            report: OpenReport::default(),
        };
        opener.find_tenants()?;
        let log_settings = LogSettings {
            segment_bytes: settings.segment_bytes,
            durability: settings.durability,
            files: settings.log_files.clone(),
            ..LogSettings::new(directory.join(LOG_DIRECTORY))
        };
        let (log, reader, torn) = Log::open(log_settings, random.clone()).map_err(OpenError::Log)?;
        if let Some(torn) = &torn {
            tracing::warn!(damage = %torn, "cut off the unfinished end of the write-ahead log");
        }
        opener.report.torn = torn;
        opener.read_checkpoints(log.directory())?;
        opener.replay(reader, progress)?;
        let (tenants, report) = opener.finish();
        let (tenants, payloads) = (RwLock::new(tenants), Mutex::default());
        Ok((Self { settings, clock, random, log, tenants, payloads }, report))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { path: path.to_owned(), source }
}

impl Opener {
    /// Opens the tenants that have a directory.
    fn find_tenants(&mut self) -> Result<(), OpenError> {
        let directory = self.settings.directory.clone();
        for entry in std::fs::read_dir(&directory).map_err(failed(&directory))? {
            let path = entry.map_err(failed(&directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if let (Ok(id), true) = (TenantId::parse(name), path.is_dir()) {
                // A Prometheus keeps its only log right here.
                if name == "wal" && find_foreign_log(&directory).map_err(failed(&path))?.is_some() {
                    return Err(OpenError::ForeignLog { path });
                }
                if let Some(path) = find_foreign_log(&path).map_err(failed(&path))? {
                    return Err(OpenError::ForeignLog { path });
                }
                self.open_tenant(id)?;
            }
        }
        Ok(())
    }

    /// Opens a tenant with its blocks and an empty head.
    fn open_tenant(&mut self, id: TenantId) -> Result<(), OpenError> {
        let directory = self.settings.directory.join(id.as_str());
        std::fs::create_dir_all(&directory).map_err(failed(&directory))?;
        let blocks = open_blocks(&id, &directory).map_err(failed(&directory))?;
        let head_state = HeadState::read(&directory).map_err(failed(&directory))?;
        let opening = self.opening(id.clone(), directory, Snapshot::new(blocks), head_state);
        self.tenants.insert(id.as_str().to_owned(), opening);
        Ok(())
    }

    fn opening(&self, id: TenantId, directory: PathBuf, snapshot: Snapshot, head_state: HeadState) -> Opening {
        let head = Head::new(self.settings.block_range_ms, &*self.random);
        let head = Arc::new(head.with_unlimited_metrics(self.settings.unlimited_metrics.clone()));
        if let Some(floor_ms) = head_state.floor_ms {
            head.raise_floor(floor_ms);
        }
        let now_s = u32::try_from(self.now_ms / 1000).unwrap_or(0);
        let tenant = Tenant::new(id.clone(), directory.clone(), head.clone(), snapshot, self.now_ms);
        tenant.compacting.lock().head_state = head_state;
        *tenant.shipped.lock() = Shipped::read(&directory);
        let replay = HeadReplay::new(head.clone(), self.settings.replay_exemplars_max, now_s);
        Opening { id, directory, head, replay, tenant: Arc::new(tenant), head_state, checkpoint: Position::default() }
    }

    fn read_checkpoints(&mut self, log_directory: &Path) -> Result<(), OpenError> {
        for checkpoint in Checkpoint::list(log_directory).map_err(failed(log_directory))? {
            let mut reader = checkpoint.open().map_err(OpenError::Read)?;
            while let Some(entry) = reader.next_entry().map_err(OpenError::Read)? {
                match entry {
                    Entry::Record(_, record) => self.apply(Origin::Checkpoint(checkpoint.position), record)?,
                    Entry::Damage(damage) => self.note_damage(&damage),
                }
            }
            if let Some(opening) = self.tenants.get_mut(&checkpoint.tenant) {
                opening.checkpoint = checkpoint.position;
                let max_ms = opening.head.max_ms();
                opening.tenant.log_use.lock().replace_checkpoint(checkpoint, max_ms);
            }
        }
        Ok(())
    }

    fn replay(&mut self, mut reader: LogReader, progress: &mut dyn FnMut(ReplayProgress)) -> Result<(), OpenError> {
        let mut reported_bytes = 0;
        loop {
            match reader.next_entry().map_err(OpenError::Read)? {
                Some(Entry::Record(position, record)) => self.apply(Origin::Log(position), record)?,
                Some(Entry::Damage(damage)) => self.note_damage(&damage),
                None => break,
            }
            let (read_bytes, total_bytes) = reader.progress();
            if read_bytes >= reported_bytes + PROGRESS_BYTES {
                reported_bytes = read_bytes;
                progress(ReplayProgress { read_bytes, total_bytes });
            }
        }
        let (read_bytes, total_bytes) = reader.progress();
        progress(ReplayProgress { read_bytes, total_bytes });
        Ok(())
    }

    fn note_damage(&mut self, damage: &dyn std::fmt::Display) {
        tracing::error!(%damage, "stepped over damage in the write-ahead log");
        self.report.damages.push(damage.to_string());
    }

    fn apply(&mut self, origin: Origin, record: RecordView<'_>) -> Result<(), OpenError> {
        if record.kind == RECORD_TENANT_GONE {
            self.forget(record.tenant);
            return Ok(());
        }
        if !self.tenants.contains_key(record.tenant) {
            match TenantId::parse(record.tenant) {
                Ok(id) => self.open_tenant(id)?,
                Err(error) => {
                    self.note_damage(&format!("a record names tenant {:?}: {error}", record.tenant));
                    return Ok(());
                }
            }
        }
        let opening = self.tenants.get_mut(record.tenant).expect("opened just above");
        let late_position = opening.head_state.late_position();
        let skip_late = match origin {
            Origin::Log(position) if position < opening.checkpoint => return Ok(()),
            Origin::Log(position) => position < late_position,
            Origin::Checkpoint(position) => position <= late_position,
        };
        self.report.records += 1;
        match opening.replay.apply(record.kind, record.payload, skip_late) {
            Ok(replayed) => {
                self.report.samples += replayed.samples;
                self.report.without_series += replayed.without_series;
                if let Origin::Log(position) = origin {
                    let mut log_use = opening.tenant.log_use.lock();
                    log_use.note(position.segment, replayed.max_ms, replayed.late);
                    if replayed.exemplars {
                        log_use.note_exemplars(position.segment);
                    }
                }
            }
            Err(error) => {
                let place = match origin {
                    Origin::Log(position) => position.to_string(),
                    Origin::Checkpoint(_) => "a checkpoint".to_owned(),
                };
                self.note_damage(&format!("{place}, tenant {}: {error}", record.tenant));
            }
        }
        Ok(())
    }

    /// What the log had of a tenant up to here means nothing. Its directory, if there is one, is that of its next life.
    fn forget(&mut self, tenant: &str) {
        let Some(opening) = self.tenants.remove(tenant) else { return };
        let Opening { id, directory, head_state, checkpoint, tenant: old, .. } = opening;
        let snapshot = Snapshot::new(old.blocks());
        let mut fresh = self.opening(id, directory, snapshot, head_state);
        fresh.checkpoint = checkpoint;
        if let Some((checkpoint, max_ms)) = old.log_use.lock().take_checkpoint() {
            fresh.tenant.log_use.lock().replace_checkpoint(checkpoint, max_ms);
        }
        self.tenants.insert(tenant.to_owned(), fresh);
    }

    fn finish(self) -> (HashMap<TenantId, Arc<Tenant>>, OpenReport) {
        let mut tenants = HashMap::new();
        for (_, opening) in self.tenants {
            let Opening { id, replay, tenant, head, directory, .. } = opening;
            replay.finish();
            let has_blocks = !tenant.blocks().is_empty();
            if head.series_count() == 0 && !has_blocks {
                // A tenant that is gone, or one that never had anything. Only an empty directory is removed by this.
                drop(std::fs::remove_dir(&directory));
                continue;
            }
            let floor_ms = head.floor_ms();
            let late_position = tenant.compacting.lock().head_state.late_position();
            let unneeded = tenant.log_use.lock().forget(floor_ms, late_position);
            if let Some(Err(error)) = unneeded.map(|checkpoint| checkpoint.remove()) {
                tracing::warn!(tenant = %id, %error, "failed to remove a checkpoint that is not needed");
            }
            tenants.insert(id, tenant);
        }
        (tenants, self.report)
    }
}
