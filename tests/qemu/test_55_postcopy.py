# SPDX-License-Identifier: GPL-2.0-or-later
"""Postcopy: the guest goes on at the destination while its pages are still at the source.

The source is frozen when it hands over. With the destination paused, all of its RAM must be the same once
all pages have come; with the destination running, the guest itself checks every word it reads."""
import contextlib
import random
import re
import struct

from guest import MIB, PAGE, Watcher, require, wait_for
from link import Link
from machines import baremetal, ram
from migration import linked, prepare, require_same_ram, start, status, wait_status
from qmp import QmpError
from tier_stats import dram_sampler, query, require_healthy, require_never_above

SIZE = 160 * MIB
LIMIT = 48 * MIB
LOAD = "size=112 passes=0 words=32 order=rand zero=16"
RATE = 48 * MIB


@contextlib.contextmanager
def machines(folder, limits=(LIMIT, LIMIT), accel="tcg", load=LOAD, rate=RATE):
    with linked(rate) as link, \
            baremetal(folder, load, ram(SIZE, limits[0]), accel, 2, "source") as source, \
            baremetal(folder, load, ram(SIZE, limits[1]), accel, 2, "target", incoming=True) as target:
        source.wait_passes_more(2, 60)
        yield source, target, link


def hand_over(source, target, link, capabilities=()):
    """Precopy until some pages have come, many of which the guest writes again; then postcopy."""
    prepare(source, target, link, ["postcopy-ram", *capabilities], {"max-bandwidth": 32 * MIB})
    start(source, link)
    wait_for(lambda: source.qmp.command("query-migrate").get("ram", {}).get("transferred", 0) > 12 * MIB, 60,
             f"precopy does not get on: {source.describe()}")
    source.qmp.command("migrate-start-postcopy")
    wait_status(source, "postcopy-active")
    wait_for(lambda: target.qmp.command("query-status")["status"] == "paused", 60,
             f"the destination does not take over: {target.describe()}")


def counters(vm):
    return query(vm)["counters"]


def require_postcopied(target, mib, faults=1):
    """The test would prove nothing if precopy had brought all pages."""
    info = query(target)
    require(info["pages"]["remote"] == 0, f"pages are still at the source: {info['pages']}")
    found = info["counters"]
    require(found["delivered-pages"] * PAGE > mib * MIB, f"few pages came by postcopy: {found}")
    require(found["faults-remote"] >= faults, f"no access waited for a page: {found}")
    require_healthy(info)


def wait_completed(source, target):
    wait_status(source, "completed")
    wait_status(target, "completed")


