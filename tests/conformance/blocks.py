#!/usr/bin/env python3
"""A Prometheus opens the blocks that norn wrote, and both answer the same queries alike.

    blocks.py --norn BINARY --golden FOLDER [--prometheus BINARY]

Starts norn, loads the samples of the corpus of recorded answers (FOLDER has check.py and metrics/), has everything cut to
blocks and shipped, stops norn, and copies the blocks of one tenant from the bucket into the data folder of a Prometheus.
Then a norn that has nothing but the bucket and the Prometheus get the same questions.

The last line is "N passed, N failed"; the exit status is 0 if none failed. Python's standard library only.
"""
import argparse
import functools
import os
import shutil
import subprocess
import sys
import urllib.request

from servers import Servers, ask, compare, need, wait_for

TENANT = "golden"
START = 1793491200  # of the corpus, seconds since the Unix epoch; it is an hour long
FOREVER = "100y"

# Only what has the same meaning in Prometheus 2.42: it sums without compensation, interpolates linearly within the buckets
# of native histograms, and does not know histograms with custom buckets.
QUERIES = [
    "up",
    "count({__name__=~\".+\",__name__!~\"nhcb.*|mixed_kinds_nhcb\"})",
    "sum by (__name__) (count_over_time({__name__=~\"demo_.*\"}[20m]))",
    "count by (__name__) ({__name__!~\"nhcb.*|mixed_kinds_nhcb\"})",
    "demo_cpu_usage_seconds_total",
    "sum by (mode) (rate(demo_cpu_usage_seconds_total[5m]))",
    "increase(demo_cpu_usage_seconds_total{mode=\"user\"}[10m])",
    "irate(demo_items_shipped_total[2m])",
    "demo_intermittent_metric",
    "changes(demo_intermittent_metric[15m])",
    "avg_over_time(demo_memory_usage_bytes[7m])",
    "max_over_time(demo_disk_usage_bytes[10m:1m])",
    "demo_memory_usage_bytes / on (instance, job) group_left () demo_num_cpus",
    "topk(3, demo_memory_usage_bytes)",
    "quantile by (type) (0.7, demo_memory_usage_bytes)",
    "histogram_quantile(0.9, sum by (le, path) (rate(demo_api_request_duration_seconds_bucket[5m])))",
    "demo_api_request_duration_seconds_count offset 10m",
    "demo_api_request_duration_seconds_bucket{le=~\"0.*\",status!=\"500\"}",
    "edge_counter_total",
    "resets(edge_counter_total[30m])",
    "edge_gauge",
    "min by (case) (min_over_time(edge_gauge[13m]))",
    "edge_stale",
    "count_over_time(edge_stale[40m])",
    "edge_irregular",
    "deriv(edge_irregular[10m])",
    "{__name__=\"utf8.metric.name\"}",
    "{__name__=\"温度.摄氏\"}",
    "{__name__=\"my metric with spaces\"}",
    "edge_label_values",
    "edge_long_value",
    "{__name__=\"edge_many_labels\"}",
    "agg_special",
    "stddev by (group) (agg_gauge)",
    "kahan",
    "svc_requests_total * on (job, instance) group_left (version) target_info",
    "label_replace(build_info, \"major\", \"$1\", \"version\", \"([0-9]+).*\")",
    "absent(nothing_of_that_name)",
    "histogram_count(nh_int)",
    "histogram_sum(nh_int)",
    "histogram_count(nh_float)",
    "histogram_sum(nh_float)",
    "histogram_count(nh_schema)",
    "histogram_fraction(0, 1, nh_int)",
    "histogram_fraction(1, 2, nh_zero)",
    "histogram_fraction(0, 4, nh_float)",
    "histogram_fraction(0, 2, nh_sparse)",
    "histogram_fraction(-2, 0, nh_negative)",
    "histogram_count(nh_gap)",
    "histogram_count(nh_mixed)",
    "histogram_count(sum(nh_int))",
    "histogram_count(rate(nh_int[5m]))",
]


def load(norn, golden):
    command = [sys.executable, os.path.join(golden, "check.py"), "load", "--signal", "metrics", "--base", norn]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def post(url):
    with urllib.request.urlopen(urllib.request.Request(url, data=b"", method="POST"), timeout=300):
        pass


def copy_blocks(bucket, data):
    os.mkdir(data)
    blocks = [name for name in sorted(os.listdir(bucket)) if os.path.exists(os.path.join(bucket, name, "meta.json"))]
    if not blocks:
        raise RuntimeError("norn shipped no block to %s" % bucket)
    for name in blocks:
        shutil.copytree(os.path.join(bucket, name), os.path.join(data, name))
    print("%d blocks" % len(blocks))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--prometheus", default="prometheus")
    arguments = parser.parse_args()
    need(arguments.norn, arguments.prometheus)

    flags = ["-auth.multitenancy-enabled=true", "-querier.query-store-after=0s", "-ingester.out-of-order-time-window=0s",
             "-blocks-storage.bucket-store.sync-interval=1s", "-distributor.otel-native-delta-ingestion=true"]
    header = {"X-Scope-OrgID": TENANT}
    with Servers("blocks") as servers:
        process, norn = servers.norn(arguments.norn, *flags)
        load(norn, arguments.golden)
        post(norn + "/ingester/flush?wait=true")
        servers.stop(process)
        data = servers.path("norn-data")
        copy_blocks(os.path.join(data, "blocks", TENANT), servers.path("prometheus"))
        shutil.rmtree(os.path.join(data, "tsdb"))
        _, norn = servers.norn(arguments.norn, *flags)
        config = servers.path("prometheus.yml")
        with open(config, "w") as out:
            out.write("{}\n")
        prometheus = servers.prometheus(arguments.prometheus, config, servers.path("prometheus"),
                                        "--storage.tsdb.retention.time=" + FOREVER, "--enable-feature=native-histograms")
        ask_norn = functools.partial(ask, norn + "/prometheus", headers=header)
        at = START + 1500 + 1.234
        # An answer without series is one of a store-gateway that has not read the bucket's index yet.
        wait_for("the bucket", lambda: ask_norn("/api/v1/query", query="up", time=at)["data"]["result"])
        # Where a series begins inside a range, the versions extrapolate differently.
        questions = [("/api/v1/query", {"time": at}),
                     ("/api/v1/query_range", {"start": START + 2401.234, "end": START + 3900, "step": 47})]
        return compare(QUERIES, questions, functools.partial(ask, prometheus), ask_norn)


if __name__ == "__main__":
    sys.exit(main())
