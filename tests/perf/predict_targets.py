# SPDX-License-Identifier: GPL-2.0-or-later
"""The predict level's targets: what is brought in before it is touched, what it costs where nothing can be
foretold, what leaves without being asked to."""
from levels import PAGE
from verdicts import of_floor, rate, verdict

# workload, side, at most
RATIOS = [("seq-read", "swap", 0.1), ("strided", "swap", 0.2), ("interleaved", "swap", 0.2),
          ("repeated", "off", 1 / 3), ("phases", "off", 1 / 2), ("job", "off", 1 / 3.7), ("zipf-rmw", "off", 1.02),
          ("uniform-rmw", "off", 1.02)]
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
    for workload in UNPREDICTABLE:
        yield verdict(f"{workload}: read ahead for nothing / all that is read", level, percent,
                      find.extra(level, percent, workload, wasted_share), 0.05)
    yield verdict("idle guest: share of its memory out of DRAM after twice the cold age", level, None,
                  find.extra(level, percent, "idle-reclaim", share_out), 0.9, at_least=True)
    yield verdict("idle guest: kept or written for free and zero pages", level, None,
                  find.extra(level, percent, "idle-reclaim", kept_for_zeros), 0, "bytes")


NOTES = {"phases": "the mean of an access, from the third period on",
         "job": "the replay is in its time"}


def counted(name):
    return lambda one: one["extra"].get(name)


def replay_gain(one):
    plain = one["extra"].get("plain_seconds")
    return one["seconds"] / plain if plain else None


def wasted_share(one):
    extra = one["extra"]
    unasked = extra.get("readahead_pages", 0) + extra.get("prefetch_pages", 0)
    wasted = max(0, unasked - extra.get("readahead_used", 0))
    return wasted * PAGE / one["read_bytes"] if one["read_bytes"] else None


def share_out(one):
    return 1 - one["extra"]["in_dram_bytes"] / one["extra"]["held_bytes"]


def kept_for_zeros(one):
    return one["extra"]["zero_pages_kept"] * PAGE
