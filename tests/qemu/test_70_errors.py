# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiers that fail: pages are kept, held or given up, but wrong bytes never reach the guest."""
import time

from guest import MIB, require, wait_for
from loop_device import loop_device, small_tmpfs
from machines import baremetal, ram, tier_directory
from qmp import QmpError
from tier_stats import query

SIZE = 512 * MIB
LIMIT = 128 * MIB
LOAD = "size=256 passes=0 words=32"
HELD = "TIERED_MEMORY_ERROR"


def on_device(device):
    return [{"path": device.path, "class": "nvme"}]


def wait_held(vm):
    """Waits until a read failed for good; returns the event's data."""
    data = vm.wait_event(HELD, 30)["data"]
    require(data["id"] == "ram0" and data["tier"] == 0 and data["class"] == "nvme"
            and data["offset"] % 4096 == 0 and data["offset"] < SIZE,
            f"the event does not name backend, offset and tier: {data}")
    wait_for(lambda: query(vm)["pages"]["held"] > 0, 10, "no page is held")
    return data


def monitor_answers(vm):
    started = time.monotonic()
    vm.qmp.command("query-status", timeout=5)
    require(query(vm)["pages"]["held"] > 0, "the page is not held any more")
    require(time.monotonic() - started < 5, "QMP is slow while a page is held")


def read_error_and_retry(folder, accel):
    """The device loses its end, an access is held; it comes back, retry lets the guest go on."""
    with loop_device(SIZE) as device, \
            baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=on_device(device)), accel) as vm:
        vm.wait_passes_more(3, 60)
        device.limit(MIB)
        data = wait_held(vm)
        require(not data["checksum"], f"an I/O error is called a checksum error: {data}")
        monitor_answers(vm)
        before = vm.passes()
        device.limit(0)
        answer = vm.qmp_oob.command("tiered-memory-resolve", exec_oob=True, id="ram0",
                                    action="retry")
        require(answer["pages"] > 0, f"retry acted on no page: {answer}")
        wait_for(lambda: resolve_again(vm) and vm.passes() > before + 1, 60,
                 f"the guest does not go on after retry: {vm.describe()}", 0.2)
        vm.check_no_bad()
        require(query(vm)["tiers"][0]["read-errors"] > 0, "read-errors does not count")


def resolve_again(vm):
    """Pages that became held between the repair and the retry need one more."""
    if query(vm)["pages"]["held"]:
        vm.qmp.command("tiered-memory-resolve", id="ram0", action="retry")
    return True


def test_read_error_and_retry_tcg(folder):
    read_error_and_retry(folder, "tcg")


def test_read_error_and_retry_kvm(folder):
    read_error_and_retry(folder, "kvm")


def test_checksum_mismatch_is_held_and_quit_works(folder):
    with loop_device(SIZE) as device, \
            baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=on_device(device))) as vm:
        vm.wait_passes_more(3, 60)
        require(device.spoil() > 0, "nothing is on the device")
        data = wait_held(vm)
        require(data["checksum"], f"a checksum mismatch is called an I/O error: {data}")
        vm.check_no_bad()
        monitor_answers(vm)
        vm.qmp.command("quit")
        require(vm.wait_exit(20) == 0, f"quit did not end well: {vm.describe()}")
        vm.check_no_bad()


def test_stop_while_held(folder):
    """stop answers while a vCPU is held, and the machine runs on after the repair."""
    with loop_device(SIZE) as device, \
            baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=on_device(device)), "tcg", 2) as vm:
        vm.wait_passes_more(3, 60)
        device.limit(MIB)
        wait_held(vm)
        try:
            vm.qmp.command("stop", timeout=10)
        except QmpError as refusal:  # a sentence will do, a hang will not
            require("tiered-memory-resolve" in str(refusal), f"stop: {refusal}")
        monitor_answers(vm)
        before = vm.passes()
        device.limit(0)
        resolve_again(vm)
        wait_for(lambda: query(vm)["pages"]["held"] == 0, 20, "pages stay held after retry")
        vm.qmp.command("cont")
        wait_for(lambda: resolve_again(vm) and vm.passes() > before + 1, 60,
                 f"the guest does not go on: {vm.describe()}", 0.2)
        vm.check_no_bad()


