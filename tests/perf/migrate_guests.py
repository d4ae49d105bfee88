# SPDX-License-Identifier: GPL-2.0-or-later
"""What the migrate level migrates: the paced guests, on which QEMU, with which settings."""
import dataclasses
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "qemu"))

# pylint: disable=wrong-import-position # they live with the tests of QEMU
from guest import BUILD, qemu_binary  # noqa: E402
from levels import MIB, LevelError  # noqa: E402
from machines import baremetal  # noqa: E402
from qmp import QmpError  # noqa: E402

SIDES = ["stock", "off", "observe", "on"]
SETTINGS = {"observe": {"learn": True, "predictor": "observe"}, "on": {"learn": True, "predictor": "on"}}
BEATS_PER_SECOND = 4
BEAT = re.compile(r"(?m)^BEAT \d+ (\d+) (\d+) \d+$")


@dataclasses.dataclass(frozen=True)
class Load:
    """One workload of the level."""
    name: str
    job: str              # the paced guest's words
    warm_seconds: int     # of its life before the migration: a learner has seen so much
    downtime_ms: int = 300
    cap_seconds: int = 60  # a migration that still goes on then is given up
    mib: int = 128
    dram_mib: int = 0     # of a tiered source; the stock side has plain RAM
    cold_age: int = 120   # seconds, of a tiered source: less, so that a short life tells as much as a long one


SWEEP = "hot=1024 hot-ms=10 sweep=32768 sweep-ms=5100"
LOADS = {load.name: load for load in (
    Load("sweep-hot", SWEEP, 12, downtime_ms=100),
    Load("random", SWEEP + " random=1", 12, downtime_ms=100),
    Load("idle", "", 2),
    Load("read-only", "hot=8192 hot-ms=10 read=1", 2),
    Load("hot-8m", "hot=8192 hot-ms=10", 5, downtime_ms=100, cap_seconds=20),
    Load("silent", "hot=8192 hot-ms=10 silent=1", 5, downtime_ms=100, cap_seconds=20),
    Load("cold-75", "hot=1024 hot-ms=10 sweep=16384 sweep-ms=5100", 12, mib=256, dram_mib=64),
)}


def binary(side):
    path = BUILD / "qemu/qemu-system-x86_64-stock" if side == "stock" else qemu_binary()
    if not path.exists():
        raise LevelError(f"{path} is missing: scripts/qemu build{' --stock' if side == 'stock' else ''} makes it")
    return path


def memory(side, load, tiers):
    size = load.mib * MIB
    plain = {"qom-type": "memory-backend-ram", "id": "ram0", "size": size}
    tiered = {**plain, "qom-type": "memory-backend-tiered", "dram-limit": load.dram_mib * MIB,
              "cold-age": load.cold_age, "tiers": [{"path": str(tiers), "class": "nvme", "capacity": 2 * size}]}
    backend = tiered if load.dram_mib and side != "stock" else plain
    return ["-m", f"size={load.mib}M", "-machine", "memory-backend=ram0", "-object", json.dumps(backend)]


def in_dram(info):
    return sum(info["pages"][state] for state in ("resident", "staged", "arrived", "in-transit"))


def machine(side, load, folder, options, incoming=False, runs=False):
    """A paced guest, or the place for one to arrive, where it is paused unless it is to go on."""
    job = f"mib={load.mib} seed={options.seed + options.round} {load.job}".strip()
    return baremetal(folder, job, memory(side, load, options.directory), name="target" if incoming else "source",
                     incoming=incoming and not runs, extra=("-incoming", "defer") if incoming and runs else (),
                     image="paced.elf", binary=binary(side))


def configure(vm, side, **more):
    """The side's settings, on a QEMU that has them."""
    settings = {**SETTINGS.get(side, {}), **more}
    if not settings:
        return
    try:
        vm.qmp.command("tiered-migration-configure", arguments=settings)
    except QmpError as refusal:
        raise LevelError(f"{side}: {refusal}") from None


def learn(source, target, side):
    """The side's settings on both, once the source has filled its memory: most guests were booted long ago."""
    source.wait_debug(r"(?m)^READY$", 120)
    configure(source, side)
    configure(target, side)


def last_beat(vm):
    """(rounds of the hot pages, pages swept) so far."""
    return tuple(int(one) for one in BEAT.findall(vm.debug_text())[-1])


def warm_up(vm, load):
    """Until the guest has gone about its work for as long as is wanted. How much of its work it did, which is less
    than 1 on a machine that has no CPU for it; None if it has none to do."""
    vm.wait_debug(BEAT.pattern, 120)
    began, before = time.monotonic(), last_beat(vm)
    vm.wait_debug(BEAT.pattern, 120, max(2, load.warm_seconds * BEATS_PER_SECOND))
    seconds, after = time.monotonic() - began, last_beat(vm)
    words = dict(word.split("=") for word in load.job.split())
    turns = seconds * 1000 / int(words.get("hot-ms", 10))
    return round((after[0] - before[0]) / turns, 3) if "hot" in words else None


def measurement(workload, seconds, extra, verified=True, link_bytes=0, cpu=0.0):
    """As README.md has them; what is only of migrations is in extra."""
    return {"workload": workload, "seconds": seconds, "ops": 1, "mean_us": None, "p50_us": None, "p99_us": None,
            "p999_us": None, "read_bytes": 0, "written_bytes": link_bytes, "cpu_seconds": cpu, "verified": verified,
            "extra": extra}
