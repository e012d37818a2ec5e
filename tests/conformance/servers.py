"""Starts servers in a temporary folder, asks them queries, and compares their answers. Python's standard library only.

Answers of Prometheus 2 are compared with norn's at instants off the grid of samples: its ranges are closed on both sides.
"""
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

TOLERANCE = 1e-9


class Servers:
    """Processes that end with the block of code that they belong to, and their folder with them."""

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix="norn-%s-" % name)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process in self.processes:
            self.stop(process)
        self.log.close()
        if kind is not None:
            with open(os.path.join(self.folder, "log"), errors="replace") as log:
                sys.stderr.write("".join(log.readlines()[-40:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def start(self, *command, **options):
        process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log, **options)
        self.processes.append(process)
        return process

    def norn(self, binary, *arguments, **options):
        """Starts norn; returns the process and its base URL once it is ready."""
        port = free_port()
        process = self.start(os.path.abspath(binary), "-server.http-listen-address=127.0.0.1",
                             "-server.http-listen-port=%d" % port, "-server.grpc-listen-port=%d" % free_port(),
                             "-server.http-listen-extra-ports=", "-server.grpc-listen-extra-ports=", *arguments, **options)
        base = "http://127.0.0.1:%d" % port
        wait_for("norn", lambda: ready(base, "/ready"), process)
        return process, base

    def prometheus(self, binary, config, storage, *arguments, port=None):
        """Starts a Prometheus over a folder; returns its base URL once it is ready."""
        port = port or free_port()
        process = self.start(shutil.which(binary), "--config.file=" + config, "--storage.tsdb.path=" + storage,
                             "--web.listen-address=127.0.0.1:%d" % port, *arguments)
        base = "http://127.0.0.1:%d" % port
        wait_for("Prometheus", lambda: ready(base, "/-/ready"), process)
        return base

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            sys.exit("%s is missing" % tool)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(base, path, headers=None, **parameters):
    """The JSON of an answer, also of one that is an error."""
    request = urllib.request.Request(base + path + "?" + urllib.parse.urlencode(parameters), headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def ready(base, path):
    try:
        with urllib.request.urlopen(base + path, timeout=5) as response:
            return response.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def wait_for(what, test, process=None, patience=60):
    until = time.monotonic() + patience
    while not test():
        if process is not None and process.poll() is not None:
            raise RuntimeError("%s ended with %s" % (what, process.returncode))
        if time.monotonic() > until:
            raise RuntimeError("%s did not get ready" % what)
        time.sleep(0.2)


def number(text):
    return float(text.replace("+Inf", "inf"))


def close(left, right):
    left, right = number(left), number(right)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or abs(left - right) <= TOLERANCE * max(abs(left), abs(right))


def points(data):
    if data["resultType"] in ("scalar", "string"):
        return {"": [data["result"]]}
    found = {}
    for series in data["result"]:
        key = json.dumps(series["metric"], sort_keys=True)
        found[key] = series.get("values") or [series.get("value") or series.get("histogram")]
    return found


def difference(expected, got):
    """A sentence, or None where the answers are alike."""
    if expected.get("status") != got.get("status"):
        return "status %s, expected %s: %s" % (got.get("status"), expected.get("status"), got.get("error"))
    if expected["status"] != "success":
        return None
    want, have = points(expected["data"]), points(got["data"])
    if set(want) != set(have):
        return "series differ: missing %s, unexpected %s" % (
            sorted(set(want) - set(have))[:3], sorted(set(have) - set(want))[:3])
    for key, values in want.items():
        others = have[key]
        if [v[0] for v in values] != [v[0] for v in others]:
            return "%s: times differ: %s, expected %s" % (key, others[:3], values[:3])
        for value, other in zip(values, others):
            if not close(value[1], other[1]):
                return "%s at %s: %s, expected %s" % (key, value[0], other[1], value[1])
    return None


def is_empty(answer):
    return answer.get("status") == "success" and not points(answer["data"])


def compare(queries, questions, expected_of, got_of):
    """Asks both servers each query in each way, prints what differs and the counts; returns the exit status.

    - questions: pairs of a path and its parameters beside the query
    - a query to which both have an empty answer at all questions compares nothing, and counts as failed
    """
    passed = failed = 0
    for query in queries:
        empty = True
        for path, parameters in questions:
            expected = expected_of(path, query=query, **parameters)
            empty = empty and is_empty(expected)
            problem = difference(expected, got_of(path, query=query, **parameters))
            if problem is None:
                passed += 1
            else:
                failed += 1
                print("FAILED %s %s: %s" % (path, query, problem))
        if empty:
            failed += 1
            print("FAILED %s: all answers are empty, which compares nothing" % query)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0
