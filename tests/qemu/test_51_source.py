# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of a guest that is three quarters cold: what left DRAM is read where it is, and stays there.

The guest fills 176 MiB once and then stands still, so that every page that comes into DRAM comes
because of the copy."""
import struct

from guest import MIB, PAGE, require, short_temporary_directory, wait_for
from loop_device import loop_device
from machines import baremetal, ram
from tier_stats import query, require_healthy

SIZE = 256 * MIB
LIMIT = 40 * MIB
LOAD = "size=176 passes=1 hold=1 zero=16"
FILLED = 176 * MIB // PAGE
COME_INTO_DRAM = ("faults", "faults-staged", "faults-stored", "promoted-pages", "prefetch-pages")


def source_machine(folder, **more):
    return baremetal(folder, LOAD, ram(SIZE, LIMIT, reclaim_slowdown=0, **more), name="source")


def target_machine(folder):
    return baremetal(folder, LOAD, ram(SIZE, None), name="target", incoming=True)


def settled(vm):
    """What query-tiered-memory says once the guest has stopped writing and nothing moves."""
    vm.wait_debug("DONE bad=0", 60)
    seen = []

    def same_twice():
        info = query(vm)
        seen.append((info["pages"], info["counters"], info["dram-used"],
                     [tier["written-bytes"] for tier in info["tiers"]]))
        return info if len(seen) > 1 and seen[-1] == seen[-2] else None
    info = wait_for(same_twice, 60, "pages keep moving", 0.3)
    require(info["pages"]["stored"] >= 0.75 * FILLED * 15 / 16,
            f"less than 75 % of the memory is cold: {info['pages']}")
    return info


def require_untouched(vm, before):
    """Nothing came into DRAM since then, and nobody had to wait for a page."""
    after = query(vm)
    for name in COME_INTO_DRAM:
        require(after["counters"][name] == before["counters"][name],
                f"{name} went from {before['counters'][name]} to {after['counters'][name]}")
    require(after["dram-used"] <= before["dram-used"] * 1.01,
            f"DRAM in use went from {before['dram-used']} to {after['dram-used']} bytes")
    require(after["pages"]["stored"] >= before["pages"]["stored"],
            f"pages left their tier: {before['pages']} {after['pages']}")
    read = [sum(tier["read-bytes"] for tier in info["tiers"]) for info in (before, after)]
    require(read[1] - read[0] >= 0.9 * before["pages"]["stored"] * PAGE,
            f"only {read[1] - read[0]} bytes were read from the tiers")
    require_healthy(after)


def wait_completed(vm):
    def finished():
        status = vm.qmp.command("query-migrate")
        require(status["status"] not in ("failed", "cancelled"), f"migration failed: {status}")
        return status if status["status"] == "completed" else None
    return wait_for(finished, 60, f"migration does not complete: {vm.describe()}")


def prepare(vm, capabilities, parameters):
    vm.qmp.command("migrate-set-capabilities",
                   capabilities=[{"capability": name, "state": True} for name in capabilities])
    vm.qmp.command("migrate-set-parameters", max_bandwidth=0, **parameters)


def migrate(source, target, address, to_file):
    """The file, if it is one, must be there before it can be read."""
    if not to_file:
        target.qmp.command("migrate-incoming", uri=address)
    source.qmp.command("migrate", uri=address)
    status = wait_completed(source)
    if to_file:
        target.qmp.command("migrate-incoming", uri=address)
    return status


def copied(folder, capabilities=(), to_file=False, **parameters):
    with short_temporary_directory() as place, source_machine(folder) as source, \
            target_machine(folder) as target:
        before = settled(source)
        for vm in (source, target):
            prepare(vm, capabilities, parameters)
        kind = "file" if to_file else "unix"
        try:
            status = migrate(source, target, f"{kind}:{folder if to_file else place}/m", to_file)
            wait_for(lambda: target.qmp.command("query-status")["status"] == "paused", 60,
                     f"the destination does not arrive: {target.describe()}")
        finally:
            (folder / "m").unlink(missing_ok=True)
        require(status["ram"]["normal"] <= FILLED * 15 / 16 + 1024,
                f"more pages were sent than hold anything: {status['ram']}")
        require_untouched(source, before)
        require(source.memory_hash(SIZE) == target.memory_hash(SIZE),
                "RAM differs between source and destination")


def test_plain(folder):
    copied(folder)


def test_xbzrle(folder):
    copied(folder, ["xbzrle"])


def test_multifd(folder):
    copied(folder, ["multifd"], multifd_channels=2)


def test_multifd_zstd(folder):
    copied(folder, ["multifd"], multifd_channels=2, multifd_compression="zstd")


def test_multifd_zlib_without_zero_page_detection(folder):
    """Zeros that are known from metadata are sent as bytes if the user wants no detection."""
    with short_temporary_directory() as place, source_machine(folder) as source, \
            target_machine(folder) as target:
        before = settled(source)
        for vm in (source, target):
            prepare(vm, ["multifd"], {"multifd_channels": 1, "multifd_compression": "zlib",
                                      "zero_page_detection": "none"})
        migrate(source, target, f"unix:{place}/m", False)
        wait_for(lambda: target.qmp.command("query-status")["status"] == "paused", 60,
                 f"the destination does not arrive: {target.describe()}")
        require_untouched(source, before)
        require(source.memory_hash(SIZE) == target.memory_hash(SIZE),
                "RAM differs between source and destination")


def test_mapped_ram(folder):
    copied(folder, ["mapped-ram"], True)


def test_mapped_ram_multifd(folder):
    copied(folder, ["mapped-ram", "multifd"], True, multifd_channels=2)


def load_segments(path):
    """Guest-physical address, offset in the file and size of what an ELF dump holds."""
    with open(path, "rb") as file:
        header = file.read(64)
        start, = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(start)
        for _ in range(count):
            kind, _, offset, _, address, filled = struct.unpack_from("<IIQQQQ", file.read(size))
            if kind == 1:
                yield address, offset, filled


def require_dump_is_memory(dump, memory):
    compared = 0
    with open(dump, "rb") as left, open(memory, "rb") as right:
        for address, offset, filled in load_segments(dump):
            for part in range(0, min(filled, SIZE - address), MIB):
                left.seek(offset + part)
                right.seek(address + part)
                length = min(MIB, filled - part, SIZE - address - part)
                require(left.read(length) == right.read(length),
                        f"the dump differs near {address + part:#x}")
                compared += length
    require(compared > SIZE - MIB, f"only {compared} bytes were in the dump")


def test_dump(folder):
    files = [folder / name for name in ("elf", "kdump", "kdump-again", "memory")]
    try:
        with source_machine(folder) as source:
            before = settled(source)
            source.qmp.command("stop")
            source.qmp.command("dump-guest-memory", paging=False, protocol=f"file:{files[0]}",
                               timeout=60)
            require_untouched(source, before)
            source.qmp.command("dump-guest-memory", paging=False, protocol=f"file:{files[1]}",
                               format="kdump-zlib", timeout=60)
            require_untouched(source, before)
            # All of it in DRAM: the same bytes once more, read as ever.
            source.qmp.command("tiered-memory-configure", id="ram0", dram_limit=SIZE)
            source.qmp.command("pmemsave", val=0, size=SIZE, filename=str(files[3]), timeout=60)
            require_dump_is_memory(files[0], files[3])
            source.qmp.command("dump-guest-memory", paging=False, protocol=f"file:{files[2]}",
                               format="kdump-zlib", timeout=60)
            require(files[1].read_bytes() == files[2].read_bytes(), "the kdump files differ")
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def test_page_that_cannot_be_read(folder):
    """The migration fails and says why; the guest runs on; nobody hangs."""
    with short_temporary_directory() as place, loop_device(SIZE) as device, \
            source_machine(folder, tiers=[{"path": device.path, "class": "nvme"}]) as source, \
            target_machine(folder) as target:
        settled(source)
        require(device.spoil() > 0, "nothing is on the device")
        target.qmp.command("migrate-incoming", uri=f"unix:{place}/m", exit_on_error=False)
        source.qmp.command("migrate", uri=f"unix:{place}/m")
        status = wait_for(lambda: (lambda answer: answer["status"] == "failed" and answer)(
            source.qmp.command("query-migrate")), 60, "the migration does not fail")
        require("ram0" in status.get("error-desc", "") and "read back" in status["error-desc"],
                f"the failure does not say what is wrong: {status}")
        require(source.qmp.command("query-status")["status"] == "running",
                "the source does not run on")
        require(query(source)["pages"]["held"] == 0, "a page is held, but nobody accessed it")
