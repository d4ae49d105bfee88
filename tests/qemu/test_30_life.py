# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a machine in its life: pause, reset, dump, prefetch, several backends."""
import hashlib
import struct
import tempfile

from guest import MIB, require, wait_for
from machines import baremetal, linux, ram, tier_directory, tiered, tiers_for
from tier_stats import query, require_evicted, require_healthy

SIZE = 512 * MIB
LIMIT = 128 * MIB
LOAD = "size=256 passes=0 words=32"


def test_stop_and_cont(folder):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT), "tcg", 2) as vm:
        vm.wait_passes_more(2, 60)
        for _ in range(2):
            vm.qmp.command("stop")
            require(vm.qmp.command("query-status")["status"] == "paused", "not paused")
            first = vm.memory_hash(SIZE)
            require(vm.memory_hash(SIZE) == first, "memory of a paused machine changed")
            vm.qmp.command("cont")
            vm.wait_passes_more(1, 30)
        require_evicted(vm, 256)
        require_healthy(query(vm))


def reset_under_load(folder, accel, resets):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT), accel, 2, reboots=True) as vm:
        for count in range(1, resets + 1):
            vm.wait_debug("START", 60, count)
            vm.wait_passes_more(1, 60)
            vm.qmp.command("system_reset")
        vm.wait_debug("START", 60, resets + 1)
        vm.wait_passes_more(2, 60)
        require_healthy(query(vm))


def test_system_reset_tcg(folder):
    reset_under_load(folder, "tcg", 3)


def test_system_reset_kvm(folder):
    reset_under_load(folder, "kvm", 1)


def elf_loads(path):
    """(physical address, file offset, bytes) of each PT_LOAD of an ELF64 core."""
    with open(path, "rb") as core:
        header = core.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        core.seek(offset)
        for entry in (core.read(size) for _ in range(count)):
            kind, = struct.unpack_from("<I", entry)
            position, _, physical, length = struct.unpack_from("<QQQQ", entry, 8)
            if kind == 1:
                yield physical, position, length


def test_dump_guest_memory(folder):
    """The dump of a machine that is mostly on its tiers equals what pmemsave reads."""
    with baremetal(folder, "size=300 passes=2 hold=1", ram(SIZE, LIMIT)) as vm, \
            tempfile.TemporaryDirectory(dir=tier_directory()) as place:
        vm.wait_debug("DONE bad=0", 60)
        vm.qmp.command("stop")
        dump, saved = f"{place}/dump", f"{place}/pmem"
        vm.qmp.command("dump-guest-memory", paging=False, protocol=f"file:{dump}", timeout=60)
        vm.qmp.command("pmemsave", val=0, size=SIZE, filename=saved, timeout=60)
        compared = 0
        with open(dump, "rb") as left, open(saved, "rb") as right:
            for physical, position, length in elf_loads(dump):
                length = min(length, max(0, SIZE - physical))
                left.seek(position)
                right.seek(physical)
                require(hashlib.sha256(left.read(length)).digest()
                        == hashlib.sha256(right.read(length)).digest(),
                        f"dump and memory differ in the {length} bytes from {physical:#x}")
                compared += length
        require(compared > 400 * MIB, f"the dump holds only {compared} bytes of RAM")
        require_healthy(query(vm))


def test_prefetch_and_hmp(folder):
    """Pages asked for with tiered-memory-prefetch come to DRAM without a fault."""
    with baremetal(folder, "size=256 passes=1 hold=1", ram(SIZE, LIMIT)) as vm:
        vm.wait_debug("DONE bad=0", 60)
        wait_for(lambda: query(vm)["pages"]["stored"] > 20000, 20, "nothing gets stored")
        vm.qmp.command("stop")
        vm.qmp.command("tiered-memory-configure", id="ram0", dram_limit=256 * MIB)
        vm.qmp.command("tiered-memory-prefetch",
                       arguments={"id": "ram0", "target": "dram",
                                  "ranges": [{"offset": 16 * MIB, "length": 64 * MIB}]})
        wait_for(lambda: query(vm)["counters"]["prefetch-pages"] > 8000, 20,
                 "the prefetch does not bring 32 MiB in")
        text = vm.qmp.command("human-monitor-command", command_line="info tiered-memory")
        require("ram0" in text, f"info tiered-memory does not name ram0: {text}")
        vm.qmp.command("cont")


def test_two_numa_nodes(folder):
    """One tiered backend per NUMA node, with different limits."""
    half = 384 * MIB
    memory = ["-m", "768M", *tiered("ram0", half, 64 * MIB), *tiered("ram1", half, 128 * MIB),
              "-numa", "node,nodeid=0,cpus=0,memdev=ram0",
              "-numa", "node,nodeid=1,cpus=1,memdev=ram1"]
    with baremetal(folder, "start=16 size=704 passes=3 words=32 hold=1", memory, "tcg", 2) as vm:
        vm.wait_debug("DONE bad=0", 90)
        for name in ("ram0", "ram1"):
            require_evicted(vm, 128, name)
            require_healthy(query(vm, name))


def test_hotplug_and_unplug(folder):
    """A tiered DIMM is plugged into a Linux guest, used and taken out again."""
    memory = ["-m", "size=256M,slots=2,maxmem=2G"]
    with linux(folder, memory, end="console", kernel_words="memhp_default_state=online_movable") \
            as vm:
        vm.wait_console("CONSOLE READY", 60)
        for plug in range(2):
            backend = {"qom-type": "memory-backend-tiered", "id": "dimm-ram", "size": 512 * MIB,
                       "dram-limit": LIMIT, "tiers": tiers_for(512 * MIB)}
            vm.qmp.command("object-add", arguments=backend)
            vm.qmp.command("device_add", arguments={"driver": "pc-dimm", "id": "dimm0",
                                                    "memdev": "dimm-ram"})
            vm.run_job(f"total-above:{600 * 1024}", 20)
            vm.run_job(f"pattern:500:1:{plug + 1}", 60)
            require_evicted(vm, 100, "dimm-ram")
            require_healthy(query(vm, "dimm-ram"))
            vm.events.clear()
            vm.qmp.command("device_del", arguments={"id": "dimm0"})
            vm.wait_event("DEVICE_DELETED", 30, lambda data: data.get("device") == "dimm0")
            vm.qmp.command("object-del", arguments={"id": "dimm-ram"})
            wait_for(lambda: vm.qmp.command("query-tiered-memory") == [], 10,
                     "the backend is still there")
        vm.run_job("pattern:60:1", 30)

