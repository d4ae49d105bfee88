# SPDX-License-Identifier: GPL-2.0-or-later
"""What a migration would cost, the verdict about one that will not converge, and what is done about it."""
import contextlib

from guest import MIB, require, wait_for
from machines import baremetal, ram
from migration import (GIVEN_UP, RATE, finish, linked, migrate, outcome_of, prepare, require_same_ram, start,
                       wait_status)
from qmp import QmpError

SIZE = 128 * MIB
LIMIT_MS = 100
# 8 MiB are written every 10 ms: at 32 MiB/s that is a quarter of a second of downtime, however long one waits.
HOT = f"mib={SIZE // MIB} hot=8192 hot-ms=10"
CALM = f"mib={SIZE // MIB} hot=512 hot-ms=10"


@contextlib.contextmanager
def paced(folder, job, name="source", incoming=False):
    with baremetal(folder, job, ram(SIZE, None), "tcg", 1, name, incoming=incoming, image="paced.elf") as vm:
        if not incoming:
            vm.wait_debug("READY", 60)
        yield vm


@contextlib.contextmanager
def pair(folder, job):
    with linked(RATE) as link, paced(folder, job) as source, \
            paced(folder, job, "target", incoming=True) as target:
        yield source, target, link


def forecast(vm, **arguments):
    return vm.qmp.command("query-migrate-forecast", **arguments)


def verdicts(vm):
    vm.qmp.poll_events()
    return [event["data"] for event in vm.events if event["event"] == "MIGRATE_FORECAST"]


def wait_verdict(vm, wanted, **arguments):
    """Asks until the answer is that, which takes some looks at what the guest writes."""
    def asked():
        answer = forecast(vm, **arguments)
        return answer if answer["verdict"] == wanted and answer["watched"] >= 5 else None
    return wait_for(asked, 60, f"the verdict never is {wanted}: {forecast(vm, **arguments)}", 0.2)


def remedy(answer, kind):
    found = [one for one in answer["remedies"] if one["kind"] == kind]
    require(found, f"no remedy {kind}: {answer}")
    return found[0]


def goes_on(vm):
    beats = vm.debug_text().count("BEAT")
    wait_for(lambda: vm.debug_text().count("BEAT") > beats + 1, 60, f"{vm.name} does not go on: {vm.describe()}")


def test_before_the_start(folder):
    """What is learnt beforehand is enough: no byte has been sent."""
    with paced(folder, HOT) as vm:
        require(forecast(vm)["verdict"] == "unknown", f"nothing can be known yet: {forecast(vm)}")
        vm.qmp.command("tiered-migration-configure", learn=True)
        answer = wait_verdict(vm, "will-not-converge", bandwidth=RATE, downtime_limit=LIMIT_MS)
        require(7 * MIB < answer["irreducible"] < 10 * MIB, f"8 MiB are rewritten all the time: {answer}")
        require(not answer["running"] and "MiB" in answer["reason"], f"{answer}")
        costs = [one["cost"] for one in answer["remedies"]]
        require(costs == sorted(costs) and costs, f"remedies are not in order: {answer}")
        needed = remedy(answer, "downtime-limit")["downtime-limit"]
        require(230 <= needed <= 500, f"8 MiB take 250 ms: {answer}")
        require(remedy(answer, "bandwidth")["bandwidth"] > 1.5 * RATE, f"100 ms need about 80 MiB/s: {answer}")
        # What it says helps, helps by its own account; and the human monitor says the same.
        for arguments in ({"bandwidth": RATE, "downtime_limit": 2 * needed},
                          {"bandwidth": 8 * RATE, "downtime_limit": LIMIT_MS}):
            wait_verdict(vm, "converges", **arguments)
        vm.qmp.command("migrate-set-parameters", downtime_limit=LIMIT_MS, max_bandwidth=RATE)
        text = vm.qmp.command("human-monitor-command", command_line="info migrate_forecast")
        require(text.startswith("will-not-converge") and "remedy: downtime-limit" in text, text)


