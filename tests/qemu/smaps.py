# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says a process holds, read from outside through /proc."""
import contextlib
import os
import re
import signal
import time

HEADER = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)$")


def mappings(pid):
    """Every mapping of the process as a dict: start, end, flags, inode, name and smaps' numbers."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as lines:
        for line in lines:
            header = HEADER.match(line)
            if header:
                found.append({"start": int(header.group(1), 16), "end": int(header.group(2), 16),
                              "flags": header.group(3), "inode": int(header.group(4)),
                              "name": header.group(5)})
            elif found and line.endswith("kB\n"):
                key, value = line.split(":")
                found[-1][key] = int(value.split()[0]) * 1024
            elif found and line.startswith("VmFlags:"):
                found[-1]["watched"] = " um " in line  # registered with a userfaultfd
    return found


def clusters(pid):
    """Writable anonymous mappings; madvise splits a range in several, so those that touch are one.

    A mapping registered with a userfaultfd and one that is not never belong to one range."""
    joined = []
    for one in mappings(pid):
        if not one["flags"].startswith("rw") or one["inode"] or one["name"] == "[heap]":
            continue
        before = joined[-1] if joined else None
        if before and before["end"] == one["start"] and before["watched"] == one["watched"]:
            joined[-1]["end"] = one["end"]
            joined[-1]["anonymous"] += one["Anonymous"]
        else:
            joined.append({"start": one["start"], "end": one["end"],
                           "watched": one["watched"], "anonymous": one["Anonymous"]})
    return joined


def running_threads(pid):
    """Threads that could be changing memory: neither stopped nor blocked in the kernel."""
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii", errors="replace") as stat:
                count += stat.read().rsplit(")", 1)[1].split()[0] not in "TtDZX"
    return count


@contextlib.contextmanager
def frozen(pid):
    """Stops the process for a moment: a page that moves while smaps is read counts twice."""
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 0.2
        while running_threads(pid) and time.monotonic() < deadline:
            time.sleep(0.0005)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def guest_dram(pid, sizes):
    """Bytes of DRAM in guest RAM and its shadow: all mappings as large as one of the backends."""
    smallest = min(sizes)
    with frozen(pid):
        found = clusters(pid)
    return sum(one["anonymous"] for one in found if one["end"] - one["start"] >= smallest)
