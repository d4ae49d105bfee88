# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables, JSON and the plot of one run."""
import json

import plot
from levels import MIB
from summary import NO_ACCESSES, NOT_COMPARED, OWN_TABLES, RIVALS, loses, spread

SIDE_ORDER = ["tidemark", "off", "unlearned", "kept", "swap", "file", "zram", "ram"]


def number(value):
    """Three significant digits, without exponents."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def ratio_text(found):
    if not found:
        return "-"
    if found["low"] is None or found["rounds"] < 2:
        return f"{found['median']:.2f}"
    return f"{found['median']:.2f} ({found['low']:.2f}..{found['high']:.2f})"


def table(header, rows):
    """Columns as wide as they need; the first on the left, the others on the right."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    out = []
    for line in [header, *rows]:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width)
                                              for cell, width in zip(line[1:], widths[1:])]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "-" * max(len(line) for line in out))
    return "\n".join(out)


def blocks(rows):
    """Rows of one level and DRAM share, and the sides they have."""
    keys = dict.fromkeys((row["level"], row["dram_percent"]) for row in rows)
    for level, percent in keys:
        if level in OWN_TABLES:
            continue
        mine = [row for row in rows if (row["level"], row["dram_percent"]) == (level, percent)
                and row["workload"] not in NOT_COMPARED]
        sides = [side for side in SIDE_ORDER if any(side in row["sides"] for row in mine)]
        if not mine:
            continue
        yield level, percent, mine, sides


def title(level, percent):
    return f"{level}, " + (f"DRAM {percent} % of the footprint" if percent < 100 else "no limit")


def median_of(row, side, field):
    found = row["sides"].get(side, {}).get(field)
    return found["median"] if found else None


def capped_mark(row, side):
    return "*" if row["sides"].get(side, {}).get("capped") else ""


def time_table(mine, sides):
    others = [side for side in sides if side != "tidemark"]
    lines = []
    for row in mine:
        lost = [side for side in others if loses(row, side)]
        lines.append(
            [row["workload"], row["unit"]]
            + [number(median_of(row, side, "time")) + capped_mark(row, side) for side in sides]
            + [ratio_text(row["ratios"].get(side, {}).get("time")) for side in others]
            + ["SLOWER than " + ", ".join(lost) if lost else ""])
    return table(["workload", "unit", *sides, *[f"/ {side}" for side in others], ""], lines)


def latency_table(mine, sides):
    rivals = [side for side in sides if side in RIVALS][:1]
    lines = []
    for row in mine:
        if row["workload"] in NO_ACCESSES:
            continue
        line = [row["workload"]]
        for side in sides:
            line.append(" / ".join(number(median_of(row, side, field))
                                   for field in ("p50_us", "p99_us", "p999_us")))
        for side in rivals:
            found = row["ratios"].get(side, {})
            line.append(" / ".join(f"{found[field]['median']:.2f}" if found.get(field) else "-"
                                   for field in ("p50_us", "p99_us", "p999_us")))
        lines.append(line)
    return table(["workload", *sides, *[f"/ {side}" for side in rivals]], lines)


def cost_table(mine, sides):
    lines = []
    for row in mine:
        line = [row["workload"]]
        for side in sides:
            read, written, cpu = (median_of(row, side, field)
                                  for field in ("read_bytes", "written_bytes", "cpu_seconds"))
            line.append("-" if read is None else
                        f"{read / MIB:.0f} / {written / MIB:.0f} / {number(cpu)}")
        lines.append(line)
    return table(["workload", *sides], lines)


def peak_line(mine, sides):
    """What each side's cgroup was charged with at most."""
    words = []
    for side in sides:
        peaks = [row["sides"][side]["cgroup_peak"]["high"] for row in mine
                 if side in row["sides"] and row["sides"][side]["cgroup_peak"]]
        limits = {row["sides"][side]["cgroup_limit"] for row in mine if side in row["sides"]}
        limit = next((one for one in limits if one), None)
        if peaks:
            words.append(f"{side} {max(peaks) / MIB:.1f} MiB"
                         + (f" (limit {limit / MIB:.1f})" if limit else ""))
    return "DRAM charged at most, whole process: " + ", ".join(words) if words else ""


def inside_lines(measurements, level, percent):
    """What the engine says of itself: the kinds of faults apart, the clean pass, the huge pages."""
    mine = [one for one in measurements if one["side"] == "tidemark" and one["level"] == level
            and one["dram_percent"] == percent]

    def median(workload, pick):
        found = spread([pick(one["extra"]) for one in mine if one["workload"] == workload])
        return found and found["median"]

    words = []
    for kind in ("untouched", "staged", "stored", "no_fault"):
        ops = median("fault-kinds", lambda extra, kind=kind: extra[kind]["ops"])
        if ops:
            p50, p99 = (number(median("fault-kinds", lambda extra, kind=kind, at=at: extra[kind][at]))
                        for at in ("p50_us", "p99_us"))
            words.append(f"{kind.replace('_', ' ')} {p50} / {p99} us ({ops:.0f})")
    lines = ["accesses by what the engine had to do, p50 / p99 (count): " + ", ".join(words)] if words else []
    huge = median("hot", lambda extra: extra.get("hot_huge_bytes"))
    size = median("hot", lambda extra: extra.get("hot_bytes"))
    if size and huge is not None and huge >= 0:
        when = "while it was warmed and timed" if level.startswith("guest") else "while timed"
        lines.append(f"hot set of {size / MIB:.0f} MiB on tidemark: {100 * huge / size:.0f} % of it in huge "
                     f"pages, {median('hot', lambda extra: extra['hot_faults']):.0f} faults {when}")
    return lines


