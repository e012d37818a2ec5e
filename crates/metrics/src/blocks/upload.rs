//! Bringing a finished local block to the bucket: chunks and index first, `meta.json` last, so that a folder with
//! `meta.json` is whole. On a filesystem bucket the files get a second name instead of a second copy.

use std::path::{Path, PathBuf};

use norn_base::{Error, Result};
use norn_bucket::Bucket;
use norn_tsdb::block::BlockMeta;
use norn_tsdb::block::meta::{FileMeta, META_FILE, ThanosMeta};

use crate::concurrency::{all_or_first_error, at_most};

/// Uploads the block in `directory`, so many files at once. `source` says who made it.
pub async fn upload_block(
    tenant_bucket: &dyn Bucket,
    directory: &Path,
    meta: &BlockMeta,
    source: &str,
    files_at_once: usize,
) -> Result<()> {
    let id = &meta.ulid.to_string();
    let files = block_files(directory)?;
    let put = |(name, path, _): &(String, PathBuf, u64)| {
        let (key, path) = (format!("{id}/{name}"), path.clone());
        async move { tenant_bucket.put_file(&key, &path).await }
    };
    all_or_first_error(at_most(files_at_once, &files, put).await)?;
    let extended = extended_meta(meta, &files, source);
    tenant_bucket.put(&format!("{id}/{META_FILE}"), extended.to_json().into()).await?;
    Ok(())
}

/// Name, place and size of a block's files without `meta.json`: chunks by number, then the index.
fn block_files(directory: &Path) -> Result<Vec<(String, PathBuf, u64)>> {
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("block {} cannot be read for its upload", directory.display())).with_source(error)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory.join("chunks")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("chunks/{}", entry.file_name().to_string_lossy());
        files.push((name, entry.path(), entry.metadata().map_err(failed)?.len()));
    }
    files.sort();
    let index = directory.join("index");
    let size = std::fs::metadata(&index).map_err(failed)?.len();
    files.push(("index".to_owned(), index, size));
    Ok(files)
}

/// The block's own description with the part that bucket readers look for.
fn extended_meta(meta: &BlockMeta, files: &[(String, PathBuf, u64)], source: &str) -> BlockMeta {
    let segments = files.iter().filter_map(|(name, _, _)| name.strip_prefix("chunks/").map(str::to_owned));
    let mut listed: Vec<_> =
        files.iter().map(|(name, _, size)| FileMeta { rel_path: name.clone(), size_bytes: *size }).collect();
    listed.push(FileMeta { rel_path: META_FILE.to_owned(), size_bytes: 0 });
    let before = meta.thanos.clone().unwrap_or_default();
    let thanos = ThanosMeta { source: source.to_owned(), segment_files: segments.collect(), files: listed, ..before };
    BlockMeta { thanos: Some(thanos), ..meta.clone() }
}