def read_some(target, folder):
    """The monitor reads pages from all over the RAM, most of which have not come yet."""
    path = folder / "some.pmem"
    draw = random.Random(1)
    for _ in range(24):
        target.qmp.command("pmemsave", val=draw.randrange(MIB // PAGE, SIZE // PAGE) * PAGE, size=PAGE,
                           filename=str(path), timeout=60)
    path.unlink()


def paused_destination(folder, limits, accel="tcg", capabilities=()):
    with machines(folder, limits, accel) as (source, target, link):
        hand_over(source, target, link, capabilities)
        read_some(target, folder)
        wait_completed(source, target)
        require_same_ram(source, target, SIZE)
        if limits[1]:
            require_postcopied(target, 64)
        source.qmp.command("quit")
        source.wait_exit(20)
        target.qmp.command("cont")
        target.wait_passes_more(2, 60)


def test_every_byte_arrives(folder):
    paused_destination(folder, (LIMIT, LIMIT))


def test_every_byte_arrives_kvm(folder):
    paused_destination(folder, (LIMIT, LIMIT), "kvm")


def test_every_byte_arrives_by_two_channels(folder):
    paused_destination(folder, (LIMIT, LIMIT), capabilities=["postcopy-preempt"])


def test_every_byte_arrives_without_pressure(folder):
    """The destination has DRAM for all: its block is not armed until the hand-over."""
    paused_destination(folder, (LIMIT, SIZE))


def test_stock_to_tiered(folder):
    paused_destination(folder, (None, LIMIT))


def test_tiered_to_stock(folder):
    paused_destination(folder, (LIMIT, None))


def running_destination(folder, accel, capabilities=()):
    with machines(folder, accel=accel) as (source, target, link), \
            Watcher(dram_sampler(target, [SIZE]), 0.2) as watcher:
        hand_over(source, target, link, ["postcopy-blocktime", *capabilities])
        target.qmp.command("cont")
        wait_completed(source, target)
        blocked = target.qmp.command("query-migrate")["postcopy-vcpu-blocktime"]
        require(len(blocked) == 2 and sum(blocked) > 0, f"no vCPU was counted as blocked: {blocked}")
        target.wait_passes_more(3, 60)
        require_postcopied(target, 64, faults=50)
        watcher.wait_samples(3, 60)
        require_never_above(watcher, LIMIT)


def test_the_guest_goes_on(folder):
    running_destination(folder, "tcg")


def test_the_guest_goes_on_kvm(folder):
    running_destination(folder, "kvm")


def test_the_guest_goes_on_by_two_channels(folder):
    running_destination(folder, "tcg", ["postcopy-preempt"])


def break_link(source, target, link):
    """In the middle of postcopy, with a vCPU that waits for a page."""
    link.hold_at(link.forward + 8 * MIB)
    target.qmp.command("cont")
    require(link.wait_held(), "the stream ended before the link could be broken")
    wait_for(lambda: counters(target)["remote-waits"] > 0, 60, "no access waits for the source")
    link.cut()
    for vm in (source, target):
        wait_for(lambda vm=vm: status(vm) == "postcopy-paused", 60,
                 f"{vm.name} has not noticed: {vm.describe()}")
    require(query(target)["pages"]["remote"] > 1000, "too little was left to come")


def recover(source, target, place):
    with Link(place, RATE, "again") as link:
        target.qmp_oob.command("migrate-recover", exec_oob=True, uri=link.target)
        source.qmp.command("migrate", uri=link.address, resume=True)
        wait_completed(source, target)


def recovery(folder, capabilities=()):
    with machines(folder) as (source, target, link):
        hand_over(source, target, link, capabilities)
        break_link(source, target, link)
        # A vCPU that cannot run counts as stopped, and must not be started before its page is there.
        target.qmp.command("stop", timeout=60)
        require(target.qmp.command("query-status")["status"] == "paused", "stop does not stop")
        try:
            target.qmp.command("cont")
        except QmpError as refusal:
            require("migrate-recover" in str(refusal), f"no way out is named: {refusal}")
        else:
            require(False, "a guest with a held vCPU was started")
        place = link.address.removeprefix("unix:").rsplit("/", 1)[0]
        recover(source, target, place)
        target.qmp.command("cont")
        target.wait_passes_more(3, 60)
        require_postcopied(target, 64)


def test_recovery(folder):
    recovery(folder)


def test_recovery_by_two_channels(folder):
    recovery(folder, ["postcopy-preempt"])


def test_recovery_brings_every_byte(folder):
    """Nobody runs, so that the two can be compared."""
    with machines(folder) as (source, target, link):
        hand_over(source, target, link)
        link.hold_at(link.forward + 8 * MIB)
        require(link.wait_held(), "the stream ended before the link could be broken")
        link.cut()
        for vm in (source, target):
            wait_for(lambda vm=vm: status(vm) == "postcopy-paused", 60,
                     f"{vm.name} has not noticed: {vm.describe()}")
        recover(source, target, link.address.removeprefix("unix:").rsplit("/", 1)[0])
        require_same_ram(source, target, SIZE)
        require_postcopied(target, 64, faults=0)


def test_quit_with_a_broken_link(folder):
    with machines(folder) as (source, target, link):
        hand_over(source, target, link)
        break_link(source, target, link)
        target.qmp.command("quit")
        require(target.wait_exit(60) == 0, f"quit failed: {target.describe()}")
        require(source.alive() and status(source) == "postcopy-paused", f"the source went too: {source.describe()}")


def mapped_pages(vm, start, size):
    """How many pages of that range of guest RAM (below 3 GiB) are in the guest's reach."""
    host = int(re.search(r"tiered_memory_attach ram0: host (0x[0-9a-f]+)", vm.stderr()).group(1), 16)
    with open(f"/proc/{vm.pid}/pagemap", "rb") as pagemap:
        pagemap.seek((host + start) // PAGE * 8)
        entries = struct.iter_unpack("<Q", pagemap.read(size // PAGE * 8))
    return sum(entry >> 63 for entry, in entries)


@contextlib.contextmanager
def walkers(folder, job, settings):
    """A guest that uses 8 MiB of 160, which had been in a tier before, and the place for it to go."""
    load = f"mib={SIZE // MIB} start=60 hot=8192 hot-ms=50 {job}"
    with linked(RATE) as link, \
            baremetal(folder, load, ram(SIZE, LIMIT), "tcg", 1, "source", image="paced.elf") as source, \
            baremetal(folder, load, ram(SIZE, LIMIT), "tcg", 1, "target", image="paced.elf",
                      incoming=True, extra=["-trace", "tiered_memory_attach"]) as target:
        source.wait_debug("READY", 60)
        for vm in (source, target):
            vm.qmp.command("tiered-migration-configure", **settings)
        source.wait_debug("BEAT 8 ", 60)
        yield source, target, link


def used_among_the_first(target, link, arrived):
    """How many of the 8 MiB come with the 40 MiB that come next; arrived() says how many pages have."""
    link.hold_at(link.forward + 40 * MIB)
    require(link.wait_held(), "the stream ended early")
    wait_for(lambda: arrived() * PAGE > 39 * MIB, 60, "what was sent does not arrive")
    return mapped_pages(target, 60 * MIB, 8 * MIB)


def goes_on_there(source, target, link):
    target.qmp.command("cont")
    link.release()
    wait_completed(source, target)
    beats = target.debug_text().count("BEAT")
    wait_for(lambda: target.debug_text().count("BEAT") > beats, 60, "the guest does not go on")
    require_healthy(query(target))


def warm_first(folder, profile):
    """By postcopy: what is in DRAM comes before what is not."""
    with walkers(folder, "", {"profile": profile}) as (source, target, link):
        prepare(source, target, link, ["postcopy-ram"], {"max-bandwidth": MIB})
        start(source, link)
        wait_status(source, "active")
        source.qmp.command("migrate-start-postcopy")
        wait_status(source, "postcopy-active")
        found = used_among_the_first(target, link, lambda: counters(target)["delivered-pages"])
        goes_on_there(source, target, link)
        return found


def test_the_warmest_go_first(folder):
    pages = 8 * MIB // PAGE
    # All but what happened to be on its way to a tier, 2 MiB at a time.
    found = warm_first(folder, "on")
    require(found >= pages * 3 // 4, f"of {pages} pages in use only {found} came first")
    others = warm_first(folder, "off")
    require(others < pages // 4, f"in QEMU's own order {others} came first, too: nothing was shown")


def warm_before(folder, capabilities):
    """By precopy, of memory that is only read; then the guest is handed over if it can be."""
    settings = {"learn": True, "predictor": "on"}
    with walkers(folder, "read=1", settings) as (source, target, link):
        prepare(source, target, link, capabilities)
        start(source, link)
        found = used_among_the_first(target, link, lambda: SIZE // PAGE - query(target)["pages"]["untouched"])
        if capabilities:
            source.qmp.command("migrate-start-postcopy")
            goes_on_there(source, target, link)
        return found


def test_what_is_read_goes_before_the_hand_over(folder):
    pages = 8 * MIB // PAGE
    found = warm_before(folder, ["postcopy-ram"])
    require(found >= pages * 3 // 4, f"of {pages} pages in use only {found} came before the hand-over")
    others = warm_before(folder, [])
    require(others < pages // 4, f"without postcopy {others} came first, too: nothing was shown")
