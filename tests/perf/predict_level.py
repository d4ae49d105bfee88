# SPDX-License-Identifier: GPL-2.0-or-later
"""The predict level (scripts/bench predict): what is in DRAM before it is touched. The process level's program and
DRAM, beside Tidemark with prefetch off and kernel swap."""
import process_level
from process_level import facts, prepare  # noqa: F401 pylint: disable=unused-import

SIDES = ["tidemark", "off", "swap"]
DRAM = [25]
WORKLOADS = ["fill", "seq-read", "strided", "interleaved", "repeated", "uniform-rmw", "zipf-rmw"]


def run(side, dram_percent, options):
    chosen = [name for name in WORKLOADS if options.workloads is None or name in options.workloads]
    if "fill" not in chosen:
        chosen.insert(0, "fill")
    for one in process_level.run_workloads(side, dram_percent, chosen, options):
        one.update(level="predict", side=side)
        yield one
