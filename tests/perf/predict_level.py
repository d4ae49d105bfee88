# SPDX-License-Identifier: GPL-2.0-or-later
"""The predict level (scripts/bench predict): what is in DRAM before it is touched, and what is out of it before
it must be. The process level's program and DRAM, beside Tidemark with prefetch off and kernel swap."""
import process_level
from levels import UNLIMITED
from process_level import prepare  # noqa: F401 pylint: disable=unused-import

SIDES = ["tidemark", "off", "swap"]
DRAM = [25]
WORKLOADS = ["fill", "seq-read", "strided", "uniform-rmw", "zipf-rmw", "idle", "interleaved", "repeated", "phases",
             "job"]
# In a process of its own that has all the DRAM it wants: what leaves it, leaves without pressure.
ALONE = "idle-reclaim"


def facts(options):
    return {name.replace("process", "predict", 1): sentence
            for name, sentence in process_level.facts(options).items()}


def run(side, dram_percent, options):
    parts = [(process_level.wanted(WORKLOADS, options), dram_percent)]
    if options.workloads is not None and not set(options.workloads) & set(WORKLOADS):
        parts = []
    if side == "tidemark" and (options.workloads is None or ALONE in options.workloads):
        parts.append(([ALONE], UNLIMITED))
    for workloads, percent in parts:
        for one in process_level.run_workloads(side, percent, workloads, options):
            one.update(level="predict", side=side, dram_percent=dram_percent)
            yield one
