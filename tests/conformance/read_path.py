#!/usr/bin/env python3
"""Recorded answers stay the same whatever the read path does: results from the cache, ranges in parts, series in shards.

    read_path.py --norn BINARY --golden FOLDER [--expect-failures FILE] [--only GLOB]

FOLDER holds check.py and serve.py with the recorded answers. For each row of WAYS a norn is started with its flags and
loaded, and all cases are run twice, each time with the row's header. Then what the answers took, which norn tells in
Server-Timing, has to show that the way was taken.

The last line is "N passed, N failed" over all ways; the exit status is 0 if none failed. Python's standard library only.
"""
import argparse
import contextlib
import io
import os
import re
import subprocess
import sys

CACHE = ["-query-frontend.cache-results=true", "-query-frontend.results-cache.backend=inmemory",
         "-query-frontend.cache-unaligned-requests=true"]
SPLIT = ["-query-frontend.split-queries-by-interval=10m"]
SHARD = ["-query-frontend.parallelize-shardable-queries=true"]

# The name of a way, its flags, the header of each request, and what its answers have to have taken.
WAYS = [
    ("cached", CACHE, {}, ["results_cache_hit_bytes"]),
    ("cached and split", CACHE + SPLIT, {}, ["results_cache_hit_bytes", "split_queries"]),
    ("sharded", SHARD, {"Sharding-Control": "16"}, ["sharded_queries"]),
    ("everything", CACHE + SPLIT + SHARD, {"Sharding-Control": "16"}, ["results_cache_hit_bytes", "sharded_queries"]),
    ("not stored", CACHE, {"Cache-Control": "no-store"}, []),
]


def serve(arguments, flags):
    """A loaded norn: the process of serve.py, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-B", os.path.join(arguments.golden, "serve.py"), "--signal", "metrics", "--wait", "--",
         os.path.abspath(arguments.norn), "mimir", *flags], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        found = re.match(r"(http://\S+) \(pid \d+\)", line)
        if found:
            return process, found.group(1)
    sys.exit("norn did not load the recorded data")


def run(check, arguments, base):
    """All cases once: what check.py printed, and its counts."""
    command = ["check.py", "run", "--signal", "metrics", "--base", base, "--dir", os.path.join(arguments.golden, "metrics")]
    if arguments.expect_failures:
        command += ["--expect-failures", arguments.expect_failures]
    for glob in arguments.only or []:
        command += ["--only", glob]
    printed = io.StringIO()
    sys.argv = command
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        check.main()
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", printed.getvalue(), re.M)
    return printed.getvalue(), [int(count) for count in counts[-1]]


def watched(check, headers, took):
    """Sends each request with the headers, and adds up what its answer took."""
    original = check.Client.send

    def send(client, request):
        asks = {"X-Mimir-Response-Query-Stats": "true", **headers, **(request.get("headers") or {})}
        status, answered, body = original(client, {**request, "headers": asks})
        for name, value in re.findall(r"(\w+);val=(\d+)", answered.get("server-timing", "")):
            took[name] = took.get(name, 0) + int(value)
        return status, answered, body

    check.Client.send = send
    return original


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--expect-failures")
    parser.add_argument("--only", action="append")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.golden)
    sys.dont_write_bytecode = True
    import check

    passed = failed = 0
    for way, flags, headers, expected in WAYS:
        took = {}
        process, base = serve(arguments, flags)
        original = watched(check, headers, took)
        try:
            for turn in ("first", "second"):
                printed, counts = run(check, arguments, base)
                passed, failed = passed + counts[0], failed + counts[1]
                print("%s, %s run: %d passed, %d failed" % (way, turn, *counts), flush=True)
                if counts[1]:
                    print("\n".join(line for line in printed.splitlines() if line.startswith("FAIL")), flush=True)
        finally:
            check.Client.send = original
            process.terminate()
            process.wait(60)
        for name in expected:
            if not took.get(name):
                failed += 1
                print("FAILED %s: no answer took %s" % (way, name))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
