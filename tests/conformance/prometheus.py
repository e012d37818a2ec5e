#!/usr/bin/env python3
"""A real Prometheus scrapes, remote-writes into norn, and both answer the same queries alike.

    prometheus.py --norn BINARY [--seconds 120] [--prometheus BINARY] [--node-exporter BINARY]

Starts norn, a node exporter and a Prometheus on free ports of the loopback interface, all in a temporary folder, waits
while Prometheus scrapes the exporter and itself and writes to norn, and then sends every query of QUERIES to both.
Instants lie off the grid of samples: Prometheus 2 has ranges that are closed on both sides.

The last line is "N passed, N failed"; the exit status is 0 if none failed. Python's standard library only.
"""
import argparse
import functools
import sys
import time

from servers import Servers, ask, compare, free_port, need

INTERVAL = 5  # seconds between scrapes

QUERIES = [
    "up",
    "count(up)",
    "sum by (job) (up)",
    "node_load1",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "sum by (mode) (rate(node_cpu_seconds_total[25s]))",
    "topk(3, sum by (mode) (increase(node_cpu_seconds_total[25s])))",
    "avg without (cpu) (irate(node_cpu_seconds_total[25s]))",
    "max_over_time(node_load1[25s])",
    "min_over_time(node_load1[25s:5s])",
    "count by (device) (node_filesystem_size_bytes)",
    "node_filesystem_avail_bytes{mountpoint=\"/\"}",
    "node_filesystem_avail_bytes{mountpoint=~\"/.*\",fstype!~\"tmpfs|rootfs\"}",
    "rate(prometheus_tsdb_head_samples_appended_total[25s])",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[25s])))",
    "prometheus_build_info",
    "go_goroutines{job=\"prometheus\"}",
    "go_goroutines > 10",
    "go_goroutines > bool 10",
    "sum(go_memstats_alloc_bytes) by (job)",
    "go_gc_duration_seconds{quantile=\"0.5\"}",
    "process_open_fds{job!=\"norn\"} / on (instance, job) process_max_fds",
    "node_uname_info * on (instance) group_left () node_boot_time_seconds",
    "count({__name__=~\"node_.*\"})",
    "sum(count by (__name__) ({job=\"node\"}))",
    "absent(nonexistent_metric)",
    "changes(process_start_time_seconds{job!=\"norn\"}[25s])",
    "resets(node_context_switches_total[25s])",
    "stddev_over_time(node_load5[25s])",
    "quantile_over_time(0.5, go_goroutines[25s])",
    "label_replace(up, \"short\", \"$1\", \"instance\", \"(.*):.*\")",
    "deriv(node_memory_MemFree_bytes[25s])",
    "predict_linear(node_memory_MemFree_bytes[25s], 60)",
    "sort_desc(node_filesystem_size_bytes)",
    "up offset 20s",
    "sum(rate(node_network_receive_bytes_total[25s])) or vector(0)",
    "up unless on (job) up{job=\"node\"}",
]


CONFIG = """
global: {scrape_interval: %ds}
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:%d"]}]
  - job_name: prometheus
    static_configs: [{targets: ["127.0.0.1:%d"]}]
remote_write:
  - url: %s/api/v1/push
    queue_config: {batch_send_deadline: 1s}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--node-exporter", default="prometheus-node-exporter")
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    need(arguments.norn, arguments.prometheus, arguments.node_exporter)

    with Servers("prometheus") as servers:
        _, norn = servers.norn(arguments.norn)
        node_port, prometheus_port = free_port(), free_port()
        servers.start(arguments.node_exporter, "--web.listen-address=127.0.0.1:%d" % node_port)
        config = servers.path("prometheus.yml")
        with open(config, "w") as out:
            out.write(CONFIG % (INTERVAL, node_port, prometheus_port, norn))
        prometheus = servers.prometheus(arguments.prometheus, config, servers.path("prometheus"), port=prometheus_port)
        time.sleep(arguments.seconds)

        # Three scrapes back, everything has been sent. Off the grid: no sample lies on the edge of a range.
        newest = ask(prometheus, "/api/v1/query", query="timestamp(up{job=\"node\"})")
        at = float(newest["data"]["result"][0]["value"][1]) - 3 * INTERVAL + 1.234
        questions = [("/api/v1/query", {"time": at}),
                     ("/api/v1/query_range", {"start": at - 30, "end": at, "step": 10})]
        return compare(QUERIES, questions, functools.partial(ask, prometheus), functools.partial(ask, norn + "/prometheus"))


if __name__ == "__main__":
    sys.exit(main())
