//! Object storage, norn's only durable dependency.
//!
//! A [`Bucket`] offers what every store has: put, get, ranges, head, list with a delimiter, delete. Keys are UTF-8
//! paths with `/`, relative to the bucket's prefix. Parts of norn that work for one tenant hold a bucket scoped to that
//! tenant ([`Bucket::scoped`]), so that no key of another tenant can be written by mistake.
//!
//! The implementation over the crate `object_store` serves the filesystem and memory; on the filesystem a finished
//! local file enters the bucket as a second name of the same bytes, and readers may map files instead of copying them.

pub mod error;
pub mod object;

use std::fmt::Debug;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use error::BucketError;
pub use object::ObjectBucket;

/// What is known about an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key, relative to the bucket it was asked of.
    pub key: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When it was written last: milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// One level of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects directly below the prefix, by key.
    pub objects: Vec<ObjectInfo>,
    /// Names of the folders directly below the prefix, without the prefix and without `/`, ascending.
    pub folders: Vec<String>,
}

/// A place for objects. All methods may be called concurrently; writes are atomic: a reader sees all of an object, or
/// none of it.
#[async_trait]
pub trait Bucket: Send + Sync + Debug {
    /// Writes an object, replacing what was there.
    async fn put(&self, key: &str, data: Bytes) -> Result<(), BucketError>;

    /// Writes the contents of a finished local file, which nobody changes afterwards.
    async fn put_file(&self, key: &str, path: &Path) -> Result<(), BucketError>;

    /// Reads a whole object.
    async fn get(&self, key: &str) -> Result<Bytes, BucketError>;

    /// Reads some bytes of an object; fails where the range goes beyond its end.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError>;

    /// Asks for size and age.
    async fn head(&self, key: &str) -> Result<ObjectInfo, BucketError>;

    /// Lists one level below `prefix`, which is empty or ends with `/`. A prefix that nothing has lists nothing.
    async fn list(&self, prefix: &str) -> Result<Listing, BucketError>;

    /// Removes an object; one that is not there counts as removed.
    async fn delete(&self, key: &str) -> Result<(), BucketError>;

    /// Where the object lies on the local filesystem, in buckets that live there.
    fn local_path(&self, key: &str) -> Option<PathBuf>;

    /// The same store below a further prefix, without slashes at its ends.
    fn scoped(&self, prefix: &str) -> Arc<dyn Bucket>;
}

/// A bucket that many owners share.
pub type SharedBucket = Arc<dyn Bucket>;

/// Whether an object is there.
pub async fn exists(bucket: &dyn Bucket, key: &str) -> Result<bool, BucketError> {
    match bucket.head(key).await {
        Ok(_) => Ok(true),
        Err(BucketError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes all objects below `prefix`, which ends with `/`. Returns how many there were.
pub async fn delete_below(bucket: &dyn Bucket, prefix: &str) -> Result<usize, BucketError> {
    let mut removed = 0;
    let mut pending = vec![prefix.to_owned()];
    while let Some(prefix) = pending.pop() {
        let listing = bucket.list(&prefix).await?;
        for object in listing.objects {
            bucket.delete(&object.key).await?;
            removed += 1;
        }
        pending.extend(listing.folders.iter().map(|folder| format!("{prefix}{folder}/")));
    }
    Ok(removed)
}
