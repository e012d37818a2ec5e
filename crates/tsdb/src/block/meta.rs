//! `meta.json`: what a block holds, how it came to be, and what files it has.
//!
//! Fields that are zero, false or empty are left out, as the others do; fields that are not known are skipped when
//! reading. The `thanos` part may be missing in blocks that others wrote.
//!
//! Source: Prometheus `tsdb/block.go`, Thanos `pkg/block/metadata`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{FileError, NamedSource};
use crate::ulid::Ulid;

/// The file's name.
pub const META_FILE: &str = "meta.json";

/// The version of a block that is read and written here.
const VERSION: u32 = 1;

/// The hint of a block whose samples came too late for the blocks of their time.
pub const HINT_FROM_OUT_OF_ORDER: &str = "from-out-of-order";

/// The external label that says which part of the series a block has, as `1_of_4`.
pub const COMPACTOR_SHARD_LABEL: &str = "__compactor_shard_id__";

/// What a block says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// Its name.
    pub ulid: Ulid,
    /// The start of its span, in milliseconds since the Unix epoch; no sample is earlier.
    pub min_time: i64,
    /// The end of its span, not included; every sample is earlier.
    pub max_time: i64,
    /// What is in it.
    #[serde(default)]
    pub stats: BlockStats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    /// 1.
    pub version: u32,
    /// Written as `false` even by blocks of late samples; see [`Compaction::is_out_of_order`].
    #[serde(default, rename = "out_of_order")]
    pub out_of_order: bool,
    /// What concerns the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
}

/// How much is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How a block came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block cut from the head; one more with each compaction.
    pub level: u32,
    /// The blocks of level 1 whose samples are in it, sorted; a block of level 1 names itself.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub sources: Vec<Ulid>,
    /// A compaction left nothing of it.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks it was made from in the last step.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub parents: Vec<Parent>,
    /// A compaction of it failed.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// See [`HINT_FROM_OUT_OF_ORDER`].
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub hints: Vec<String>,
}

/// A block that another was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name; all zeros stands for late samples in the head.
    pub ulid: Ulid,
    /// See [`BlockMeta::min_time`].
    pub min_time: i64,
    /// See [`BlockMeta::max_time`].
    pub max_time: i64,
}

/// What concerns the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    /// External labels, which are not part of the series.
    #[serde(deserialize_with = "null_as_empty")]
    pub labels: BTreeMap<String, String>,
    /// Always 0 here.
    pub downsample: Downsample,
    /// Who made the block: `receive`, `compactor` ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The chunk files.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub segment_files: Vec<String>,
    /// All files.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub files: Vec<FileMeta>,
    /// Sizes that some writers add for readers of index and chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_stats: Option<IndexStats>,
}

/// The time between samples of a downsampled block, in milliseconds; 0 is that of the original samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the name says it")]
pub struct Downsample {
    pub resolution: i64,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Its path inside the block, with `/`.
    pub rel_path: String,
    /// Its size; 0 where it is not known, as for `meta.json`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
}

/// The largest entries of a block, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Of a series in the index.
    #[serde(skip_serializing_if = "is_zero")]
    pub series_max_size: u64,
    /// Of a chunk.
    #[serde(skip_serializing_if = "is_zero")]
    pub chunk_max_size: u64,
}

impl BlockMeta {
    /// Reads the file's bytes; `name` stands in errors. Refuses versions other than 1.
    pub fn from_json(name: &str, bytes: &[u8]) -> Result<Self, FileError> {
        let failed = |source| FileError::Json { file: name.into(), source };
        let meta: Self = serde_json::from_slice(bytes).map_err(failed)?;
        if meta.version != VERSION {
            let (found, expected) = (u64::from(meta.version), u64::from(VERSION));
            return Err(FileError::Unexpected { file: name.into(), offset: 0, what: "block version", found, expected });
        }
        Ok(meta)
    }

    /// Reads the file of a block's directory.
    pub fn read(directory: &Path) -> Result<Self, FileError> {
        let file = NamedSource::map(&directory.join(META_FILE))?;
        let bytes = file.read(0, file.source.len(), "meta.json")?;
        Self::from_json(&file.name, &bytes)
    }

