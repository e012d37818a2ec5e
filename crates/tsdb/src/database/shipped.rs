//! `mimir.shipper.json`: which blocks are in the bucket, and since when.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::head_state::replace_file;
use crate::ulid::Ulid;

const FILE: &str = "mimir.shipper.json";

/// See the module. The original reads and writes the same file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shipped {
    /// Seconds since the Unix epoch, with milliseconds behind the point.
    blocks: BTreeMap<Ulid, f64>,
}

#[derive(Serialize, Deserialize)]
struct ShippedFile {
    version: u32,
    #[serde(default)]
    shipped: BTreeMap<String, f64>,
}

impl Shipped {
    /// Reads which blocks of a tenant are shipped; none where the file is missing, or of no use: then they are shipped
    /// again, which does no harm.
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "failed to read which blocks are shipped");
                return Self::default();
            }
        };
        match serde_json::from_slice::<ShippedFile>(&bytes) {
            Ok(file) => {
                let known = file.shipped.into_iter();
                Self { blocks: known.filter_map(|(ulid, seconds)| Some((ulid.parse().ok()?, seconds))).collect() }
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "blocks will be shipped again");
                Self::default()
            }
        }
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let shipped = self.blocks.iter().map(|(ulid, seconds)| (ulid.to_string(), *seconds)).collect();
        let bytes = serde_json::to_vec_pretty(&ShippedFile { version: 1, shipped }).map_err(io::Error::other)?;
        replace_file(&directory.join(FILE), &bytes)
    }

    /// Since when a block has been in the bucket, in milliseconds since the Unix epoch.
    pub(super) fn since_ms(&self, ulid: Ulid) -> Option<i64> {
        self.blocks.get(&ulid).map(|seconds| (seconds * 1000.0) as i64)
    }

    /// Notes that a block is in the bucket, and forgets blocks that are not among `existing`.
    pub(super) fn add(&mut self, directory: &Path, ulid: Ulid, now_ms: i64, existing: &[Ulid]) -> io::Result<()> {
        let mut next = self.clone();
        next.blocks.insert(ulid, now_ms as f64 / 1000.0);
        next.blocks.retain(|known, _| *known == ulid || existing.contains(known));
        next.write(directory)?;
        *self = next;
        Ok(())
    }
}
