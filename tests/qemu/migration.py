# SPDX-License-Identifier: GPL-2.0-or-later
"""Two QEMUs and a link between them: a migration from start to end, what it cost, and whether every byte of the
paused source is at the destination."""
import contextlib
import dataclasses
import struct

from guest import MIB, PAGE, require, short_temporary_directory, wait_for
from link import Link

# The firmware's area holds the page that QEMU's kvmvapic keeps writing to: under KVM it differs after
# a migration between two stock machines, too.
FIRMWARE = range(0xc0000, MIB)
ENDED = ("completed", "failed", "cancelled")
# What migrate_cancel comes to. QEMU cuts the channel before it notes that this was asked for: a thread that fails to
# write in between calls the migration failed (its own race, with any memory).
GIVEN_UP = ("cancelled", "failed")
RATE = 32 * MIB


@dataclasses.dataclass
class Outcome:
    """What one migration came to."""
    status: str
    info: dict            # query-migrate of the source at the end
    link_bytes: int       # all that went through the link, of every channel
    seconds: float        # from the command to the end at the destination
    downtime_ms: float    # from the source's stop to the destination's readiness; None if it did not stop

    @property
    def sent_pages(self):
        ram = self.info["ram"]
        return ram["normal"] + ram["duplicate"]

    @property
    def resent_pages(self):
        """Pages that went more than once (each goes once at least)."""
        return self.sent_pages - self.info["ram"]["total"] // PAGE

    @property
    def syncs(self):
        return self.info["ram"]["dirty-sync-count"]


def set_capabilities(vms, names):
    """The capabilities of those names on both sides, and the event that tells the migration's state."""
    wanted = [{"capability": name, "state": True} for name in ("events", *names)]
    for vm in vms:
        vm.qmp.command("migrate-set-capabilities", capabilities=wanted)


def prepare(source, target, link, capabilities=(), parameters=None, both=None, stay=False):
    """All but the command itself. parameters are the source's, `both` those of the two, such as multifd-channels.
    stay: the destination does not end when the guest does not arrive."""
    set_capabilities((source, target), capabilities)
    if both:
        target.qmp.command("migrate-set-parameters", arguments=both)
    target.qmp.command("migrate-incoming", uri=link.target, **({"exit-on-error": False} if stay else {}))
    source.qmp.command("migrate-set-parameters", arguments={**(both or {}), **(parameters or {})} or
                       {"downtime-limit": 300})


def status(vm):
    return vm.qmp.command("query-migrate").get("status", "none")


def wait_status(vm, wanted, timeout=60):
    """Waits for one of these states; fails on another end."""
    wanted = (wanted,) if isinstance(wanted, str) else wanted

    def reached():
        found = status(vm)
        require(found in wanted or found not in ENDED,
                f"the migration is {found} instead of {wanted}: {vm.qmp.command('query-migrate')}")
        return found if found in wanted else None
    return wait_for(reached, timeout, f"{vm.name} does not get to {wanted}: {vm.describe()}")


def event_time(vm, name, match=lambda data: True):
    """Seconds by the host's clock at which the last such event happened; None if it did not."""
    vm.qmp.poll_events()
    times = [event["timestamp"]["seconds"] + event["timestamp"]["microseconds"] / 1e6
             for event in vm.events if event["event"] == name and match(event.get("data", {}))]
    return times[-1] if times else None


def is_completed(data):
    return data.get("status") == "completed"


def start(source, link, **arguments):
    source.qmp.command("migrate", uri=link.address, **arguments)


def finish(source, target, link, timeout=60):
    """Waits for the end on both sides; the destination was started with -S, so nothing runs then."""
    wait_status(source, "completed", timeout)
    return outcome_of(source, target, link)


