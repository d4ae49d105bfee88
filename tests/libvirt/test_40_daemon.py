# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt, hook, QEMU and daemon together: live changes, and what happens when one of them goes away."""
import signal

import api
from guest import MIB, require, wait_for
from host import CONFIG
from vms import LIMIT, NAMESPACE, Vm, element


def wait_limit(vm, limit, identity="pc.ram"):
    wait_for(lambda: vm.infos()[identity]["dram-limit"] == limit, 60,
             f"the limit of {vm.name} does not become {limit // MIB} MiB", 0.1)


def set_element(vm, inner, *where, **attributes):
    """virsh metadata wants the element without a prefix."""
    words = "".join(f" {key}='{value}'" for key, value in attributes.items())
    vm.host.virsh("metadata", vm.name, NAMESPACE, "--key", "tidemark",
                  "--set", f"<memory{words}>{inner}</memory>", *where)


def test_guest_is_known(host):
    host.start_daemon()
    vm = Vm(host).define().start()
    found = api.wait_connected(vm)
    require(found["name"] == vm.name, f"another name: {found}")
    vm.wait_passes(1)
    host.virsh("destroy", vm.name)
    wait_for(lambda: not (api.guest(vm) or {}).get("connected"), 60, "still connected", 0.1)


def test_metadata_changed_live(host):
    """virsh metadata --live takes effect in the running engine; --config alone does not."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    set_element(vm, "<policy cold='300' eviction='lfu'/>", "--live", "--config",
                mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)
    wait_for(lambda: (vm.infos()["pc.ram"]["cold-age"], vm.infos()["pc.ram"]["eviction-policy"])
             == (300, "lfu"), 60, "the policy does not arrive", 0.1)
    set_element(vm, "", "--config", mode="tiered", dram="128MiB", floor="16MiB")
    set_element(vm, "<policy cold='400'/>", "--live", mode="tiered", dram="80MiB", floor="16MiB")
    wait_limit(vm, 80 * MIB)
    vm.wait_passes(1)
    host.virsh("destroy", vm.name)
    vm.start()
    api.wait_connected(vm)
    wait_limit(vm, 128 * MIB)


def test_bad_metadata_live(host):
    """A mistake in it changes nothing and hurts nobody."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    set_element(vm, "", "--live", mode="tiered", dram="lots")
    set_element(vm, "", "--live", mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)
    vm.wait_passes(1)


def test_daemon_killed(host):
    """The guest runs on with what it has; a new daemon finds it."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    for _ in range(2):
        host.daemon.stop(signal.SIGKILL)
        vm.require_tiered({"pc.ram": LIMIT})
        vm.wait_passes(1)
        host.start_daemon()
        api.wait_connected(vm)
    set_element(vm, "", "--live", mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)


def test_started_before_the_daemon(host):
    """A guest that the hook started alone is taken over as it is, and can be steered: through libvirt, with a change made
    while the daemon was down or later, and through the daemon."""
    vm = Vm(host).define().start()
    vm.wait_passes(1)
    host.start_daemon()
    api.wait_connected(vm)
    vm.require_tiered({"pc.ram": LIMIT})
    set_element(vm, "<policy cold='300'/>", "--live", mode="tiered", dram="80MiB", floor="16MiB")
    wait_limit(vm, 80 * MIB)
    wait_for(lambda: vm.infos()["pc.ram"]["cold-age"] == 300, 60, "the policy does not arrive", 0.1)
    host.daemon.stop(signal.SIGKILL)
    set_element(vm, "", "--live", mode="tiered", dram="72MiB", floor="16MiB")
    host.start_daemon()
    wait_limit(vm, 72 * MIB)
    status, content = api.request("PATCH", f"/guests/{vm.uuid}", {"dramLimit": 96 * MIB})
    require(status == 200, f"PATCH: {status} {content}")
    wait_limit(vm, 96 * MIB)


def test_libvirtd_restarted(host):
    """The daemon notices, comes back to libvirtd, and still hears of changes."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    for how in (signal.SIGTERM, signal.SIGKILL):
        host.restart_libvirtd(how)
        require(host.state(vm.name) == "running", "libvirtd lost the guest")
        api.wait_connected(vm)
    set_element(vm, "", "--live", mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)
    vm.wait_passes(1)


def test_saved_and_restored(host):
    """The restored guest is a new process, and the daemon talks to that."""
    host.start_daemon()
    vm = Vm(host).define().start()
    first = api.wait_connected(vm)["pid"]
    vm.wait_passes(1)
    image = host.folder / "saved"
    host.virsh("save", vm.name, image)
    host.virsh("restore", image)
    image.unlink()
    require(api.wait_connected(vm)["pid"] != first, "the same process")
    vm.require_tiered({"pc.ram": LIMIT})
    vm.wait_passes(1)


def test_group_of_the_element(host):
    """Two guests that name a group are its members; the group's policy reaches both."""
    host.start_daemon()
    metadata = element("<tidemark:affinity group='db'/>", mode="tiered", dram="64MiB", floor="16MiB")
    vms = [Vm(host, name, metadata=metadata, job="size=64 passes=0").define().start()
           for name in ("one", "two")]
    for vm in vms:
        api.wait_connected(vm)

    def members():
        groups = [one for one in api.get("/affinity_groups")["items"] if one["name"] == "db"]
        return sorted(groups[0]["members"]) if groups else []
    wait_for(lambda: members() == sorted(vm.uuid for vm in vms), 60, "not both are members", 0.1)


def test_floor_does_not_fit(host):
    """A guest whose floor the host has no DRAM for is refused, and says so to the operator."""
    host.configure('[host]\ndram = "96MiB"')
    host.start_daemon()
    floor = element(mode="tiered", dram="64MiB", floor="64MiB")
    first = Vm(host, "first", metadata=floor).define().start()
    api.wait_connected(first)
    second = Vm(host, "second", metadata=floor).define()
    text = host.refused("start", "second")
    require("tidemark: " in text and "floor" in text, f"virsh says {text}")
    host.virsh("destroy", "first")
    second.start().require_tiered({"pc.ram": LIMIT})


def test_unknown_tier_with_the_daemon(host):
    host.start_daemon()
    vm = Vm(host, metadata=element("<tidemark:tier name='nowhere'/>", dram="64MiB")).define()
    text = host.refused("start", vm.name)
    require("tidemark: " in text and "nowhere" in text, f"virsh says {text}")
    require(CONFIG.exists() and host.domain_file(vm) is None, "it left a file")


def test_plugged_dimm_with_the_daemon(host):
    """A change of the limit reaches a DIMM that was plugged in, too, in its proportion."""
    host.start_daemon()
    vm = Vm(host, linux=True, size=512 * MIB, plug_to=1024 * MIB,
            metadata=element(mode="tiered", dram="25%", floor="32MiB")).define().start()
    api.wait_connected(vm)
    device = host.folder / "dimm.xml"
    device.write_text("<memory model='dimm'><target><size unit='KiB'>262144</size>"
                      "<node>0</node></target></memory>")
    host.virsh("attach-device", vm.name, device, "--live")
    vm.require_tiered({"ram-node0": 128 * MIB, "memdimm0": 64 * MIB})
    set_element(vm, "", "--live", mode="tiered", dram="50%", floor="32MiB")

    def in_proportion():
        limits = {name: one["dram-limit"] for name, one in vm.infos().items()}
        return (limits["ram-node0"] > 128 * MIB
                and abs(limits["ram-node0"] - 2 * limits["memdimm0"]) <= 8 * MIB)
    wait_for(in_proportion, 60, f"the shares stay apart: {vm.infos()}", 0.1)
