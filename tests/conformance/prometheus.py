#!/usr/bin/env python3
"""A real Prometheus scrapes, remote-writes into norn, and both answer the same queries alike.

    prometheus.py --norn BINARY [--seconds 120] [--prometheus BINARY] [--node-exporter BINARY]

Starts norn, a node exporter and a Prometheus on free ports of the loopback interface, all in a temporary folder, waits
while Prometheus scrapes the exporter and itself and writes to norn, and then sends every query of QUERIES to both.
Instants lie off the grid of samples: Prometheus 2 has ranges that are closed on both sides.

The last line is "N passed, N failed"; the exit status is 0 if none failed. Python's standard library only.
"""
import argparse
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

INTERVAL = 5  # seconds between scrapes
TOLERANCE = 1e-9

QUERIES = [
    "up",
    "count(up)",
    "sum by (job) (up)",
    "node_load1",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "sum by (mode) (rate(node_cpu_seconds_total[1m]))",
    "topk(3, sum by (mode) (increase(node_cpu_seconds_total[1m])))",
    "avg without (cpu) (irate(node_cpu_seconds_total[1m]))",
    "max_over_time(node_load1[1m])",
    "min_over_time(node_load1[1m:10s])",
    "count by (device) (node_filesystem_size_bytes)",
    "node_filesystem_avail_bytes{mountpoint=\"/\"}",
    "node_filesystem_avail_bytes{mountpoint=~\"/.*\",fstype!~\"tmpfs|rootfs\"}",
    "rate(prometheus_tsdb_head_samples_appended_total[1m])",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[1m])))",
    "prometheus_build_info",
    "go_goroutines{job=\"prometheus\"}",
    "go_goroutines > 10",
    "go_goroutines > bool 10",
    "sum(go_memstats_alloc_bytes) by (job)",
    "go_gc_duration_seconds{quantile=\"0.5\"}",
    "process_open_fds / on (instance, job) process_max_fds",
    "node_uname_info * on (instance) group_left () node_boot_time_seconds",
    "count({__name__=~\"node_.*\"})",
    "sum(count by (__name__) ({job=\"node\"}))",
    "absent(nonexistent_metric)",
    "changes(process_start_time_seconds[1m])",
    "resets(node_context_switches_total[1m])",
    "stddev_over_time(node_load5[1m])",
    "quantile_over_time(0.5, go_goroutines[1m])",
    "label_replace(up, \"short\", \"$1\", \"instance\", \"(.*):.*\")",
    "deriv(node_memory_MemFree_bytes[1m])",
    "predict_linear(node_memory_MemFree_bytes[1m], 60)",
    "sort_desc(node_filesystem_size_bytes)",
    "up offset 20s",
    "sum(rate(node_network_receive_bytes_total[1m])) or vector(0)",
    "up unless on (job) up{job=\"node\"}",
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(base, path, **parameters):
    url = base + path + "?" + urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def ready(base, path):
    try:
        with urllib.request.urlopen(base + path, timeout=5) as response:
            return response.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def wait_for(what, test, patience=60):
    until = time.monotonic() + patience
    while not test():
        if time.monotonic() > until:
            sys.exit("%s did not get ready" % what)
        time.sleep(0.2)


def number(text):
    return float(text.replace("+Inf", "inf"))


def close(left, right):
    left, right = number(left), number(right)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or abs(left - right) <= TOLERANCE * max(abs(left), abs(right))


def points(result):
    found = {}
    for series in result.get("result", []):
        key = json.dumps(series["metric"], sort_keys=True)
        found[key] = series.get("values") or [series["value"]]
    return found


def difference(expected, got):
    """A sentence, or None where the answers are alike."""
    if expected.get("status") != got.get("status"):
        return "status %s, expected %s: %s" % (got.get("status"), expected.get("status"), got.get("error"))
    if expected["status"] != "success":
        return None
    want, have = points(expected["data"]), points(got["data"])
    if set(want) != set(have):
        return "series differ: missing %s, unexpected %s" % (sorted(set(want) - set(have))[:3], sorted(set(have) - set(want))[:3])
    for key, values in want.items():
        others = have[key]
        if [v[0] for v in values] != [v[0] for v in others]:
            return "%s: times differ: %s, expected %s" % (key, others[:3], values[:3])
        for value, other in zip(values, others):
            if not close(value[1], other[1]):
                return "%s at %s: %s, expected %s" % (key, value[0], other[1], value[1])
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--node-exporter", default="prometheus-node-exporter")
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    for tool in (arguments.norn, arguments.prometheus, arguments.node_exporter):
        if shutil.which(tool) is None:
            sys.exit("%s is missing" % tool)

    folder = tempfile.mkdtemp(prefix="norn-prometheus-")
    norn_port, prometheus_port, node_port = free_port(), free_port(), free_port()
    norn, prometheus = "http://127.0.0.1:%d" % norn_port, "http://127.0.0.1:%d" % prometheus_port
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w") as out:
        out.write("""
global: {scrape_interval: %ds}
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:%d"]}]
  - job_name: prometheus
    static_configs: [{targets: ["127.0.0.1:%d"]}]
remote_write:
  - url: %s/api/v1/push
    queue_config: {batch_send_deadline: 1s}
""" % (INTERVAL, node_port, prometheus_port, norn))
    log = open(os.path.join(folder, "log"), "wb")

    def start(*command):
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    processes = []
    try:
        processes.append(start(os.path.abspath(arguments.norn), "-server.http-listen-port=%d" % norn_port,
                               "-server.grpc-listen-port=%d" % free_port(), "-server.http-listen-address=127.0.0.1"))
        wait_for("norn", lambda: ready(norn, "/ready"))
        processes.append(start(shutil.which(arguments.node_exporter), "--web.listen-address=127.0.0.1:%d" % node_port))
        processes.append(start(shutil.which(arguments.prometheus), "--config.file=" + config,
                               "--storage.tsdb.path=" + os.path.join(folder, "prometheus"),
                               "--web.listen-address=127.0.0.1:%d" % prometheus_port))
        wait_for("Prometheus", lambda: ready(prometheus, "/-/ready"))
        time.sleep(arguments.seconds)

        # Three scrapes back, everything has been sent. Off the grid: no sample lies on the edge of a range.
        newest = float(ask(prometheus, "/api/v1/query", query="timestamp(up{job=\"node\"})")["data"]["result"][0]["value"][1])
        at = newest - 3 * INTERVAL + 1.234
        passed = failed = 0
        for query in QUERIES:
            for path, parameters in (("/api/v1/query", {"time": at}),
                                     ("/api/v1/query_range", {"start": at - 45, "end": at, "step": 15})):
                expected = ask(prometheus, path, query=query, **parameters)
                problem = difference(expected, ask(norn + "/prometheus", path, query=query, **parameters))
                if problem is None:
                    passed += 1
                else:
                    failed += 1
                    print("FAILED %s %s: %s" % (path, query, problem))
        print("%d passed, %d failed" % (passed, failed))
        return 1 if failed else 0
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
