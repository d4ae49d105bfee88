# SPDX-License-Identifier: GPL-2.0-or-later
"""What Tidemark is meant to reach, and whether this run reached it. A target that a level can't measure is
listed as not measured, never left out."""
import migrate_targets
import predict_targets
from verdicts import MET, MISSED, UNMEASURED, of_floor, rate, verdict  # noqa: F401 pylint: disable=unused-import

# workload, side, field of the ratio, limit
RATIOS = [
    ("first fill", "fill", "swap", "time", 0.35),
    ("sequential read pass", "seq-read", "swap", "time", 0.2),
    ("sequential read-write pass", "seq-rw", "swap", "time", 0.2),
    ("sequential read pass", "seq-read", "file", "time", 1.1),
    ("sequential read-write pass", "seq-rw", "file", "time", 1.1),
    ("sequential verify of scattered memory", "scattered-verify", "swap", "time", 0.4),
    ("uniform random rmw, mean", "uniform-rmw", "swap", "time", 1.0),
    ("uniform random rmw, p99", "uniform-rmw", "swap", "p99_us", 1.0),
    ("uniform random rmw, p99.9", "uniform-rmw", "swap", "p999_us", 1.0),
    ("zipf rmw, mean", "zipf-rmw", "swap", "time", 0.8),
    ("hot set that fits in DRAM", "hot", "ram", "time", 1.03),
]
UNLIMITED_WORKLOADS = ["boot", "fill", "seq-read", "seq-rw", "strided", "uniform-rmw", "zipf-rmw", "hot"]


def seconds_of_mover_threads(one):
    """CPU of the engine's threads that do not serve faults: eviction and write-back."""
    threads = one["extra"].get("thread_cpu_seconds", {})
    return sum(seconds for name, seconds in threads.items()
               if name.startswith("tm-") and not name.startswith(("tm-fault", "tm-parked")))


def eviction_cpu_us(one):
    evicted = one["extra"].get("evicted_pages")
    return seconds_of_mover_threads(one) * 1e6 / evicted if evicted else None


def limited(find, level, percent):
    """The targets under a DRAM limit."""
    floors = find.floors
    for name, workload, side, field, limit in RATIOS:
        yield verdict(f"{name} / {side}", level, percent,
                      find.ratio(level, percent, workload, side, field), limit)
    read_rate = find.extra(level, percent, "seq-read", lambda one: rate(one, "read_bytes"))
    yield verdict("sequential read pass / the disk's sequential rate", level, percent,
                  of_floor(read_rate, floors.get("disk_read_bytes_per_second")), 0.8, at_least=True)
    write_rate = find.extra(level, percent, "fill", lambda one: rate(one, "written_bytes"))
    yield verdict("eviction in the fill / the disk's sequential write rate", level, percent,
                  of_floor(write_rate, floors.get("disk_write_bytes_per_second")), 0.8, at_least=True)
    yield verdict("eviction, CPU per page in the read-write pass", level, percent,
                  find.extra(level, percent, "seq-rw", eviction_cpu_us), 2, "us",
                  note="CPU of the threads that evict and write back, per page that left")
    if level != "process":
        return
    yield verdict("cold memory leaving as 2 MiB in one MOVE, share in the read-write pass", level, percent,
                  find.extra(level, percent, "seq-rw", huge_move_share), 0.9, at_least=True)
    yield verdict("hot memory in huge pages, share after the hot phase", level, percent,
                  find.extra(level, percent, "hot", hot_huge_share), 0.9, at_least=True)
    touch = find.extra(level, percent, "fill", lambda one: one["extra"].get("early_touch_mean_us"))
    fault = floors.get("anonymous_fault", {}).get("mean_us")
    yield verdict("first touch under a limit / plain anonymous fault", level, percent,
                  of_floor(touch, fault), 3, note="per page, amortised, before anything must leave")
    stored = find.extra(level, percent, "fault-kinds", kind_p50("stored"))
    disk = floors.get("disk_read_4k", {}).get("p50_us")
    software = stored and disk and {key: stored[key] - disk for key in ("median", "low", "high")}
    yield verdict("fault from the disk beyond the disk's own latency, p50", level, percent, software, 10,
                  "us", note="end to end: the faulting thread's wait, hand-off and wake-up included")
    yield verdict("fault on a staged page, p50", level, percent,
                  find.extra(level, percent, "fault-kinds", kind_p50("staged")), 8, "us",
                  note="end to end")
    yield verdict("clean pages leaving DRAM, bytes written", level, percent,
                  find.extra(level, percent, "clean-pass", lambda one: one["written_bytes"]), 0, "bytes")
    quiet = find.median(level, percent, "uniform-rmw", "p99_us")
    noisy = find.extra(level, percent, "noisy-rmw", lambda one: one["p99_us"])
    yield verdict("uniform random rmw beside a noisy neighbour, p99 / its own quiet p99", level, percent,
                  of_floor(noisy, quiet), 2, note="evicting in both")
    yield from scaling(find, level, percent)


def huge_move_share(one):
    evicted = one["extra"].get("evicted_pages")
    return one["extra"]["huge_moves"] * 512 / evicted if evicted else None


def hot_huge_share(one):
    huge = one["extra"].get("hot_huge_bytes", -1)
    return huge / one["extra"]["hot_bytes"] if huge >= 0 else None


def kind_p50(kind):
    def pick(one):
        facts = one["extra"].get(kind)
        return facts["p50_us"] if facts and facts["ops"] else None
    return pick


def scaling(find, level, percent):
    """Operations per second against one thread's."""
    single = find.extra(level, percent, "uniform-rmw", lambda one: rate(one, "ops"))
    for threads in (2, 8):
        many = find.extra(level, percent, f"threads-{threads}", lambda one: rate(one, "ops"))
        yield verdict(f"operations per second, {threads} threads / 1", level, percent,
                      of_floor(many, single and single["median"]), 1.0, at_least=True)


def unlimited(find, level, percent):
    """Tidemark with nothing to do, against stock RAM."""
    for workload in UNLIMITED_WORKLOADS:
        if (level, percent, workload) not in find.rows:
            continue
        yield verdict(f"no pressure: {workload} / ram", level, percent,
                      find.ratio(level, percent, workload, "ram"), 1.02)


def evaluate(find):
    out = []
    for level in find.levels:
        for percent in find.shares(level):
            own = {"predict": predict_targets.predicted, "migrate": migrate_targets.migrated}
            judge = own.get(level) or (unlimited if percent >= 100 else limited)
            out += judge(find, level, percent)
            if percent == 50:
                out.append(verdict("zipf rmw of a set that fits in DRAM / ram", level, percent,
                                   find.ratio(level, percent, "zipf-hot", "ram"), 1.08))
    return out
