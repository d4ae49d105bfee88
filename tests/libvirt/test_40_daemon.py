# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt, hook, QEMU and daemon together: live changes, and what happens when one of them goes away."""
import signal

import api
from guest import MIB, require, wait_for
from host import CONFIG, RUN
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
    wait_problem(vm, "lots")
    vm.require_tiered({"pc.ram": LIMIT})
    set_element(vm, "", "--live", mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)
    require(api.guest(vm)["elementProblem"] is None, f"still a problem: {api.guest(vm)}")
    vm.wait_passes(1)


def wait_problem(vm, word):
    wait_for(lambda: word in (api.guest(vm)["elementProblem"] or ""), 60, f"the daemon does not say '{word}'", 0.1)


def test_metadata_removed_live(host):
    """The guest keeps what it has, and the daemon says so; a new element is in force again."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    host.virsh("metadata", vm.name, NAMESPACE, "--remove", "--live")
    wait_problem(vm, "removed")
    vm.require_tiered({"pc.ram": LIMIT})
    require(api.guest(vm)["dramFloor"] == 16 * MIB, f"another floor: {api.guest(vm)}")
    set_element(vm, "", "--live", mode="tiered", dram="96MiB", floor="16MiB")
    wait_limit(vm, 96 * MIB)
    require(api.guest(vm)["elementProblem"] is None, f"still a problem: {api.guest(vm)}")


def test_hook_not_heard(host):
    """Nobody tells the daemon that a guest ended, but its file is gone: its floor and its record go all the same."""
    host.start_daemon()
    vm = Vm(host).define().start()
    api.wait_connected(vm)
    require(api.get("/status")["domains"] == 1, "the domain is not known")
    host.remove_hook()
    host.virsh("destroy", vm.name)
    (RUN / "domains" / f"{vm.uuid}.json").unlink(missing_ok=True)
    wait_for(lambda: api.get("/status")["domains"] == 0 and api.guest(vm) is None, 60, "it is still there", 0.1)


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

    def group():
        groups = [one for one in api.get("/affinity_groups")["items"] if one["name"] == "db"]
        return groups[0] if groups else {"members": []}

    def settings(vm):
        info = vm.infos()["pc.ram"]
        return info["cold-age"], info["eviction-policy"]
    wait_for(lambda: sorted(group()["members"]) == sorted(vm.uuid for vm in vms), 60, "not both are members", 0.1)
    for cold, eviction in ((300, "lfu"), (77, "fifo")):
        require(all(settings(vm) != (cold, eviction) for vm in vms), "they have it already")
        api.change(f"/affinity_groups/{group()['groupID']}", policy={"coldAge": cold, "evictionPolicy": eviction.upper()})
        for vm in vms:
            wait_for(lambda vm=vm, wanted=(cold, eviction): settings(vm) == wanted, 60,
                     f"the policy does not reach {vm.name}", 0.05)


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
    """A DIMM that is plugged in brings its share of DRAM, and the cell keeps what it had; a change of the limit reaches both."""
    host.start_daemon()
    vm = Vm(host, linux=True, size=512 * MIB, plug_to=1024 * MIB,
            metadata=element(mode="tiered", dram="25%", floor="32MiB")).define().start()
    api.wait_connected(vm)
    device = host.folder / "dimm.xml"
    device.write_text("<memory model='dimm'><target><size unit='KiB'>262144</size>"
                      "<node>0</node></target></memory>")
    host.virsh("attach-device", vm.name, device, "--live")
    limits = {"ram-node0": 128 * MIB, "memdimm0": 64 * MIB}
    vm.require_tiered(limits)
    wait_for(lambda: api.guest(vm)["memory"] == 768 * MIB, 60, "the daemon does not see the DIMM", 0.1)
    rounds = api.get("/status")["arbiter"]["rounds"]
    wait_for(lambda: api.get("/status")["arbiter"]["rounds"] >= rounds + 2, 60, "the arbiter stands still", 0.1)
    vm.require_tiered(limits)
    set_element(vm, "", "--live", mode="tiered", dram="50%", floor="32MiB")
    wait_limit(vm, 256 * MIB, "ram-node0")
    wait_limit(vm, 128 * MIB, "memdimm0")
    status, content = api.request("PATCH", f"/guests/{vm.uuid}", {"dramLimit": 600 * MIB})
    require(status == 200, f"PATCH beyond what it booted with: {status} {content}")
    wait_limit(vm, 400 * MIB, "ram-node0")
    wait_limit(vm, 200 * MIB, "memdimm0")
