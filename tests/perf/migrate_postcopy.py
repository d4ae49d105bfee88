# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level's postcopy: the guest runs at the destination while most of its memory is still at the source.
How often it had to ask for a page, and for how long it waited."""
from levels import MIB
from migrate_guests import Load, learn, machine, measurement, warm_up

# pylint: disable=wrong-import-order # migrate_guests says where they are
from guest import wait_for
from migration import RATE, different_pages, event_time, linked, prepare, start, status, wait_status

NAME = "postcopy"
SIDES = ["stock", "off", "on"]
# Reads, so that RAM of both can be compared although the guest went on at the destination. The hot pages are
# at the end of memory, where the stock order comes last.
WORKING_SET = 8 * MIB
LOAD = Load(NAME, "start=96 hot=8192 hot-ms=50 read=1", 16, dram_mib=48, cold_age=8)
PRECOPY = 8 * MIB  # sent before the switch: the guest's own writes are few
CAPABILITIES = ("postcopy-ram", "postcopy-blocktime")


def blocked_ms(info):
    """By how much the vCPU was held up, in all."""
    return info.get("postcopy-vcpu-blocktime", [info.get("postcopy-blocktime")])[0]


def unexpected(source, target):
    """Pages that differ beyond those of the guest's own stack and tables, below 2 MiB, where it runs."""
    return [page for page in different_pages(source, target, LOAD.mib * MIB) if page >= 2 * MIB]


def one_run(side, _load, folder, options):
    with linked(RATE) as link, machine(side, LOAD, folder, options) as source, \
            machine(side, LOAD, folder, options, incoming=True, runs=True) as target:
        learn(source, target, side)
        options.progress("postcopy: warming up")
        warm_up(source, LOAD)
        prepare(source, target, link, CAPABILITIES, {"downtime-limit": 300})
        options.progress("postcopy: migrating")
        start(source, link)
        wait_for(lambda: source.qmp.command("query-migrate").get("ram", {}).get("transferred", 0) >= PRECOPY, 60,
                 "nothing is sent")
        source.qmp.command("migrate-start-postcopy")
        wait_status(source, "completed", 60)
        wait_for(lambda: status(target) == "completed", 60, f"the destination is not done: {target.describe()}")
        info, there = source.qmp.command("query-migrate"), target.qmp.command("query-migrate")
        target.wait_debug(r"(?m)^BEAT \d+", 60, 8)
        target.qmp.command("stop")
        different = unexpected(source, target)
        downtime_ms = (event_time(target, "RESUME") - event_time(source, "STOP")) * 1000
    ram = info["ram"]
    extra = {"ended": True, "downtime_limit": 300, "bytes": link.forward, "ram_bytes": ram["total"],
             "resent_pages": ram["normal"] + ram["duplicate"] - ram["total"] // 4096,
             "syncs": ram["dirty-sync-count"], "downtime_ms": downtime_ms,
             "remote_faults": ram.get("postcopy-requests"), "blocked_ms": blocked_ms(there),
             "different_pages": len(different)}
    return measurement(NAME, info["total-time"] / 1000, extra, not different, link.forward)
