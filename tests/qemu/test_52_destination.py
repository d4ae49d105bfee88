# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the pages of an arriving guest go, and what is left of one that does not arrive."""
import contextlib
import os

from guest import BUILD, MIB, PAGE, Skip, Watcher, require, wait_for
from machines import baremetal, ram
from migration import (FIRMWARE, GIVEN_UP, finish, linked, migrate, prepare, require_same_ram, saved, start,
                       wait_status)
from qmp import QmpError
from tier_stats import dram_sampler, query, require_evicted, require_healthy, require_never_above

SIZE = 256 * MIB
LIMIT = 64 * MIB
LOAD = "size=176 passes=0 words=32 order=rand zero=16"
PATIENT = {"downtime-limit": 30000}  # this guest never rests
STOCK = BUILD / "qemu/qemu-system-x86_64-stock"


@contextlib.contextmanager
def pair(folder, to_limit=LIMIT, accel="tcg", from_limit=LIMIT, stock_target=False):
    """A source whose memory has left DRAM in part, and a destination."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            baremetal(folder, LOAD, ram(SIZE, from_limit), accel, 2, "source"))
        with other_binary(STOCK if stock_target else None):
            target = baremetal(folder, LOAD, ram(SIZE, to_limit), accel, 2, "target", incoming=True)
        stack.enter_context(target)
        source.wait_passes_more(2, 60)
        if from_limit:
            require_evicted(source, 100)
        yield source, target


@contextlib.contextmanager
def other_binary(path):
    """The machines that are made meanwhile run this QEMU."""
    if path is None:
        yield
        return
    if not path.exists():
        raise Skip(f"{path.name} is not built (scripts/qemu build --stock)")
    before = os.environ.get("TIDEMARK_QEMU")
    os.environ["TIDEMARK_QEMU"] = str(path)
    try:
        yield
    finally:
        del os.environ["TIDEMARK_QEMU"]
        if before is not None:
            os.environ["TIDEMARK_QEMU"] = before


def profile(vm, value):
    vm.qmp.command("tiered-migration-configure", profile=value)


def go_on(source, target, passes=2):
    source.qmp.command("quit")
    source.wait_exit(20)
    target.qmp.command("cont")
    target.wait_passes_more(passes, 60)
    require_healthy(query(target))


def test_cold_pages_go_to_tiers_without_faults(folder):
    """Nothing changes any more, so each page goes once: where it belongs, and nobody waits for it."""
    with pair(folder) as (source, target), linked() as link:
        source.qmp.command("stop")
        left = query(source)["pages"]
        with Watcher(dram_sampler(target, [SIZE])) as dram:
            migrate(source, target, link)
            dram.wait_samples(3, 60)
        info = query(target)
        # What firmware and devices touched is served by faults, and that is all.
        require(info["counters"]["faults"] < 200, f"pages came in by faults: {info['counters']}")
        require(info["counters"]["faults-stored"] < 20, f"read back: {info['counters']}")
        require_never_above(dram, LIMIT)
        # All but what waits for a batch of 2 MiB to be full, per tier.
        require(info["pages"]["stored"] * PAGE >= left["stored"] * PAGE - 6 * MIB,
                f"cold pages stayed in DRAM: {info['pages']}, and were {left}")
        require(info["pages"]["resident"] > 0, f"nothing is in DRAM: {info['pages']}")
        require_same_ram(source, target, SIZE)
        go_on(source, target)


def test_without_profile(folder):
    """The source does not say what is warm; pages come as to any guest, zeros all the same."""
    with pair(folder) as (source, target), linked() as link:
        profile(source, "off")
        migrate(source, target, link, parameters=PATIENT)
        require_same_ram(source, target, SIZE)
        go_on(source, target)


def arrives_after_other_work(folder, other_work):
    """What the destination brings in by itself; with other_work, the guest had gone on to other memory meanwhile."""
    with pair(folder) as (source, target), linked(64 * MIB) as link:
        if not other_work:
            source.qmp.command("stop")
        link.hold_at(link.forward + 20 * MIB)
        prepare(source, target, link)
        start(source, link)
        require(link.wait_held(), "the stream ended early")
        if other_work:
            source.wait_passes_more(1, 60)
            source.qmp.command("stop")
        link.release()
        finish(source, target, link)
        require_same_ram(source, target, SIZE)
        counters = query(target)["counters"]
        go_on(source, target)
        return counters["prefetch-pages"]


def test_what_was_used_meanwhile_comes_by_itself(folder):
    require(arrives_after_other_work(folder, True) > 100, "nothing was brought in")
    require(arrives_after_other_work(folder, False) == 0, "what was not used was brought in: nothing was shown")


def test_while_the_guest_writes(folder):
    with pair(folder, to_limit=48 * MIB) as (source, target), linked(64 * MIB) as link:
        with Watcher(dram_sampler(target, [SIZE])) as dram:
            migrate(source, target, link, parameters=PATIENT)
            dram.wait_samples(3, 60)
        require_never_above(dram, 48 * MIB)
        require_same_ram(source, target, SIZE)
        go_on(source, target)


def multifd(folder, **more):
    both = {"multifd-channels": 2, **more}
    with pair(folder) as (source, target), linked(64 * MIB) as link:
        with Watcher(dram_sampler(target, [SIZE])) as dram:
            migrate(source, target, link, capabilities=["multifd"], both=both,
                    parameters=PATIENT)
            dram.wait_samples(3, 60)
        require_never_above(dram, LIMIT)
        require_same_ram(source, target, SIZE)
        go_on(source, target)


def test_multifd(folder):
    """Zeros come there only if they are new: what was placed counts as received."""
    multifd(folder)


def test_multifd_zlib(folder):
    multifd(folder, **{"multifd-compression": "zlib"})


def test_to_stock_memory(folder):
    """A QEMU that knows the section but has no use for it."""
    with pair(folder, to_limit=None) as (source, target), linked() as link:
        migrate(source, target, link, parameters=PATIENT)
        require_same_ram(source, target, SIZE)


def test_from_stock_memory(folder):
    with pair(folder, from_limit=None) as (source, target), linked() as link:
        migrate(source, target, link, parameters=PATIENT)
        require_same_ram(source, target, SIZE)
        go_on(source, target)


def test_unpatched_destination_refuses_or_takes_the_plain_stream(folder):
    with pair(folder, to_limit=None, stock_target=True) as (source, target), linked() as link:
        prepare(source, target, link)
        start(source, link)
        require(target.wait_exit(60) != 0, "the destination ended well")
        require("tidemark-profile" in target.stderr(),
                f"the refusal does not name the section: {target.stderr()}")
        wait_status(source, "failed")
        source.wait_passes_more(1, 60)
        with other_binary(STOCK):
            again = baremetal(folder, LOAD, ram(SIZE, None), "tcg", 2, "again", incoming=True)
        with again, linked() as other:
            profile(source, "off")
            prepare(source, again, other, parameters=PATIENT)
            start(source, other)
            finish(source, again, other)
            require_same_ram(source, again, SIZE)


def require_void(target):
    """No page, no slot, no byte but the firmware's."""
    def forgotten():
        info = query(target)
        return info["pages"]["untouched"] * PAGE == SIZE and all(
            tier["used"] == 0 for tier in info["tiers"])
    wait_for(forgotten, 60, f"pages are left: {target.describe()}")
    path = saved(target, SIZE)
    with open(path, "rb") as memory:
        for base in range(0, SIZE, MIB):
            block = memory.read(MIB)
            kept = [base + at for at in range(0, MIB, PAGE)
                    if block[at:at + PAGE].count(0) != PAGE and base + at not in FIRMWARE]
            require(not kept, f"{len(kept)} pages can still be read, the first at {kept[0]:#x}"
                    if kept else "")
    path.unlink()


