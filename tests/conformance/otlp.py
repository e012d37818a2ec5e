#!/usr/bin/env python3
"""OpenTelemetry's SDK sends metrics to norn, over gRPC and over HTTP, and queries find them.

    otlp.py --norn BINARY

Starts norn in a temporary folder on free ports of the loopback interface, in its own mode and in Mimir's dialect. Each way
in gets a counter, a gauge and two histograms from the SDK, plain and compressed; what is stored is read back with
PromQL. Then the answers that only single calls show: a request without tenant, one that is too large, one that is
refused for its rate, one that is stored in part; and gRPC's health and reflection services.

The last line is "N passed, N failed"; the exit status is 0 if none failed. Needs opentelemetry-sdk,
opentelemetry-exporter-otlp-proto-grpc, opentelemetry-exporter-otlp-proto-http, grpcio-health-checking and
grpcio-reflection; .ci/run makes a virtual environment with them.
"""
import argparse
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
import json

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

TENANT = ("x-scope-orgid", "team")
NEVER = 3_600_000  # milliseconds: the reader exports when it is told to


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, found, expected):
        if found == expected:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED %s: %r, expected %r" % (what, found, expected))


class Norn:
    """A norn with four ports: its own two, and those where OpenTelemetry's clients look for a collector."""

    def __init__(self, binary, dialect, *flags):
        self.folder = tempfile.mkdtemp(prefix="norn-otlp-")
        self.http, self.grpc, self.otlp_http, self.otlp_grpc = (free_port() for _ in range(4))
        command = [os.path.abspath(binary)]
        if dialect:
            command += [dialect, "-ingester.ring.min-ready-duration=0s", "-ingester.ring.replication-factor=1",
                        "-blocks-storage.backend=filesystem", "-blocks-storage.filesystem.dir=blocks",
                        "-blocks-storage.tsdb.dir=tsdb", "-compactor.data-dir=compactor"]
        else:
            command += ["-server.http-listen-extra-ports=%d" % self.otlp_http,
                        "-server.grpc-listen-extra-ports=%d" % self.otlp_grpc]
        command += ["-server.http-listen-port=%d" % self.http, "-server.grpc-listen-port=%d" % self.grpc,
                    "-server.http-listen-address=127.0.0.1", "-server.grpc-listen-address=127.0.0.1", *flags]
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)

    def __enter__(self):
        until = time.monotonic() + 60
        while not self.ready():
            if time.monotonic() > until or self.process.poll() is not None:
                with open(self.log.name) as log:
                    sys.exit("norn did not get ready:\n" + log.read()[-2000:])
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ready(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/ready" % self.http, timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def value(self, query):
        """The value of the only series of an instant query, as text; the number of series where it is not one."""
        parameters = urllib.parse.urlencode({"query": query})
        request = urllib.request.Request("http://127.0.0.1:%d/prometheus/api/v1/query?%s" % (self.http, parameters),
                                         headers={"X-Scope-OrgID": TENANT[1]})
        with urllib.request.urlopen(request, timeout=30) as response:
            result = json.load(response)["data"]["result"]
        return result[0]["value"][1] if len(result) == 1 else len(result)

    def export(self, message, tenant=TENANT[1], port=None):
        """One call: the answer, or the error."""
        with grpc.insecure_channel("127.0.0.1:%d" % (port or self.grpc)) as channel:
            stub = metrics_service_pb2_grpc.MetricsServiceStub(channel)
            metadata = [("x-scope-orgid", tenant)] if tenant else []
            try:
                return stub.Export(message, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                return error


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def send(exporter, way):
    """All instruments that a program has, once."""
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
    exponential = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    resource = Resource({"service.name": "shop", "service.instance.id": way, "region": "north"})
    provider = MeterProvider([reader], resource=resource, views=[exponential], shutdown_on_exit=False)
    meter = provider.get_meter("conformance")
    meter.create_counter("orders").add(3, {"way": way})
    meter.create_up_down_counter("carts").add(-2, {"way": way})
    for name in ("duration", "exponential"):
        histogram = meter.create_histogram(name)
        for value in (0.5, 4.0, 700.0):
            histogram.record(value, {"way": way})
    sent = provider.force_flush()
    provider.shutdown()
    return sent


def check_way(report, norn, way, exporter):
    report.check(way + ": sent", send(exporter, way), True)
    for query, expected in {
        'orders{way="%s"}': "3",
        'carts{way="%s"}': "-2",
        'duration_count{way="%s"}': "3",
        'duration_sum{way="%s"}': "704.5",
        'duration_bucket{way="%s",le="5"}': "2",
        'histogram_count(exponential{way="%s"})': "3",
        'target_info{job="shop",instance="%s",region="north"}': "1",
    }.items():
        report.check("%s: %s" % (way, query), norn.value(query % way), expected)


def grpc_exporter(port, compression=None):
    return GrpcExporter(endpoint="http://127.0.0.1:%d" % port, insecure=True, headers=(TENANT,), compression=compression)


def http_exporter(port, path, compression=Compression.NoCompression):
    return HttpExporter(endpoint="http://127.0.0.1:%d%s" % (port, path), headers=dict([TENANT]), compression=compression)


def gauge(name, attribute="x", points=1):
    message = metrics_service_pb2.ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    for index in range(points):
        point = metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=1.0)
        point.attributes.add(key="key").value.string_value = attribute
        point.attributes.add(key="index").value.int_value = index
    return message


def check_refusals(report, norn):
    stored = norn.export(gauge("complete"))
    report.check("stored", isinstance(stored, grpc.RpcError) or stored.HasField("partial_success"), False)
    refused = norn.export(gauge("without_tenant"), tenant=None)
    report.check("without tenant", refused.code(), grpc.StatusCode.UNAUTHENTICATED)
    large = norn.export(gauge("large", attribute="x" * 20_000))
    report.check("too large", large.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    report.check("too large: no retry", b"RetryInfo" in details(large), False)
    fast = norn.export(gauge("fast", points=90))
    report.check("too fast", fast.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    report.check("too fast: retry", b"google.rpc.RetryInfo" in details(fast), True)
    half = gauge("half")
    half.MergeFrom(gauge("half", attribute="x" * 3000))
    partial = norn.export(half)
    report.check("stored in part", getattr(partial, "partial_success", None) and partial.partial_success.error_message != "", True)
    report.check("stored in part: the rest", norn.value("half"), "1")


def details(error):
    return dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")


def check_services(report, norn):
    with grpc.insecure_channel("127.0.0.1:%d" % norn.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        deadline = time.monotonic() + 10  # health follows readiness within a second
        while health.Check(health_pb2.HealthCheckRequest()).status != serving and time.monotonic() < deadline:
            time.sleep(0.1)
        report.check("health", health.Check(health_pb2.HealthCheckRequest()).status, serving)
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        report.check("reflection", "grpc.health.v1.Health" in services, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    arguments = parser.parse_args()
    report = Report()
    with Norn(arguments.norn, "") as norn:
        check_way(report, norn, "own-grpc", grpc_exporter(norn.otlp_grpc))
        check_way(report, norn, "own-grpc-gzip", grpc_exporter(norn.otlp_grpc, grpc.Compression.Gzip))
        check_way(report, norn, "own-http", http_exporter(norn.otlp_http, "/v1/metrics"))
        check_way(report, norn, "own-http-gzip", http_exporter(norn.http, "/otlp/v1/metrics", Compression.Gzip))
    limits = ["-distributor.max-otlp-request-size=10000", "-distributor.ingestion-rate-limit=100",
              "-distributor.ingestion-burst-size=80"]
    with Norn(arguments.norn, "mimir", *limits) as norn:
        check_way(report, norn, "mimir-grpc", grpc_exporter(norn.grpc))
        time.sleep(1)  # the burst is full again
        check_way(report, norn, "mimir-http", http_exporter(norn.http, "/otlp/v1/metrics"))
        time.sleep(1)
        check_refusals(report, norn)
        check_services(report, norn)
    print("%d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
