#!/usr/bin/env python3
"""A million series, and a query that asks for all of them, in a process that may take one gibibyte.

    memory.py --norn BINARY --load BINARY [--series 1000000] [--samples 5] [--limit-mib 1024]

Puts norn into a control group with that limit (which needs root), loads the series with the load generator, and asks for
all of them: as a range query, as a count, and with another query beside. Each has to be answered or refused with a
reason; a process that the kernel kills fails. Prints the peak memory after each step.

The last line is "N passed, N failed"; the exit status is 0 if none failed. Python's standard library only.
"""
import argparse
import json
import os
import subprocess
import sys
import time

from servers import Servers, ask, need, ready

VERSION_1 = "/sys/fs/cgroup/memory"
VERSION_2 = "/sys/fs/cgroup"


class Group:
    """A control group of either version; empty by the time it is removed."""

    def __init__(self, limit_bytes):
        version_1 = os.path.exists(os.path.join(VERSION_1, "memory.limit_in_bytes"))
        self.path = os.path.join(VERSION_1 if version_1 else VERSION_2, "norn-memory-%d" % os.getpid())
        self.limit_file = "memory.limit_in_bytes" if version_1 else "memory.max"
        self.peak_file = "memory.max_usage_in_bytes" if version_1 else "memory.peak"
        os.mkdir(self.path)
        self.write(self.limit_file, str(limit_bytes))

    def write(self, name, text):
        with open(os.path.join(self.path, name), "w") as out:
            out.write(text)

    def join(self):
        self.write("cgroup.procs", str(os.getpid()))

    def remove(self):
        os.rmdir(self.path)


def memory_mib(process, name):
    with open("/proc/%d/status" % process.pid) as status:
        for line in status:
            if line.startswith(name):
                return int(line.split()[1]) // 1024
    return 0


def say(what, process):
    alive = process.poll() is None
    figures = "peak %d MiB, now %d MiB" % (memory_mib(process, "VmHWM"), memory_mib(process, "VmRSS")) if alive else "killed"
    print("%s: %s" % (what, figures), flush=True)
    return alive


def outcome(answer):
    """What a client gets, in a few words; None where it is neither an answer nor a refusal with its reason."""
    if answer.get("status") == "success":
        return "answered, %d series" % len(answer["data"]["result"])
    return "refused: " + answer["error"][:300] if answer.get("error") else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--series", type=int, default=1000000)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--limit-mib", type=int, default=1024)
    arguments = parser.parse_args()
    need(arguments.norn, arguments.load)

    group = Group(arguments.limit_mib << 20)
    passed = failed = 0
    try:
        with Servers("memory") as servers:
            flags = ["-auth.multitenancy-enabled=false", "-querier.query-ingesters-within=0s"]
            process, norn = servers.norn(arguments.norn, *flags, preexec_fn=group.join)
            begun = time.monotonic()
            command = [os.path.abspath(arguments.load), "metrics", "--series", str(arguments.series),
                       "--samples", str(arguments.samples), "--url", norn + "/api/v1/push"]
            loaded = subprocess.run(command, capture_output=True, text=True)
            print(loaded.stdout.strip() or loaded.stderr.strip()[-500:])
            print("loaded in %.0f s" % (time.monotonic() - begun))
            if not say("after the load", process):
                print("0 passed, 1 failed")
                return 1
            newest = ask(norn + "/prometheus", "/api/v1/labels")
            print("labels: %s" % json.dumps(newest)[:200])
            now = time.time()
            questions = [
                ("all series, instant", "/api/v1/query", {"query": "{__name__=~\".+\"}", "time": now}),
                ("all series, range", "/api/v1/query_range",
                 {"query": "{__name__=~\".+\"}", "start": now - 3600, "end": now, "step": 15}),
                ("count, range", "/api/v1/query_range",
                 {"query": "count({__name__=~\".+\"})", "start": now - 3600, "end": now, "step": 60}),
                ("rates, range", "/api/v1/query_range",
                 {"query": "rate({__name__=~\".+\"}[5m])", "start": now - 3600, "end": now, "step": 15}),
                ("a small one", "/api/v1/query", {"query": "count(up) or vector(1)", "time": now}),
            ]
            for name, path, parameters in questions:
                try:
                    told = outcome(ask(norn + "/prometheus", path, **parameters))
                except (OSError, ValueError) as error:
                    told = None
                    print("%s: no answer: %s" % (name, error))
                if told:
                    passed += 1
                    print("%s: %s" % (name, told))
                else:
                    failed += 1
                if not say("after it", process):
                    failed += 1
                    break
            if process.poll() is None and not ready(norn, "/ready"):
                failed += 1
                print("norn is not ready any more")
            with open(os.path.join(group.path, group.peak_file)) as peak:
                print("peak of the group, with pages of files: %d MiB" % (int(peak.read()) >> 20))
    finally:
        group.remove()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