def test_abort_then_the_remedy(folder):
    """Given up within three syncs, for little more than RAM's size; then what it said would help does."""
    with pair(folder, HOT) as (source, target, link):
        prepare(source, target, link, parameters={"downtime-limit": LIMIT_MS})
        start(source, link, on_no_convergence="abort")
        wait_status(source, "failed")
        info = source.qmp.command("query-migrate")
        event = verdicts(source)[-1]
        require(event["verdict"] == "will-not-converge" and event["action"] == "abort", f"{event}")
        require(event["syncs"] <= 3, f"it took {event['syncs']} syncs")
        require(link.forward <= 1.05 * SIZE, f"{link.forward} bytes were sent by then")
        require("will not converge" in info["error-desc"], f"no reason is given: {info}")
        goes_on(source)
        target.kill()
        source.qmp.command("tiered-migration-configure", learn=True)
        answer = wait_verdict(source, "will-not-converge", bandwidth=RATE, downtime_limit=LIMIT_MS)
        needed = 2 * remedy(answer, "downtime-limit")["downtime-limit"]
    with pair(folder, HOT) as (source, target, link):
        prepare(source, target, link, parameters={"downtime-limit": needed})
        start(source, link, on_no_convergence="abort")
        finish(source, target, link)
        require_same_ram(source, target, SIZE)


def test_throttle(folder):
    """The guest is held back, and no longer than the migration goes on. (This one writes by the clock: it catches up
    whenever it may run, so that holding it back helps nothing.)"""
    with pair(folder, HOT) as (source, target, link):
        prepare(source, target, link, parameters={"downtime-limit": LIMIT_MS})
        start(source, link, on_no_convergence="throttle")
        wait_for(lambda: source.qmp.command("query-migrate").get("cpu-throttle-percentage"), 60, "it is not held back")
        require(verdicts(source)[0]["action"] == "throttle", f"{verdicts(source)}")
        source.qmp.command("migrate_cancel")
        wait_status(source, GIVEN_UP)
        wait_for(lambda: not source.qmp.command("query-migrate").get("cpu-throttle-percentage"), 60,
                 "it is held back after the migration ended")
        goes_on(source)


def test_forecast_of_one_that_converges(folder):
    """What was forecast is what came; the error is kept, and can be given to another QEMU."""
    with pair(folder, CALM) as (source, target, link):
        source.qmp.command("tiered-migration-configure", learn=True)
        before = wait_verdict(source, "converges", bandwidth=RATE, downtime_limit=300)
        sent = migrate(source, target, link, parameters={"downtime-limit": 300}).link_bytes
        require(abs(before["bytes"]["p50"] - sent) <= 0.08 * sent, f"{before} but {sent} were sent")
        require([one["verdict"] for one in verdicts(source)] == ["converges"], f"{verdicts(source)}")
        require_same_ram(source, target, SIZE)
        outcome = forecast(source)["outcome"]
        require(abs(outcome["actual-bytes"] - sent) <= 0.02 * sent, f"{outcome} but {sent} were sent")
        target.qmp.command("migrate-forecast-calibrate", errors=[outcome])


def test_refusals(folder):
    with pair(folder, CALM) as (source, target, link):
        prepare(source, target, link)
        try:
            start(source, link, on_no_convergence="postcopy")
            require(False, "postcopy was accepted without its capability")
        except QmpError as refusal:
            require("postcopy-ram" in str(refusal), f"{refusal}")
        for arguments in ({"bandwidth": 0}, {"downtime_limit": 0}):
            try:
                forecast(source, **arguments)
                require(False, f"{arguments} was accepted")
            except QmpError as refusal:
                require("more than 0" in str(refusal), f"{refusal}")
        # Nothing was started: an ordinary migration works, and has no verdict unless it's asked for.
        start(source, link)
        wait_status(source, "completed")
        outcome_of(source, target, link)
        require(not verdicts(source), f"{verdicts(source)}")
        require_same_ram(source, target, SIZE)
