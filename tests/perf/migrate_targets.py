# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level's targets: fewer bytes in a better order, a verdict in time, forecasts that hold."""
import statistics

from migrate_report import p90
from verdicts import of_floor, verdict

# workload, what, at most this share of stock's
SHARES = [("sweep-hot", "bytes", 0.80), ("sweep-hot", "resent_pages", 0.20), ("sweep-hot", "seconds", 0.85),
          ("random", "bytes", 0.90), ("idle", "bytes", 1.01), ("idle", "seconds", 1.01),
          ("read-only", "bytes", 1.01), ("read-only", "seconds", 1.01), ("cold-75", "bytes", 1.0)]
# Of what is sent for a page, this much says which one it is.
HEADER = 9
PAGE = 4096
# Of the Redis and the postcopy guest (migrate_landing.py, migrate_postcopy.py).
HOT_PAGES = 16 * 256
WORKING_SET = 8 << 20


def of(one, what):
    return one["seconds"] if what == "seconds" else one["extra"].get(what)


def share_of_stock(find, workload, what, side="on"):
    """The ratio of the medians, with the range of those within a round; None if a run of either did not end."""
    runs = {name: {one["round"]: one for one in find.measurements
                   if (one["level"], one["workload"], one["side"]) == ("migrate", workload, name)}
            for name in (side, "stock")}
    ours, theirs = runs[side], runs["stock"]
    if not ours or not theirs or not all(one["extra"]["ended"] for one in (*ours.values(), *theirs.values())):
        return None
    ratios = [of(ours[number], what) / of(theirs[number], what) for number in ours
              if number in theirs and of(theirs[number], what)]
    base = statistics.median(of(one, what) for one in theirs.values())
    if not base or not ratios:
        return None
    return {"median": statistics.median(of(one, what) for one in ours.values()) / base,
            "low": min(ratios), "high": max(ratios)}


