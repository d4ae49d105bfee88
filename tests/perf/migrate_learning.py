# SPDX-License-Identifier: GPL-2.0-or-later
"""What learning a guest's writes costs it: passes over memory of a guest that does nothing else, with learning
off and on in turn, in one QEMU."""
import re
import statistics
import time

from migrate_guests import binary, configure, measurement

# pylint: disable=wrong-import-order # migrate_guests says where they are
from guest import MIB
from machines import baremetal, ram

NAME = "learning"
SIDES = ["on"]
# A pass takes about ten milliseconds, so that a turn of some seconds is told to a fraction of a percent.
LOAD = "size=32 passes=0 words=64"
SIZE = 128 * MIB
TURNS, SECONDS, SETTLE = 12, 4, 0.5


def passes(vm):
    return len(re.findall(r"^PASS \d+ ok$", vm.debug_text(), re.M))


def rate(vm, seconds):
    """Passes per second, from one pass to another."""
    first, began = next_pass(vm)
    time.sleep(seconds)
    last, ended = next_pass(vm)
    return (last - first) / (ended - began)


def next_pass(vm):
    before = passes(vm)
    while (now := passes(vm)) == before:
        time.sleep(0.0005)
    return now, time.monotonic()


def one_run(side, _load, folder, options):
    rates = {True: [], False: []}
    with baremetal(folder, LOAD, ram(SIZE, None), name="learning", binary=binary(side)) as vm:
        vm.wait_passes_more(20, 60)
        for turn in range(TURNS):
            learn = turn % 2 == 1
            options.progress(f"learning: turn {turn + 1} of {TURNS}")
            configure(vm, "off", learn=learn)
            time.sleep(SETTLE)
            rates[learn].append(rate(vm, SECONDS))
        vm.check_no_bad()
    slower = [without / with_it for without, with_it in zip(rates[False], rates[True])]
    return measurement(NAME, TURNS * SECONDS, {"slowdown": statistics.median(slower) - 1, "passes_per_second": rates[False],
                                               "passes_per_second_learning": rates[True]})