def floor_lines(floors):
    if not floors:
        return []
    disk = floors["disk_read_4k"]
    return [
        f"plain anonymous fault {number(floors['anonymous_fault']['mean_us'])} us per page, with huge "
        f"pages {number(floors['anonymous_fault_huge']['mean_us'])}; copy of a page "
        f"{number(floors['page_copy']['mean_us'])} us; reading the clock "
        f"{number(floors['clock']['mean_us'])} us (in every latency here)",
        f"disk{'' if floors['direct_io'] else ' (through the page cache)'}: 4 KiB at random, one at a "
        f"time, p50 {number(disk['p50_us'])} us, p99 {number(disk['p99_us'])} us, 32 in flight "
        f"{number(floors['disk_read_4k_deep_us'])} us each; in sequence read "
        f"{floors['disk_read_bytes_per_second'] / MIB:.0f} MiB/s, write "
        f"{floors['disk_write_bytes_per_second'] / MIB:.0f} MiB/s",
    ]


def target_lines(targets):
    lines = []
    for one in targets:
        where = one["level"] if one["dram_percent"] is None else f"{one['level']} {one['dram_percent']} %"
        value = "-" if one["value"] is None else number(one["value"])
        if one["value"] is not None and one["low"] is not None:
            value += f" ({number(one['low'])}..{number(one['high'])})"
        limit = "" if one["limit"] is None else (
            f"{'>=' if one['at_least'] else '<='} {number(one['limit'])} {one['unit']}".strip())
        lines.append([one["target"], where, value, limit, one["verdict"]])
    return table(["target", "where", "this run", "wanted", ""], lines)


def text(results):
    """The whole report as it is printed."""
    rows, out = results["summary"], []
    out.append("Environment")
    out += [f"  {name}: {value}" for name, value in results["environment"].items()]
    out.append("Floors (medians)")
    out += [f"  {line}" for line in floor_lines(results["floors"])] or ["  not measured"]
    for level, percent, mine, sides in blocks(rows):
        rounds = max(row["sides"][side]["rounds"] for row in mine for side in row["sides"])
        out += ["", f"== {title(level, percent)}: medians of {rounds} round(s); '/ swap' is "
                    "tidemark / swap, with the range over the rounds ==",
                time_table(mine, sides), "",
                "latency of an access, us: p50 / p99 / p99.9", latency_table(mine, sides), "",
                "MiB read / MiB written / CPU seconds", cost_table(mine, sides), peak_line(mine, sides),
                *inside_lines(results["measurements"], level, percent)]
    if any(side["capped"] for row in rows for side in row["sides"].values()):
        out += ["", "* cut short by the time limit of a workload; its figure is per operation done"]
    for name, lines in results.get("tables", {}).items():
        out += ["", f"== {name} ==", lines]
    out += ["", "Targets", target_lines(results["targets"])]
    met = sum(one["verdict"] == "met" for one in results["targets"])
    missed = sum(one["verdict"] == "missed" for one in results["targets"])
    out.append(f"{met} met, {missed} missed, {len(results['targets']) - met - missed} not measured")
    lost = [f"{row['workload']} at {row['dram_percent']} % ({row['level']}) against {side}"
            for row in rows for side in RIVALS
            if loses(row, side) and row["workload"] not in NOT_COMPARED]
    compared = any(row["ratios"].get(side, {}).get("time") for row in rows for side in RIVALS)
    out.append("Tidemark is slower in: " + "; ".join(lost) if lost else
               "Tidemark is not slower than a rival anywhere in this run." if compared else
               "This run did not compare Tidemark with a rival.")
    out += [f"FAILED: {first_line(failure)}" for failure in results["failures"]]
    out.append(verified_line(results))
    return "\n".join(line for line in out if line is not None)


def first_line(sentence):
    """A process that failed may have said much; results.json has all of it."""
    return sentence.strip().splitlines()[0][:300]


def verified_line(results):
    wrong = [one for one in results["measurements"] if not one["verified"]]
    if wrong:
        return "WRONG BYTES in: " + "; ".join(
            f"{one['side']} {one['workload']} round {one['round']}" for one in wrong)
    if not results["measurements"]:
        return "Nothing was measured."
    return f"Every byte was verified in all {len(results['measurements'])} measurements."


def write(results, folder):
    """All files of a run; returns the report's text."""
    folder.mkdir(parents=True, exist_ok=True)
    report = text(results)
    (folder / "report.txt").write_text(report + "\n", encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "plot.svg").write_text(plot.svg(results), encoding="utf-8")
    return report
