# SPDX-License-Identifier: GPL-2.0-or-later
"""The predict level (scripts/bench predict): what is in DRAM before it is touched, and what is out of it before
it must be. The process level's program and DRAM, beside Tidemark with prefetch off and kernel swap."""
import subprocess

import process_level
from levels import LevelError
from process_level import prepare, scale  # noqa: F401 pylint: disable=unused-import

SIDES = ["tidemark", "off", "swap", "unlearned", "kept"]
DRAM = [25]
# Up to `idle` on every side, in one process: what learning costs is seen where there is little to learn.
COSTS = ["fill", "seq-read", "strided", "uniform-rmw", "zipf-rmw", "idle"]
WORKLOADS = COSTS + ["interleaved", "repeated", "phases", "job"]
# In a process of its own with DRAM for all that it holds: what leaves, leaves without pressure. Not all of it,
# or the engine would have nothing to do with it.
ALONE, PLENTY = ["idle-reclaim", "returning"], 96


def facts(options):
    return {name.replace("process", "predict", 1): sentence
            for name, sentence in process_level.facts(options).items()}


def tables(options):
    """The forecasts of the network beside two that cost nothing, on traces made for it."""
    path = options.build / "tests/perf/forecast_table"
    if not path.exists():
        raise LevelError(f"{path} is missing: scripts/bench builds it")
    done = subprocess.run([path, "--seed", str(options.seed)], capture_output=True, text=True, check=False,
                          timeout=600)
    if done.returncode != 0:
        raise LevelError(f"forecast_table ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return {"forecasts of heat, network and baselines": done.stdout.rstrip()}


def asked_for(names, options):
    return options.workloads is None or bool(set(options.workloads) & set(names))


def measure(side, dram_percent, options):
    names = {"unlearned": COSTS, "kept": []}.get(side, WORKLOADS)
    if names and asked_for(names, options):
        yield from process_level.run_workloads(side, dram_percent, process_level.wanted(names, options), options)
    for name in {"tidemark": ALONE, "kept": ["returning"]}.get(side, []):
        if asked_for([name], options):
            first = ["fill"] if name == "returning" else []  # here it is no figure
            for one in process_level.run_workloads(side, PLENTY, [*first, name], options,
                                                   ["--cold-age", str(scale(options)["cold_age"])]):
                if one["workload"] not in first:
                    yield one


def run(side, dram_percent, options):
    for one in measure(side, dram_percent, options):
        one.update(level="predict", side=side, dram_percent=dram_percent)
        yield one
