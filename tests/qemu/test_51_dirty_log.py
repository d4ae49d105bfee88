# SPDX-License-Identifier: GPL-2.0-or-later
"""No write is lost between two looks at the dirty log: stock RAM in two blocks, under TCG.

Taking a page's dirty bit makes the page's next write pass by unseen unless the TLBs are told. That
must happen for the block the bits belong to, and whenever bits were taken, also if all these pages
wait for being sent anyway.

What a TLB holds is forgotten soon in a busy guest; one that goes over 1 MiB and nothing else keeps
these pages in it for as long as the test takes."""
import socket
import threading

from guest import MIB, require, short_temporary_directory, wait_for
from machines import baremetal


def two_blocks(low, high, *extra):
    """RAM made of two blocks: the first one is where QEMU's count of RAM addresses begins."""
    words = ["-m", f"{low + high}M"]
    for name, size in (("low", low), ("high", high)):
        words += ["-object", f"memory-backend-ram,id={name},size={size}M",
                  "-numa", f"node,memdev={name}"]
    return words + list(extra)


class Writer(threading.Thread):
    """Overwrites guest memory without a vCPU, as a device would: through QEMU's qtest protocol."""

    def __init__(self, path, address, size):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.answers = self.socket.makefile()
        self.where = f"0x{address:x} 0x{size:x}"
        self.end = threading.Event()
        self.times = 0

    def run(self):
        while not self.end.is_set():
            self.times += 1
            self.socket.sendall(f"memset {self.where} 0x{self.times % 255 + 1:x}\n".encode())
            if self.answers.readline().strip() != "OK":
                return

    def stop(self):
        self.end.set()
        self.join(60)
        self.socket.close()


def migrate(source, target, place, syncs, parameters, before_end=lambda: None):
    """Lets no switch-over come before so many looks at the dirty log, then one."""
    address = f"unix:{place}/m"
    target.qmp.command("migrate-incoming", uri=address)
    source.qmp.command("migrate-set-parameters", **parameters)
    source.qmp.command("migrate", uri=address)

    def state():
        answer = source.qmp.command("query-migrate")
        require(answer["status"] not in ("failed", "cancelled"), f"migration failed: {answer}")
        return answer
    wait_for(lambda: state()["status"] == "completed" or
             state().get("ram", {}).get("dirty-sync-count", 0) >= syncs, 60,
             f"fewer than {syncs} looks at the dirty log: {source.describe()}")
    before_end()
    source.qmp.command("migrate-set-parameters", downtime_limit=30000,
                       avail_switchover_bandwidth=0, max_bandwidth=0)
    wait_for(lambda: state()["status"] == "completed", 60,
             f"migration does not complete: {source.describe()}")
    wait_for(lambda: target.qmp.command("query-status")["status"] == "paused", 20,
             f"the destination does not arrive: {target.describe()}")


def require_same(source, target, size):
    require(source.memory_hash(size) == target.memory_hash(size),
            "RAM differs between source and destination")


def second_block(folder, low, high, start):
    """The guest writes in the second block all the time; five rounds find it written."""
    with short_temporary_directory() as place, \
            baremetal(folder, f"start={start} size=1 passes=0", two_blocks(low, high),
                      name="source") as source, \
            baremetal(folder, f"start={start} size=1 passes=0", two_blocks(low, high),
                      name="target", incoming=True) as target:
        source.wait_passes_more(2, 60)
        migrate(source, target, place, 6, {"max_bandwidth": 4 * MIB, "downtime_limit": 1,
                                           "avail_switchover_bandwidth": MIB})
        require_same(source, target, (low + high) * MIB)


def test_second_block(folder):
    second_block(folder, 64, 32, 80)


def test_second_block_larger(folder):
    second_block(folder, 32, 64, 80)


def test_pages_that_wait(folder):
    """A look at the log while all of a block's pages that were written wait for being sent.

    The guest writes in the first block. A device writes 8 MiB of the second all the time, and the
    next look comes when less than 4 MiB are left: a few looks later it comes when only these are
    still to be sent that are in the first block.

    In a QEMU that resets the TLBs of the first block for any other (the tests above), that hides
    what this one is about: it fails where only the address has been put right."""
    with short_temporary_directory() as place, \
            baremetal(folder, "start=64 size=1 passes=0",
                      two_blocks(96, 32, "-qtest", f"unix:{place}/q,server=on,wait=off",
                                 "-qtest-log", "none"), name="source") as source, \
            baremetal(folder, "start=64 size=1 passes=0", two_blocks(96, 32), name="target",
                      incoming=True) as target:
        source.wait_passes_more(2, 60)
        writer = Writer(f"{place}/q", 104 * MIB, 8 * MIB)
        writer.start()
        try:
            wait_for(lambda: writer.times > 1, 20, "nothing is written through qtest")
            migrate(source, target, place, 16,
                    {"max_bandwidth": 32 * MIB, "downtime_limit": 4000,
                     "avail_switchover_bandwidth": MIB}, writer.stop)
        finally:
            writer.stop()
        require_same(source, target, 128 * MIB)
