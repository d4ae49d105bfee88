# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level (scripts/bench migrate): live migration of paced guests through a link of 32 MiB/s, stock QEMU
beside the patched one with its predictor off, observing and on. Sides differ in nothing but QEMU and settings.

Every run ends with a comparison of all RAM of the paused source with the destination."""
import os
import pathlib
import shutil
import subprocess
import time

import migrate_aborts
import migrate_landing
import migrate_learning
import migrate_postcopy
import migrate_report
from guest_machine import as_level_errors
from levels import LevelError
from migrate_guests import LOADS, SETTINGS, SIDES, in_dram, learn, machine, measurement, warm_up

# pylint: disable=wrong-import-order # migrate_guests says where they are
from guest import GUESTS, SOURCE
import migration
from migration import ENDED, RATE, cancel, different_pages, linked, outcome_of
from qmp import QmpError
from tier_stats import query

DRAM = [100]
OWN_SIDES = True
FLOORS = False
# Workloads that are not a paced guest's migration from start to end: modules with a one_run of their own.
OTHERS = {module.NAME: module for module in (migrate_landing, migrate_postcopy, migrate_learning, migrate_aborts)}
WORKLOADS = [*LOADS, *OTHERS]
CLOCK = os.sysconf("SC_CLK_TCK")
LOOK_EVERY = 0.05
# How wrong the forecasts of earlier runs were, by side: the next QEMU is told, as the daemon does for the guests of a
# host.
OUTCOMES = {}


def prepare(_options):
    for build in ("baremetal/build.sh", "linux/build"):
        subprocess.run([SOURCE / "tests/guest" / build, GUESTS], check=True, stdout=subprocess.DEVNULL)


def facts(_options):
    return {"migration": f"link of {RATE >> 20} MiB/s, one CPU under TCG, paced by the time stamp counter; "
                         "downtime is from the source's stop to the destination's readiness"}


def figures(measurements):
    return migrate_report.figures([one for one in measurements if one["level"] == "migrate"])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


class Course:
    """A running migration seen from outside, a few times a second."""

    def __init__(self, source, side, load):
        self.source, self.side, self.load = source, side, load
        self.began = time.monotonic()
        self.samples = []
        self.forecasts = []
        self.most_dram = 0

    def look(self):
        info = self.source.qmp.command("query-migrate")
        ram = info.get("ram", {})
        sample = {"seconds": round(time.monotonic() - self.began, 3), "status": info.get("status"),
                  "syncs": ram.get("dirty-sync-count", 0), "transferred": ram.get("transferred", 0),
                  "remaining": ram.get("remaining", 0), "expected_downtime": info.get("expected-downtime")}
        if self.side in SETTINGS and sample["status"] == "active" and (
                not self.samples or self.samples[-1]["syncs"] != sample["syncs"]):
            self.forecasts.append({"seconds": sample["seconds"], "syncs": sample["syncs"],
                                   **forecast(self.source)})
        if self.load.dram_mib and self.side != "stock":
            self.most_dram = max(self.most_dram, in_dram(query(self.source)))
        self.samples.append(sample)
        return sample

    def follow(self):
        """Until it ends or has taken too long; whether it ended."""
        while time.monotonic() - self.began < self.load.cap_seconds:
            sample = self.look()
            if sample["status"] in ENDED:
                if sample["status"] != "completed":
                    raise LevelError(f"the migration {sample['status']}: {self.source.describe()}")
                return True
            time.sleep(LOOK_EVERY)
        return False

    def stock_forecasts(self):
        """QEMU's own expected downtime, at the last of its looks in each round."""
        last = {one["syncs"]: one["expected_downtime"] for one in self.samples}
        return [value for value in last.values() if value is not None]

    def at(self, when):
        """The last sample before a moment of the host's clock, or the first."""
        seconds = when - time.time() + time.monotonic() - self.began
        before = [one for one in self.samples if one["seconds"] <= seconds]
        return (before or self.samples)[-1 if before else 0]


def forecast(vm, **terms):
    """What QEMU foretells; empty if it is not able to yet."""
    try:
        return vm.qmp.command("query-migrate-forecast", arguments=terms)
    except QmpError as refusal:
        return {"refused": str(refusal)}


