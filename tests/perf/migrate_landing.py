# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level's Linux guest: Redis under load moves to a QEMU with little DRAM. What its requests take in
the first two seconds there beside what they took before, and how many of its pages had to be fetched from a tier."""
import json
import re
import statistics
import time

from migrate_guests import binary, configure, in_dram, measurement
from levels import MIB, LevelError

# pylint: disable=wrong-import-order # migrate_guests says where they are
from guest import GUESTS, Guest, require, wait_for
from machines import TCG
from migration import RATE, different_dumps, finish, linked, prepare, start
from tier_stats import query

NAME = "redis"
SIDES = ["off", "on", "stock"]
SIZE = 384 * MIB
DRAM = 144 * MIB
DATA, HOT, PER_SECOND = 192, 16, 800
HOT_PAGES = HOT * MIB // 4096
BEATS = 8  # two seconds
# By then each hot value was asked for four times, and two in a hundred not yet: the working set is one.
STEADY = 80
BEAT = re.compile(r"^PACE (\d+) (\d+) (\d+)((?: \d+)+)\s*$", re.M)


def machine(side, folder, options, incoming=False):
    backend = {"qom-type": "memory-backend-ram", "id": "ram0", "size": SIZE}
    if side != "stock":
        backend.update({"qom-type": "memory-backend-tiered", "dram-limit": DRAM,
                        "tiers": [{"path": str(options.directory), "class": "nvme", "capacity": 2 * SIZE}]})
    arguments = ["-accel", TCG, "-smp", "1", "-m", f"size={SIZE // MIB}M", "-machine", "memory-backend=ram0",
                 "-object", json.dumps(backend), "-kernel", GUESTS / "vmlinuz",
                 "-initrd", GUESTS / "initramfs.cpio", "-no-reboot", "-append",
                 f"console=ttyS0 quiet panic=-1 tidemark.job=pace:{DATA}:{HOT}:{PER_SECOND}"]
    arguments += ["-incoming", "defer", "-S"] if incoming else []
    return Guest("target" if incoming else "source", arguments, folder, debugcon=False, binary=binary(side))


def beats(vm):
    """(answers, wrong ones, longest times) of every quarter of a second so far."""
    return [(int(answers), int(bad), [int(one) for one in worst.split()])
            for _, answers, bad, worst in BEAT.findall(vm.console_text())]


def p99(some):
    """Of all answers in these beats, in us; None if too many of them could not be told."""
    count = sum(answers for answers, _, _ in some)
    times = sorted((one for _, _, worst in some for one in worst), reverse=True)
    return times[max(1, count // 100) - 1] if count else None


def wait_beats(vm, count):
    found = wait_for(lambda: beats(vm) if len(beats(vm)) >= count or not vm.alive() else None, 180,
                     f"the load does not run: {vm.describe()}", 0.1)
    require(len(found) >= count and not any(bad for _, bad, _ in found), f"wrong answers: {vm.describe()}")
    return found


def faults_in(vm, seconds):
    """Pages fetched from a tier meanwhile."""
    before = query(vm)["counters"]["faults-stored"]
    time.sleep(seconds)
    return query(vm)["counters"]["faults-stored"] - before


def one_run(side, _load, folder, options):
    with linked(RATE) as link, machine(side, folder, options) as source, \
            machine(side, folder, options, incoming=True) as target:
        for vm in (source, target):
            configure(vm, side)
        options.progress("redis: filling")
        source.wait_console("PACE FILLED", 240)
        before = wait_beats(source, STEADY)[-STEADY // 2:]
        steady_faults = faults_in(source, 2) if side != "stock" else None
        prepare(source, target, link, parameters={"downtime-limit": 300})
        options.progress("redis: migrating")
        start(source, link)
        outcome = finish(source, target, link, 180)
        faults = query(target)["counters"] if side != "stock" else None
        pages = query(target)["pages"] if side != "stock" else None
        # By a dump, which brings no page into DRAM.
        different = different_dumps(source, target, SIZE)
        target.qmp.command("cont")
        after = wait_beats(target, BEATS + 1)[1:BEATS + 1]  # the first is of both machines
        landed = query(target)["counters"] if side != "stock" else None
        wait_beats(target, 5 * BEATS)
    windows = [p99(before[at:at + BEATS]) for at in range(len(before) - BEATS + 1)]
    steady = statistics.median(windows)
    if steady is None:
        raise LevelError("no answers before the migration")
    extra = {"steady_p99_us": steady, "landing_p99_us": p99(after), "ended": True, "downtime_limit": 300,
             "bytes": outcome.link_bytes, "resent_pages": outcome.resent_pages,
             "ram_bytes": outcome.info["ram"]["total"], "syncs": outcome.syncs, "downtime_ms": outcome.downtime_ms, "different_pages": len(different)}
    if landed:
        extra["steady_faults"] = steady_faults
        extra["demand_faults"] = landed["faults-stored"] - faults["faults-stored"]
        extra["dram_at_landing_pages"] = in_dram({"pages": pages})
    return measurement(NAME, outcome.seconds, extra, not different, outcome.link_bytes)
