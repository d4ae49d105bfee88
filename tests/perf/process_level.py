# SPDX-License-Identifier: GPL-2.0-or-later
"""The process level: process_bench, one process per side and round, in a cgroup of its own."""
import contextlib
import json
import subprocess
import tempfile
import threading

import floors
from cgroup import MemoryCgroup
from levels import MIB, UNLIMITED, LevelError, dram_bytes
from swapfile import SwapFile
from zram import ZramSwap

SIDES = ["tidemark", "swap", "file", "ram", "zram"]
LIMITED = ("swap", "file", "zram")
# Words of process_bench for sides that are not called so there.
AS = {"off": ["--side", "tidemark", "--no-prefetch"], "unlearned": ["--side", "tidemark", "--no-learning"],
      "kept": ["--side", "tidemark", "--no-reclaim"]}
WORKLOADS = ["fill", "seq-read", "seq-rw", "strided", "hot", "zipf-hot", "idle", "uniform-rmw",
             "noisy-rmw", "zipf-rmw", "threads-2", "threads-8", "scattered-verify"]
# They ask the engine what it did; other sides have no answer.
ENGINE_WORKLOADS = ["fault-kinds", "clean-pass"]
# A side that thrashes is cut off here (a mapped file can take a hundred times the others' time); its
# mean is still one of what it did, and the report says that it was cut.
FULL = {"footprint": 1024 * MIB, "max_seconds": 15, "file_seconds": 3, "idle": 3, "run_seconds": 900,
        "cold_age": 10, "periods": 6,
        "ops": {"uniform-rmw": 30000, "noisy-rmw": 30000, "zipf-rmw": 200000, "threads": 30000, "hot": 20000000,
                "zipf-hot": 2000000, "fault-kinds": 5000}}
QUICK = {"footprint": 256 * MIB, "max_seconds": 1, "file_seconds": 1, "idle": 1, "run_seconds": 120,
         "cold_age": 5, "periods": 4,
         "ops": {"uniform-rmw": 10000, "noisy-rmw": 10000, "zipf-rmw": 50000, "threads": 10000, "hot": 500000,
                 "zipf-hot": 200000, "fault-kinds": 2000}}
# Where nothing waits for a disk, so many operations are over before the clock can tell anything.
FASTER, FAST = ("uniform-rmw", "noisy-rmw", "zipf-rmw", "threads"), 20
# The tier and the swap file hold so many times the footprint: where free slots lie side by side, both write
# scattered pages in few pieces.
ROOM = 2
# A footprint's worth of pages is not all that a process needs; measured by prepare(), once for all levels that
# use this program.
OVERHEAD = {}


def scale(options):
    plan = dict(QUICK if options.quick else FULL)
    if options.footprint:
        plan["footprint"] = options.footprint
    return plan


def wanted(names, options):
    """Those of the names that were asked for; each needs a filled memory."""
    chosen = [name for name in names if options.workloads is None or name in options.workloads]
    if "fill" not in chosen:
        chosen.insert(0, "fill")
    return chosen


def workloads_of(side, options):
    return wanted(WORKLOADS + (ENGINE_WORKLOADS if side == "tidemark" else []), options)


def program(options):
    path = options.build / "tests/perf/process_bench"
    if not path.exists():
        raise LevelError(f"{path} is missing: scripts/bench builds it")
    return path


