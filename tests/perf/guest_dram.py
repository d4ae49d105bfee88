# SPDX-License-Identifier: GPL-2.0-or-later
"""How much DRAM a guest gets, so that all sides have the same.

"50 percent" means: of the guest program's footprint, half fits in DRAM. The guest's own kernel and
the program's tables need DRAM as well, and keep it, because they are in use all the time; so

    DRAM for guest RAM  D = percent * footprint + hot

where hot is what the guest touches besides the footprint: for Linux measured in a run without any
limit, as the guest RAM that is marked referenced (after /proc/PID/clear_refs) while a program works
on a few MiB, minus these; plus the program's version table and the page tables of the footprint.
What else the kernel once touched (it was unpacked, it probed devices) is cold and may leave DRAM.

Tidemark gets dram-limit=D for guest RAM. The others run in a memory cgroup, which charges all of
QEMU. They get D + overhead + engine: overhead is what such a group is charged besides guest RAM
once the whole footprint has been touched, page tables included, measured in the same run without a
limit; engine is what Tidemark may use besides D: its tables, the slack of its limit, its buffers.

Some tens of MiB of QEMU's own memory are cold once a guest has booted: the kernel image it keeps for
a reboot, translations of boot code. With a limit on all of QEMU, swap would push them out, and guest
RAM would get their place: then not the fault paths would be compared but hit rates, and the smaller
the footprint, the more so. So this memory is paged out on every side, before the first workload
and before overhead is measured. Each measurement tells what QEMU was charged in all, so whether the
sides had the same can be seen."""
import os
import time

from cgroup import MemoryCgroup
from guest_aging import LIBC, advise
from guest_machine import MIB, PerfGuest, job_words, memory_object, ram_size
from levels import UNLIMITED, dram_bytes
from smaps import mappings
from swapfile import SwapFile

PR_SET_THP_DISABLE = 41
MADV_PAGEOUT = 21
COLD_SWAP = 256 * MIB  # room for QEMU's own memory
HOT_MIB = 4
SETTLE = 0.5       # seconds between go and the clearing of the referenced marks
HOT_MS = 2000      # how long the program then works on its few MiB

_measured = {}


def without_huge_pages():
    """Referenced marks are per huge page otherwise, and page tables smaller than under a limit."""
    LIBC.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def page_out_own_memory(guest):
    """Pages out QEMU's own anonymous memory; what is in use comes back at once. Guest RAM stays,
    and so does the engine's shadow of it (it is as large), and what the kernel refuses."""
    descriptor = os.pidfd_open(guest.pid)
    try:
        for one in mappings(guest.pid):
            inside = guest.ram_at <= one["start"] < guest.ram_at + guest.size
            if inside or not one["Anonymous"] or one["end"] - one["start"] >= guest.size // 2:
                continue
            advise(descriptor, one["start"], one["end"] - one["start"], MADV_PAGEOUT)
    finally:
        os.close(descriptor)


def parts(group):
    """What a group is charged with, without what was paged out and is cached still: the memory of
    its processes, page cache and how much of that is mapped, the kernel's (page tables, stacks)."""
    stat = group.stat()
    if group.version == 1:
        kernel = int((group.folder / "memory.kmem.usage_in_bytes").read_text())
        return stat["rss"], stat["cache"], stat["mapped_file"], kernel
    return stat["anon"], stat["file"], stat["file_mapped"], stat["kernel"]


def in_use(group):
    anonymous, cache, _, kernel = parts(group)
    return anonymous + cache + kernel


def overhead_now(group, guest):
    anonymous, _, mapped, kernel = parts(group)
    return anonymous + mapped + kernel - guest.ram_mappings("Rss")["Rss"]


def measure_needs(accel, footprint, directory, logs):
    """A run without a limit: what is hot besides the footprint, and what QEMU needs."""
    size = ram_size(accel, footprint)
    linux = accel == "tcg"
    job = job_words({"mib": footprint // MIB, "list": "fill+hot", "hot": HOT_MIB,
                     "hot-ops": 1 << 40, "cap-ms": HOT_MS, "wait": 1, "hold": 1})
    with SwapFile(directory, COLD_SWAP), MemoryCgroup("guest-needs") as group:
        def before_exec():
            group.join()
            without_huge_pages()

        with PerfGuest(accel, memory_object("ram", size, size, directory), size,
                       logs / f"{accel}-needs", before_exec, job) as guest:
            guest.boot()
            info = guest.start(job)
            guest.wait_ready()
            guest.go()
            guest.result()
            page_out_own_memory(guest)
            hot = info["own_bytes"]
            referenced = work_on_little(guest)
            if linux:  # KVM has marks of its own; but its guest has nothing besides the program
                hot += info["pages"] * 8 + max(0, referenced - HOT_MIB * MIB)
            overhead = overhead_now(group, guest)
    return {"ram_bytes": size, "footprint_bytes": footprint, "guest_hot_bytes": hot,
            "overhead_bytes": overhead}


def work_on_little(guest):
    """Lets the program work on its few MiB for a while; returns the guest RAM that was used."""
    guest.wait_ready()
    guest.go()
    time.sleep(SETTLE)
    with open(f"/proc/{guest.pid}/clear_refs", "w", encoding="ascii") as clear:
        clear.write("1\n")
    guest.result()
    return guest.ram_mappings("Referenced")["Referenced"]


def measure_engine(accel, size, dram, directory, logs):
    """What Tidemark may use besides D: its tables and the slack of its limit, as it says itself, and
    what QEMU is charged more with it than without, before anything runs: threads, buffers."""
    charged = []
    for side in ("tidemark", "ram"):
        with MemoryCgroup("guest-engine") as group, \
                PerfGuest(accel, memory_object(side, size, dram, directory), size,
                          logs / f"{accel}-engine", group.join, extra=["-S"]) as guest:
            if side == "tidemark":
                info = guest.tiered()
            anonymous, _, _, kernel = parts(group)  # who reads a file first is charged for it
            charged.append(anonymous + kernel)
    return info["metadata-bytes"] + info["dram-slack"] + max(0, charged[0] - charged[1])


def shares(accel, footprint, percent, directory, logs):
    """The figures of one side's DRAM; the limits are None when everything fits."""
    key = (accel, footprint)
    if key not in _measured:
        _measured[key] = measure_needs(accel, footprint, directory, logs)
    facts = dict(_measured[key])
    if percent >= UNLIMITED:
        return {**facts, "dram_bytes": None, "cgroup_limit_bytes": None}
    dram = dram_bytes(footprint, percent) + facts["guest_hot_bytes"]
    dram = (dram + MIB - 1) // MIB * MIB
    key = (accel, footprint, dram)
    if key not in _measured:
        _measured[key] = measure_engine(accel, facts["ram_bytes"], dram, directory, logs)
    engine = _measured[key]
    return {**facts, "dram_bytes": dram, "engine_bytes": engine,
            "cgroup_limit_bytes": dram + facts["overhead_bytes"] + engine}