def lost(folder, byte, capabilities=(), both=None):
    """The link breaks at that byte; the destination is told to stay."""
    with pair(folder) as (source, target), linked() as link:
        prepare(source, target, link, capabilities=capabilities, both=both, stay=True)
        link.hold_at(byte)
        start(source, link)
        require(link.wait_held(), f"the stream ended before byte {byte}")
        link.cut()
        wait_status(target, "failed")
        require_void(target)
        wait_status(source, "failed")
        require(source.qmp.command("query-status")["running"], "the source does not run")
        source.wait_passes_more(2, 60)
        require_healthy(query(source))
        with contextlib.suppress(QmpError):  # it has nothing to run
            target.qmp.command("cont")
        require(not target.debug_text(), "a guest that did not arrive ran")


def test_lost_link_leaves_nothing(folder):
    lost(folder, 60 * MIB)


def test_lost_link_leaves_nothing_multifd(folder):
    lost(folder, 90 * MIB, ["multifd"], {"multifd-channels": 2})


def test_lost_link_early(folder):
    """In the middle of what is said before the first page, and after the first pages."""
    for byte in (2000, 300000):
        place = folder / str(byte)
        place.mkdir()
        lost(place, byte)


def test_lost_link_ends_the_destination(folder):
    with pair(folder) as (source, target), linked() as link:
        prepare(source, target, link)
        link.hold_at(60 * MIB)
        start(source, link)
        require(link.wait_held(), "the stream ended before it was cut")
        link.cut()
        require(target.wait_exit(60) != 0, "the destination ended well")
        wait_status(source, "failed")
        source.wait_passes_more(2, 60)
        require_healthy(query(source))


def test_cancelled(folder):
    """And then once more, to another destination."""
    with pair(folder) as (source, target), linked(32 * MIB) as link:
        prepare(source, target, link)
        start(source, link)
        wait_for(lambda: link.forward > 20 * MIB, 60, "nothing is sent")
        source.qmp.command("migrate_cancel")
        wait_status(source, GIVEN_UP)
        require(target.wait_exit(60) != 0, "the destination ended well")
        source.wait_passes_more(1, 60)
        with baremetal(folder, LOAD, ram(SIZE, LIMIT), "tcg", 2, "again", incoming=True) as again, \
                linked() as other:
            migrate(source, again, other, parameters=PATIENT)
            require_same_ram(source, again, SIZE)
            go_on(source, again)
