# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of <memory>, <memoryBacking>, <numa> and plugged DIMMs under libvirt."""
import json

from guest import MIB, require
from host import RUN
from vms import LIMIT, Console, Vm

# libvirt asks for one where memory is locked.
HARD_LIMIT = "<memtune><hard_limit unit='MiB'>1024</hard_limit></memtune>"


def test_numa_cells(host):
    vm = Vm(host, cells=(128 * MIB, 256 * MIB), job="size=336 passes=0 words=32 order=rand")
    vm.define().start()
    vm.require_tiered({"ram-node0": 32 * MIB, "ram-node1": 64 * MIB})
    vm.wait_passes()
    vm.wait_evicted(32, "ram-node0")
    vm.wait_evicted(64, "ram-node1")


DIMM = """<memory model='dimm'><target><size unit='KiB'>262144</size><node>0</node></target>
</memory>"""


def test_plugged_dimm(host):
    """libvirt's object-add for a DIMM makes tiered memory, which survives save and restore."""
    vm = Vm(host, linux=True, size=512 * MIB, plug_to=1024 * MIB)
    vm.define().start()
    device = host.folder / "dimm.xml"
    device.write_text(DIMM)
    with Console(vm) as console:
        console.wait("CONSOLE READY")
        host.virsh("attach-device", vm.name, device, "--live")
        limits = {"ram-node0": 128 * MIB, "memdimm0": 64 * MIB}
        vm.require_tiered(limits)
        console.run(f"total-above:{600 * 1024}")
        console.run("pattern:400:1")
        vm.wait_evicted(50, "memdimm0")
    image = host.folder / "saved"
    host.virsh("save", vm.name, image)
    host.virsh("restore", image)
    image.unlink()
    vm.require_tiered(limits)
    with Console(vm) as console:
        console.run("pattern:200:1:2")
        host.virsh("detach-device", vm.name, device, "--live")


def test_cold_dimm(host):
    """One that is in the XML from the start."""
    vm = Vm(host, linux=True, size=512 * MIB, plug_to=1024 * MIB, dimm=256 * MIB)
    vm.define().start()
    vm.require_tiered({"ram-node0": 128 * MIB, "memdimm0": 64 * MIB})
    with Console(vm) as console:
        console.wait("CONSOLE READY")
        console.run("pattern:300:1")


def test_backings_that_cannot_be_tiered(host):
    """Each stops the start with a sentence that names what to remove."""
    cases = {
        "shared": "<access mode='shared'/>", "memfd": "<source type='memfd'/>",
        "file": "<source type='file'/>", "immediate": "<allocation mode='immediate'/>",
        "locked": "<locked/>", "huge": "<hugepages/>",
    }
    for name, backing in cases.items():
        vm = Vm(host, name, backing=backing, more=HARD_LIMIT).define()
        text = host.refused("start", name)
        require("tidemark: " in text and backing in text, f"{name}: virsh says {text}")
        require(host.state(name) == "shut off", f"{name} is not shut off")
        require(host.domain_file(vm) is None, f"{name} left a file")


def test_qemu_refuses_them_itself(host):
    """Should the hook not know of a backing, QEMU's sentence reaches the operator."""
    vm = Vm(host).define()
    vm.start()
    resolved = json.dumps(host.domain_file(vm))
    host.virsh("destroy", vm.name)
    host.remove_hook()
    for backing in ("<access mode='shared'/>", "<allocation mode='immediate'/>", "<hugepages/>"):
        (RUN / "domains" / f"{vm.uuid}.json").write_text(resolved)
        vm.backing = backing
        text = vm.define().host.refused("start", vm.name)
        if "hugetlbfs" in text or "huge pages are" in text:
            continue  # not on this machine; the hook's refusal of them is tested above
        word = backing.split()[0].rstrip("/>")
        require("memory tiered" in text and word in text, f"{backing}: virsh says {text}")


def test_unshared_and_discarded(host):
    """Two settings that libvirt hands on and that tiered memory can have."""
    vm = Vm(host, backing="<nosharepages/><discard/>")
    vm.define().start().require_tiered({"pc.ram": LIMIT})
    vm.wait_passes()