def outcome_of(source, target, link):
    """After the source says completed: what it came to."""
    ready = wait_for(lambda: event_time(target, "MIGRATION", is_completed), 60,
                     f"the destination does not arrive: {target.describe()}")
    began = event_time(source, "MIGRATION", lambda data: data.get("status") == "setup")
    stopped = event_time(source, "STOP")
    downtime = (ready - stopped) * 1000 if stopped and stopped >= began else None
    return Outcome("completed", source.qmp.command("query-migrate"), link.forward, ready - began, downtime)


def cancel(source, target, link, seconds):
    """Gives a migration up that goes on after all this time; what it cost so far."""
    info = source.qmp.command("query-migrate")
    source.qmp.command("migrate_cancel")
    wait_status(source, GIVEN_UP)
    target.kill()
    return Outcome("cancelled", info, link.forward, seconds, None)


def migrate(source, target, link, timeout=60, **more):
    """prepare, start and finish in one."""
    prepare(source, target, link, **more)
    start(source, link)
    return finish(source, target, link, timeout)


@contextlib.contextmanager
def linked(rate=None):
    """A link in a directory of its own, whose name is short enough for a socket."""
    with short_temporary_directory() as place, Link(place, rate) as link:
        yield link


def saved(vm, size):
    path = vm.folder / f"{vm.name}.pmem"
    vm.qmp.command("pmemsave", val=0, size=size, filename=str(path), timeout=120)
    return path


def different_pages(source, target, size):
    """Addresses of the pages in which two stopped machines differ, in [0, size) of guest-physical memory."""
    paths = [saved(vm, size) for vm in (source, target)]
    found = []
    with open(paths[0], "rb") as one, open(paths[1], "rb") as other:
        for base in range(0, size, MIB):
            mine, theirs = one.read(MIB), other.read(MIB)
            if mine == theirs:
                continue
            found += [base + at for at in range(0, len(mine), PAGE)
                      if mine[at:at + PAGE] != theirs[at:at + PAGE] and base + at not in FIRMWARE]
    require(paths[0].stat().st_size == paths[1].stat().st_size == size, "pmemsave left a short file")
    for path in paths:
        path.unlink()
    return found


def dumped(vm, size):
    """A dump of a stopped machine, and where in that file its memory is: (address, offset, bytes)."""
    path = vm.folder / f"{vm.name}.dump"
    vm.qmp.command("dump-guest-memory", timeout=120, paging=False, protocol=f"file:{path}")
    with open(path, "rb") as file:
        header = struct.unpack("<16s2HI3QI6H", file.read(64))
        file.seek(header[5])
        programs = [struct.unpack("<2I6Q", file.read(header[9])) for _ in range(header[10])]
    found = [(one[4], one[2], one[5]) for one in programs if one[0] == 1 and one[4] < size]  # what is to be loaded
    require(sum(count for _, _, count in found) >= size - MIB, f"the dump lacks memory: {found}")
    return path, sorted(found)


def different_dumps(source, target, size):
    """As different_pages, by dumps: with tiered memory, a dump brings nothing into DRAM."""
    (mine, here), (theirs, there) = dumped(source, size), dumped(target, size)
    require([(one[0], one[2]) for one in here] == [(one[0], one[2]) for one in there],
            f"the dumps are of different machines: {here} {there}")
    found = []
    with open(mine, "rb") as one, open(theirs, "rb") as other:
        for (address, my_place, count), (_, their_place, _) in zip(here, there):
            one.seek(my_place)
            other.seek(their_place)
            for page in range(address, address + count, PAGE):
                if one.read(PAGE) != other.read(PAGE) and page not in FIRMWARE:
                    found.append(page)
    for path in (mine, theirs):
        path.unlink()
    return found


def require_same_ram(source, target, size):
    """All of guest RAM, of a paused source and a paused destination."""
    for vm in (source, target):
        require(not vm.qmp.command("query-status")["running"], f"{vm.name} still runs: nothing to compare")
    found = different_pages(source, target, size)
    first = ", ".join(hex(page) for page in found[:8])
    require(not found, f"{len(found)} of {size // PAGE} pages differ at the destination: {first}")
