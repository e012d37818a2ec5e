//! The bucket index: which blocks a tenant has, so that readers need not list the bucket.
//!
//! Written by the compactor's cleaner alone, read by queriers and store-gateways. An index that is not there means a
//! tenant without blocks; one that was not renewed for long means that the cleaner stands still, which readers refuse
//! rather than answer from.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use norn_base::{Error, ErrorKind};
use norn_bucket::{Bucket, BucketError};
use serde::{Deserialize, Serialize};

/// Where the index lies, below a tenant's prefix.
pub const INDEX_KEY: &str = "bucket-index.json.gz";

/// The version that is written.
const VERSION: u32 = 2;

/// The most bytes that an index may have once decompressed: far more blocks than a tenant can have.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;

/// The blocks of a tenant. Times of blocks are milliseconds, all others seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketIndex {
    /// The version of this format.
    #[serde(default)]
    pub version: u32,
    /// Complete blocks, those with deletion marks among them.
    #[serde(default)]
    pub blocks: Vec<BlockEntry>,
    /// Marks of blocks that are to be deleted.
    #[serde(default)]
    pub block_deletion_marks: Vec<DeletionMarkEntry>,
    /// When the index was made.
    #[serde(default)]
    pub updated_at: i64,
}

/// A block in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// The block's ULID.
    pub block_id: String,
    /// The first millisecond.
    pub min_time: i64,
    /// The millisecond after the last.
    pub max_time: i64,
    /// `1b6d` where chunk files are numbered from 000001.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub segments_format: String,
    /// How many chunk files.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub segments_num: i64,
    /// When `meta.json` was written.
    #[serde(default)]
    pub uploaded_at: i64,
    /// Which part of all series the block holds, `<i>_of_<n>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compactor_shard_id: String,
    /// Who made the block.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// How often it was compacted, from 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compaction_level: i64,
    /// Whether it was made of samples that came late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_order: bool,
    /// The block's external labels.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// A deletion mark in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMarkEntry {
    /// The block's ULID.
    pub block_id: String,
    /// When it was marked.
    pub deletion_time: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Why an index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The bucket failed.
    #[error("read bucket index")]
    Bucket(#[source] BucketError),
    /// The bytes are no gzip.
    #[error("bucket index of {bytes} bytes cannot be decompressed")]
    Decompress {
        /// Size of the object.
        bytes: usize,
        /// What the decoder said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no index.
    #[error("bucket index is no valid JSON")]
    Json(#[source] serde_json::Error),
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        let kind = match &error {
            IndexError::Bucket(_) => ErrorKind::Unavailable,
            IndexError::Decompress { .. } | IndexError::Json(_) => ErrorKind::Corrupt,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

impl BucketIndex {
    /// An index of these blocks.
    pub fn new(blocks: Vec<BlockEntry>, block_deletion_marks: Vec<DeletionMarkEntry>, updated_at: i64) -> Self {
        Self { version: VERSION, blocks, block_deletion_marks, updated_at }
    }

    /// Reads a tenant's index; `None` where the tenant has none.
    pub async fn read(tenant_bucket: &dyn Bucket) -> Result<Option<Self>, IndexError> {
        match tenant_bucket.get(INDEX_KEY).await {
            Ok(object) => Self::decode(&object).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(IndexError::Bucket(error)),
        }
    }

    /// Writes a tenant's index.
    pub async fn write(&self, tenant_bucket: &dyn Bucket) -> Result<(), BucketError> {
        tenant_bucket.put(INDEX_KEY, self.encode().into()).await
    }

    /// Decodes gzipped JSON.
    pub fn decode(object: &[u8]) -> Result<Self, IndexError> {
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(object).take(DECOMPRESSED_BYTES_MAX);
        decoder.read_to_end(&mut text).map_err(|source| IndexError::Decompress { bytes: object.len(), source })?;
        serde_json::from_slice(&text).map_err(IndexError::Json)
    }

    /// Encodes to gzipped JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let text = serde_json::to_vec(self).expect("an index of strings and numbers can be written as JSON");
        encoder.write_all(&text).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
    }

    /// When a block was marked for deletion, in seconds since the Unix epoch.
    pub fn deletion_time(&self, block_id: &str) -> Option<i64> {
        let mark = self.block_deletion_marks.iter().find(|mark| mark.block_id == block_id);
        mark.map(|mark| mark.deletion_time)
    }
}

#[cfg(test)]
mod tests {
    use norn_bucket::ObjectBucket;

    use super::*;

    #[tokio::test]
    async fn an_index_reads_back_and_none_is_no_error() {
        let bucket = ObjectBucket::in_memory();
        assert_eq!(BucketIndex::read(&*bucket).await.unwrap(), None);
        let block = BlockEntry { block_id: "01ABC".into(), min_time: 1, max_time: 2, ..BlockEntry::default() };
        let mark = DeletionMarkEntry { block_id: "01ABC".into(), deletion_time: 7 };
        let index = BucketIndex::new(vec![block], vec![mark], 9);
        index.write(&*bucket).await.unwrap();
        assert_eq!(BucketIndex::read(&*bucket).await.unwrap(), Some(index.clone()));
        assert_eq!((index.deletion_time("01ABC"), index.deletion_time("01ABD")), (Some(7), None));
    }

    #[test]
    fn damaged_indexes_are_named() {
        assert!(matches!(BucketIndex::decode(b"no gzip"), Err(IndexError::Decompress { .. })));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"{\"blocks\":7}").unwrap();
        assert!(matches!(BucketIndex::decode(&encoder.finish().unwrap()), Err(IndexError::Json(_))));
    }

    #[test]
    fn the_least_entry_is_enough() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(br#"{"blocks":[{"block_id":"01A","min_time":1,"max_time":2,"uploaded_at":3}]}"#).unwrap();
        let index = BucketIndex::decode(&encoder.finish().unwrap()).unwrap();
        assert_eq!((index.blocks[0].uploaded_at, index.block_deletion_marks.len()), (3, 0));
    }
}
