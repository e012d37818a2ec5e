//! Buckets over the crate `object_store`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use norn_base::random::SharedRandom;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::{Bucket, BucketError, Listing, ObjectInfo, SharedBucket};

/// A bucket in one of `object_store`'s stores, below a prefix.
#[derive(Debug, Clone)]
pub struct ObjectBucket {
    store: Arc<dyn ObjectStore>,
    /// Ends with `/`, or is empty.
    prefix: String,
    /// The folder of a bucket on the filesystem.
    root: Option<PathBuf>,
    /// For names of files that are being written.
    random: SharedRandom,
}

impl ObjectBucket {
    /// A bucket in memory, for tests.
    pub fn in_memory() -> SharedBucket {
        Arc::new(Self {
            store: Arc::new(InMemory::new()),
            prefix: String::new(),
            root: None,
            random: norn_base::random::SeededRandom::shared(0),
        })
    }

    /// A bucket in a folder, which is made where it does not exist.
    pub fn filesystem(root: &Path, random: SharedRandom) -> Result<SharedBucket, BucketError> {
        let file_error = |source| BucketError::File { path: root.display().to_string(), source };
        std::fs::create_dir_all(root).map_err(file_error)?;
        let root = root.canonicalize().map_err(file_error)?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| store_error("open", &root.display().to_string(), source))?
            .with_automatic_cleanup(true);
        Ok(Arc::new(Self { store: Arc::new(store), prefix: String::new(), root: Some(root), random }))
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn path(&self, key: &str) -> Result<ObjectPath, BucketError> {
        let full = self.full_key(key);
        ObjectPath::parse(&full).map_err(|_| BucketError::InvalidKey { key: full })
    }

    fn info(&self, meta: &ObjectMeta) -> ObjectInfo {
        let full = meta.location.as_ref();
        ObjectInfo {
            key: full.strip_prefix(&self.prefix).unwrap_or(full).to_owned(),
            size_bytes: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
        }
    }

    /// Gives a finished file a second name inside the bucket's folder; `None` where the two lie on different
    /// filesystems or the system has no hard links.
    fn link(&self, target: &Path, source: &Path) -> Option<()> {
        std::fs::create_dir_all(target.parent()?).ok()?;
        // Linked under another name first and then renamed, so that an existing object is replaced at once.
        let mut staged = target.as_os_str().to_owned();
        staged.push(format!("#{:016x}", self.random.next_u64()));
        std::fs::hard_link(source, &staged).ok()?;
        if std::fs::rename(&staged, target).is_err() {
            // What is left over has a name that listings skip.
            std::fs::remove_file(&staged).ok();
            return None;
        }
        // A rename between two names of one file does nothing and leaves both.
        std::fs::remove_file(&staged).ok();
        Some(())
    }
}

fn store_error(operation: &'static str, key: &str, source: object_store::Error) -> BucketError {
    match source {
        object_store::Error::NotFound { .. } => BucketError::NotFound { key: key.to_owned() },
        source => BucketError::Store { operation, key: key.to_owned(), source: Box::new(source) },
    }
}

#[async_trait]
impl Bucket for ObjectBucket {
    async fn put(&self, key: &str, data: Bytes) -> Result<(), BucketError> {
        let path = self.path(key)?;
        self.store.put(&path, data.into()).await.map_err(|source| store_error("put", path.as_ref(), source))?;
        Ok(())
    }

