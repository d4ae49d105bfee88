#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tidemark beside kernel swap, a mapped file and plain RAM: scripts/bench starts this."""
import argparse
import contextlib
import importlib
import json
import pathlib
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import environment  # noqa: E402
import floors  # noqa: E402
import report  # noqa: E402
import targets  # noqa: E402
from cgroup import CgroupError  # noqa: E402
from levels import MIB, UNLIMITED, LevelError, Options, Progress, clean_up_on_signals  # noqa: E402
from summary import Lookup, floors_summary, summarize  # noqa: E402
from swapfile import SwapError  # noqa: E402

LEVELS = {"process": "process_level", "guest": "guest_level", "predict": "predict_level",
          "migrate": "migrate_level"}
DEFAULT_LEVELS = ["process", "guest"]
DEFAULT_SIDES = ["tidemark", "swap", "file", "ram", "off", "unlearned", "kept", "stock", "observe", "on"]
# What a level does of a quick run, unless the command line says more; the guests take long to boot.
QUICK_ONLY = {"guest": {"rounds": 1, "dram": [50], "sides": ["tidemark", "swap", "ram"]}}
HERE = pathlib.Path(__file__).resolve().parent


def words(text):
    return [word for word in text.split(",") if word]


def shares(text):
    found = [int(word) for word in words(text)]
    if not found or not all(5 <= share <= 100 for share in found):
        raise argparse.ArgumentTypeError("expected percentages from 5 to 100, such as 75,50,25")
    return found