def bytes_of_unique(one):
    """What went through the link beside all of RAM once."""
    facts = one["extra"]
    return facts["bytes"] / (facts["ram_bytes"] // PAGE * (PAGE + HEADER)) if facts["ended"] else None


def verdict_fact(pick):
    def of_run(one):
        seen = one["extra"].get("verdict")
        return pick(one, seen) if seen else None
    return of_run


def forecasts_of(measurements, side):
    """Forecast and outcome of every run that ended: before the start, and at each sync, always of the whole of it."""
    for one in measurements:
        facts = one["extra"]
        if one["level"] != "migrate" or one["side"] != side or not facts.get("ended"):
            continue
        real = {"total-time": one["seconds"] * 1000, "bytes": facts["bytes"], "downtime": facts["downtime_ms"]}
        if facts.get("forecast_before"):
            yield "before", facts["forecast_before"], real
        for asked in facts.get("forecasts", []):
            yield "during", asked, real


def errors(measurements, side, what, when=None):
    """(forecast - real) / real, or the difference in ms for the downtime; and whether real was within p90."""
    out, held = [], []
    for moment, asked, real in forecasts_of(measurements, side):
        bounds = asked.get(what)
        if not bounds or real[what] is None or (when and moment != when):
            continue
        difference = bounds["p50"] - real[what]
        out.append(difference if what == "downtime" else difference / real[what] if real[what] > 0 else None)
        held.append(real[what] <= bounds["p90"])
    return [one for one in out if one is not None], held


def forecast_targets(find, level):
    for what in ("total-time", "bytes"):
        off, _ = errors(find.measurements, "on", what)
        yield verdict(f"forecast of {what}: error, median", level, None,
                      100 * statistics.median(abs(one) for one in off) if off else None, 8, "%")
    off, _ = errors(find.measurements, "on", "downtime")
    yield verdict("forecast of the downtime: error, p90", level, None, p90([abs(one) for one in off]), 30, "ms")
    yield verdict("downtime of all that ended / its limit, most", level, None,
                  longest_downtime(find.measurements, "on"), 1)
    for what in ("total-time", "bytes", "downtime"):
        _, held = errors(find.measurements, "on", what, "before")
        share = 100 * sum(held) / len(held) if held else None
        yield verdict(f"forecast of {what}: runs within the p90 bound, at least", level, None, share, 85, "%",
                      at_least=True)
        yield verdict(f"forecast of {what}: runs within the p90 bound, at most", level, None, share, 95, "%")


def migrated(find, level, percent):
    for workload, what, limit in SHARES:
        yield verdict(f"{workload}: {what.replace('_', ' ')} / stock", level, None,
                      share_of_stock(find, workload, what), limit)
    yield verdict("sweep-hot, observing: bytes / stock", level, None,
                  share_of_stock(find, "sweep-hot", "bytes", "observe"), 1.03,
                  note="it changes nothing; what is more is noise")
    yield verdict("hot-8m: syncs until the verdict", level, None,
                  find.extra(level, percent, "hot-8m", verdict_fact(lambda one, seen: seen["syncs"]), "on"), 3)
    yield verdict("hot-8m: bytes sent until the verdict / RAM", level, None,
                  find.extra(level, percent, "hot-8m",
                             verdict_fact(lambda one, seen: seen["bytes"] / one["extra"]["ram_bytes"]), "on"), 1.05)
    yield verdict("silent: bytes / every page once", level, None,
                  find.extra(level, percent, "silent", bytes_of_unique, "on"), 1.03)
    yield from forecast_targets(find, level)
    yield verdict("cold-75: pages promoted by migrating", level, None,
                  find.extra(level, percent, "cold-75", tier_fact(lambda tiers: tiers["promoted_pages"]), "on"), 0)
    yield verdict("cold-75: DRAM in use, most / before", level, None,
                  find.extra(level, percent, "cold-75", tier_fact(
                      lambda tiers: tiers["dram_most_pages"] / tiers["dram_before_pages"]), "on"), 1.01)

    yield from after_targets(find, level, percent)


def longest_downtime(measurements, side):
    """Of its limit, over all migrations that ended."""
    runs = [one["extra"] for one in measurements if one["level"] == "migrate" and one["side"] == side]
    return max((facts["downtime_ms"] / facts["downtime_limit"] for facts in runs
                if facts.get("ended") and facts.get("downtime_ms") and facts.get("downtime_limit")), default=None)


def after_targets(find, level, percent):
    """After the switch-over, by whatever way, and if there is none."""
    def extra(workload, pick, side="on"):
        return find.extra(level, percent, workload, lambda one: pick(one["extra"]), side)
    yield verdict("redis: demand faults in the first 2 s / working set", level, None,
                  extra("redis", lambda facts: facts["demand_faults"] / HOT_PAGES), 0.05)
    yield verdict("redis: p99 in the first 2 s / before", level, None,
                  extra("redis", lambda facts: facts["landing_p99_us"] / facts["steady_p99_us"]), 2)
    yield verdict("postcopy: pages asked for / working set", level, None,
                  extra("postcopy", lambda facts: facts["remote_faults"] * PAGE / WORKING_SET), 0.05)
    blocked = {side: extra("postcopy", lambda facts: facts["blocked_ms"], side) for side in ("on", "stock")}
    yield verdict("postcopy: time blocked / stock", level, None,
                  of_floor(blocked["on"], blocked["stock"] and blocked["stock"]["median"]), 0.2)
    yield verdict("learning: slowdown of a guest that only writes", level, None,
                  extra("learning", lambda facts: 100 * facts["slowdown"]), 1, "%")
    yield verdict("migrations broken off, source verified after each", level, None,
                  extra("aborts", lambda facts: facts["points"]), 200, at_least=True)
    yield verdict("until nothing is left of one broken off, most", level, None,
                  extra("aborts", lambda facts: facts["seconds_until_nothing_left"]), 1, "s")


def tier_fact(pick):
    def of_run(one):
        tiers = one["extra"].get("tiers")
        return pick(tiers) if tiers else None
    return of_run
