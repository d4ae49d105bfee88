# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is killed in the middle of something that libvirt does to a guest, and comes back then or afterwards."""
import contextlib
import os
import pathlib
import signal

import api
from guest import MIB, require, wait_for
from host import HOOK, RUN
from test_40_daemon import set_element, wait_limit
from vms import Vm, element

FLOOR = 16 * MIB
ELEMENT = {"mode": "tiered", "dram": "25%", "floor": "16MiB"}
POLICY = "<{0}affinity group='db'/><{0}policy cold='300' eviction='lfu' slowdown='7'/>"
METADATA = element(POLICY.format("tidemark:"), **ELEMENT)
# Every word of most of RAM is checked as the guest goes round.
JOB = "size=176 passes=0 words=512 zero=16 rewrite=0"


def budget_of(host, mib):
    host.configure(f'[host]\ndram = "{mib}MiB"')
    host.start_daemon()


def require_in_force(host, *vms):
    """What REST says of the host and of each guest is what their QEMUs say, the element's words are in force, and no byte
    of theirs has changed."""
    for vm in vms:
        found = api.wait_connected(vm)
        require(found["dramFloor"] == FLOOR, f"another floor: {found}")
        info = vm.infos()["pc.ram"]
        policy = (info["cold-age"], info["eviction-policy"], info["reclaim-slowdown"])
        require(policy == (300, "lfu", 7), f"{vm.name} has another policy: {policy}")

    def counted():
        limits = [vm.infos()["pc.ram"]["dram-limit"] for vm in vms]
        status = api.get("/status")
        return status if all(limit >= FLOOR for limit in limits) and sum(limits) <= status["dramBudget"] \
            and status["dramLimits"] == sum(limits) else None
    status = wait_for(counted, 60, "the limits are not counted, or above the budget", 0.2)
    wanted = {"domains": len(vms), "guests": len(vms), "connected": len(vms), "dramFloors": FLOOR * len(vms),
              "memory": sum(vm.size for vm in vms)}
    require({key: status[key] for key in wanted} == wanted, f"wanted {wanted}: {status}")
    require(members() == sorted(vm.uuid for vm in vms), f"the group has {members()}")
    for vm in vms:
        # Their limits move on with the budget.
        require(set(vm.require_undamaged(vm.infos())) == {"pc.ram"}, f"{vm.name} has other memory")
        vm.wait_passes()


def members():
    return sorted(uuid for group in api.get("/affinity_groups")["items"] for uuid in group["members"])


def require_nothing_left(host, *vms):
    """As if these had never been."""
    def counts():
        status = api.get("/status")
        return [status[name] for name in ("domains", "guests", "dramFloors", "dramLimits")]
    wait_for(lambda: not any(counts()), 60, "the daemon still counts a guest that has ended", 0.1)
    require(not members(), f"still in a group: {members()}")
    require(not list(host.tiers.iterdir()), "tier files stay behind")
    for vm in vms:
        require(host.domain_file(vm) is None, "the hook's file stays behind")
        require(not (RUN / "exchange" / vm.uuid).exists(), "its folder for exchange stays behind")


def destroy(host, *vms):
    for vm in vms:
        host.virsh("destroy", vm.name)
    require_nothing_left(host, *vms)


class HeldMidWay:
    """Stops a guest's QEMU as soon as done() is true, which is in the middle of what libvirt waits for; lets it go on."""

    def __init__(self, vm, command, done):
        wait_for(lambda: done() or command.poll() is not None, 60, "it does not begin", 0.002)
        require(command.poll() is None, "it was over before it could be held")
        self.pid = vm.host.pid(vm.name)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def tier_bytes(host, vm):
    """What a guest has in its tiers, whose files have no name."""
    with contextlib.suppress(OSError):
        files = pathlib.Path(f"/proc/{host.pid(vm.name)}/fd").iterdir()
        return sum(file.stat().st_blocks * 512 for file in files if os.readlink(file).startswith(f"{host.tiers}/"))
    return 0  # it comes, or goes


def killed_meanwhile(host, vm, words, begun, late):
    """virsh does this; half-way the daemon is killed. late: it is back only when all is over."""
    with host.virsh_meanwhile(*words) as command:
        with HeldMidWay(vm, command, begun):
            host.daemon.stop(signal.SIGKILL)
            if not late:
                host.start_daemon()
            require(command.poll() is None, "it was over before the daemon was killed")
        require(command.wait(60) == 0, f"virsh {words[0]} fails")
    if late:
        host.start_daemon()