def parse():
    defaults = Options()
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("only", nargs="?", choices=["predict", "migrate"],
                        help="that level alone, at its own DRAM share")
    parser.add_argument("--quick", action="store_true",
                        help="small and short, for every day: under 3 minutes")
    parser.add_argument("--level", type=words, default=None, metavar="process,guest,predict,migrate",
                        help="without it, the first two; the guest level only if it is there")
    parser.add_argument("--rounds", type=int, help="of each side; normally 5, quick 2")
    parser.add_argument("--sides", type=words, metavar="NAME,...",
                        help="of tidemark, swap, file, ram, zram, the predict level's off, unlearned and kept, "
                             "the migrate level's stock, off, observe and on; normally all but zram")
    parser.add_argument("--dram", type=shares, metavar="PERCENT,...",
                        help="DRAM as a share of the footprint; normally 100,75,50,25, quick 100,50; "
                             "100 is no limit")
    parser.add_argument("--workloads", type=words, metavar="NAME,...")
    parser.add_argument("--footprint", type=int, metavar="MIB")
    parser.add_argument("--policy", choices=("lru", "lfu", "fifo"), default="lru")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=pathlib.Path, default=defaults.directory,
                        help="on the disk to measure: tier, swap file and mapped file go there")
    parser.add_argument("--out", type=pathlib.Path, default=defaults.out, help="where the results go")
    parser.add_argument("--build", type=pathlib.Path, default=defaults.build, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        asked.level = [asked.only]
    unknown = [name for name in asked.level or [] if name not in LEVELS]
    if unknown:
        parser.error(f"no level '{unknown[0]}': {', '.join(LEVELS)}")
    return asked


def load_levels(asked):
    """Level modules by name. The guest level needs QEMU and guests; unasked, it is left out without."""
    found = {}
    for name in asked or DEFAULT_LEVELS:
        if asked is None and not (HERE / f"{LEVELS[name]}.py").exists():
            continue
        found[name] = importlib.import_module(LEVELS[name])
    return found


def options_of(asked):
    return Options(quick=asked.quick, sides=asked.sides or DEFAULT_SIDES, workloads=asked.workloads,
                   directory=asked.dir.resolve(), out=asked.out.resolve(), build=asked.build.resolve(),
                   footprint=asked.footprint * MIB if asked.footprint else None, policy=asked.policy,
                   seed=asked.seed, dram=asked.dram or ([100, 50] if asked.quick else [100, 75, 50, 25]))


class Bench:
    """One run of the benchmark. Whatever was measured before it is interrupted is in the report."""

    def __init__(self, options, levels, rounds, asked):
        self.options = options
        self.dram = options.dram
        self.asked = asked
        self.levels = levels
        self.rounds = rounds
        self.progress = Progress(sys.stderr)
        self.measurements = []
        self.floors = []
        self.failures = []
        self.environment = environment.describe(options.directory)
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = open(options.out / "results.jsonl", "w", encoding="utf-8")

    def attempt(self, what, action):
        """Runs one part; what a part can't do is noted, and the others go on."""
        try:
            return action()
        except (LevelError, CgroupError, SwapError) as problem:
            self.failures.append(f"{what}: {problem}")
            self.progress.clear()
            print(report.first_line(f"{what}: {problem}"), file=sys.stderr)
            return None

    def keep(self, measurement):
        self.measurements.append(measurement)
        self.log.write(json.dumps(measurement) + "\n")
        self.log.flush()

    def run_side(self, name, side, percent):
        module = self.levels[name]
        self.progress.prefix = (f"round {self.options.round + 1}/{self.rounds}, {name} level, DRAM "
                                f"{percent} %, {side}: ")
        self.options.progress = self.progress

        def action():
            with contextlib.closing(module.run(side, percent, self.options)) as measurements:
                for measurement in measurements:
                    self.keep(measurement)
        self.attempt(f"{side}, DRAM {percent} %, {name} level, round {self.options.round + 1}", action)

    def sides_in(self, name, percent, number):
        """Each round starts with another side, so that none always runs after the same one."""
        sides = [side for side in self.levels[name].SIDES
                 if side in self.options.sides and self.has(name, "sides", side)]
        if percent >= UNLIMITED and not getattr(self.levels[name], "OWN_SIDES", False):
            sides = [side for side in sides if side in ("tidemark", "ram")]
        turn = number % len(sides) if sides else 0
        return sides[turn:] + sides[:turn]

    def take_shares_of(self, name):
        """A level may have shares of its own, if none are asked for. options.dram is those of the level at work."""
        own = getattr(self.levels[name], "DRAM", None)
        self.options.dram = own if own and not self.asked.dram else self.dram

    def has(self, name, what, value):
        """False for what a quick run leaves out at this level. What was asked for is never left out."""
        if not self.options.quick or getattr(self.asked, what):
            return True
        only = QUICK_ONLY.get(name, {}).get(what)
        return only is None or (value < only if what == "rounds" else value in only)

    def run_level(self, name, number):
        if not self.has(name, "rounds", number):
            return
        self.take_shares_of(name)
        for percent in self.options.dram:
            if self.has(name, "dram", percent):
                for side in self.sides_in(name, percent, number):
                    self.run_side(name, side, percent)

    def measure_floors(self):
        if not any(getattr(module, "FLOORS", True) for module in self.levels.values()):
            return
        self.progress("floors")
        floor = self.attempt("floors", lambda: floors.measure(self.options))
        if floor:
            self.floors.append(floor)

    def run(self):
        self.options.progress = self.progress
        for name, module in self.levels.items():
            if hasattr(module, "prepare"):
                self.take_shares_of(name)
                self.progress.prefix = f"{name} level: "
                self.attempt(f"{name} level", lambda module=module: module.prepare(self.options))
        for number in range(self.rounds):
            self.options.round = number
            self.progress.prefix = f"round {number + 1}/{self.rounds}: "
            if number == 0 or not self.options.quick:
                self.measure_floors()
            for name in self.levels:
                self.run_level(name, number)

    def from_levels(self, what):
        """What the levels' functions of that name say, all in one."""
        said = {}
        for name, module in self.levels.items():
            if hasattr(module, what):
                self.take_shares_of(name)
                found = self.attempt(f"{what} of the {name} level",
                                     lambda module=module: getattr(module, what)(self.options))
                said.update(found or {})
        return said

    def results(self):
        rows = summarize(self.measurements)
        floor = floors_summary(self.floors)
        facts, tables = self.from_levels("facts"), self.from_levels("tables")
        for module in self.levels.values():
            tables.update(module.figures(self.measurements) if hasattr(module, "figures") else {})
        return {"environment": {**self.environment, **facts}, "floors": floor, "floor_rounds": self.floors,
                "summary": rows, "tables": tables,
                "targets": targets.evaluate(Lookup(rows, self.measurements, floor)),
                "failures": self.failures, "measurements": self.measurements}

    def finish(self):
        self.log.close()
        self.progress.clear()
        results = self.results()
        print(report.write(results, self.options.out))
        print(f"Files: {self.options.out}/report.txt, results.json, results.jsonl, plot.svg")
        wrong = any(not one["verified"] for one in self.measurements)
        return 1 if wrong or self.failures or not self.measurements else 0


def main():
    asked = parse()
    clean_up_on_signals()
    options = options_of(asked)
    options.directory.mkdir(parents=True, exist_ok=True)
    rounds = asked.rounds or (2 if asked.quick else 5)
    bench = Bench(options, load_levels(asked.level), rounds, asked)
    try:
        bench.run()
    except KeyboardInterrupt as interrupt:
        bench.failures.append(f"interrupted ({interrupt or 'Ctrl-C'}): the rounds are not complete")
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
