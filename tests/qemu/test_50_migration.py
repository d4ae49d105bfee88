# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain precopy to a tiered and to a stock machine: identical RAM, and a guest that goes on."""
import subprocess

from guest import MIB, qemu_binary, require, short_temporary_directory, wait_for
from machines import baremetal, ram
from qmp import QmpError
from tier_stats import query, require_evicted, require_healthy

SIZE = 256 * MIB
LIMIT = 64 * MIB
LOAD = "size=176 passes=0 words=32 order=rand zero=16"


def migrate(source, destination, place):
    address = f"unix:{place}/m"
    destination.qmp.command("migrate-incoming", uri=address)
    source.qmp.command("migrate-set-parameters", max_bandwidth=0, downtime_limit=30000)
    source.qmp.command("migrate", uri=address)

    def finished():
        status = source.qmp.command("query-migrate")
        require(status["status"] not in ("failed", "cancelled"), f"migration failed: {status}")
        return status["status"] == "completed"
    wait_for(finished, 60, f"migration does not complete: {source.describe()}")
    wait_for(lambda: destination.qmp.command("query-status")["status"] == "paused", 20,
             f"the destination does not arrive: {destination.describe()}")


def between(folder, from_limit, to_limit, accel="tcg", paused=False):
    with short_temporary_directory() as place, \
            baremetal(folder, LOAD, ram(SIZE, from_limit), accel, 2, "source") as source, \
            baremetal(folder, LOAD, ram(SIZE, to_limit), accel, 2, "target",
                      incoming=True) as target:
        source.wait_passes_more(2, 60)
        if from_limit:
            require_evicted(source, 100)
        if paused:
            source.qmp.command("stop")
        migrate(source, target, place)
        require(source.memory_hash(SIZE) == target.memory_hash(SIZE),
                "RAM differs between source and destination")
        for vm, limit in ((source, from_limit), (target, to_limit)):
            if limit:
                require_healthy(query(vm))
        source.qmp.command("quit")
        source.wait_exit(20)
        target.qmp.command("cont")
        target.wait_passes_more(2, 60)
        if to_limit:
            require_evicted(target, 100)
            require_healthy(query(target))


def test_tiered_to_tiered(folder):
    between(folder, LIMIT, LIMIT)


def test_tiered_to_tiered_paused(folder):
    between(folder, LIMIT, 48 * MIB, paused=True)


def test_tiered_to_stock(folder):
    between(folder, LIMIT, None)


def test_stock_to_tiered(folder):
    between(folder, None, LIMIT)


def test_tiered_to_tiered_kvm(folder):
    between(folder, LIMIT, LIMIT, "kvm")


def refused(vm, words, command, **arguments):
    try:
        vm.qmp.command(command, **arguments)
    except QmpError as refusal:
        for word in words:
            require(word in str(refusal), f"the refusal does not speak of {word}: {refusal}")
        return
    require(False, f"{command} {arguments} was accepted")


def test_refused_capabilities(folder):
    with baremetal(folder, "size=64 passes=0", ram(SIZE, LIMIT)) as vm:
        refused(vm, ["tiered"], "migrate-set-capabilities",
                capabilities=[{"capability": "background-snapshot", "state": True}])
        refused(vm, ["tiered"], "migrate-set-parameters", mode="cpr-reboot")
        vm.wait_passes_more(1, 30)


def qemu_img():
    return str(qemu_binary().parent / "qemu-img")


def test_savevm_and_loadvm(folder):
    """savevm works and loadvm brings the same RAM back, or savevm is refused with a sentence."""
    image = folder / "state.qcow2"
    subprocess.run([qemu_img(), "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    extra = ["-drive", f"if=none,id=state,format=qcow2,file={image}",
             "-device", "virtio-blk-pci,drive=state"]
    try:
        with baremetal(folder, LOAD, ram(SIZE, LIMIT), extra=extra) as vm:
            vm.wait_passes_more(2, 60)
            vm.qmp.command("stop")
            before = vm.memory_hash(SIZE)
            answer = vm.qmp.command("human-monitor-command", command_line="savevm one",
                                    timeout=60)
            if answer.strip():
                require("tiered" in answer, f"refused without naming the reason: {answer}")
                return
            vm.qmp.command("cont")
            vm.wait_passes_more(1, 60)
            vm.qmp.command("stop")
            answer = vm.qmp.command("human-monitor-command", command_line="loadvm one",
                                    timeout=60)
            require(not answer.strip(), f"loadvm: {answer}")
            require(vm.memory_hash(SIZE) == before, "loadvm brought other bytes back")
            vm.qmp.command("cont")
            vm.wait_passes_more(2, 60)
            require_healthy(query(vm))
    finally:
        image.unlink()

