# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level's tables."""
import math

from levels import MIB
from summary import spread

SIDES = ("stock", "off", "observe", "on")
HEAD = ["workload", "side", "runs", "ended", "MB", "resent pages", "of RAM", "seconds", "downtime ms", "syncs",
        "source CPU s", "pace"]


def p90(values):
    """The value that nine of ten do not pass (nearest rank)."""
    values = sorted(value for value in values if value is not None)
    return values[max(0, math.ceil(0.9 * len(values)) - 1)] if values else None


def both(values, digits=1, scale=1.0):
    """Median and, in brackets, the p90."""
    values = [value / scale for value in values if value is not None]
    if not values:
        return "-"
    return f"{spread(values)['median']:.{digits}f} ({p90(values):.{digits}f})"


def groups(measurements):
    for name in dict.fromkeys(one["workload"] for one in measurements):
        for side in SIDES:
            mine = [one for one in measurements if (one["workload"], one["side"]) == (name, side)]
            if mine:
                yield name, side, mine


def costs(measurements):
    rows = []
    for name, side, mine in groups(measurements):
        facts = [one["extra"] for one in mine]
        pages = facts[0]["ram_bytes"] // 4096
        rows.append([name, side, str(len(mine)), str(sum(one["ended"] for one in facts)),
                     both([one["bytes"] for one in facts], 1, 1e6),
                     both([one["resent_pages"] for one in facts], 0),
                     both([100 * one["resent_pages"] / pages for one in facts], 1) + " %",
                     both([one["seconds"] for one in mine], 2),
                     both([one["downtime_ms"] for one in facts], 0),
                     both([one["syncs"] for one in facts], 0),
                     both([one["cpu_seconds"] for one in mine], 1),
                     words(min((one["pace"] for one in facts if one.get("pace")), default=None), 2)])
    return rows


def words(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def landings(measurements):
    """Requests before and after, by side, and what postcopy made the guest wait for."""
    rows = []
    for name, side, mine in groups(measurements):
        def median(key, digits=0, mine=mine):
            found = spread([one["extra"].get(key) for one in mine])
            return words(found and found["median"], digits)
        if name == "redis":
            rows.append([name, side, "p99 us, before / first 2 s; pages fetched from a tier in 2 s, before / first",
                         f"{median('steady_p99_us')} / {median('landing_p99_us')}; "
                         f"{median('steady_faults')} / {median('demand_faults')}"])
        elif name == "postcopy":
            rows.append([name, side, "pages asked for / ms blocked",
                         f"{median('remote_faults')} / {median('blocked_ms')}"])
        elif name == "learning":
            rows.append([name, side, "slowdown, %", words(100 * spread(
                [one["extra"]["slowdown"] for one in mine])["median"], 2)])
        elif name == "aborts":
            rows.append([name, side, "broken off / s until nothing was left, most",
                         f"{median('points')} / {median('seconds_until_nothing_left', 3)}"])
    return rows


def figures(measurements):
    import report  # pylint: disable=import-outside-toplevel # it is what shows these
    out = {}
    found = [one for one in measurements if "bytes" in one["extra"]]
    if found:
        out["migrations: medians, p90 in brackets"] = report.table(HEAD, costs(found))
    rows = landings(measurements)
    if rows:
        out["migrations: what the guest noticed (medians)"] = report.table(["workload", "side", "what", ""], rows)
    return out
