# SPDX-License-Identifier: GPL-2.0-or-later
"""The migrate level's aborts: migrations of a tiered guest broken off at some hundred points of the stream. It is
tests/qemu/aborts.py that does and verifies them; one that harms the source or leaves something is this workload's
failure."""
import os
import time

from levels import LevelError
from migrate_guests import configure, measurement

# pylint: disable=wrong-import-order # migrate_guests says where they are
from aborts import Aborts, run

NAME = "aborts"
SIDES = ["on"]
POINTS, QUICK_POINTS = 200, 15


def one_run(side, _load, folder, options):
    """Once, in the first round; another would break off at the same points."""
    if options.round:
        return None
    os.environ["TIDEMARK_TIERS"] = str(options.directory)
    count = QUICK_POINTS if options.quick else POINTS
    began = time.monotonic()
    with Aborts(folder, configure=lambda vm: configure(vm, side)) as aborts:
        found = run(aborts, count, lambda seen: options.progress(f"aborts: {aborts.number} of {count}"))
    if len(found) != count:
        raise LevelError(f"only {len(found)} of {count} migrations were broken off")
    return measurement(NAME, time.monotonic() - began, {
        "points": count, "seen": found,
        "seconds_until_nothing_left": max(one["seconds_until_nothing_left"] for one in found)})
