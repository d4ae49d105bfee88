# SPDX-License-Identifier: GPL-2.0-or-later
"""Learning a guest's writes, and migrating by it: on any RAM, with every kind of stream, and whatever is learnt, all
of the paused source's RAM is at the destination."""
import contextlib

from domain import Domains, libvirt_ram
from guest import MIB, PAGE, require, wait_for
from machines import baremetal, ram
from migration import (GIVEN_UP, finish, linked, prepare, require_same_ram, start, status, wait_status)
from qmp import QmpError

SIZE = 128 * MIB
LIMIT = 48 * MIB
RATE = 32 * MIB
HOT = 256  # pages
SWEEP = "mib=128 hot=1024 hot-ms=10 sweep=32768 sweep-ms=2000"
SILENT = "mib=128 hot=8192 hot-ms=10 silent=1"


def settings(vm):
    return vm.qmp.command("query-tiered-migration")


def learning(vm):
    return settings(vm)["learning"]


def precopy(vm):
    return settings(vm)["precopy"]


def configure(vm, **given):
    vm.qmp.command("tiered-migration-configure", **given)


def paced(folder, job, name="source", limit=None, accel="tcg", incoming=False, **more):
    return baremetal(folder, job, ram(SIZE, limit), accel, name=name, incoming=incoming, image="paced.elf", **more)


def wait_ready(vm):
    vm.wait_debug(r"(?m)^READY$", 60)


def wait_learnt(vm, looks):
    wait_for(lambda: learning(vm)["looks"] >= looks, 60, f"no {looks} looks: {settings(vm)}")


@contextlib.contextmanager
def pair(folder, job, limit=None, to_limit=None, accel="tcg", rate=RATE):
    with linked(rate) as link, paced(folder, job, "source", limit, accel) as source, \
            paced(folder, job, "target", to_limit, accel, incoming=True) as target:
        wait_ready(source)
        yield source, target, link


def learn(source, looks=30, predictor="on"):
    configure(source, learn=True, predictor=predictor)
    wait_learnt(source, looks)


def migrated(source, target, link, **more):
    """A migration to the end; its outcome, and what the predictor says of it."""
    more.setdefault("parameters", {"downtime-limit": 300})
    prepare(source, target, link, **more)
    start(source, link)
    outcome = finish(source, target, link)
    require_same_ram(source, target, SIZE)
    found = precopy(source) if "precopy" in settings(source) else None
    require(not found or not found["active"], f"a precopy is left over: {found}")
    return outcome, found


def test_settings(folder):
    """What they are at first, that each changes alone, and what is refused."""
    with paced(folder, "mib=128") as vm:
        first = settings(vm)
        require(first == {"learn": False, "predictor": "off", "profile": "on", "on-no-convergence": "continue"},
                f"the defaults are {first}")
        configure(vm, predictor="observe")
        configure(vm, profile="off")
        configure(vm, arguments={"on-no-convergence": "abort"})
        second = settings(vm)
        require(second == {"learn": False, "predictor": "observe", "profile": "off", "on-no-convergence": "abort"},
                f"after three changes: {second}")
        try:
            configure(vm, predictor="perhaps")
        except QmpError as refusal:
            require("perhaps" in str(refusal), f"the refusal does not name the value: {refusal}")
        else:
            require(False, "predictor=perhaps was accepted")


