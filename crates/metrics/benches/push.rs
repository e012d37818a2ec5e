//! What the way in costs for each series of a remote write request: decode, check, encode, hash, hand on.
//!
//! A request has 2,000 series of 7 to 9 labels with one sample each, as a fleet of scrapers sends them. The client
//! drops the batch, so that the ingester's work is not in the figure.
//!
//! Ceiling: a series is about 270 bytes on the wire. Reading them once, checking them as UTF-8 once, copying the
//! strings once and hashing them once are about 20 ns each at the speed of the cache; walking 30 fields at 2 ns and
//! checking 60 bytes of names at half a nanosecond are 90 ns. 250 ns a series is the budget, 170 ns the
//! expectation.
//!
//! Last numbers: 185 ns of CPU a series (21 Nov 2026, two shared virtual cores with AVX-512, release build without LTO;
//! wall time was 310 ns beside other work). Before plain labels and samples had a path of their own: 285 ns.

use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use norn_base::clock::ManualClock;
use norn_base::random::SeededRandom;
use norn_metrics::distributor::client::WriteClient;
use norn_metrics::distributor::ha::store::MemoryHaStore;
use norn_metrics::distributor::metrics::DistributorMetrics;
use norn_metrics::distributor::rules::{TenantRules, WriteRules};
use norn_metrics::distributor::{Distributor, DistributorSettings, PushOptions, Version};
use norn_model::write::WriteBatch;
use norn_model::{Labels, Sample, TenantId};
use norn_rpc::remote_write::encode;

const SERIES: usize = 2000;
const NOW_MS: i64 = 1_793_494_800_000;

struct Sink;

#[async_trait]
impl WriteClient for Sink {
    async fn push(&self, _tenant: &TenantId, batch: Arc<WriteBatch>) -> norn_base::Result<()> {
        std::hint::black_box(&batch);
        Ok(())
    }
}

struct Fixed(Arc<WriteRules>);

impl TenantRules for Fixed {
    fn rules(&self, _tenant: &TenantId) -> Arc<WriteRules> {
        self.0.clone()
    }
}

const METRICS: [&str; 12] = [
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "http_request_duration_seconds_sum",
    "http_request_duration_seconds_count",
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "node_filesystem_avail_bytes",
    "process_open_fds",
    "kube_pod_status_ready",
    "up",
    "go_goroutines",
    "queue_depth",
];

fn labels(index: usize) -> Labels {
    let (name, pod) = (METRICS[index % 12], index / 12);
    let mut pairs = vec![
        ("__name__", name.to_owned()),
        ("cluster", format!("eu-west-{}", pod % 3)),
        ("container", format!("app-{}", pod % 11)),
        ("instance", format!("10.{}.{}.{}:9100", pod / 65536, pod / 256 % 256, pod % 256)),
        ("job", format!("kubernetes-pods-{}", pod % 7)),
        ("namespace", format!("team-{}", pod % 37)),
        ("pod", format!("app-{}-7d9f8c6b5d-{pod:05x}-0", pod % 11)),
    ];
    if name.ends_with("_bucket") {
        pairs.push(("le", "0.25".to_owned()));
    }
    if name.starts_with("http_") {
        pairs.push(("status", "200".to_owned()));
    }
    Labels::from_pairs(pairs)
}

fn request() -> Vec<u8> {
    let mut batch = WriteBatch::default();
    for index in 0..SERIES {
        let mut writer = batch.push_series(labels(index).as_ref(), 0);
        writer.sample(Sample { timestamp_ms: NOW_MS + (index % 7) as i64, value: index as f64 });
    }
    encode::encode(&batch)
}

fn push(criterion: &mut Criterion) {
    let rules = WriteRules { ingestion_rate: f64::INFINITY, ..WriteRules::default() };
    let distributor = Distributor::new(
        DistributorSettings::default(),
        Arc::new(Fixed(Arc::new(rules))),
        ManualClock::at(NOW_MS),
        SeededRandom::shared(1),
        Arc::new(MemoryHaStore::default()),
        Arc::new(Sink),
        DistributorMetrics::default(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let (tenant, body) = (TenantId::anonymous(), request());
    let mut group = criterion.benchmark_group("push");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("remote write 1.0, one sample a series", |bencher| {
        bencher.iter(|| {
            let options = PushOptions::default();
            let pushed = distributor.push_remote_write(&tenant, Version::V1, &body, options);
            runtime.block_on(pushed).result.expect("the request is valid");
        });
    });
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