    /// The file's bytes: indented with tabs, with a line end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        self.serialize(&mut serializer).expect("strings and numbers always become JSON");
        bytes.push(b'\n');
        bytes
    }

    /// External labels.
    pub fn external_labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.thanos.as_ref().map_or(&NONE, |thanos| &thanos.labels)
    }

    /// Which part of the series the block has, as `1_of_4`; empty where it has all.
    pub fn shard(&self) -> &str {
        self.external_labels().get(COMPACTOR_SHARD_LABEL).map_or("", String::as_str)
    }
}

impl Compaction {
    /// How a block of level 1 came to be.
    pub fn of_head(ulid: Ulid) -> Self {
        Self { level: 1, sources: vec![ulid], ..Self::default() }
    }

    /// How a block of late samples came to be.
    pub fn of_late_samples(ulid: Ulid) -> Self {
        let parents = vec![Parent { ulid: Ulid::ZERO, min_time: 0, max_time: 0 }];
        Self { parents, hints: vec![HINT_FROM_OUT_OF_ORDER.to_owned()], ..Self::of_head(ulid) }
    }

    /// Whether the block's samples came too late for the blocks of their time.
    pub fn is_out_of_order(&self) -> bool {
        self.hints.iter().any(|hint| hint == HINT_FROM_OUT_OF_ORDER)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Go writes lists without elements as `null`.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_left_out() {
        let ulid: Ulid = "01M7XS5Z9XV1SC9Z7W07273SYP".parse().unwrap();
        let meta = BlockMeta {
            ulid,
            min_time: 1,
            max_time: 2,
            stats: BlockStats { num_samples: 3, ..BlockStats::default() },
            compaction: Compaction::of_late_samples(ulid),
            version: 1,
            out_of_order: false,
            thanos: Some(ThanosMeta::default()),
        };
        let expected = "{\n\t\"ulid\": \"01M7XS5Z9XV1SC9Z7W07273SYP\",\n\t\"minTime\": 1,\n\t\"maxTime\": 2,\n\
            \t\"stats\": {\n\t\t\"numSamples\": 3\n\t},\n\
            \t\"compaction\": {\n\t\t\"level\": 1,\n\t\t\"sources\": [\n\t\t\t\"01M7XS5Z9XV1SC9Z7W07273SYP\"\n\t\t],\n\
            \t\t\"parents\": [\n\t\t\t{\n\t\t\t\t\"ulid\": \"00000000000000000000000000\",\n\t\t\t\t\"minTime\": 0,\n\
            \t\t\t\t\"maxTime\": 0\n\t\t\t}\n\t\t],\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\
            \t\"version\": 1,\n\t\"out_of_order\": false,\n\
            \t\"thanos\": {\n\t\t\"labels\": {},\n\t\t\"downsample\": {\n\t\t\t\"resolution\": 0\n\t\t}\n\t}\n}\n";
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), expected);
        assert_eq!(BlockMeta::from_json("meta.json", &meta.to_json()).unwrap(), meta);
    }

    #[test]
    fn others_may_leave_out_more() {
        let text = r#"{"ulid":"01M7XS5Z9XV1SC9Z7W07273SYP","minTime":1,"maxTime":2,"version":1,"stats":{},
            "compaction":{"level":1,"sources":null},"thanos":{"labels":null,"version":1,"downsample":{"resolution":0}}}"#;
        let meta = BlockMeta::from_json("meta.json", text.as_bytes()).unwrap();
        assert_eq!((meta.compaction.level, meta.external_labels().len(), meta.shard()), (1, 0, ""));
        let other = text.replace("\"version\":1,\"stats\"", "\"version\":2,\"stats\"");
        let error = BlockMeta::from_json("01M7/meta.json", other.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "01M7/meta.json, byte 0: block version is 0x2, expected 0x1");
        let error = BlockMeta::from_json("01M7/meta.json", b"{").unwrap_err();
        assert_eq!(error.to_string(), "01M7/meta.json: not the JSON expected");
    }
}
