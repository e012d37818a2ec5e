//! The table of targets.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;
use norn_config::environment::Environment;
use norn_config::flags::CommandLine;
use norn_config::table::Dialect;
use norn_gotext::regex::GoRegex;
use norn_gotext::{duration, number, quote, time};
use norn_metrics::api::parameters::Parameters;
use norn_metrics::blocks::index::BucketIndex;
use norn_model::TenantId;
use norn_model::select::{SeriesBatch, TimeRange};
use norn_promql::parser::{self, ParseOptions};
use norn_rpc::remote_write::{DecodedMetadata, DecodedSeries, WriteVisitor, v1, v2};
use norn_rpc::{otlp, remote_read, snappy};
use norn_tsdb::block::tombstones::Tombstones;
use norn_tsdb::block::{BlockMeta, NamedSource};
use norn_tsdb::chunk::segment::{ChunkRef, SegmentReader};
use norn_tsdb::chunk::{self, Encoding};
use norn_tsdb::database::{Database, DatabaseSettings};
use norn_tsdb::head::{Head, HeadReplay};
use norn_tsdb::index::{IndexReader, SeriesEntry};

/// As large as a decoded body may be; a small input must not become more than this.
const DECODED_BYTES_MAX: usize = 16 << 20;

/// One decoder.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Decodes, and drops what comes of it.
    pub feed: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "remote-write-1", feed: remote_write_1 },
    Target { name: "remote-write-2", feed: remote_write_2 },
    Target { name: "remote-read", feed: |input| drop(remote_read::decode_request(input)) },
    Target { name: "snappy", feed: |input| ignore(snappy::decode(input, &mut Vec::new(), DECODED_BYTES_MAX)) },
    Target { name: "otlp-protobuf", feed: |input| drop(otlp::protobuf::decode(input)) },
    Target { name: "otlp-json", feed: |input| drop(otlp::json::decode(input)) },
    Target { name: "promql", feed: promql },
    Target { name: "regex", feed: regex },
    Target { name: "go-text", feed: go_text },
    Target { name: "yaml", feed: yaml },
    Target { name: "flags", feed: flags },
    Target { name: "tenant", feed: |input| drop(text(input).map(TenantId::parse)) },
    Target { name: "parameters", feed: parameters },
    Target { name: "log-record", feed: log_record },
    Target { name: "log-segment", feed: log_segment },
    Target { name: "chunk", feed: decode_chunk },
    Target { name: "chunk-segment", feed: chunk_segment },
    Target { name: "block-index", feed: block_index },
    Target { name: "block-meta", feed: |input| drop(BlockMeta::from_json("meta.json", input)) },
    Target { name: "tombstones", feed: |input| drop(Tombstones::read(&source(input))) },
    Target { name: "bucket-index", feed: |input| drop(BucketIndex::decode(input)) },
];

/// What comes of an input does not matter, only that it comes.
fn ignore<T, E>(outcome: Result<T, E>) {
    drop(outcome.ok());
}

fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

fn source(input: &[u8]) -> NamedSource {
    NamedSource::new("input", Bytes::copy_from_slice(input))
}

struct Ignore;

