# SPDX-License-Identifier: GPL-2.0-or-later
"""From measurements to medians and ratios."""
import statistics

from levels import WORKLOADS

# What a workload is judged by. A pass is as long as all of it takes, checks included; random accesses
# by what the accesses took; idle by the CPU it burnt, in percent of one.
TIME_UNITS = {"idle": "% of a CPU", "boot": "s"}
# What is below it when nothing happens is the measuring itself.
IDLE_NOISE = 1.0
# Nothing that is done again and again, so there are no latencies.
NO_ACCESSES = ("idle", "boot")
# They look into the engine or end a run; other sides have nothing to show beside them.
NOT_COMPARED = ("fault-kinds", "clean-pass", "idle-reclaim", "returning", "final-check", "final-verify")
# Levels whose figures are their own business (levels.py).
OWN_TABLES = ("migrate",)
BY_ACCESS = ("uniform-rmw", "noisy-rmw", "zipf-rmw", "phases")
FIELDS = ("mean_us", "p50_us", "p99_us", "p999_us", "seconds", "read_bytes", "written_bytes", "cpu_seconds")
# Sides that Tidemark is meant to beat; ram is the ceiling.
RIVALS = ("swap", "file", "zram", "off")


def time_of(one):
    """The figure that the main table compares; None if nothing was done."""
    if one["workload"] == "idle":
        return 100 * one["cpu_seconds"] / one["seconds"]
    if not one["ops"]:
        return None
    if one["workload"] == "boot":
        return one["seconds"]
    if one["workload"] in BY_ACCESS:
        return one["mean_us"]
    return one["seconds"] * 1e6 / one["ops"]


def unit_of(workload):
    return TIME_UNITS.get(workload, "us")


def spread(values):
    """Median and range of what several rounds gave; None if there was nothing."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "low": min(values), "high": max(values),
            "rounds": len(values)}


def ratio(ours, theirs):
    """The ratio of the medians; its range is that of the ratios within each round, whose two runs
    stood next to each other in time. Both are dicts by round."""
    mine, other = spread(ours.values()), spread(theirs.values())
    if not mine or not other or not other["median"]:
        return None
    paired = [ours[number] / theirs[number] for number in ours
              if theirs.get(number) and ours[number] is not None]
    return {"median": mine["median"] / other["median"],
            "low": min(paired, default=None), "high": max(paired, default=None),
            "rounds": len(paired)}


def by_round(measurements, pick):
    return {one["round"]: pick(one) for one in measurements}


def side_summary(measurements):
    """All rounds of one side of one row."""
    out = {"rounds": len(measurements),
           "verified": all(one["verified"] for one in measurements),
           "capped": any(one["extra"].get("capped") for one in measurements),
           "ops": spread([one["ops"] for one in measurements])["median"],
           "time": spread([time_of(one) for one in measurements])}
    for field in FIELDS:
        out[field] = spread([one.get(field) for one in measurements])
    peaks = [one["extra"].get("cgroup_peak") for one in measurements]
    out["cgroup_peak"] = spread(peaks)
    out["cgroup_limit"] = measurements[-1]["extra"].get("cgroup_limit")
    return out


def row_of(key, sides):
    level, percent, workload = key
    row = {"level": level, "dram_percent": percent, "workload": workload, "unit": unit_of(workload),
           "sides": {side: side_summary(found) for side, found in sides.items()}, "ratios": {}}
    ours = sides.get("tidemark")
    if not ours:
        return row
    picks = {"time": time_of, **{name: (lambda one, name=name: one[name])
                                 for name in ("p50_us", "p99_us", "p999_us", "cpu_seconds")}}
    for side, theirs in sides.items():
        if side != "tidemark":
            row["ratios"][side] = {
                name: ratio(by_round(ours, pick), by_round(theirs, pick))
                for name, pick in picks.items()}
    return row


def loses(row, side):
    """True if Tidemark's median is slower than a rival's, on the figure of the main table."""
    found = row["ratios"].get(side, {}).get("time")
    if not found or side not in RIVALS:
        return False
    if row["workload"] == "idle":
        ours, theirs = (row["sides"][name]["time"]["median"] for name in ("tidemark", side))
        return ours > theirs + IDLE_NOISE
    return found["median"] > 1


def order_of(workload):
    return WORKLOADS.index(workload) if workload in WORKLOADS else len(WORKLOADS)


def summarize(measurements):
    """One row per level, DRAM share and workload, in the order of the tables."""
    groups = {}
    for one in measurements:
        key = (one["level"], one["dram_percent"], one["workload"])
        groups.setdefault(key, {}).setdefault(one["side"], []).append(one)
    keys = sorted(groups, key=lambda key: (key[0] != "process", key[0], -key[1], order_of(key[2]), key[2]))
    return [row_of(key, groups[key]) for key in keys]


def floors_summary(rounds):
    """Medians of the floors of all rounds, nested as they came."""
    if not rounds:
        return {}
    out = {}
    for name, value in rounds[0].items():
        if isinstance(value, dict):
            out[name] = floors_summary([one[name] for one in rounds])
        elif isinstance(value, bool):
            out[name] = value
        else:
            out[name] = statistics.median(one[name] for one in rounds)
    return out


class Lookup:
    """Medians by name, for the targets."""

    def __init__(self, rows, measurements, floors):
        self.rows = {(row["level"], row["dram_percent"], row["workload"]): row for row in rows}
        self.measurements = measurements
        self.floors = floors
        self.levels = sorted({row["level"] for row in rows}, key=lambda level: (level != "process", level))

    def shares(self, level):
        return sorted({percent for found, percent, _ in self.rows if found == level}, reverse=True)

    def ratio(self, level, percent, workload, side, field="time"):
        row = self.rows.get((level, percent, workload))
        return row and row["ratios"].get(side, {}).get(field)

    def median(self, level, percent, workload, field, side="tidemark"):
        row = self.rows.get((level, percent, workload))
        found = row and row["sides"].get(side, {}).get(field)
        return found["median"] if isinstance(found, dict) else found

    def extra(self, level, percent, workload, pick, side="tidemark"):
        """Median over the rounds of something computed from a measurement."""
        values = [pick(one) for one in self.measurements
                  if (one["level"], one["dram_percent"], one["workload"], one["side"])
                  == (level, percent, workload, side)]
        return spread(values)
