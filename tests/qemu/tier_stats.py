# SPDX-License-Identifier: GPL-2.0-or-later
"""What query-tiered-memory says of a machine, and what must always be true of it."""
from guest import MIB, PAGE, require, wait_for
from smaps import guest_dram


def slack(limit):
    """The most by which DRAM in use may ever pass the limit: 2 % or 4 MiB."""
    return max(limit // 50, 4 * MIB)


def query(vm, identity="ram0"):
    for info in vm.qmp.command("query-tiered-memory"):
        if info["id"] == identity:
            check(info)
            return info
    raise AssertionError(f"query-tiered-memory does not list {identity}")


def check(info):
    total = sum(info["pages"].values()) * PAGE
    require(total == info["size"],
            f"{info['id']}: pages by state add up to {total} bytes of {info['size']}")
    require(info["dram-slack"] <= slack(info["dram-limit"]),
            f"{info['id']}: states a slack of {info['dram-slack']} bytes")
    # Beside the tables, the queue of what is ordered: 8 bytes a page at most. 19 is usual; what is taken back from
    # probation leaves 8 bytes in its queue until those before it have been written, which shows where a guest thrashes.
    queued = info["prefetch-queued"] * 8
    per_page = (info["metadata-bytes"] - queued) * PAGE / info["size"]
    require(per_page <= 28, f"{info['id']}: {per_page:.1f} bytes of metadata per page")


def require_evicted(vm, mib, identity="ram0"):
    """The test would prove nothing if memory had not really left DRAM and come back."""
    counters = query(vm, identity)["counters"]
    require(counters["evicted-pages"] * PAGE >= mib * MIB,
            f"only {counters['evicted-pages']} pages were evicted, wanted {mib} MiB")
    require(counters["faults-stored"] > 0, f"nothing was read back from a tier: {counters}")


def require_healthy(info):
    for tier in info["tiers"]:
        for name in ("read-errors", "write-errors", "checksum-errors"):
            require(tier[name] == 0, f"{info['id']}: tier {tier['class']} counts {name}")
    require(info["pages"]["held"] == 0 and info["pages"]["poisoned"] == 0,
            f"{info['id']}: held or poisoned pages: {info['pages']}")


def require_large_qlc_writes(info):
    """QLC flash is written in pieces of 256 KiB or more only."""
    for tier in info["tiers"]:
        small = [one for one in tier["write-sizes"] if one["below"] <= 256 * 1024]
        require(tier["class"] != "qlc" or not small, f"small writes to QLC: {small}")


def configure(vm, **settings):
    vm.qmp.command("tiered-memory-configure", **settings)


def dram_sampler(vm, sizes):
    """A function that returns the bytes of DRAM the kernel says guest memory has now."""
    return lambda: guest_dram(vm.pid, sizes)


def require_never_above(watcher, limit, since=0.0):
    values = [value for when, value in watcher.values if when >= since]
    require(len(values) >= 3, f"only {len(values)} samples of DRAM use")
    most = max(values)
    require(most <= limit + slack(limit),
            f"DRAM use reached {most / MIB:.1f} MiB with a limit of {limit / MIB:.0f} MiB")


def wait_dram_below(vm, sizes, limit, timeout):
    sample = dram_sampler(vm, sizes)  # not too often: it freezes the machine for a moment
    wait_for(lambda: sample() <= limit + slack(limit), timeout,
             f"DRAM use did not come down to {limit / MIB:.0f} MiB", 0.3)