def calibrate(vm, side):
    if OUTCOMES.get(side):
        vm.qmp.command("migrate-forecast-calibrate", arguments={"errors": OUTCOMES[side]})


def keep_outcome(vm, side):
    outcome = forecast(vm).get("outcome")
    if outcome:
        OUTCOMES.setdefault(side, []).append(outcome)


def verdict_seen(source, course):
    """When the event first said that the migration will not reach its limit, and what had been sent by then."""
    source.qmp.poll_events()
    for event in source.events:
        data = event.get("data", {})
        if event["event"] == "MIGRATE_FORECAST" and data["verdict"] == "will-not-converge":
            stamp = event["timestamp"]
            sample = course.at(stamp["seconds"] + stamp["microseconds"] / 1e6)
            return {"syncs": data["syncs"], "bytes": sample["transferred"], "seconds": sample["seconds"], "data": data}
    return None


def tier_facts(source, target, before, course):
    after = query(source)
    promoted = sum(after["counters"][name] - before["counters"][name] for name in ("faults-stored", "prefetch-pages"))
    return {"promoted_pages": promoted, "dram_before_pages": in_dram(before), "dram_most_pages": course.most_dram,
            "guest_faults": after["counters"]["faults"] - before["counters"]["faults"],
            "target_pages": query(target)["pages"]}


def one_run(side, load, folder, options):
    """One migration of one side: a measurement."""
    with linked(RATE) as link, machine(side, load, folder, options) as source, \
            machine(side, load, folder, options, incoming=True) as target:
        learn(source, target, side)
        options.progress(f"{load.name}: warming up")
        pace = warm_up(source, load)
        calibrate(source, side)
        tiered = load.dram_mib and side != "stock"
        before = query(source) if tiered else None
        asked = forecast(source, **{"bandwidth": RATE, "downtime-limit": load.downtime_ms}) \
            if side in SETTINGS else None
        migration.prepare(source, target, link, parameters={"downtime-limit": load.downtime_ms})
        cpu = cpu_seconds(source.pid)
        options.progress(f"{load.name}: migrating")
        course = Course(source, side, load)
        migration.start(source, link)
        ended = course.follow()
        cpu = cpu_seconds(source.pid) - cpu
        extra = {"forecast_before": asked, "forecasts": course.forecasts, "stock_forecasts": course.stock_forecasts(),
                 "verdict": verdict_seen(source, course), "downtime_limit": load.downtime_ms, "ended": ended, "pace": pace}
        if ended:
            outcome = outcome_of(source, target, link)
            if side in SETTINGS:
                keep_outcome(source, side)
            options.progress(f"{load.name}: comparing")
            if tiered:  # before the comparison brings everything in
                extra["tiers"] = tier_facts(source, target, before, course)
            different = different_pages(source, target, load.mib << 20)
        else:
            outcome = cancel(source, target, link, time.monotonic() - course.began)
            different = []
        extra.update(outcome_facts(outcome), different_pages=len(different), samples=course.samples[::10])
        return measurement(load.name, outcome.seconds, extra, not different, outcome.link_bytes, cpu)


def outcome_facts(outcome):
    ram = outcome.info["ram"]
    return {"status": outcome.status, "bytes": outcome.link_bytes, "sent_pages": outcome.sent_pages,
            "normal_pages": ram["normal"], "resent_pages": outcome.resent_pages, "ram_bytes": ram["total"],
            "syncs": outcome.syncs, "downtime_ms": outcome.downtime_ms,
            "downtime_of_source_ms": outcome.info.get("downtime")}


def run(side, dram_percent, options):
    """A workload that can't be measured is told at the end; the others come first."""
    failures = []
    for name in WORKLOADS:
        if options.workloads and name not in options.workloads or name in OTHERS and side not in OTHERS[name].SIDES:
            continue
        folder = options.out / "migrate-logs" / f"{name}-{side}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with as_level_errors():
                one = (OTHERS[name].one_run if name in OTHERS else one_run)(side, LOADS.get(name), folder, options)
        except LevelError as failure:
            failures.append(f"{name}: {failure}")
            one = None
        if not one:
            continue
        one.update(level="migrate", side=side, dram_percent=dram_percent, round=options.round)
        yield one
    if failures:
        raise LevelError("; ".join(failures))
