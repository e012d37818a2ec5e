//! Blocks of tenants in the bucket: their index and their markers, as Mimir lays them out.
//!
//! Below a tenant's prefix: `bucket-index.json.gz`, `markers/<ULID>-deletion-mark.json`, and a folder for each block.
//! The layout is drawn in `docs/format/bucket.md`.

pub mod index;
pub mod markers;
pub mod tenants;
pub mod upload;
