# SPDX-License-Identifier: GPL-2.0-or-later
"""The predict level's targets: what is brought in before it is touched, what it costs where nothing can be
foretold, what leaves without being asked to."""
from levels import PAGE
from verdicts import of_floor, rate, verdict

# workload, side, at most
RATIOS = [("seq-read", "swap", 0.1), ("strided", "swap", 0.2), ("interleaved", "swap", 0.2),
          ("repeated", "off", 1 / 3), ("phases", "off", 1 / 2), ("job", "off", 1 / 3.7), ("zipf-rmw", "off", 1.02),
          ("uniform-rmw", "off", 1.02)]
READ_AHEAD = ("streams", "successors")
SCATTERED = ("strided", "repeated")  # however well foretold, each page of them is a read of its own
UNPREDICTABLE = ("uniform-rmw", "zipf-rmw")
# workload, demand reads from the tier as a share of those with prefetch off
DEMAND = [("seq-read", 0.05), ("job", 0.03)]


def predicted(find, level, percent):
    for workload, side, limit in RATIOS:
        yield verdict(f"{workload} / {side}", level, percent,
                      find.ratio(level, percent, workload, side), limit, note=NOTES.get(workload, ""))
    yield verdict("job with a replay / the same without, prefetch on", level, percent,
                  find.extra(level, percent, "job", replay_gain), 1 / 3.7)
    for workload, limit in DEMAND:
        ours, off = (find.extra(level, percent, workload, counted("faults_stored"), side)
                     for side in ("tidemark", "off"))
        yield verdict(f"{workload}: demand reads from the tier / off", level, percent,
                      of_floor(ours, off and off["median"]), limit)
    read_rate = find.extra(level, percent, "seq-read", lambda one: rate(one, "read_bytes"))
    yield verdict("seq-read / the disk's sequential rate", level, percent,
                  of_floor(read_rate, find.floors.get("disk_read_bytes_per_second")), 0.8, at_least=True)
    for workload in SCATTERED:
        ours = find.extra(level, percent, workload, lambda one: one["mean_us"])
        yield verdict(f"{workload} / the disk's 4 KiB reads, 32 in flight", level, percent,
                      of_floor(ours, find.floors.get("disk_read_4k_deep_us")), 1.2)
    for workload in UNPREDICTABLE:
        yield verdict(f"{workload}: read ahead for nothing / all that is read", level, percent,
                      find.extra(level, percent, workload, wasted_share), 0.05)
    for workload in (*UNPREDICTABLE, "idle"):
        yield verdict(f"{workload}: CPU of the thread that learns", level, percent,
                      find.extra(level, percent, workload, learning_share), 1.2, "%")
    yield verdict("idle: CPU with learning, beyond that without", level, percent,
                  more_cpu(find, level, percent, "idle"), 1.2, "%")
    yield verdict("idle guest: share of its memory out of DRAM after twice the cold age", level, None,
                  find.extra(level, percent, "idle-reclaim", share_out), 0.9, at_least=True)
    yield verdict("idle guest: written for free and zero pages", level, None,
                  find.extra(level, percent, "idle-reclaim", kept_for_zeros), 0, "bytes")
    kept, ours = (find.extra(level, percent, "returning", waited_share, side) for side in ("kept", "tidemark"))
    yield verdict("pages that return when they have just left: share of time waited, beyond that without reclaim",
                  level, None, ours["median"] - kept["median"] if ours and kept else None, 0.02)
    yield verdict("the same guest: what it does with memory in use, of that without reclaim", level, None,
                  of_floor(find.extra(level, percent, "returning", in_use),
                           kept and find.extra(level, percent, "returning", in_use, "kept")["median"]),
                  0.98, at_least=True)


NOTES = {"phases": "the mean of an access, from the third period on",
         "job": "the replay is in its time"}


def counted(name):
    return lambda one: one["extra"].get(name)


def replay_gain(one):
    plain = one["extra"].get("plain_seconds")
    return one["seconds"] / plain if plain else None


def wasted_share(one):
    """Of all that was read, what was brought in unasked and for nothing. Of a read-ahead all is known; of what was
    ordered a sample is watched, and stands for the rest."""
    wasted = 0
    for origin, count in one["extra"].get("unasked", {}).items():
        if origin in READ_AHEAD:
            wasted += max(0, count["issued"] - count["used"])
        elif count["wasted"]:
            wasted += count["issued"] * count["wasted"] / (count["wasted"] + count["used"])
    return wasted * PAGE / one["read_bytes"] if one["read_bytes"] else None


def learning_share(one):
    """Percent of a CPU."""
    spent = one["extra"].get("thread_cpu_seconds", {}).get("tm-learn")
    return None if spent is None else 100 * spent / one["seconds"]


def more_cpu(find, level, percent, workload):
    """Of the whole process, in percent of a CPU; while it works, this is lost in what the runs differ anyway."""
    ours, theirs = (find.extra(level, percent, workload, lambda one: 100 * rate(one, "cpu_seconds"), side)
                    for side in ("tidemark", "unlearned"))
    return ours["median"] - theirs["median"] if ours and theirs else None


def waited_share(one):
    return one["extra"]["waited_seconds"] / one["seconds"]


def in_use(one):
    return one["extra"]["in_use_per_second"]


def share_out(one):
    return 1 - one["extra"]["in_dram_bytes"] / one["extra"]["held_bytes"]


def kept_for_zeros(one):
    """What is in a tier for them; those on probation, still in DRAM, may be among them."""
    return max(0, one["extra"]["zero_pages_kept"] - one["extra"]["staged_pages"]) * PAGE
