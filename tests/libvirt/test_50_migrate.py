# SPDX-License-Identifier: GPL-2.0-or-later
"""`virsh migrate` of tiered domains between two hosts."""
import filecmp

from guest import MIB, PAGE, require, wait_for
from peer import Peer
from vms import LIMIT, SIZE, Vm, element

BOTH = {"pc.ram": LIMIT}
# Every word of most of RAM is checked by the guest as it goes round: the source is gone after a migration. It only
# reads, so that a busy machine is done in time too; the other load writes less, all the time.
ALL_WORDS = "size=224 passes=0 words=512 zero=16 rewrite=0"
WRITING = "size=176 passes=0 words=8 zero=2"
LOOPBACK = ("--migrateuri", "tcp://127.0.0.1", "--listen-address", "127.0.0.1")


def moved(vm, here, there, there_uri, *words):
    """Lets a guest move; where it was, nothing of it is left."""
    here.virsh("migrate", "--live", vm.name, there_uri, *LOOPBACK, *words)
    require(here.virsh("list", "--name") == "", "it still runs where it was")
    require(there.state(vm.name) == "running", "it does not run where it went")


def require_as_warm(before, after):
    """Each page went to where the source said it belongs: cold ones into a tier without a fault and without having been
    in DRAM as guest memory. A destination that is not told takes all of them as they come, and evicts later."""
    counters = after["counters"]
    require(before["pages"]["stored"] > 20000, f"nothing was cold at the source: {before['pages']}")
    # What firmware and devices touched is served by faults, and that is all.
    require(counters["faults"] < 200 and counters["faults-stored"] < 20, f"pages came in by faults: {counters}")
    # All but what waits for a batch of 2 MiB to be full.
    require(after["pages"]["stored"] * PAGE >= before["pages"]["stored"] * PAGE - 6 * MIB,
            f"cold pages stayed in DRAM: {after['pages']}, and were {before['pages']}")
    require(after["pages"]["resident"] > 0, f"nothing is in DRAM: {after['pages']}")


def group_of(place, vm):
    """The affinity group, as the guest's QEMU has it."""
    return place.qmp(vm.name, "qom-get", {"path": "/objects/pc.ram", "property": "group"})


class At:
    """A guest as vms.Vm, on another host."""

    def __init__(self, vm, place):
        self.vm, self.place = vm, place

    def __enter__(self):
        self.before, self.vm.host = self.vm.host, self.place
        return self.vm

    def __exit__(self, *_):
        self.vm.host = self.before


def test_there_and_back(host):
    """Tiered on both hosts, with what each host's hook decided, and no word of memory changed."""
    grouped = element("<tidemark:affinity group='db'/>", mode="tiered", dram="25%", floor="16MiB")
    vm = Vm(host, metadata=grouped, job=ALL_WORDS).define().start()
    with Peer(host) as other:
        vm.wait_passes()
        vm.wait_evicted(100)
        group = group_of(host, vm)
        require(group, "it is in no group")
        moved(vm, host, other, other.uri, "--persistent")
        require(host.domain_file(vm) is None, "the hook left its file where the guest was")
        require(not list(host.tiers.iterdir()), "tier files stay where it was")
        require(other.has_domain_file(vm), "the hook wrote no file where it went")
        with At(vm, other):
            vm.require_tiered(BOTH)
            require(group_of(other, vm) == group, "it is in another group there")
            vm.wait_passes()
            vm.wait_evicted(100)
        host.virsh("-c", other.uri, "migrate", "--live", vm.name, "qemu:///system", *LOOPBACK)
        require(other.virsh("list", "--name") == "", "it still runs on the other host")
        require(not other.has_domain_file(vm), "the hook left its file on the other host")
        require(not list(other.tiers.iterdir()), "tier files stay on the other host")
        vm.require_tiered(BOTH)
        vm.wait_passes()
        vm.wait_evicted(100)


def test_through_libvirtd(host):
    """Peer to peer: the source's libvirtd leads, as management tools have it."""
    vm = Vm(host, job=WRITING).define().start()
    with Peer(host) as other:
        vm.wait_passes()
        moved(vm, host, other, other.uri, "--p2p", "--undefinesource", "--persistent", "--auto-converge")
        with At(vm, other):
            vm.require_tiered(BOTH)
            vm.wait_passes()


def test_every_byte(host):
    """A paused guest: all of its RAM is the same after the move, and as warm."""
    vm = Vm(host).define().start()
    with Peer(host) as other:
        vm.wait_passes()
        vm.wait_evicted(64)
        host.virsh("suspend", vm.name)
        paths = [host.folder / "here.ram", host.folder / "there.ram"]
        host.qmp(vm.name, "pmemsave", {"val": MIB, "size": SIZE - MIB, "filename": str(paths[0])})
        before = vm.infos()["pc.ram"]
        host.virsh("migrate", vm.name, other.uri, *LOOPBACK, "--live")
        require(other.state(vm.name) == "paused", "it was paused")
        with At(vm, other):
            require_as_warm(before, vm.infos()["pc.ram"])
        other.qmp(vm.name, "pmemsave", {"val": MIB, "size": SIZE - MIB, "filename": str(paths[1])})
        require(filecmp.cmp(*paths, shallow=False), "RAM differs")
        other.virsh("resume", vm.name)
        with At(vm, other):
            vm.wait_passes()
        for path in paths:
            path.unlink()


def test_aborted(host):
    """Given up on the way: the guest goes on where it is, and nothing of it is on the other host."""
    vm = Vm(host, job=ALL_WORDS).define().start()
    with Peer(host) as other:
        vm.wait_passes()
        with host.virsh_meanwhile("migrate", "--live", "--p2p", "--bandwidth", "1", vm.name, other.uri,
                                  *LOOPBACK) as command:
            wait_for(lambda: "Unbounded" in host.virsh("domjobinfo", vm.name), 60, "no migration begins", 0.1)
            wait_for(lambda: other.virsh("list", "--all", "--name") == vm.name, 60, "nothing arrives", 0.1)
            host.virsh("domjobabort", vm.name)
            require(command.wait(60) != 0, "virsh migrate says that it worked")
        require(host.state(vm.name) == "running", "it does not run on")
        wait_for(lambda: not other.virsh("list", "--all", "--name"), 60, "it stays at the other host", 0.1)
        wait_for(lambda: not other.has_domain_file(vm), 60, "the hook's file stays there", 0.1)
        require(not list(other.tiers.iterdir()), "tier files stay there")
        vm.require_tiered(BOTH)
        vm.wait_passes()
