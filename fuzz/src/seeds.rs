//! Valid inputs, made by the project's own encoders where there are any.

use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;
use norn_metrics::blocks::index::BucketIndex;
use norn_model::histogram::Span;
use norn_model::select::TimeRange;
use norn_model::write::{Exemplar, WriteBatch};
use norn_model::{FloatHistogram, Labels, Sample, TenantId};
use norn_rpc::{remote_write, snappy, wire};
use norn_tsdb::block::tombstones::Tombstones;
use norn_tsdb::chunk::{HistogramAppender, XorAppender};
use norn_tsdb::database::{CutReason, Database, DatabaseSettings};
use norn_tsdb::head::HeadLimits;

/// The seeds of a target; at least one.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "remote-write-1" => vec![remote_write::encode::encode(&batch())],
        "remote-write-2" => vec![remote_write_2()],
        "remote-read" => vec![remote_read()],
        "snappy" => vec![snappy::encode(b""), snappy::encode(&remote_write::encode::encode(&batch()))],
        "otlp-protobuf" => vec![otlp_protobuf()],
        "otlp-json" => texts(&OTLP_JSON),
        "promql" => texts(&QUERIES),
        "regex" => texts(&["(a|b)+[^c-e]{2,3}?\\d$", "^(?i:x)\\p{Greek}|\\x{10ffff}\\Q..\\E", "(?P<name>.*):(\\d+)"]),
        "go-text" => {
            texts(&["\"a\\n\\u00e9\\x41\"", "0x1p-2", "1h2m3.5s", "5d12h", "2026-11-01T00:00:00.5Z", "-1e308"])
        }
        "yaml" => texts(&YAML),
        "flags" => texts(&["-server.http-listen-port=80\n--target=all\n-querier.timeout\n1m", "-help-all\n-version"]),
        "tenant" => texts(&["team-1", "a|b", "..", "(x)*'_.!-"]),
        "parameters" => texts(&["query=up%7Ba%3D%22b%22%7D&time=1.5&start=0&end=10&step=15s\nlimit=3&match[]=up"]),
        "chunk" => chunks(),
        "chunk-segment" | "block-index" | "block-meta" | "log-segment" | "log-record" => files(target),
        "tombstones" => vec![tombstones()],
        "bucket-index" => vec![BucketIndex::new(Vec::new(), Vec::new(), 1).encode()],
        other => panic!("{other} has no seeds"),
    }
}

const QUERIES: [&str; 8] = [
    "sum by (job) (rate(http_requests_total{code=~\"5..\",job!=\"x\"}[5m] offset 1h)) / on (job) group_left (a) b",
    "max_over_time(rate(x[1m])[30m:10s] @ end()) > bool -1.5e3 or vector(time())",
    "histogram_quantile(0.9, {\"a metric with spaces\", le=~'.*'})",
    "topk without (x) (3, {{schema:1 sum:3 count:4 buckets:[1 2 1]}})",
    "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\") unless ignoring (c) foo",
    "x[5m] smoothed",
    "(a + b) ^ 2 ^ -c % d and e atan2 f",
    "count_values(\"v\", `raw`) # a comment",
];

const YAML: [&str; 3] = [
    "server:\n  http_listen_port: ${PORT:80}\nlimits: {ingestion_rate: 1e4, list: [a, \"b\\n\", 'c']}\n",
    "a: &anchor\n  - x\n  - *anchor\nb: |\n  text\n   more\nc: >-\n  folded\n...\n",
    "overrides:\n  team:\n    metric_relabel_configs:\n      - source_labels: [a]\n        regex: (.*)\n",
];

const OTLP_JSON: [&str; 1] = [
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"a\"}}]},\
    \"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"unit\":\"s\",\"sum\":{\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\
    \"isMonotonic\":true,\"dataPoints\":[{\"timeUnixNano\":\"1793491200000000000\",\"asDouble\":1.5,\"attributes\":[]}]}},\
    {\"name\":\"h\",\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":2,\"count\":\"3\",\"positive\":{\"offset\":-1,\"bucketCounts\":[\"1\",2]}}]}}]}]}]}",
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn labels(series: usize) -> Labels {
    Labels::from_pairs([("__name__", "seed_total"), ("job", "fuzz"), ("series", series.to_string().as_str())])
}

fn batch() -> WriteBatch {
    let mut batch = WriteBatch::default();
    for series in 0..3 {
        let mut writer = batch.push_series(labels(series).as_ref(), 0);
        for step in 0..4 {
            writer.sample(Sample { timestamp_ms: 1_793_491_200_000 + step * 15_000, value: step as f64 * 0.5 });
        }
        writer.exemplar(Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            value: 1.0,
            timestamp_ms: 1_793_491_200_000,
        });
    }
    batch
}