def command_of(side, percent, workloads, options):
    plan = scale(options)
    words = [str(program(options)), *AS.get(side, ["--side", side]), "--dir", str(options.directory),
             "--footprint", str(plan["footprint"] // MIB),
             "--dram", str(dram_bytes(plan["footprint"], percent) // MIB),
             "--workloads", ",".join(workloads), "--seed", str(options.seed + options.round),
             "--policy", options.policy,
             "--max-seconds", str(plan["file_seconds" if side == "file" else "max_seconds"]),
             "--idle-seconds", str(plan["idle"]), "--tier", str(ROOM * plan["footprint"] // MIB),
             "--periods", str(plan["periods"])]
    fast = side == "ram" or percent >= UNLIMITED
    for name, count in plan["ops"].items():
        words += ["--ops", f"{name}={count * (FAST if fast and name in FASTER else 1)}"]
    return words


def limit_of(side, percent, options):
    """The cgroup's limit in bytes: the DRAM, and what the process needs besides; None for no limit."""
    if side not in LIMITED or percent >= UNLIMITED:
        return None
    footprint = scale(options)["footprint"]
    by_rule = dram_bytes(footprint, percent) + OVERHEAD["process"]
    # Never less than Tidemark was seen to take with the same DRAM.
    return max(by_rule, OVERHEAD["tidemark"].get(percent, 0))


@contextlib.contextmanager
def swap_for(side, options):
    footprint = scale(options)["footprint"]
    if side == "swap":
        with SwapFile(options.directory, ROOM * footprint):
            yield
    elif side == "zram":
        with ZramSwap(footprint):
            yield
    else:
        yield


def stream(command, group, seconds):
    """Starts process_bench in a group; yields its lines as dicts."""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                              preexec_fn=group.join) as process:
            # Popen's own end of block would wait for it, also when it is us who were interrupted.
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            try:
                for line in process.stdout:
                    yield json.loads(line)
                status = process.wait()
            finally:
                timer.cancel()
                process.kill()
        if status not in (0, 1):  # 1: wrong bytes, which the measurements say themselves
            errors.seek(0)
            said = errors.read().strip() or "it said nothing"
            raise LevelError(f"{command[2]} ended with {status} (-9: out of memory in its cgroup, or "
                             f"over {seconds} s): {said[-400:]}")


def run_workloads(side, percent, workloads, options, more=()):
    """One process, with `more` words on its command line; yields its measurements, each with what the cgroup says."""
    plan = scale(options)
    limit = limit_of(side, percent, options)
    options.directory.mkdir(parents=True, exist_ok=True)
    options.progress("getting the host to hand out memory")
    floors.touch(plan["footprint"] * 3 // 2, options)
    with swap_for(side, options), MemoryCgroup("neighbour") as other, \
            MemoryCgroup(f"process-{side}", limit) as group:
        command = [*command_of(side, percent, workloads, options), *more,
                   "--neighbour-group", str(other.folder / "cgroup.procs")]
        left = list(workloads)
        options.progress(f"{left[0]}")
        with contextlib.closing(stream(command, group, plan["run_seconds"])) as lines:
            for one in lines:
                one.update(dram_percent=percent, round=options.round)
                one["extra"].update(cgroup_limit=limit, cgroup_peak=group.peak())
                if left and left[0] == one["workload"]:
                    left.pop(0)
                if left:
                    options.progress(left[0])
                yield one


def prepare(options):
    """What the same process needs besides its footprint, and what Tidemark takes in all: so that the
    other sides' limits leave them the same DRAM."""
    footprint = scale(options)["footprint"]
    options.progress("how much memory the sides need besides the footprint")

    def peak(side, percent, workloads):
        measured = list(run_workloads(side, percent, workloads, options))
        return measured[-1]["extra"]["cgroup_peak"]

    if "process" not in OVERHEAD:
        OVERHEAD["process"] = peak("ram", UNLIMITED, ["fill", "threads-8"]) - footprint
    known = OVERHEAD.setdefault("tidemark", {})
    for percent in options.dram:
        if percent < UNLIMITED and percent not in known:
            known[percent] = peak("tidemark", percent, ["fill", "seq-rw", "threads-8"])


def facts(options):
    footprint = scale(options)["footprint"]
    limits = ", ".join(
        f"{percent} %: Tidemark's dram-limit {dram_bytes(footprint, percent) / MIB:.0f} MiB, its whole "
        f"process at most {OVERHEAD['tidemark'][percent] / MIB:.1f} MiB; the others' cgroup "
        f"{limit_of('swap', percent, options) / MIB:.1f} MiB"
        for percent in options.dram if percent < UNLIMITED)
    return {
        "process footprint": f"{footprint / MIB:.0f} MiB",
        "process DRAM made equal": (
            f"the process needs {OVERHEAD['process'] / MIB:.1f} MiB besides its footprint (measured: "
            "page tables, stacks, the programs' own memory); the other sides' cgroup gets the DRAM "
            "plus that, or the most that Tidemark's process was charged with, whichever is more. "
            + limits),
    }


def run(side, dram_percent, options):
    if side in LIMITED and dram_percent >= UNLIMITED:
        return
    yield from run_workloads(side, dram_percent, workloads_of(side, options), options)
