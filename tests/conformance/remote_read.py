#!/usr/bin/env python3
"""A real Prometheus that stores nothing reads from norn, and answers like norn itself.

    remote_read.py --norn BINARY [--prometheus BINARY]

Starts norn and a Prometheus on free ports of the loopback interface, in a temporary folder. norn gets half an hour of
samples; the Prometheus has no targets and reads everything from norn. Each query of QUERIES goes to both. Debian's
Prometheus asks for whole samples only, and knows no native histograms there, so the streamed answers are read and decoded
here: frames, their checksums, and chunks.

The last line is "N passed, N failed" of the queries; the exit status is 0 if nothing failed. Python's standard library only.
"""
import argparse
import functools
import json
import struct
import sys
import time
import urllib.request

from servers import Servers, ask, compare, need

STEP = 15
SAMPLES = 120  # half an hour

QUERIES = [
    "requests",
    "count(requests)",
    "sum by (zone) (requests)",
    "sum by (zone) (rate(requests[5m]))",
    "requests{zone=\"a\"}",
    "requests{zone=~\"a|b\",pod!=\"1\"}",
    "requests{zone!~\"a.*\"}",
    "{__name__=~\"requ.*\"}",
    "max_over_time(requests[2m])",
    "requests offset 5m",
    "topk(3, requests)",
    "requests{zone=\"nowhere\"} or sum(requests)",
]


def value(series, index):
    return series * 1000 + index * (1.25 + series)


def load(norn, start):
    lines = []
    for series in range(12):
        for index in range(SAMPLES):
            lines.append("requests,zone=%s,pod=%d value=%r %d" % (
                "abc"[series % 3], series, value(series, index), (start + index * STEP) * 10**9))
    post(norn + "/api/v1/push/influx/write", "\n".join(lines).encode(), {})


def post(url, body, headers):
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=60) as response:
        return response.headers, response.read()


# ---------------------------------------------------------------- the streamed form


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def literal_snappy(body):
    """A snappy block that says all of it literally."""
    out = varint(len(body))
    for at in range(0, len(body), 60):
        part = body[at:at + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


def read_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return number, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            number, at = read_varint(data, at)
            yield key >> 3, number
        else:
            length, at = read_varint(data, at)
            yield key >> 3, data[at:at + length]
            at += length


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Bits:
    def __init__(self, data):
        self.number, self.left = int.from_bytes(data, "big"), len(data) * 8

    def take(self, count):
        self.left -= count
        return self.number >> self.left & ((1 << count) - 1)

    def ones(self, most):
        count = 0
        while count < most and self.take(1):
            count += 1
        return count


def signed(number, bits):
    return number - (1 << bits) if number > 1 << (bits - 1) else number


def zigzag(number):
    return number >> 1 ^ -(number & 1)


def xor_samples(data):
    """The samples of an XOR chunk; Prometheus, tsdb/docs/format/chunks.md."""
    count, at = struct.unpack(">H", data[:2])[0], 2
    first, at = read_varint(data, at)
    moment = zigzag(first)
    raw = struct.unpack(">Q", data[at:at + 8])[0]
    samples = [(moment, raw)]
    bits = Bits(data[at + 8:])
    leading = trailing = delta = 0
    for index in range(1, count):
        if index == 1:
            delta = shift = 0
            while True:
                byte = bits.take(8)
                delta |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
        else:
            size = (0, 14, 17, 20, 64)[bits.ones(4)]
            delta += signed(bits.take(size), size) if size else 0
        moment += delta
        if bits.take(1):
            if bits.take(1):
                leading, length = bits.take(5), bits.take(6) or 64
                trailing = 64 - leading - length
            raw ^= bits.take(64 - leading - trailing) << trailing
        samples.append((moment, raw))
    return [(moment, struct.unpack(">d", struct.pack(">Q", raw))[0]) for moment, raw in samples]


def read_streamed(norn, start, end):
    """The series that the streamed form has, and the content type."""
    matcher = field(1, 0) + field(2, b"__name__") + field(3, b"requests")
    query = field(1, start * 1000) + field(2, end * 1000) + field(3, matcher)
    request = literal_snappy(field(1, query) + field(2, 1))
    headers, body = post(norn + "/prometheus/api/v1/read", request, {"Content-Type": "application/x-protobuf"})
    found, at = {}, 0
    while at < len(body):
        length, at = read_varint(body, at)
        checksum, message = struct.unpack(">I", body[at:at + 4])[0], body[at + 4:at + 4 + length]
        at += 4 + length
        if crc32c(message) != checksum:
            return "checksum of a frame is wrong", None
        for series in (payload for number, payload in fields(message) if number == 1):
            labels = {}
            samples = []
            for number, payload in fields(series):
                if number == 1:
                    pair = dict(fields(payload))
                    labels[pair[1].decode()] = pair[2].decode()
                elif number == 2:
                    samples += xor_samples(dict(fields(payload))[4])
            found.setdefault(json.dumps(labels, sort_keys=True), []).extend(samples)
    return found, headers["Content-Type"]


def streamed_problem(norn, start):
    end = start + (SAMPLES - 1) * STEP
    found, content_type = read_streamed(norn, start, end)
    if content_type != "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse":
        return "%s, %s" % (found, content_type)
    expected = {}
    for series in range(12):
        labels = {"__name__": "requests", "__proxy_source__": "influx", "zone": "abc"[series % 3], "pod": str(series)}
        samples = [((start + index * STEP) * 1000, value(series, index)) for index in range(SAMPLES)]
        expected[json.dumps(labels, sort_keys=True)] = samples
    return None if found == expected else "streamed samples differ: %s" % str(found)[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--prometheus", default="prometheus")
    arguments = parser.parse_args()
    need(arguments.norn, arguments.prometheus)
    with Servers("remote-read") as servers:
        _, norn = servers.norn(arguments.norn)
        config = servers.path("prometheus.yml")
        with open(config, "w") as out:
            out.write("remote_read: [{url: %s/prometheus/api/v1/read, read_recent: true}]\n" % norn)
        prometheus = servers.prometheus(arguments.prometheus, config, servers.path("prometheus"),
                                        "--enable-feature=native-histograms")
        start = int(time.time()) // STEP * STEP - SAMPLES * STEP
        load(norn, start)
        problem = streamed_problem(norn, start)
        if problem:
            print("FAILED streamed: %s" % problem)
        # Off the grid: no sample lies on the edge of a range, which Prometheus 2 counts in.
        at = start + (SAMPLES - 10) * STEP + 1.234
        questions = [("/api/v1/query", {"time": at}),
                     ("/api/v1/query_range", {"start": at - 600, "end": at, "step": 60})]
        differs = compare(QUERIES, questions, functools.partial(ask, norn + "/prometheus"), functools.partial(ask, prometheus))
        return 1 if problem or differs else 0


if __name__ == "__main__":
    sys.exit(main())
