#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest level of the benchmark: one side, one QEMU, all workloads in one guest.

A level as levels.py describes it, for two kinds of guest: Linux under TCG (level guest-tcg) and the
bare-metal guest under KVM (guest-kvm). By itself: guest_level.py --side swap --accel kvm ..."""
import argparse
import contextlib
import json
import mmap
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position # guest_machine finds the modules of the QEMU tests
import guest_dram  # noqa: E402
from guest_aging import Aging  # noqa: E402
from cgroup import MemoryCgroup  # noqa: E402
from guest_machine import (MIB, PAGE, PerfGuest, Sample, as_level_errors,  # noqa: E402
                           job_words, memory_object, ram_file)
from guest_pages import huge_bytes  # noqa: E402
from guest import GUESTS, SOURCE, Watcher, qemu_binary  # noqa: E402
from levels import (UNLIMITED, LevelError, Options, Progress,  # noqa: E402
                    clean_up_on_signals)
from swapfile import SwapFile  # noqa: E402
from zram import ZramSwap  # noqa: E402

SIDES = ["tidemark", "swap", "file", "ram", "zram"]
LIMITED = ("swap", "file", "zram")
LEVELS = {"guest-tcg": "tcg", "guest-kvm": "kvm"}
FINAL = "final-verify"
# All that a guest does, in this order. KVM's guest does what needs no kernel inside it.
WORKLOADS = {
    "tcg": ["fill", "seq-read", "seq-rw", "strided", "uniform-rmw", "zipf-rmw",
            "scattered-verify", "threads", "hot", "idle"],
    "kvm": ["fill", "seq-read", "seq-rw", "uniform-rmw", "zipf-rmw", "scattered-verify", "hot"],
}
# A side that thrashes ends a random workload early; its mean is still one of what it did.
FULL = {"footprint": 512 * MIB, "cap_ms": 10000, "idle_ms": 3000}
QUICK = {"footprint": 128 * MIB, "cap_ms": 2000, "idle_ms": 1000}
# Hits are fast, so it takes many of them to tell two sides apart.
HOT_OPS = {"tcg": 1 << 21, "kvm": 1 << 22}
UNLIMITED_TIMES = 8
CHARGED_EVERY = 0.1  # seconds between two looks at what the cgroup is charged with


def footprint_of(options):
    return options.footprint or (QUICK if options.quick else FULL)["footprint"]


def workloads_of(accel, options):
    """fill comes first whatever is asked for, and a verification of all comes last."""
    chosen = [name for name in WORKLOADS[accel]
              if name == "fill" or options.workloads is None or name in options.workloads]
    return [*chosen, FINAL]


def job_of(accel, percent, options):
    """The guest program's options: the same on every side."""
    plan = QUICK if options.quick else FULL
    mib = footprint_of(options) // MIB
    times = UNLIMITED_TIMES if percent >= UNLIMITED else 1
    return job_words({
        "mib": mib, "list": "+".join(workloads_of(accel, options)), "ops": times * mib * MIB // PAGE,
        "passes": times,
        # The hot set fits in the smallest share of DRAM that is measured, with room to spare.
        "hot": max(1, mib // 8), "hot-ops": HOT_OPS[accel], "threads": 2, "cap-ms": plan["cap_ms"],
        "idle-ms": plan["idle_ms"], "seed": options.seed + options.round, "wait": 1, "hold": 1})


def missing(accel):
    """None, or the sentence that says why this accelerator can't be measured here."""
    if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm can't be opened on this machine"
    return None


def accelerators():
    return [accel for accel in WORKLOADS if missing(accel) is None]


def logs_of(options):
    return pathlib.Path(options.out).resolve() / "guest-logs"


def shares(accel, percent, options):
    directory = pathlib.Path(options.directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return guest_dram.shares(accel, footprint_of(options), percent, directory, logs_of(options))


def prepare(options, accels=None):
    """Builds the guests (nothing happens if nothing changed) and measures what they need."""
    if not qemu_binary().exists():
        raise LevelError(f"{qemu_binary()} does not exist; build it with scripts/qemu build")
    options.progress("builds the guests")
    for command in ("baremetal/build.sh", "linux/build"):
        done = subprocess.run([SOURCE / "tests/guest" / command, GUESTS], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise LevelError(f"the guests could not be built: {done.stdout.strip()[-400:]}")
    for accel in accels or accelerators():
        options.progress(f"how much memory the {accel} guest needs besides its footprint")
        with as_level_errors():
            for percent in [*options.dram, UNLIMITED]:
                shares(accel, percent, options)


def facts(options):
    """Sentences for the report."""
    found = {"guest footprint": f"{footprint_of(options) / MIB:.0f} MiB",
             "guest clock": "every access is timed in the guest with rdtsc, calibrated against the "
                            "guest kernel's clock (TCG) or the interval timer (KVM)",
             "guest memory beside guest RAM": "what is cold of QEMU's own is paged out on every side "
                                              "before the first workload",
             "guest reclaim": "on the swap side a thread keeps part of the pages inactive, as kswapd "
                              "would, because the cgroup's reclaim of a KVM guest runs dry"}
    for accel in WORKLOADS:
        if missing(accel):
            found[f"guest-{accel}"] = f"not measured: {missing(accel)}"
            continue
        limits = []
        for percent in options.dram:
            dram = shares(accel, percent, options)
            if dram["dram_bytes"] is not None:
                limits.append(f"{percent} %: dram-limit {dram['dram_bytes'] / MIB:.0f} MiB, the "
                              f"others' cgroup {dram['cgroup_limit_bytes'] / MIB:.1f} MiB, "
                              f"{dram['engine_bytes'] / MIB:.1f} of it for what Tidemark's tables "
                              "and slack may take")
        needs = shares(accel, UNLIMITED, options)
        found[f"guest-{accel} DRAM made equal"] = (
            f"RAM {needs['ram_bytes'] / MIB:.0f} MiB; the share of the footprint plus "
            f"{needs['guest_hot_bytes'] / MIB:.1f} MiB that the guest keeps hot besides it; QEMU "
            f"itself needs {needs['overhead_bytes'] / MIB:.1f} MiB (both measured without a limit). "
            + "; ".join(limits))
    return found


def run(side, dram_percent, options):
    """One round of one side, on each accelerator that this machine has."""
    if side in LIMITED and dram_percent >= UNLIMITED:
        return
    for accel in accelerators():
        yield from run_accelerator(accel, side, dram_percent, options)


def run_accelerator(accel, side, percent, options):
    if side not in SIDES:
        raise LevelError(f"the guest level has no side '{side}', only {', '.join(SIDES)}")
    dram = shares(accel, percent, options)
    size = dram["ram_bytes"]
    directory = pathlib.Path(options.directory).resolve()
    limit = dram["cgroup_limit_bytes"] if side in LIMITED else None
    memory = memory_object(side, size, dram["dram_bytes"] or size, directory, options.policy)
    logs = logs_of(options) / f"{accel}-{side}-{percent}-{options.round}"
    job = job_of(accel, percent, options)
    touch_and_give_back(size)
    with contextlib.ExitStack() as stack:
        stack.enter_context(as_level_errors())
        enter_storage(stack, side, dram, directory)
        group = stack.enter_context(MemoryCgroup(f"guest-{side}", limit))
        guest = stack.enter_context(PerfGuest(accel, memory, size, logs, group.join, job))
        charged = stack.enter_context(Watcher(lambda: guest_dram.in_use(group), CHARGED_EVERY))
        if side in ("swap", "zram"):
            stack.enter_context(Aging(group, guest))

        def prepared():
            if dram["dram_bytes"] and side != "ram":
                guest_dram.page_out_own_memory(guest)
            charged.values.clear()

        found = measure(guest, side, group, job, prepared, options.progress)
        peak = charged.highest()
    for one in found:
        one["extra"] = {**dram, "cgroup_limit": limit, "cgroup_peak": peak, **one["extra"]}
        yield {"level": f"guest-{accel}", "side": side, "dram_percent": percent, **one,
               "round": options.round}


def enter_storage(stack, side, dram, directory):
    """What a side keeps memory on. A swap file for QEMU's own cold memory is there on every side."""
    size = dram["ram_bytes"]
    if side == "zram":
        stack.enter_context(ZramSwap(size + guest_dram.COLD_SWAP))
    elif dram["dram_bytes"] and side != "ram":
        stack.enter_context(SwapFile(directory, guest_dram.COLD_SWAP +
                                     (2 * size if side == "swap" else 0)))
    if side == "file":
        stack.enter_context(allocated(ram_file(directory), size))


def touch_and_give_back(size):
    """In a virtual machine the first use of memory is the host's work: not part of any side."""
    with mmap.mmap(-1, size) as memory:
        memory[::PAGE] = bytes(size // PAGE)


@contextlib.contextmanager
def allocated(path, size):
    """A file whose blocks are there already: filling holes is not what is measured."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        yield
    finally:
        path.unlink(missing_ok=True)


def measure(guest, side, group, job, prepared, progress):
    """All workloads of a guest; what the last pass over all memory finds counts for each."""
    progress(f"{side}: the {guest.accel} guest boots")
    before = Sample(guest)
    seconds = guest.boot()
    after = Sample(guest)
    boot = {"ops": 1, "ns": seconds * 1e9, "bad": 0,
            **dict.fromkeys(("mean_ns", "p50_ns", "p99_ns", "p999_ns"), seconds * 1e9)}
    found = [measurement("boot", boot, before, after, guest, group, side)]
    info = guest.start(job)
    last = None
    while name := guest.wait_ready():
        progress(f"{side}: {name}")
        if name == "fill":
            prepared()
        before = Sample(guest)
        guest.go()
        last = guest.result()
        after = Sample(guest)
        found.append(measurement(name, last, before, after, guest, group, side))
    if last["workload"] != FINAL or last["bad"] or last["ops"] != info["pages"]:
        raise LevelError(f"the last pass over all memory found wrong bytes: {guest.vm.describe()}")
    wanted = dict(word.split("=") for word in job.split())
    for one in found:
        one["extra"]["guest"] = info
        # A random workload that its time limit ended.
        one["extra"]["capped"] = one["ops"] < expected_ops(one["workload"], wanted, info["pages"])
    return found[:-1]


def expected_ops(workload, wanted, pages):
    """How many accesses a workload has unless its time limit ends it."""
    ops = {"strided": pages, "uniform-rmw": int(wanted["ops"]), "zipf-rmw": int(wanted["ops"]),
           "hot": int(wanted["hot-ops"])}
    threads = int(wanted["threads"])
    return {**ops, "threads": ops["uniform-rmw"] // threads * threads}.get(workload, 0)


def measurement(name, result, before, after, guest, group, side):
    read, written = after.bytes_since(before, side)
    ram = guest.ram_mappings("Rss", "AnonHugePages", "FilePmdMapped", "ShmemPmdMapped")
    huge = sum(ram.values()) - ram["Rss"]
    extra = {"ram_rss_bytes": ram["Rss"], "charged_bytes": guest_dram.in_use(group),
             "huge_share": huge / ram["Rss"] if ram["Rss"] else 0,
             "most_us": result.get("most_ns", 0) / 1000,
             "machine_read_bytes": after.machine_bytes(before, "pgpgin"),
             "machine_written_bytes": after.machine_bytes(before, "pgpgout")}
    if name == "hot" and guest.hot:
        extra["hot_bytes"] = sum(size for _, size in guest.hot)
        extra["hot_huge_bytes"] = huge_bytes(guest.pid, guest.hot)
    extra["thread_cpu_seconds"] = {name: spent - before.threads.get(name, 0)
                                   for name, spent in after.threads.items()}
    if after.tiered:
        extra["evicted_pages"] = (after.tiered["counters"]["evicted-pages"] -
                                  before.tiered["counters"]["evicted-pages"])
        extra["engine"] = engine_facts(before.tiered, after.tiered)
        extra["hot_faults"] = extra["engine"]["faults"]
    return {"workload": name, "seconds": result["ns"] / 1e9, "ops": result["ops"],
            **{key: result[key.replace("_us", "_ns")] / 1000
               for key in ("mean_us", "p50_us", "p99_us", "p999_us")},
            "read_bytes": read, "written_bytes": written,
            "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
            "verified": result["bad"] == 0, "extra": extra}


def engine_facts(before, after):
    """What the engine counted during one workload."""
    facts = {key.replace("-", "_"): value - before["counters"].get(key, 0)
             for key, value in after["counters"].items() if isinstance(value, int)}
    old = {one["below"]: one["count"] for one in before["fault-latency"]["buckets"]}
    buckets = [(one["below"], one["count"] - old.get(one["below"], 0))
               for one in after["fault-latency"]["buckets"]]
    for key, share in (("fault_p50_us", 0.5), ("fault_p99_us", 0.99)):
        facts[key] = quantile(buckets, share) / 1000
    facts.update({"armed": after["armed"], "dram_used_bytes": after["dram-used"],
                  "metadata_bytes": after["metadata-bytes"], "pages": after["pages"]})
    return facts


def quantile(buckets, share):
    """Upper bound of the bucket with this quantile, 0 if nothing was counted."""
    wanted, seen = share * sum(count for _, count in buckets), 0
    for below, count in sorted(buckets):
        seen += count
        if seen >= wanted and count:
            return below
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--accel", choices=WORKLOADS, default="tcg")
    parser.add_argument("--dram", type=int, default=50, metavar="PERCENT")
    parser.add_argument("--footprint", type=int, default=0, metavar="MIB")
    parser.add_argument("--workloads", type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dir", type=pathlib.Path, default=Options.directory,
                        help="a folder on the disk that is measured")
    parser.add_argument("--out", type=pathlib.Path, default=Options.out, help="for the logs")
    words = parser.parse_args()
    clean_up_on_signals()
    options = Options(quick=words.quick, workloads=words.workloads, directory=words.dir,
                      out=words.out, footprint=words.footprint * MIB or None, dram=[words.dram],
                      progress=Progress(sys.stderr))
    try:
        prepare(options, [words.accel])
        for one in run_accelerator(words.accel, words.side, words.dram, options):
            print(json.dumps(one), flush=True)
    except LevelError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