/// Symbols, and a series with references, samples, an exemplar and metadata.
fn remote_write_2() -> Vec<u8> {
    let mut body = Vec::new();
    for symbol in ["", "__name__", "seed_total", "trace_id", "abc", "a help text"] {
        wire::put_bytes(&mut body, 4, symbol.as_bytes());
    }
    wire::put_message(&mut body, 5, |series| {
        wire::put_packed_varints(series, 1, [1, 2].into_iter());
        wire::put_message(series, 2, |sample| {
            wire::put_double(sample, 1, 1.5);
            wire::put_uint(sample, 2, 1_793_491_200_000);
        });
        wire::put_message(series, 4, |exemplar| {
            wire::put_packed_varints(exemplar, 1, [3, 4].into_iter());
            wire::put_double(exemplar, 2, 1.5);
        });
        wire::put_message(series, 5, |metadata| {
            wire::put_uint(metadata, 1, 1);
            wire::put_uint(metadata, 3, 5);
        });
    });
    body
}

fn remote_read() -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_message(&mut body, 1, |query| {
        wire::put_uint(query, 1, 1_793_491_200_000);
        wire::put_uint(query, 2, 1_793_494_800_000);
        wire::put_message(query, 3, |matcher| {
            wire::put_uint(matcher, 1, 2);
            wire::put_text(matcher, 2, "job");
            wire::put_text(matcher, 3, "a|b.*");
        });
    });
    wire::put_packed_varints(&mut body, 2, [1, 0].into_iter());
    body
}

/// A gauge and an exponential histogram of one resource.
fn otlp_protobuf() -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_message(&mut body, 1, |resource_metrics| {
        wire::put_message(resource_metrics, 1, |resource| put_attribute(resource, 1));
        wire::put_message(resource_metrics, 2, |scope_metrics| {
            wire::put_message(scope_metrics, 2, |metric| {
                wire::put_text(metric, 1, "gauge");
                wire::put_message(metric, 5, |gauge| {
                    wire::put_message(gauge, 1, |point| {
                        put_attribute(point, 7);
                        wire::put_double(point, 4, 1.5);
                    });
                });
            });
            wire::put_message(scope_metrics, 2, |metric| {
                wire::put_text(metric, 1, "histogram");
                wire::put_message(metric, 10, |histogram| {
                    wire::put_uint(histogram, 2, 2);
                    wire::put_message(histogram, 1, |point| {
                        wire::put_uint(point, 6, wire::zigzag(3));
                        wire::put_message(point, 8, |buckets| {
                            wire::put_uint(buckets, 1, wire::zigzag(-4));
                            wire::put_packed_varints(buckets, 2, [1, 2, 3].into_iter());
                        });
                    });
                });
            });
        });
    });
    body
}

fn put_attribute(message: &mut Vec<u8>, number: u32) {
    wire::put_message(message, number, |attribute| {
        wire::put_text(attribute, 1, "service.name");
        wire::put_message(attribute, 2, |value| wire::put_text(value, 1, "fuzz"));
    });
}

/// One of floats and one of float histograms; the first byte is the encoding.
fn chunks() -> Vec<Vec<u8>> {
    let mut floats = XorAppender::new();
    let mut histograms = HistogramAppender::<FloatHistogram>::new();
    for step in 0..40_i32 {
        let timestamp_ms = 1_793_491_200_000 + i64::from(step) * 15_000;
        floats.append(timestamp_ms, f64::from(step).sqrt());
        let histogram = FloatHistogram {
            count: f64::from(step * 3),
            sum: f64::from(step),
            positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
            positive_buckets: vec![f64::from(step); 3],
            ..FloatHistogram::empty(2, [].into())
        };
        drop(histograms.append(timestamp_ms, &histogram));
    }
    let with_code = |code: u8, data: Vec<u8>| [&[code][..], &data].concat();
    vec![with_code(1, floats.into_bytes()), with_code(3, histograms.into_bytes())]
}

fn tombstones() -> Vec<u8> {
    let mut tombstones = Tombstones::default();
    tombstones.add(1, TimeRange { start_ms: 10, end_ms: 20 });
    tombstones.add(7, TimeRange { start_ms: -5, end_ms: 1 << 41 });
    tombstones.to_bytes()
}

/// Files that a small database has written: its log, and a block.
fn files(target: &str) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("there is room for small files");
    let settings = DatabaseSettings::new(folder.path());
    let opened = Database::open(settings, SystemClock::shared(), SeededRandom::shared(7), &mut |_| {});
    let (database, _) = opened.expect("an empty folder can be opened");
    let tenant = TenantId::anonymous();
    let limits = HeadLimits { exemplars: 10, ..HeadLimits::NONE };
    database.append(&tenant, &batch(), &limits).expect("there is room for small files");
    let log = std::fs::read(folder.path().join("@wal/0000000000000001.wal")).expect("the log was written just now");
    if target == "log-segment" {
        return vec![log];
    }
    let tenant = database.tenant(&tenant).expect("it was written just now");
    if target == "log-record" {
        let mut records = Vec::new();
        let taken = tenant.head().checkpoint(|kind, payload| {
            records.push([&[kind][..], payload].concat());
            Ok(())
        });
        taken.expect("memory takes everything");
        return records;
    }
    let blocks = database.compact(&tenant, CutReason::Forced).expect("there is room for small files");
    let file = match target {
        "chunk-segment" => "chunks/000001",
        "block-index" => "index",
        _ => "meta.json",
    };
    let read = |block: &std::path::Path| std::fs::read(block.join(file)).expect("a block has its files");
    blocks.iter().map(|block| read(&block.directory)).collect()
}
