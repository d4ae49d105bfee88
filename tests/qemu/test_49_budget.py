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
STEP = 32 * MIB  # by which a round moves a guest's limit, at most: Arbiter::max_step()
CALM, WATCHED = 6, 12  # rounds in which nothing moves; rounds that are watched from then on


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


@contextlib.contextmanager
def three_guests(folder):
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
        yield daemon, machines


def require_healthy_all(machines):
    for vm in machines:
        vm.check_no_bad()
        require_healthy(query(vm, "pc.ram"))


def test_dram_follows_work(folder):
    with three_guests(folder) as (_, machines):
        shares = Shares(machines)
        for busy in (1, 2, 1):
            work_only(machines, busy)
            shares.wait(busy, lambda limit: limit >= BUSY, f"guest {busy} works and gets no DRAM")
            machines[busy].wait_passes_more(2, 60)
        for before, after in zip(shares.seen, shares.seen[1:]):
            require(all(abs(a - b) <= 64 * MIB for a, b in zip(before, after)),
                    f"a jump from {before} to {after}")
        require_healthy_all(machines)


def swing(limits):
    """The most by which one guest's limit went up and came down again."""
    return max(min(limit - min(limits[:at + 1]), limit - min(limits[at:])) for at, limit in enumerate(limits))


class Rounds:
    """The limits that the guests had in each round of the arbiter."""

    def __init__(self, daemon, shares):
        self.daemon, self.shares = daemon, shares
        self.limits = []  # a list per round
        self.last = 0

    def next(self):
        def begun():
            rounds = self.daemon.get("/status")["arbiter"]["rounds"]
            return rounds if rounds > self.last else None
        self.last = wait_for(begun, 60, "the arbiter stands still", 0.3)
        self.limits.append(self.shares.look())

    def swings(self, count):
        return [swing(series) for series in zip(*self.limits[-count:])]


def test_settled_shares_stay(folder):
    """Three that work all the time and want more than there is: the arbiter finds shares and leaves them."""
    with three_guests(folder) as (daemon, machines):
        rounds = Rounds(daemon, Shares(machines))

        def settled():
            rounds.next()
            return len(rounds.limits) > CALM and not any(
                max(series) - min(series) for series in zip(*rounds.limits[-CALM:]))
        wait_for(settled, 600, "the shares do not settle", 0)
        for _ in range(WATCHED):
            rounds.next()
        mib = [[one // MIB for one in row] for row in (rounds.limits[-WATCHED], rounds.limits[-1])]
        print(f"settled after {len(rounds.limits) - WATCHED} rounds at {mib[0]} MiB, then {mib[1]}, swings "
              f"{[one // MIB for one in rounds.swings(WATCHED)]}", flush=True)
        require(max(rounds.swings(WATCHED)) <= STEP,
                f"shares swing: {[[limit // MIB for limit in limits] for limits in rounds.limits]}")
        require_healthy_all(machines)