impl<'a> WriteVisitor<'a> for Ignore {
    fn series(&mut self, _: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, _: DecodedMetadata<'a>) {}
}

fn remote_write_1(input: &[u8]) {
    ignore(v1::decode(input, &mut Ignore));
    ignore(v1::decode_flags(input));
}

fn remote_write_2(input: &[u8]) {
    ignore(v2::decode(input, &mut Ignore));
}

/// What was parsed is printed, and that has to be parsed again.
fn promql(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let options = ParseOptions::all();
    drop(parser::parse_metric_selector(text, &options));
    if let Ok(tree) = parser::parse(text, &options) {
        let printed = tree.to_string();
        assert!(parser::parse(&printed, &options).is_ok(), "printed as {printed}");
    }
}

fn regex(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(regex) = GoRegex::anchored(text) {
        regex.is_match("an instance.example.org:9100");
        drop(regex.expand("an instance.example.org:9100", "$1-${2}-$name"));
    }
}

fn go_text(input: &[u8]) {
    let Some(text) = text(input) else { return };
    drop(quote::unquote(text));
    drop(number::parse_float(text));
    drop(number::parse_int(text));
    drop(duration::parse_go(text).map(duration::format_go));
    drop(duration::parse_prometheus(text).map(duration::format_prometheus));
    drop(time::parse_time(text));
    drop(time::parse_duration(text));
}

fn yaml(input: &[u8]) {
    let Some(text) = text(input) else { return };
    drop(norn_config::yaml::parse(&Environment::default().expand(text), "input.yaml", "configuration"));
}

/// Each line is an argument.
fn flags(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let arguments: Vec<String> = text.lines().map(str::to_owned).collect();
    for dialect in [Dialect::Norn, Dialect::Mimir] {
        drop(CommandLine::parse(&arguments, dialect.table()));
    }
}

/// The first line is the query of a URL, the rest a form.
fn parameters(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (query, form) = (&input[..end], input.get(end + 1..).unwrap_or(b""));
    let Some(query) = text(query) else { return };
    if let Ok(parameters) = Parameters::parse(query, form) {
        drop(parameters.time_range());
        drop(parameters.step_ms());
        drop(parameters.limit());
        drop(parameters.time_ms("time"));
    }
}

/// The first byte is the record's type.
fn log_record(input: &[u8]) {
    let Some((kind, payload)) = input.split_first() else { return };
    let head = Arc::new(Head::new(7_200_000, &*SeededRandom::shared(1)));
    let mut replay = HeadReplay::new(head, 100, 0);
    ignore(replay.apply(*kind, payload, false));
    replay.finish();
}

/// A database whose log has one segment with these bytes.
fn log_segment(input: &[u8]) {
    let folder = tempfile::tempdir().expect("there is room for a small file");
    let log = folder.path().join("@wal");
    std::fs::create_dir(&log).expect("the folder is empty");
    std::fs::write(log.join("0000000000000001.wal"), input).expect("there is room for a small file");
    let settings = DatabaseSettings::new(folder.path());
    drop(Database::open(settings, SystemClock::shared(), SeededRandom::shared(1), &mut |_| {}));
}

/// The first byte is the encoding's code.
fn decode_chunk(input: &[u8]) {
    let Some((code, data)) = input.split_first() else { return };
    let Ok(encoding) = Encoding::from_code(*code) else { return };
    let all = TimeRange { start_ms: i64::MIN, end_ms: i64::MAX };
    ignore(chunk::samples::decode_samples(encoding, data, all, &mut Vec::new()));
    let some = TimeRange { start_ms: 0, end_ms: 1 << 41 };
    let mut batch = SeriesBatch::default();
    batch.push_series(norn_model::Labels::default(), 0);
    ignore(chunk::decode_into(encoding, data, some, &mut batch));
}

fn chunk_segment(input: &[u8]) {
    let Ok(reader) = SegmentReader::new(vec![source(input)]) else { return };
    for offset in [8, 9, u32::try_from(input.len()).unwrap_or(u32::MAX).saturating_sub(5), u32::MAX] {
        drop(reader.read(ChunkRef::new(0, offset)));
    }
    drop(reader.read(ChunkRef::new(1, 8)));
}

fn block_index(input: &[u8]) {
    let Ok(reader) = IndexReader::open(source(input)) else { return };
    let names: Vec<String> = reader.label_names().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        let values: Vec<String> = reader.label_values(name, 0).map(str::to_owned).collect();
        for value in values {
            drop(reader.postings(name, &value));
        }
    }
    let mut entry = SeriesEntry::default();
    for id in reader.all_series().unwrap_or_default().into_iter().chain([0, 1, u32::MAX]) {
        if reader.series(id, &mut entry).is_ok() {
            drop(reader.labels(&entry));
        }
    }
}
