# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hook refuses, what the operator then reads from virsh, and what it leaves behind."""
import os

from guest import MIB, require
from host import CONFIG, RUN, USER
from vms import LIMIT, Vm, element


def require_refused(vm, *words):
    """virsh start fails with a sentence of ours, and leaves nothing."""
    text = vm.define().host.refused("start", vm.name)
    for word in ("tidemark: ", *words):
        require(word in text, f"the refusal does not speak of {word}: {text}")
    require(vm.host.state(vm.name) == "shut off", f"{vm.name} is not shut off")
    require(vm.host.domain_file(vm) is None, f"{vm.name} left a file")


def test_bad_elements(host):
    cases = {
        "dram": (element(dram="lots"), "lots"),
        "too-small": (element(dram="1MiB"), "16 MiB"),
        "too-large": (element(dram="100GiB"), "100GiB"),
        "floor": (element(dram="32MiB", floor="64MiB"), "floor"),
        "priority": (element(priority="0"), "priority"),
        "mode": (element(mode="maybe"), "maybe"),
        "attribute": (element(limit="1G"), "limit"),
        "child": (element("<tidemark:colour/>"), "colour"),
        "policy": (element("<tidemark:policy eviction='best'/>"), "best"),
        "root": (element().replace("memory", "memoir"), "memoir"),
        "tier": (element("<tidemark:tier name='nowhere'/>"), "nowhere"),
        "tier-path": (element("<tidemark:tier class='nvme' path='/nonexistent/a/b'"
                              " capacity='1GiB'/>"), "/nonexistent/a/b"),
        "tier-size": (element("<tidemark:tier name='fast' capacity='1MiB'/>", dram="64MiB"), "capacity"),
    }
    for name, (metadata, word) in cases.items():
        require_refused(Vm(host, name, metadata=metadata), word)


def test_mended_element(host):
    """After a refusal a correction is all it takes."""
    vm = Vm(host, metadata=element("<tidemark:tier name='nowhere'/>", dram="64MiB"))
    require_refused(vm, "nowhere", "fast")
    vm.metadata = element("<tidemark:tier name='fast'/>", dram="64MiB")
    vm.define().start().require_tiered({"pc.ram": LIMIT})
    vm.wait_passes()


def test_bad_configuration(host):
    CONFIG.write_text("[[tier\n")
    require_refused(Vm(host), str(CONFIG))
    # It is none of the business of a domain that is not ours.
    Vm(host, "plain", metadata="").define().start().require_tiered({})


def test_without_the_daemon(host):
    """when_down decides: start alone, or refuse."""
    host.configure('[daemon]\nwhen_down = "refuse"')
    require_refused(Vm(host), "when_down")
    host.configure('[daemon]\nwhen_down = "start"')
    vm = Vm(host).define().start()
    vm.require_tiered({"pc.ram": LIMIT})
    resolved = host.domain_file(vm)
    require(resolved["qmp"] == str(RUN / "vm.sock"), f"another socket: {resolved}")


def test_file_is_not_for_everybody(host):
    vm = Vm(host).define().start()
    status = os.stat(RUN / "domains" / f"{vm.uuid}.json")
    require(status.st_uid == 0 and status.st_gid == USER and status.st_mode & 0o7777 == 0o640,
            f"owner {status.st_uid}:{status.st_gid}, mode {status.st_mode & 0o7777:o}")


def test_settings_reach_the_engine(host):
    """All of the element, as QEMU says it afterwards."""
    inner = ("<tidemark:affinity group='db'/><tidemark:tier name='fast' capacity='1GiB'/>"
             "<tidemark:policy eviction='fifo' prefetch='off' window='42' cold='600' slowdown='7'"
             " learn='off'/>")
    vm = Vm(host, metadata=element(inner, mode="tiered", dram="64MiB")).define().start()
    info = vm.require_tiered({"pc.ram": LIMIT})["pc.ram"]
    wanted = {"eviction-policy": "fifo", "prefetch": False, "prefetch-window": 42,
              "cold-age": 600, "reclaim-slowdown": 7, "learn": False}
    found = {name: info[name] for name in wanted}
    require(found == wanted, f"QEMU has {found}")
    tiers = [(one["path"], one["class"], one["capacity"]) for one in info["tiers"]]
    require(tiers == [(str(host.tiers), "nvme", 1024 * MIB)], f"QEMU has {tiers}")
    group = host.qmp(vm.name, "qom-get", {"path": "/objects/pc.ram", "property": "group"})
    require(group == host.domain_file(vm)["group"] != "", f"the group is {group}")


def test_libvirtd_restart_with_a_failing_hook(host):
    """Whatever is broken meanwhile, a running guest survives libvirtd's reconnect."""
    vm = Vm(host).define().start()
    vm.wait_passes(1)
    CONFIG.write_text("[[tier\n")
    host.restart_libvirtd()
    require(host.state(vm.name) == "running", "the guest is gone")
    vm.wait_passes(1)
    host.virsh("destroy", vm.name)
    require(host.domain_file(vm) is None, "the hook left its file")