def test_while_saving_and_restoring(host):
    """What was saved while the daemon died comes back while it dies again, with the limit that it had been given live."""
    budget_of(host, 160)
    vm = Vm(host, metadata=METADATA, job=JOB).define().start()
    api.wait_connected(vm)
    set_element(vm, POLICY.format(""), "--live", mode="tiered", dram="80MiB", floor="16MiB")
    wait_limit(vm, 80 * MIB)
    vm.wait_passes()
    vm.wait_evicted(64)
    image = host.folder / "saved"

    def written():
        return image.exists() and image.stat().st_size > 8 * MIB

    def read():  # what does not fit in DRAM goes on to a tier
        return tier_bytes(host, vm) > 8 * MIB
    for late in (False, True):
        killed_meanwhile(host, vm, ("save", vm.name, image), written, late)
        require_nothing_left(host, vm)
        killed_meanwhile(host, vm, ("restore", image), read, late)
        image.unlink()
        require(vm.infos()["pc.ram"]["dram-limit"] == 80 * MIB, f"another limit: {vm.infos()}")
        require_in_force(host, vm)
        wait_limit(vm, 80 * MIB)
    destroy(host, vm)


def add_hook(host, name, operation, then="exit 0"):
    """A hook that kills the daemon at this operation of the next domain; libvirt calls hooks by name, ours is tidemark."""
    path = HOOK.parent / name
    path.write_text(f'#!/bin/sh\ncat >/dev/null\n[ "$2" = {operation} ] || exit 0\n'
                    f"kill -KILL {host.daemon.process.pid}\n{then}\n")
    path.chmod(0o755)
    return path


def start_killing(host, vm, name, operation):
    hook = add_hook(host, name, operation)
    vm.define().start()
    hook.unlink()
    require(host.daemon.ended(), f"the daemon was not killed at {operation}")


def test_while_starting(host):
    """Killed before it is asked, after it has answered, after the guest was told what it may use, and before it hears
    that the guest runs. The budget is too small for both guests: what the second got, the first one gives."""
    budget_of(host, 96)
    first = Vm(host, "first", metadata=METADATA).define().start()
    require_in_force(host, first)
    for name, operation in (("before", "prepare"), ("with", "start"), ("before", "started"), ("zafter", "started")):
        second = Vm(host, "second", metadata=METADATA)
        start_killing(host, second, name, operation)
        second.wait_passes()
        first.wait_passes()
        host.start_daemon()
        require_in_force(host, first, second)
        host.virsh("destroy", second.name)
        wait_for(lambda: api.get("/status")["domains"] == 1, 60, "the second is still known", 0.1)
        require_in_force(host, first)
    destroy(host, first)


def test_while_starting_in_vain(host):
    """The daemon dies, and the start fails after it: nothing is kept for that guest."""
    budget_of(host, 96)
    first = Vm(host, "first", metadata=METADATA).define().start()
    second = Vm(host, "second", metadata=METADATA).define()
    for operation in ("start", "started"):
        hook = add_hook(host, "before", operation, then="exit 1")
        host.refused("start", second.name)
        hook.unlink()
        require(host.daemon.ended(), f"the daemon was not killed at {operation}")
        require(host.domain_file(second) is None, "the hook's file stays behind")
        host.start_daemon()
        require_in_force(host, first)
    destroy(host, first)


def test_refused_while_it_is_killed(host):
    """when_down='refuse': the daemon dies just before it is asked, its socket is still there."""
    host.configure('[daemon]\nwhen_down = "refuse"\n[host]\ndram = "96MiB"')
    host.start_daemon()
    first = Vm(host, "first", metadata=METADATA).define().start()
    api.wait_connected(first)
    second = Vm(host, "second", metadata=METADATA).define()
    add_hook(host, "before", "prepare")
    text = host.refused("start", second.name)
    require("tidemark: " in text and "when_down" in text, f"virsh says {text}")
    require(host.domain_file(second) is None, "the hook's file stays behind")
    (HOOK.parent / "before").unlink()
    host.start_daemon()
    require_in_force(host, first)
    second.start()
    require_in_force(host, first, second)
    destroy(host, first, second)
