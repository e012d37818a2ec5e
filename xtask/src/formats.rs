//! Bytes on disk have a drawing: each format module names a document that exists.

use std::path::Path;

/// `(source, its document)`.
const FORMATS: [(&str, &str); 3] = [
    ("crates/wal/src/lib.rs", "docs/format/wal.md"),
    ("crates/tsdb/src/block.rs", "docs/format/blocks.md"),
    ("crates/metrics/src/blocks.rs", "docs/format/bucket.md"),
];

pub(crate) fn check() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut problems = Vec::new();
    for (source, document) in FORMATS {
        let text = std::fs::read_to_string(root.join(source)).map_err(|error| format!("{source}: {error}"))?;
        if !text.contains(document) {
            problems.push(format!("{source} does not name {document}"));
        }
        if !root.join(document).exists() {
            problems.push(format!("{document} is missing"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