def test_learns(folder):
    """The hot pages, the swept ones and the time of a sweep; and forgets when it is to."""
    with paced(folder, SWEEP) as vm:
        wait_ready(vm)
        require("learning" not in settings(vm), "something is learnt although nobody asked")
        configure(vm, learn=True)
        wait_for(lambda: learning(vm)["learnt-ms"] > 7000, 60, f"no 7 s are learnt: {settings(vm)}")
        found = learning(vm)
        require(found["pages"] >= SIZE // PAGE, f"not all RAM is watched: {found}")
        require(found["hot"] >= 0.8 * HOT, f"{HOT} pages are hot: {found}")
        # 8448 pages are written, of 32768 and some firmware.
        require(SIZE // PAGE - 9000 <= found["never-written"] <= found["pages"] - 8000,
                f"some pages are never written: {found}")
        # Stopped, it writes nothing, and nobody looks.
        vm.qmp.command("stop")
        looks = learning(vm)["looks"]
        vm.qmp.command("cont")
        wait_learnt(vm, looks + 3)
        configure(vm, learn=False)
        require(learning(vm)["pages"] == 0, f"it does not forget: {settings(vm)}")
        configure(vm, learn=True)
        wait_learnt(vm, 5)


def test_sweep(folder):
    """Pages about to be written are held back: fewer are sent twice than were found to be rewritten."""
    with pair(folder, SWEEP) as (source, target, link):
        learn(source, 40)
        outcome, found = migrated(source, target, link)
        require(not found["observe"] and found["sent"] > SIZE // PAGE // 2, f"no plan was followed: {found}")
        require(outcome.resent_pages < 8192, f"the plan saved nothing: {outcome.resent_pages} pages resent, {found}")


def test_observe(folder):
    """Only foretells and counts."""
    with pair(folder, SWEEP) as (source, target, link):
        learn(source, 20, "observe")
        _, found = migrated(source, target, link)
        require(found["observe"] and found["sent"] > 0 and found["skipped"] == 0 and found["waited-ms"] == 0,
                f"observing is more, or less: {found}")


def test_silent_stores(folder):
    """8 MiB that are written all the time with what they hold: QEMU alone never ends at 50 ms."""
    with pair(folder, SILENT) as (source, target, link):
        learn(source, 20)
        _, found = migrated(source, target, link, parameters={"downtime-limit": 50})
        require(found["skipped"] > 1000, f"silent stores are sent: {found}")


def test_throttled_at_first(folder):
    """What was measured while the user allowed little does not hold everything back when he allows more."""
    with pair(folder, SILENT.replace("silent=1", ""), rate=None) as (source, target, link):
        learn(source, 20)
        prepare(source, target, link, parameters={"downtime-limit": 300, "max-bandwidth": RATE // 2})
        start(source, link)
        wait_for(lambda: settings(source).get("precopy", {}).get("syncs", 0) > 1, 60, f"no sync: {status(source)}")
        source.qmp.command("migrate-set-parameters", arguments={"max-bandwidth": 1024 * MIB})
        finish(source, target, link)
        require_same_ram(source, target, SIZE)


def test_tiered(folder):
    """Its profile learns of the writes, too."""
    def written():
        return source.qmp.command("query-tiered-memory-profile")[0].get("written-per-second")

    with pair(folder, SWEEP, LIMIT, LIMIT) as (source, target, link):
        require(written() is None, f"written pages are known to nobody, yet there are {written()}")
        learn(source)
        wait_for(lambda: (written() or 0) > HOT, 30, f"the profile does not know of the writes: {written()}")
        migrated(source, target, link)


def test_kvm(folder):
    with pair(folder, SWEEP, accel="kvm") as (source, target, link):
        learn(source)
        migrated(source, target, link)


def test_unlearnt(folder):
    """The predictor without learning: it knows only what the migration itself sees."""
    with pair(folder, SWEEP, rate=None) as (source, target, link):
        configure(source, predictor="on")
        _, found = migrated(source, target, link)
        require(found["sent"] > 0, f"no precopy was told to it: {found}")


def test_kinds_of_stream(folder):
    for capabilities, both in ((("multifd",), {"multifd-channels": 2}), (("xbzrle",), None),
                               (("postcopy-ram",), None)):
        with pair(folder, SWEEP + " silent=1", rate=4 * RATE) as (source, target, link):
            learn(source, 10)
            migrated(source, target, link, capabilities=capabilities, both=both)


def test_turned_off_meanwhile(folder):
    with pair(folder, SWEEP) as (source, target, link):
        learn(source, 10)
        prepare(source, target, link, parameters={"downtime-limit": 300})
        link.hold_at(16 * MIB)
        start(source, link)
        require(link.wait_held(), "the migration is over already")
        configure(source, learn=False, predictor="off")
        link.release()
        finish(source, target, link)
        require_same_ram(source, target, SIZE)


def test_again_after_cancel(folder):
    """A cancelled migration leaves a guest that is still learnt from, and migrates as well the next time."""
    with pair(folder, SWEEP) as (source, target, link):
        learn(source, 10)
        prepare(source, target, link, parameters={"downtime-limit": 300})
        link.hold_at(16 * MIB)
        start(source, link)
        require(link.wait_held(), "the migration is over already")
        source.qmp.command("migrate_cancel")
        link.cut()
        wait_status(source, GIVEN_UP)
        target.kill()
        require(source.qmp.command("query-status")["running"], "the source does not run")
        wait_learnt(source, learning(source)["looks"] + 5)
        with linked(RATE) as second, paced(folder, SWEEP, "second", incoming=True) as place:
            migrated(source, place, second)


def test_to_a_file(folder):
    """mapped-ram and a snapshot send all that is set, in order."""
    with paced(folder, SWEEP) as vm:
        wait_ready(vm)
        learn(vm, 5)
        vm.qmp.command("migrate-set-capabilities",
                       capabilities=[{"capability": "mapped-ram", "state": True}])
        path = folder / "state"
        vm.qmp.command("migrate", uri=f"file:{path}")
        wait_for(lambda: status(vm) == "completed", 60, f"the migration is {status(vm)}")
        require("precopy" not in settings(vm), f"a plan was made for a file: {settings(vm)}")
        with paced(folder, SWEEP, "target", incoming=True) as target:
            target.qmp.command("migrate-set-capabilities",
                               capabilities=[{"capability": "mapped-ram", "state": True}])
            target.qmp.command("migrate-incoming", uri=f"file:{path}")
            wait_for(lambda: target.qmp.command("query-status")["status"] == "paused", 60, "it does not arrive")
            require_same_ram(vm, target, SIZE)
        path.unlink()


def test_host_decides(folder):
    """The host's file can have it learnt from the start."""
    domains = Domains(folder / "run")
    for wanted in (True, False, None):
        domains.decide(SIZE, LIMIT, learn_writes=wanted)
        with paced_domain(folder, domains) as vm:
            require(settings(vm)["learn"] is bool(wanted), f"learn-writes {wanted}: {settings(vm)}")


def paced_domain(folder, domains):
    return baremetal(folder, SWEEP, libvirt_ram(SIZE), image="paced.elf", before_exec=domains.use)
