# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of one group help each other: a guest restored from the image of another one has its working set
brought back by the daemon, before it asks for it."""
import contextlib
import time

from guest import MIB, require, short_temporary_directory, wait_for
from machines import baremetal, linux, ram
from test_46_restore import use_mapped_ram, wait_migrated
from tidemarkd import Tidemarkd
from tier_stats import require_healthy

SIZE = 512 * MIB
NARROW = 48 * MIB  # while it is restored DRAM is short, and nearly all of it is in a tier
WIDE = 400 * MIB
# In an order that no read-ahead follows; what it reads stays as it was in the image.
JOB = "size=256 passes=0 words=32 order=rand rewrite=0"


def query(vm):
    """Not tier_stats': the daemon may record, which takes 8 bytes more for a page out of order."""
    return vm.qmp.command("query-tiered-memory")[0]


def monitor(daemon, identity):
    """What the domain binding adds: a monitor that QEMU opens to the daemon."""
    return ["-uuid", identity, "-chardev",
            f"socket,id=tidemark-qmp,path={daemon.run}/vm.sock,server=off,reconnect-ms=500",
            "-mon", "chardev=tidemark-qmp,mode=control"]


def first_guest(folder, daemon, state):
    """Works, is recorded by the daemon, and is saved to the image."""
    identity = daemon.prepare("first", SIZE, dram=str(WIDE), floor=str(32 * MIB), group="web")
    with baremetal(folder, JOB, ram(SIZE, NARROW), name="first",
                   extra=monitor(daemon, identity)) as vm:
        daemon.wait_connected(identity)
        vm.wait_passes_more(2, 60)
        daemon.request("PATCH", f"/guests/{identity}", {"dramLimit": 64 * MIB})
        wait_for(lambda: query(vm)["pages"]["stored"] > 30000, 60, "its memory does not leave DRAM")
        # What is not in a tier, nobody can compare: this one's memory has all been there.
        daemon.request("PATCH", f"/guests/{identity}", {"dramLimit": WIDE})
        daemon.request("POST", f"/guests/{identity}/record", {"seconds": 20})
        vm.wait_passes_more(1, 60)
        sketch = daemon.state / "recorded" / identity / "sketch"
        wait_for(sketch.exists, 60, f"no record with a sketch: {daemon.guest(identity)}", 0.2)
        vm.qmp.command("stop")
        use_mapped_ram(vm)
        vm.qmp.command("migrate", uri=f"file:{state}")
        wait_migrated(vm)
        require_healthy(query(vm))
    daemon.request("POST", f"/domains/{identity}/stopped")


def warm_up(folder, daemon, name, state, group):
    """Seconds from the moment the restored guest goes on, with enough DRAM, to the end of a pass over all it
    uses; and the faults that had to wait for a tier."""
    identity = daemon.prepare(name, SIZE, dram=str(WIDE), floor=str(32 * MIB), **group)
    daemon.request("POST", f"/domains/{identity}/started")
    with baremetal(folder, JOB, ram(SIZE, NARROW), name=name, incoming=True,
                   extra=monitor(daemon, identity)) as vm:
        daemon.wait_connected(identity)
        daemon.request("PATCH", f"/guests/{identity}", {"dramLimit": NARROW})
        wait_for(lambda: query(vm)["dram-limit"] == NARROW, 60, "the limit does not arrive")
        use_mapped_ram(vm)
        vm.qmp.command("migrate-incoming", uri=f"file:{state}")
        wait_for(lambda: vm.qmp.command("query-status")["status"] == "paused", 60,
                 f"the guest is not restored: {vm.describe()}")
        wait_for(lambda: query(vm)["pages"]["stored"] * 4096 > 180 * MIB, 60, "all of it is in DRAM")
        before = query(vm)["counters"]["faults-stored"]
        daemon.request("PATCH", f"/guests/{identity}", {"dramLimit": WIDE})
        begin = time.monotonic()
        vm.qmp.command("cont")
        vm.wait_passes_more(2, 60)  # the first one may end at once: it had begun in the image
        seconds = time.monotonic() - begin
        info = query(vm)
        require_healthy(info)
        replayed = next(one for one in info["counters"]["prefetch"] if one["origin"] == "record")
        return seconds, info["counters"]["faults-stored"] - before, replayed["issued"]


def test_a_restored_guest_of_the_group_is_warmed_up(folder):
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(short_temporary_directory())
        daemon = stack.enter_context(Tidemarkd(place, folder, 2048 * MIB))
        state = folder / "state"
        stack.callback(lambda: state.unlink(missing_ok=True))
        first_guest(folder, daemon, state)
        alone, waits_alone, replayed_alone = warm_up(folder, daemon, "alone", state, {})
        other, _, replayed_other = warm_up(folder, daemon, "other", state, {"group": "db"})
        member, waits, replayed = warm_up(folder, daemon, "second", state, {"group": "web"})
        print(f"warm-up {member:.2f} s, without the group {alone:.2f} s and {other:.2f} s; "
              f"waits {waits} and {waits_alone}; replayed {replayed} pages", flush=True)
        require(replayed_alone == 0 and replayed_other == 0, "what a group recorded has left it")
        require(replayed > 0, "nothing was replayed")
        # Seconds are printed, not judged: what the guest waited for is what the replay saves. On a slow machine the guest
        # is nearer to it, so here it is enough that the replay helps.
        require(waits * 4 < waits_alone * 3, f"{waits} waits with the replay, {waits_alone} without")


def test_overlap_of_independent_guests(folder):
    """Two Linux guests of one group, booted on their own: how much of one is in the other is printed. Nothing of
    it is acted on unless it pays, so only the measurement itself is judged."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(short_temporary_directory())
        daemon = stack.enter_context(Tidemarkd(place, folder, 2048 * MIB))
        guests = []
        for name in ("one", "two"):
            identity = daemon.prepare(name, SIZE, dram=str(64 * MIB), floor=str(32 * MIB), group="web")
            vm = stack.enter_context(linux(folder, ram(SIZE, 64 * MIB), end="console", cpus=1, name=name,
                                           extra=monitor(daemon, identity)))
            guests.append((identity, vm))
        for _, vm in guests:
            vm.wait_console("JOBS DONE failed=0", 60)
        for _, vm in guests:
            vm.run_job("pattern:96:2", 60)

        def overlap():
            found = daemon.get(f"/guests/{guests[0][0]}/similar")["items"]
            return found if found and found[0]["content"] is not None and found[0]["heat"] is not None \
                else None
        found = wait_for(overlap, 90, "no similarity is told", 0.5)[0]
        print(f"independent Linux guests: {found}", flush=True)
        require(0 <= found["score"] <= 1, f"no score: {found}")
