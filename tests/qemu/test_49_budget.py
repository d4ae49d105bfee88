# SPDX-License-Identifier: GPL-2.0-or-later
"""Three guests under one budget: the daemon gives DRAM to those that work, and takes it back."""
import contextlib

from domain import libvirt_ram
from guest import MIB, require, short_temporary_directory, wait_for
from machines import baremetal
from tidemarkd import Tidemarkd
from tier_stats import query, require_healthy

SIZE = 256 * MIB
FLOOR = 48 * MIB
BUDGET = 384 * MIB
BUSY = 176 * MIB  # of DRAM, which holds nearly all that a working guest uses
JOB = "size=176 passes=0 words=32 order=rand"


class Shares:
    """Limits as the guests' QEMUs tell them; every look checks the laws."""

    def __init__(self, machines):
        self.machines = machines
        self.seen = []
        # A guest that starts with its floor when nothing is free takes it from the others at once; their QEMUs hear of it then.
        wait_for(lambda: sum(self.limits()) <= BUDGET, 60, "the limits' sum stays above the budget")

    def limits(self):
        return [query(vm, "pc.ram")["dram-limit"] for vm in self.machines]

    def look(self):
        limits = self.limits()
        require(all(limit >= FLOOR for limit in limits), f"below the floor: {limits}")
        require(sum(limits) <= BUDGET, f"above the budget: {limits}")
        self.seen.append(limits)
        return limits

    def wait(self, index, what, sentence):
        wait_for(lambda: what(self.look()[index]), 60, sentence, 0.3)


def work_only(machines, busy):
    for index, vm in enumerate(machines):
        vm.qmp.command("cont" if index == busy else "stop")


def test_dram_follows_work(folder):
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(short_temporary_directory())
        daemon = stack.enter_context(Tidemarkd(place, folder, BUDGET))
        machines, guests = [], []
        for name in ("one", "two", "three"):
            guests.append(daemon.prepare(name, SIZE, floor=str(FLOOR)))
            machines.append(stack.enter_context(baremetal(
                folder, JOB, libvirt_ram(SIZE, uuid=guests[-1]), name=name,
                before_exec=daemon.use)))
        daemon.wait_connected(*guests)
        shares = Shares(machines)
        for busy in (1, 2, 1):
            work_only(machines, busy)
            shares.wait(busy, lambda limit: limit >= BUSY, f"guest {busy} works and gets no DRAM")
            machines[busy].wait_passes_more(2, 60)
        for before, after in zip(shares.seen, shares.seen[1:]):
            require(all(abs(a - b) <= 64 * MIB for a, b in zip(before, after)),
                    f"a jump from {before} to {after}")
        for vm in machines:
            vm.check_no_bad()
            require_healthy(query(vm, "pc.ram"))
