# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations that are broken off at a byte of the stream, in every way in which that can happen before the guest
runs at the destination: the source must go on unharmed, and nothing of the guest may be left at the destination."""
import contextlib
import pathlib
import shutil
import tempfile
import threading
import time

from guest import MIB, require, wait_for
from machines import baremetal, tier_directory, tiered
from migration import GIVEN_UP, finish, linked, prepare, require_same_ram, start, wait_status
from qmp import QmpError
from tier_stats import query, require_healthy

SIZE = 96 * MIB
LIMIT = 32 * MIB
LOAD = "size=64 passes=0 words=512 zero=16"
# Of the pages that the guest writes, so many are not zero and cost a page in the stream.
FULL = 15 / 16
FIRST_PASS = int(64 * MIB * FULL)
DEVICES = 4096  # the least that devices take in the stream, after RAM
WAYS = ("cancel", "link", "target", "cable", "source")
# With a return path the source is done only when the destination has said that it is.
CAPABILITIES = ("return-path", "pause-before-switchover")
# A limit that is never met makes precopy go on and on; one that always is makes it stop soon.
NEVER, SOON = 1, 20000


def memory(limit, tiers=None):
    if not limit:
        return ["-m", f"{SIZE // MIB}M", "-machine", "memory-backend=ram0",
                "-object", f"memory-backend-ram,id=ram0,size={SIZE // MIB}M"]
    more = {"tiers": [{"path": str(tiers), "class": "nvme", "capacity": 2 * SIZE}]} if tiers else {}
    return ["-m", f"{SIZE // MIB}M", "-machine", "memory-backend=ram0", *tiered("ram0", SIZE, limit, **more)]


class Aborts:
    """One source that outlives one abort after the other (unless it is itself what dies)."""

    def __init__(self, folder, limit=LIMIT, configure=None, accel="tcg", capabilities=()):
        self.folder = folder
        self.limit = limit
        self.accel = accel
        self.configure = configure or (lambda vm: None)
        self.capabilities = (*CAPABILITIES, *capabilities)
        self.tiers = None
        self.source = None
        self.number = 0
        self.going = None

    def __enter__(self):
        self.tiers = pathlib.Path(tempfile.mkdtemp(prefix="aborts-", dir=tier_directory()))
        return self

    def __exit__(self, *_):
        if self.source:
            self.source.kill()
        shutil.rmtree(self.tiers, ignore_errors=True)

    def boot_source(self):
        self.source = baremetal(self.folder, LOAD, memory(self.limit), self.accel, 1, f"source{self.number}")
        self.source.__enter__()
        self.configure(self.source)
        self.source.wait_passes_more(2, 60)

    @contextlib.contextmanager
    def prepared(self, name, downtime_limit=SOON):
        """A fresh destination behind a fresh link, ready to be migrated to."""
        if not (self.source and self.source.alive()):
            self.boot_source()
        with linked() as link, \
                baremetal(self.folder, LOAD, memory(self.limit, self.tiers), self.accel, 1, name,
                          incoming=True) as target:
            self.configure(target)
            prepare(self.source, target, link, self.capabilities,
                    {"max-bandwidth": 0, "downtime-limit": downtime_limit})
            yield target, link

    def let_go(self):
        """From the pause before the switch-over, when the source has stopped, to its end."""
        wait_status(self.source, "pre-switchover")
        with contextlib.suppress(OSError, QmpError):  # it may be killed meanwhile
            self.source.qmp.command("migrate-continue", timeout=60, state="pre-switchover")

    def whole(self):
        """A migration to the end: every byte of the source is where it was."""
        with self.prepared("whole") as (target, link):
            start(self.source, link)
            self.let_go()
            finish(self.source, target, link)
            require_same_ram(self.source, target, SIZE)
            if self.limit:
                require_healthy(query(target))
            self.source.qmp.command("cont")
            self.source.wait_passes_more(1, 60)

    def hold(self, link, way, phase, share):
        """Starts, and holds the stream at that share of a phase; False if it ended before."""
        if phase == "precopy":
            link.hold_at(int(share * FIRST_PASS))
            start(self.source, link)
            return link.wait_held()
        start(self.source, link)
        wait_status(self.source, "pre-switchover")
        if way == "cancel":  # nobody listens while the last pages are sent
            return True
        left = self.source.qmp.command("query-migrate")["ram"]["remaining"] * FULL + DEVICES
        link.wait_idle()
        link.hold_at(link.forward + int(share * left))
        # Even the answer to this may come only when the link moves again.
        self.going = threading.Thread(target=self.let_go, daemon=True)
        self.going.start()
        return link.wait_held()

    def wait_source(self, wanted):
        """Its migration's end, once it answers again."""
        if self.going:
            self.going.join(60)
            self.going = None
        wait_status(self.source, wanted)

    def one(self, way, phase, share):
        """Breaks one off; a dict of what was seen. Fails if anything was harmed."""
        self.number += 1
        seen = {"way": way, "phase": phase, "share": round(share, 4)}
        with self.prepared(f"target{self.number}", SOON if phase == "stopped" else NEVER) as (target, link):
            if not self.hold(link, way, phase, share):
                # What was left were more zero pages than thought: it arrived. Again, nearer.
                require(phase == "stopped", f"the stream ended at {link.forward}, before {seen}")
                self.wait_source("completed")
                self.source.qmp.command("cont")
                return self.one(way, phase, share * 0.6)
            seen.update(byte=link.forward)
            getattr(self, f"break_{way}")(target, link)
            broken = time.monotonic()
            wait_for(lambda: not target.alive(), 60, f"the destination lives on: {target.describe()}", 0.005)
            wait_for(lambda: not list(self.tiers.iterdir()), 60, "a tier file stays behind", 0.005)
            seen["seconds_until_nothing_left"] = round(time.monotonic() - broken, 3)
        if way == "source":
            self.source = None
        else:
            self.require_unharmed()
        for path in self.folder.glob(f"target{self.number}.*"):
            path.unlink()
        return seen

    def break_cancel(self, _target, link):
        self.source.qmp.command("migrate_cancel")
        # What is on its way arrives; then the stream ends.
        link.release()
        self.wait_source(GIVEN_UP)

    def break_link(self, _target, link):
        link.cut()
        self.wait_source("failed")

    def break_target(self, target, link):
        target.process.kill()
        link.release()
        self.wait_source("failed")

    def break_cable(self, target, link):
        """Nobody is told that nothing comes through any more, until someone gives up on both sides. By a command out
        of band: in the last stage, QEMU's main loop waits for the link."""
        link.fall_silent()
        self.source.qmp_oob.command("yank", exec_oob=True, instances=[{"type": "migration"}])
        self.wait_source("failed")
        target.process.kill()

    def break_source(self, _target, link):
        self.source.process.kill()
        link.release()
        if self.going:
            self.going.join(60)
            self.going = None
        self.source.kill()

    def require_unharmed(self):
        """The guest runs, finds what it wrote, and its tiers read without an error."""
        source = self.source
        wait_for(lambda: source.qmp.command("query-status")["status"] == "running", 60,
                 f"the source does not run any more: {source.describe()}")
        source.wait_passes_more(2, 60)
        source.check_no_bad()
        if self.limit:
            require_healthy(query(source))


def points(count):
    """Where and how: in all of the stream's first pass, and (every third) while the source stands still."""
    for index in range(count):
        phase = "stopped" if index % 3 == 2 else "precopy"
        share = (index + 0.5) / count if index else 0
        yield WAYS[index % len(WAYS)], phase, share


def run(aborts, count, tell=lambda seen: None):
    """That many aborts; what was seen of each. The source is verified after each, and compared at the end."""
    found = []
    for way, phase, share in points(count):
        found.append(aborts.one(way, phase, share))
        tell(found[-1])
    aborts.whole()
    return found
