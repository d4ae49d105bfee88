# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says a process holds, read from outside through /proc."""
import re

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
    return found


def clusters(pid):
    """Writable anonymous mappings; those that touch are one (madvise splits a range in several)."""
    joined = []
    for one in mappings(pid):
        if not one["flags"].startswith("rw") or one["inode"] or one["name"] == "[heap]":
            continue
        if joined and joined[-1]["end"] == one["start"]:
            joined[-1]["end"] = one["end"]
            joined[-1]["anonymous"] += one["Anonymous"]
        else:
            joined.append({"start": one["start"], "end": one["end"],
                           "anonymous": one["Anonymous"]})
    return joined


def guest_dram(pid, sizes):
    """Bytes of DRAM in guest RAM and its shadow: all mappings as large as one of the backends."""
    smallest = min(sizes)
    return sum(one["anonymous"] for one in clusters(pid) if one["end"] - one["start"] >= smallest)
