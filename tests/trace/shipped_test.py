#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays the shipped traces: shipped_test.py TRACE_REPLAY TRACE... What must hold for any trace is checked."""
import json
import os
import subprocess
import sys
import tempfile

SHARES = [10, 25, 50, 75]
BYTES_MOST = 500_000


def replay(tool, *arguments):
    run = subprocess.run([tool, *arguments], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{tool} failed: {run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def check(condition, sentence):
    if not condition:
        sys.exit(sentence)


def check_trace(name, rows):
    by_policy = {}
    for row in rows:
        by_policy.setdefault(row["policy"], {})[row["dram-percent"]] = row
    check({"Belady", "exact LRU", "exact LFU", "exact FIFO", "engine lru", "engine lfu", "engine fifo",
           "lru +streams +successors"} <= set(by_policy), f"{name}: a policy is missing")
    optimum = by_policy["Belady"]
    check(optimum[10]["refaults"] > 1000, f"{name}: too few refaults to compare policies by")
    for policy, at in by_policy.items():
        check(sorted(at) == SHARES, f"{name}: {policy} was not replayed with all sizes of DRAM")
        for share, row in at.items():
            where = f"{name}, {policy}, {share} %"
            check(row["accesses"] == optimum[share]["accesses"], f"{where}: accesses were lost")
            check(row["first-touches"] + row["refaults"] + row["staged"] <= row["accesses"],
                  f"{where}: more faults than accesses")
            check(row["wasted"] <= row["brought"], f"{where}: more wasted than brought in")
            if row["brought"] == 0:
                check(row["refaults"] >= optimum[share]["refaults"], f"{where}: better than the optimum")
    for size, larger in zip(SHARES, SHARES[1:]):
        for policy in ("Belady", "exact LRU"):
            check(by_policy[policy][size]["refaults"] >= by_policy[policy][larger]["refaults"],
                  f"{name}: {policy} does worse with more DRAM")


def check_refusals(tool, trace):
    """Damaged files, through the program."""
    with open(trace, "rb") as file:
        whole = file.read()
    damaged = {"truncated": whole[:len(whole) // 2],
               "flipped": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
               "version": whole[:8] + b"\7" + whole[9:],
               "empty": b""}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in damaged.items():
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(data)
            run = subprocess.run([tool, path], capture_output=True, text=True)
            check(run.returncode == 1 and "no usable page trace" in run.stderr and path in run.stderr,
                  f"a trace that is {name} was not refused with a sentence: {run.stderr}")


def main():
    tool, traces = sys.argv[1], sys.argv[2:]
    for trace in traces:
        check(os.path.getsize(trace) <= BYTES_MOST, f"{trace} has more than {BYTES_MOST} bytes")
    rows = replay(tool, "--json", "--no-search", *traces)
    names = sorted({row["trace"] for row in rows})
    check(len(names) == len(traces), f"{len(traces)} traces were given, replayed were {names}")
    for name in names:
        check_trace(name, [row for row in rows if row["trace"] == name])
    check_refusals(tool, traces[0])
    print(f"{', '.join(names)}: {len(rows)} replays")


main()
