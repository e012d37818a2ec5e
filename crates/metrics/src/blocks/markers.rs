//! Marks on blocks and tenants: small objects that say what is to happen to them.
//!
//! A block's mark lies in two places, in its folder and under `markers/`; readers list only the latter. The one in the
//! folder is written first and removed first, so that the listed one never promises what is not there.

use norn_bucket::{Bucket, BucketError};
use serde::{Deserialize, Serialize};

/// The folder that readers list.
pub const MARKERS_PREFIX: &str = "markers/";

const DELETION_MARK: &str = "deletion-mark.json";
const NO_COMPACT_MARK: &str = "no-compact-mark.json";
const TENANT_DELETION_MARK: &str = "markers/tenant-deletion-mark.json";

/// Which mark a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// The block is to be deleted.
    Deletion,
    /// The block is not to be compacted.
    NoCompact,
}

impl MarkKind {
    fn file(self) -> &'static str {
        match self {
            Self::Deletion => DELETION_MARK,
            Self::NoCompact => NO_COMPACT_MARK,
        }
    }
}

/// A mark on a block that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block's ULID.
    pub id: String,
    /// Always 1.
    pub version: u32,
    /// Why.
    #[serde(default)]
    pub details: String,
    /// Seconds since the Unix epoch.
    pub deletion_time: i64,
}

/// A mark on a block that is not to be compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block's ULID.
    pub id: String,
    /// Always 1.
    pub version: u32,
    /// In words.
    #[serde(default)]
    pub details: String,
    /// Seconds since the Unix epoch.
    pub no_compact_time: i64,
    /// `manual`, `critical` and others.
    pub reason: String,
}

/// A mark on a tenant that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDeletionMark {
    /// When deletion was asked for, in seconds since the Unix epoch.
    pub deletion_time: i64,
    /// When all blocks were gone; 0 before.
    #[serde(default)]
    pub finished_time: i64,
}

/// Marks a block in both places.
pub async fn mark_block<M: Serialize + Sync>(
    tenant_bucket: &dyn Bucket,
    block_id: &str,
    kind: MarkKind,
    mark: &M,
) -> Result<(), BucketError> {
    let text = serde_json::to_vec(mark).expect("a mark of strings and numbers can be written as JSON");
    tenant_bucket.put(&format!("{block_id}/{}", kind.file()), text.clone().into()).await?;
    tenant_bucket.put(&format!("{MARKERS_PREFIX}{block_id}-{}", kind.file()), text.into()).await
}

/// Removes the listed copy of a block's mark; the other one goes with the block's folder.
pub async fn remove_listed_mark(tenant_bucket: &dyn Bucket, block_id: &str, kind: MarkKind) -> Result<(), BucketError> {
    tenant_bucket.delete(&format!("{MARKERS_PREFIX}{block_id}-{}", kind.file())).await
}

/// Blocks that have a mark of this kind under `markers/`, ascending.
pub async fn marked_blocks(tenant_bucket: &dyn Bucket, kind: MarkKind) -> Result<Vec<String>, BucketError> {
    let suffix = format!("-{}", kind.file());
    let listing = tenant_bucket.list(MARKERS_PREFIX).await?;
    let block = |key: &str| Some(key.strip_prefix(MARKERS_PREFIX)?.strip_suffix(&suffix)?.to_owned());
    Ok(listing.objects.iter().filter_map(|object| block(&object.key)).filter(|id| id != "tenant").collect())
}

/// Reads the deletion mark in a block's folder; `None` where there is none or it is damaged.
pub async fn read_deletion_mark(
    tenant_bucket: &dyn Bucket,
    block_id: &str,
) -> Result<Option<DeletionMark>, BucketError> {
    match tenant_bucket.get(&format!("{block_id}/{DELETION_MARK}")).await {
        Ok(object) => Ok(parse_or_warn(&object, block_id)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_or_warn(object: &[u8], block_id: &str) -> Option<DeletionMark> {
    match serde_json::from_slice(object) {
        Ok(mark) => Some(mark),
        Err(error) => {
            tracing::warn!(block = block_id, %error, "deletion mark is damaged and ignored");
            None
        }
    }
}

/// Reads a tenant's deletion mark.
pub async fn read_tenant_mark(tenant_bucket: &dyn Bucket) -> Result<Option<TenantDeletionMark>, BucketError> {
    match tenant_bucket.get(TENANT_DELETION_MARK).await {
        Ok(object) => Ok(serde_json::from_slice(&object).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a tenant's deletion mark.
pub async fn write_tenant_mark(tenant_bucket: &dyn Bucket, mark: &TenantDeletionMark) -> Result<(), BucketError> {
    let text = serde_json::to_vec(mark).expect("a mark of numbers can be written as JSON");
    tenant_bucket.put(TENANT_DELETION_MARK, text.into()).await
}

/// Removes a tenant's deletion mark.
pub async fn remove_tenant_mark(tenant_bucket: &dyn Bucket) -> Result<(), BucketError> {
    tenant_bucket.delete(TENANT_DELETION_MARK).await
}

#[cfg(test)]
mod tests {
    use norn_bucket::ObjectBucket;

    use super::*;

    #[tokio::test]
    async fn marks_lie_in_both_places_and_are_listed() {
        let bucket = ObjectBucket::in_memory();
        let mark = DeletionMark { id: "01A".into(), version: 1, details: String::new(), deletion_time: 5 };
        mark_block(&*bucket, "01A", MarkKind::Deletion, &mark).await.unwrap();
        write_tenant_mark(&*bucket, &TenantDeletionMark { deletion_time: 1, finished_time: 0 }).await.unwrap();

        assert_eq!(marked_blocks(&*bucket, MarkKind::Deletion).await.unwrap(), ["01A"]);
        assert_eq!(marked_blocks(&*bucket, MarkKind::NoCompact).await.unwrap(), Vec::<String>::new());
        assert_eq!(read_deletion_mark(&*bucket, "01A").await.unwrap(), Some(mark));
        assert_eq!(read_tenant_mark(&*bucket).await.unwrap().unwrap().deletion_time, 1);

        remove_listed_mark(&*bucket, "01A", MarkKind::Deletion).await.unwrap();
        assert!(marked_blocks(&*bucket, MarkKind::Deletion).await.unwrap().is_empty());
    }
}
