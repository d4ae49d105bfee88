# SPDX-License-Identifier: GPL-2.0-or-later
"""A tiered domain's life under libvirt and the hook, without a daemon."""
import pathlib
import re

from guest import MIB, require, require_kvm
from host import RUN, USER
from vms import LIMIT, Vm, element

BOTH = {"pc.ram": LIMIT}


def test_start_and_destroy(host):
    """libvirt's own pc.ram is tiered, under an unprivileged QEMU with the sandbox on."""
    vm = Vm(host).define().start()
    vm.require_tiered(BOTH)
    vm.wait_passes()
    vm.wait_evicted(64)
    status = pathlib.Path(f"/proc/{host.pid(vm.name)}/status").read_text()
    require(re.search(rf"^Uid:\s+{USER}\s+{USER}\s+{USER}\s", status, re.M), "QEMU runs as somebody else")
    require(re.search(r"^Seccomp:\s+2$", status, re.M), "QEMU runs without its sandbox")
    require(re.search(r"^CapEff:\s+0+$", status, re.M), "QEMU has capabilities")
    host.virsh("suspend", vm.name)
    require(host.state(vm.name) == "paused", "not paused")
    host.virsh("resume", vm.name)
    vm.wait_passes()
    host.virsh("destroy", vm.name)
    require(host.state(vm.name) == "shut off", "not shut off")
    require(host.domain_file(vm) is None, "the hook left its file")
    require(not list(host.tiers.iterdir()), "tier files stay behind")
    vm.start().require_tiered(BOTH)
    vm.wait_passes()


def test_kvm(host):
    """The same under KVM: its memory is worked on, saved and restored."""
    require_kvm()
    vm = Vm(host, accel="kvm").define().start()
    require(host.qmp(vm.name, "query-kvm")["enabled"], "it runs without KVM")
    vm.require_tiered(BOTH)
    vm.wait_passes()
    vm.wait_evicted(64)
    image = host.folder / "kvm.save"
    host.virsh("save", vm.name, image)
    host.virsh("restore", image)
    vm.require_tiered(BOTH)
    vm.wait_passes()


def test_other_domains_untouched(host):
    """One with another UUID, and what libvirt asks the QEMU when it probes it."""
    (RUN / "domains/00000000-0000-0000-0000-000000000000.json").write_text("{")
    capabilities = host.virsh("domcapabilities", "--emulatorbin", Vm(host).emulator,
                              "--virttype", "qemu")
    require("<domain>" in capabilities, f"probing found {capabilities[:500]}")
    for name, metadata in (("plain", ""), ("off", element(mode="off"))):
        vm = Vm(host, name, metadata=metadata).define().start()
        vm.require_tiered({})
        vm.wait_passes()
        chardevs = [one["label"] for one in host.qmp(name, "query-chardev")]
        require("tidemark-qmp" not in chardevs, f"{name} has a second monitor")


def test_element_is_kept(host):
    """By define, start, edit of something else and save, it comes back as it was."""
    text = element("<tidemark:affinity group='db'/><tidemark:label>a label</tidemark:label>",
                   mode="tiered", dram="64MiB")
    vm = Vm(host, metadata=text)

    def kept(*words):
        xml = host.virsh("dumpxml", vm.name, *words)
        for piece in ("urn:tidemark:domain:1", "dram='64MiB'", "group='db'", "a label"):
            require(piece in re.sub('"', "'", xml), f"dumpxml {words} has no {piece}: {xml}")
    vm.define()
    kept()
    vm.start()
    kept()
    host.virsh("desc", vm.name, "--title", "another title", "--config", "--live")
    kept()
    kept("--inactive")
    vm.wait_passes()
    image = host.folder / "saved"
    host.virsh("save", vm.name, image)
    require("64MiB" in host.virsh("save-image-dumpxml", image), "the image lacks it")
    host.virsh("restore", image)
    kept()
    vm.wait_passes()
    image.unlink()


def test_save_and_restore(host):
    """The guest finds in its memory what it left there."""
    vm = Vm(host).define().start()
    vm.wait_passes()
    vm.wait_evicted(64)
    image = host.folder / "saved"
    for _ in range(2):
        host.virsh("save", vm.name, image)
        require(host.state(vm.name) == "shut off", "still there after save")
        host.virsh("restore", image)
        vm.require_tiered(BOTH)
        vm.wait_passes()
    vm.wait_evicted(64)
    image.unlink()


def test_managed_save(host):
    vm = Vm(host).define().start()
    vm.wait_passes()
    host.virsh("managedsave", vm.name)
    require(host.state(vm.name) == "shut off", "still there after managedsave")
    vm.start().require_tiered(BOTH)
    vm.wait_passes()
    vm.wait_evicted(64)


def test_restored_with_another_element(host):
    """A saved domain can be given another limit before it comes back."""
    vm = Vm(host).define().start()
    vm.wait_passes()
    image = host.folder / "saved"
    host.virsh("save", vm.name, image)
    xml = host.folder / "edited.xml"
    xml.write_text(host.virsh("save-image-dumpxml", image).replace("25%", "96MiB"))
    host.virsh("restore", image, "--xml", xml)
    vm.require_tiered({"pc.ram": 96 * MIB})
    vm.wait_passes()
    image.unlink()


def test_libvirtd_restart(host):
    """Guests run on without libvirtd, and it finds them again."""
    vm = Vm(host).define().start()
    vm.wait_passes()
    for how in (15, 9):
        host.libvirtd.stop(how)
        vm.wait_passes()
        host.start_libvirtd()
        require(host.state(vm.name) == "running", "libvirtd lost the guest")
        vm.require_tiered(BOTH)
        vm.wait_passes()
    host.virsh("save", vm.name, host.folder / "saved")
    (host.folder / "saved").unlink()


def test_bad_file_stops_the_start(host):
    """Should a file be damaged, the operator sees QEMU's sentence from virsh."""
    host.remove_hook()
    vm = Vm(host).define()
    (RUN / "domains" / f"{vm.uuid}.json").write_text('{"version": 1, ')
    text = host.refused("start", vm.name)
    require("which says how this VM's memory is tiered" in text and "not JSON" in text,
            f"virsh says {text}")
    require(host.state(vm.name) == "shut off", "not shut off")
