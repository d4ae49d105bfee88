# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian kernel with Redis, DMA, network, balloon on memory that is mostly on its tiers."""
import hashlib
import http.server
import mmap
import random
import re
import tempfile
import threading

from guest import MIB, Watcher, require, wait_for
from machines import linux, ram, tier_directory
from tier_stats import (dram_sampler, query, require_evicted, require_healthy,
                        require_never_above)

SIZE = 768 * MIB
LIMIT = 192 * MIB
DISK_MIB = 128
ZERO_PAGE = bytes(4096)


def test_redis_and_pattern(folder):
    with linux(folder, ram(SIZE, LIMIT), end="console") as vm:
        vm.wait_console("CONSOLE READY", 60)
        with Watcher(dram_sampler(vm, [SIZE]), 0.5) as watcher:
            vm.run_job("redis:250", 120)
            vm.run_job("pattern:450:1", 120)
        require_never_above(watcher, LIMIT)
        require_evicted(vm, 512)
        require_healthy(query(vm))


def dma(folder, aio):
    with tempfile.NamedTemporaryFile(suffix=".disk", dir=tier_directory()) as disk:
        disk.truncate(DISK_MIB * MIB)
        extra = ["-drive", f"if=none,id=disk,format=raw,file={disk.name},cache=none,aio={aio}",
                 "-device", "virtio-blk-pci,drive=disk"]
        with linux(folder, ram(SIZE, LIMIT), end="console", extra=extra) as vm:
            vm.wait_console("CONSOLE READY", 60)
            vm.run_job("dma:350:2000", 90)
            require(len(re.findall(r"DMA OK .* bad=0", vm.console_text())) == 2,
                    f"not both processes verified their data: {vm.describe()}")
            require_evicted(vm, 256)
            require_healthy(query(vm))


def test_dma_threads(folder):
    dma(folder, "threads")


def test_dma_io_uring(folder):
    dma(folder, "io_uring")


class BodyHandler(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self):
        received = self.rfile.read(int(self.headers["Content-Length"]))
        answer = hashlib.sha256(received).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_virtio_net(folder):
    """A body fetched over virtio-net and slirp lies in guest memory, gets evicted, is sent back."""
    body = random.Random(1).randbytes(75 * MIB).hex().encode()  # busybox wget posts text only
    BodyHandler.body = body
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), BodyHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = ["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]
    try:
        with linux(folder, ram(SIZE, 64 * MIB), end="console", extra=extra) as vm:
            vm.wait_console("CONSOLE READY", 60)
            vm.run_job(f"net:{server.server_port}", 90)
            expected = hashlib.sha256(body).hexdigest()
            text = vm.console_text()
            require(f"NET sha256={expected}" in text, f"received other bytes: {vm.describe()}")
            require(f"NET answer={expected}" in text, f"sent other bytes: {vm.describe()}")
            require_evicted(vm, 100)
            require_healthy(query(vm))
    finally:
        server.shutdown()
        server.server_close()


def test_guest_reboot(folder):
    with linux(folder, ram(SIZE, LIMIT), "pattern:350:1,reboot", reboots=True) as vm:
        vm.wait_console("PATTERN OK .* bad=0", 120, 2)
        require("FAILED" not in vm.console_text(), vm.describe())
        require_evicted(vm, 256)
        require_healthy(query(vm))


def zero_pages(vm):
    """How many pages of guest memory read as zero."""
    path = vm.folder / "pmem"
    vm.qmp.command("pmemsave", val=0, size=SIZE, filename=str(path), timeout=60)
    with open(path, "rb") as saved, mmap.mmap(saved.fileno(), 0, prot=mmap.PROT_READ) as memory:
        count = sum(memory[at:at + 4096] == ZERO_PAGE for at in range(0, SIZE, 4096))
    path.unlink()
    return count


def fill_and_free(vm):
    """Leaves most of guest memory free but full of pattern, much of it on the tiers."""
    vm.wait_console("CONSOLE READY", 60)
    vm.run_job("pattern:550:0", 60)
    require_evicted(vm, 300)


def test_balloon(folder):
    """Pages taken by the balloon lose their tier copy and read as zero, then serve again."""
    extra = ["-device", "virtio-balloon-pci,id=balloon"]
    with linux(folder, ram(SIZE, LIMIT), end="console", extra=extra) as vm:
        fill_and_free(vm)
        vm.qmp.command("stop")
        before = zero_pages(vm)
        vm.qmp.command("cont")
        vm.qmp.command("balloon", value=256 * MIB)
        wait_for(lambda: vm.qmp.command("query-balloon")["actual"] == 256 * MIB, 60,
                 "the balloon does not fill")
        vm.qmp.command("stop")
        taken = (SIZE - 256 * MIB) // 4096
        info = query(vm)
        require(info["counters"]["discarded-pages"] >= taken, f"not all was discarded: {info}")
        after = zero_pages(vm)
        # Pages that the pattern left zero (1 in 16) or that were untouched may be among those taken.
        require(after >= taken and after > before, f"{after} of {taken} taken pages are zero, "
                f"{before} before")
        vm.qmp.command("cont")
        vm.qmp.command("balloon", value=SIZE)
        wait_for(lambda: vm.qmp.command("query-balloon")["actual"] == SIZE, 60,
                 "the balloon does not empty")
        vm.run_job("pattern:550:1:2", 90)
        require_healthy(query(vm))


def test_free_page_reporting(folder):
    """The kernel reports what the pattern freed; it must be gone from DRAM and tiers."""
    extra = ["-device", "virtio-balloon-pci,free-page-reporting=on"]
    with linux(folder, ram(SIZE, LIMIT), end="console", extra=extra) as vm:
        vm.wait_console("CONSOLE READY", 60)
        vm.run_job("pattern:550:0", 60)
        wait_for(lambda: query(vm)["counters"]["discarded-pages"] * 4096 > 450 * MIB, 60,
                 "the guest's free pages are not discarded", 0.2)
        vm.qmp.command("stop")
        pages = query(vm)["pages"]
        held = (pages["resident"] + pages["staged"] + pages["stored"]) * 4096
        require(held < 350 * MIB, f"discarded pages are still kept: {pages}")
        require(zero_pages(vm) * 4096 > 450 * MIB, "discarded pages do not read as zero")
        vm.qmp.command("cont")
        vm.run_job("pattern:550:1:3", 90)
        require_healthy(query(vm))