def test_reset_while_held(folder):
    with loop_device(SIZE) as device, \
            baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=on_device(device)),
                      reboots=True) as vm:
        vm.wait_passes_more(3, 60)
        device.limit(MIB)
        wait_held(vm)
        vm.qmp.command("system_reset", timeout=10)
        vm.qmp.command("query-status", timeout=10)
        device.limit(0)
        wait_for(lambda: resolve_again(vm) and vm.debug_text().count("START") >= 2, 60,
                 f"no reset after the repair: {vm.describe()}", 0.2)
        vm.qmp.command("quit")
        require(vm.wait_exit(20) == 0, f"quit did not end well: {vm.describe()}")


def test_poison(folder):
    """Given up, a page is never read as data: the guest gets a memory error or stops."""
    with loop_device(SIZE) as device, \
            baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=on_device(device)), "kvm") as vm:
        vm.wait_passes_more(3, 60)
        require(device.spoil() > 0, "nothing is on the device")
        wait_held(vm)
        passes = vm.passes()
        answer = vm.qmp_oob.command("tiered-memory-resolve", exec_oob=True, id="ram0",
                                    action="poison")
        require(answer["pages"] > 0, f"poison acted on no page: {answer}")
        # This guest has no machine-check handler, so the error must end it or its QEMU.
        wait_for(lambda: was_told(vm), 30, "nothing happened to the page")
        vm.check_no_bad()
        require(vm.passes() <= passes + 1, "the guest went on over a page that is lost")


def was_told(vm):
    """The machine stopped or ended, or the page counts as poisoned."""
    try:
        return query_status(vm) != "running" or query(vm)["pages"]["poisoned"] > 0
    except OSError:  # the guest reset itself, which ends this QEMU
        return True


def query_status(vm):
    return vm.qmp.command("query-status")["status"]


def test_full_tier_degrades_and_the_other_carries_on(folder):
    """ENOSPC: the NVMe tier's file system is full; the event says so, QLC takes the pages."""
    with small_tmpfs(32 * MIB) as place:
        tiers = [{"path": place, "class": "nvme", "capacity": SIZE},
                 {"path": str(tier_directory()), "class": "qlc", "capacity": SIZE}]
        with baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=tiers), "tcg", 2) as vm:
            event = vm.wait_event("TIERED_MEMORY_TIER_DEGRADED", 60)
            require(event["data"]["class"] == "nvme" and event["data"]["tier"] == 0,
                    f"the event names another tier: {event}")
            vm.wait_passes_more(3, 90)
            info = query(vm)
            require(info["tiers"][0]["write-errors"] > 0, f"no write error counted: {info}")
            require(info["tiers"][1]["written-bytes"] > 64 * MIB, f"QLC took nothing: {info}")
            require(info["pages"]["held"] == 0, f"pages are held: {info['pages']}")


def test_all_tiers_full_raises_pressure(folder):
    """Nothing can leave DRAM: the operator is told, no page is lost, and a higher limit helps."""
    with small_tmpfs(32 * MIB) as place:
        tiers = [{"path": place, "class": "nvme", "capacity": SIZE}]
        with baremetal(folder, LOAD, ram(SIZE, LIMIT, tiers=tiers)) as vm:
            vm.wait_event("TIERED_MEMORY_PRESSURE", 60)
            vm.qmp.command("query-status", timeout=5)
            vm.qmp.command("tiered-memory-configure", id="ram0", dram_limit=SIZE)
            vm.wait_passes_more(3, 60)
            require(query(vm)["pages"]["held"] == 0, "pages are held")
