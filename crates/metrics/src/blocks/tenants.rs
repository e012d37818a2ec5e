//! Which tenants a bucket has.

use norn_bucket::{Bucket, BucketError};
use norn_model::TenantId;
use norn_model::tenant::CLUSTER_FOLDER;

/// Tenants that have a folder in the bucket, ascending. Folders whose names no tenant can have are left out.
pub async fn tenants_in(bucket: &dyn Bucket) -> Result<Vec<TenantId>, BucketError> {
    let listing = bucket.list("").await?;
    let folders = listing.folders.iter().filter(|folder| *folder != CLUSTER_FOLDER);
    Ok(folders.filter_map(|folder| TenantId::parse(folder).ok()).collect())
}