    async fn put_file(&self, key: &str, path: &Path) -> Result<(), BucketError> {
        if let Some(target) = self.local_path(key)
            && self.link(&target, path).is_some()
        {
            return Ok(());
        }
        let read = tokio::fs::read(path).await;
        let data = read.map_err(|source| BucketError::File { path: path.display().to_string(), source })?;
        self.put(key, data.into()).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        let failed = |source| store_error("get", path.as_ref(), source);
        self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        self.store.get_range(&path, range).await.map_err(|source| store_error("get", path.as_ref(), source))
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        let path = self.path(key)?;
        let meta = self.store.head(&path).await.map_err(|source| store_error("head", path.as_ref(), source))?;
        Ok(self.info(&meta))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, BucketError> {
        let full = self.full_key(prefix);
        let path =
            ObjectPath::parse(full.trim_end_matches('/')).map_err(|_| BucketError::InvalidKey { key: full.clone() })?;
        let below = if full.is_empty() { None } else { Some(&path) };
        let found = self.store.list_with_delimiter(below).await;
        let found = match found.map_err(|source| store_error("list", &full, source)) {
            Ok(found) => found,
            Err(BucketError::NotFound { .. }) => return Ok(Listing::default()),
            Err(error) => return Err(error),
        };
        let mut objects: Vec<_> = found.objects.iter().map(|meta| self.info(meta)).collect();
        objects.sort_by(|left, right| left.key.cmp(&right.key));
        let name = |folder: &ObjectPath| folder.filename().unwrap_or_default().to_owned();
        let mut folders: Vec<_> = found.common_prefixes.iter().map(name).collect();
        folders.sort();
        Ok(Listing { objects, folders })
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let path = self.path(key)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(store_error("delete", path.as_ref(), source)),
        }
    }

    fn local_path(&self, key: &str) -> Option<PathBuf> {
        let path = self.path(key).ok()?;
        Some(self.root.as_ref()?.join(path.as_ref()))
    }

    fn scoped(&self, prefix: &str) -> SharedBucket {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { self.prefix.clone() } else { format!("{}{prefix}/", self.prefix) };
        Arc::new(Self { prefix, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use norn_base::random::SeededRandom;

    use super::*;

    /// The suite that every kind of bucket has to pass.
    async fn check_bucket(bucket: SharedBucket) {
        let tenant = bucket.scoped("blocks").scoped("team-a");
        assert!(tenant.get("missing").await.unwrap_err().is_not_found());
        assert_eq!(tenant.list("").await.unwrap(), Listing::default());

        tenant.put("01ABC/meta.json", Bytes::from_static(b"{}")).await.unwrap();
        tenant.put("01ABC/meta.json", Bytes::from_static(b"{1}")).await.unwrap();
        tenant.put("index.json", Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(tenant.get("01ABC/meta.json").await.unwrap(), "{1}");
        assert_eq!(tenant.get_range("index.json", 2..5).await.unwrap(), "234");
        assert_eq!(bucket.head("blocks/team-a/index.json").await.unwrap().size_bytes, 10);

        let listing = tenant.list("").await.unwrap();
        assert_eq!(listing.folders, ["01ABC"]);
        assert_eq!(listing.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["index.json"]);
        assert_eq!(tenant.list("01ABC/").await.unwrap().objects[0].key, "01ABC/meta.json");
        assert_eq!(bucket.list("").await.unwrap().folders, ["blocks"]);

        assert_eq!(crate::delete_below(&*tenant, "01ABC/").await.unwrap(), 1);
        tenant.delete("index.json").await.unwrap();
        tenant.delete("index.json").await.unwrap();
        assert!(!crate::exists(&*tenant, "index.json").await.unwrap());
        assert!(matches!(tenant.get("../escape").await, Err(BucketError::InvalidKey { .. })));
    }

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        check_bucket(ObjectBucket::in_memory()).await;
    }

    #[tokio::test]
    async fn the_filesystem_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        check_bucket(ObjectBucket::filesystem(folder.path(), SeededRandom::shared(1)).unwrap()).await;
    }

    #[tokio::test]
    async fn a_local_file_becomes_a_second_name_of_the_same_bytes() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let bucket = ObjectBucket::filesystem(&folder.path().join("bucket"), SeededRandom::shared(1)).unwrap();
        let file = folder.path().join("000001");
        std::fs::write(&file, "chunks").unwrap();
        for _ in 0..2 {
            bucket.put_file("01ABC/chunks/000001", &file).await.unwrap();
        }
        assert_eq!(bucket.get("01ABC/chunks/000001").await.unwrap(), "chunks");
        let stored = std::fs::metadata(bucket.local_path("01ABC/chunks/000001").unwrap()).unwrap();
        assert_eq!((stored.ino(), stored.nlink()), (std::fs::metadata(&file).unwrap().ino(), 2));
    }
}
