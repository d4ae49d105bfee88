# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM whose memory the host has decided to tier: the file, its RAM objects, the daemon's monitor."""
import json
import os
import subprocess

from domain import GROUP, UUID, Daemon, Domains, libvirt_ram, ram_object, wait_daemon_gone
from guest import (MIB, Skip, TestFailure, firmware_arguments, qemu_binary, require,
                   short_temporary_directory, wait_for)
from machines import baremetal, linux
from qmp import QmpError
from test_50_migration import migrate
from test_60_refusals import drop_to_nobody, require_says
from tier_stats import query, require_evicted, require_healthy

SIZE = 256 * MIB
LIMIT = 64 * MIB
JOB = "size=176 passes=3 words=32 hold=1"
LOAD = "size=176 passes=0 words=32 order=rand zero=16"
# What libvirt gives by default.
SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def decided(folder, size=SIZE, limit=LIMIT, name="run", **more):
    domains = Domains(folder / name)
    domains.decide(size, limit, **more)
    return domains


def vm_of(folder, domains, job=JOB, memory=None, **more):
    return baremetal(folder, job, memory or libvirt_ram(SIZE), before_exec=domains.use, **more)


def object_type(vm, name):
    return vm.qmp.command("qom-get", path=f"/objects/{name}", property="type")


def has_daemon_monitor(vm):
    return any(one["label"] == "tidemark-qmp" for one in vm.qmp.command("query-chardev"))


def test_ram_becomes_tiered(folder):
    """Under its own id and RAMBlock name, with the settings of the file."""
    domains = decided(folder, eviction_policy="lfu", cold_age=77, prefetch=False,
                      prefetch_window=33, reclaim_slowdown=11, learn=False, group=GROUP)
    with vm_of(folder, domains, extra=SANDBOX) as vm:
        require(object_type(vm, "pc.ram") == "memory-backend-tiered", "pc.ram is not tiered")
        vm.wait_debug("DONE bad=0", 60)
        require_evicted(vm, 64, "pc.ram")
        info = query(vm, "pc.ram")
        require_healthy(info)
        require(info["dram-limit"] == LIMIT, f"limit {info['dram-limit']}")
        for name, value in (("eviction-policy", "lfu"), ("cold-age", 77), ("prefetch", False),
                            ("prefetch-window", 33), ("reclaim-slowdown", 11), ("learn", False),
                            ("group", GROUP)):
            found = vm.qmp.command("qom-get", path="/objects/pc.ram", property=name)
            require(found == value, f"{name} is {found}, wanted {value}")
        blocks = vm.qmp.command("human-monitor-command", command_line="info ramblock")
        names = [line.split()[0] for line in blocks.splitlines() if line.split()]
        require("pc.ram" in names, f"the RAMBlock has another name: {blocks}")
        require(not has_daemon_monitor(vm), "a monitor although the file names no socket")


def test_all_in_dram(folder):
    """A limit of 100 % is the machine's size: it runs as stock until the limit is cut."""
    with vm_of(folder, decided(folder, limit=SIZE), LOAD) as vm:
        require(query(vm, "pc.ram")["dram-limit"] == SIZE, "the limit is not the size")
        vm.wait_passes_more(1, 60)
        vm.qmp.command("tiered-memory-configure", id="pc.ram", dram_limit=LIMIT)
        vm.wait_passes_more(2, 60)
        require_evicted(vm, 64, "pc.ram")


def require_stock(vm):
    require(object_type(vm, "pc.ram") == "memory-backend-ram", "pc.ram is not what was asked for")
    require(vm.qmp.command("query-tiered-memory") == [], "there is tiered memory")
    require(not has_daemon_monitor(vm), "there is a second monitor")


def test_other_machines_untouched(folder):
    """No file, another VM's file, no -uuid: memory as asked for, however bad the files are."""
    domains = Domains(folder / "run")
    with vm_of(folder, domains, name="no-file") as vm:
        vm.wait_debug("DONE bad=0", 60)
        require_stock(vm)
    domains.decide(SIZE, LIMIT)
    (domains.folder / "00000000-0000-0000-0000-000000000000.json").write_text("{")
    with vm_of(folder, domains, memory=libvirt_ram(SIZE, GROUP), name="other") as vm:
        vm.wait_debug("DONE bad=0", 60)
        require_stock(vm)
    with vm_of(folder, domains, memory=libvirt_ram(SIZE, None), name="no-uuid") as vm:
        vm.wait_debug("DONE bad=0", 60)
        require_stock(vm)
    missing = Domains(folder / "empty")
    missing.folder.rmdir()
    with vm_of(folder, missing, name="no-directory") as vm:
        require_stock(vm)


def test_probing_untouched(folder):
    """As libvirt asks a QEMU what it can do."""
    domains = decided(folder)
    (domains.folder / "00000000-0000-0000-0000-000000000000.json").write_text("{")
    asked = '{"execute": "qmp_capabilities"}{"execute": "qom-list-types"}{"execute": "quit"}'
    done = subprocess.run(
        [qemu_binary(), "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
         "none,accel=kvm:tcg", "-qmp", "stdio"], input=asked, text=True, timeout=60,
        capture_output=True, check=False, env={**os.environ, "TIDEMARK_RUN": str(domains.run)})
    require(done.returncode == 0 and "memory-backend-tiered" in done.stdout and not done.stderr,
            f"probing ended with {done.returncode}: {done.stderr}")


def refusal(folder, domains, name, memory=None, extra=(), **run):
    """What QEMU says when it must not start."""
    command = [qemu_binary(), *firmware_arguments(), "-nodefaults", "-display", "none", "-S",
               "-accel", "tcg", *(memory or libvirt_ram(SIZE)), *extra]
    environment = {**os.environ, "TIDEMARK_RUN": str(domains.run)}
    try:
        done = subprocess.run([str(word) for word in command], text=True, timeout=60, cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env=environment, **run)
    except subprocess.TimeoutExpired:
        raise TestFailure(f"{name}: QEMU started") from None
    (folder / f"{name}.txt").write_text(done.stdout)
    require(done.returncode == 1, f"{name}: QEMU ended with {done.returncode}: {done.stdout}")
    return done.stdout


def test_bad_files(folder):
    """A file that can't be used stops the start with its name and what is wrong."""
    domains = Domains(folder / "run")
    whole = json.dumps(domains.decide(SIZE, LIMIT))
    texts = {"empty": "", "truncated": whole[:len(whole) // 2], "text": "tiered", "list": "[1]",
             "nul": whole + "\0", "null": "null", "large": whole + " " * (1 << 20)}
    for name, text in texts.items():
        domains.path.write_text(text)
        require_says(refusal(folder, domains, name), str(domains.path), "cannot use")
    domains.path.unlink()
    domains.path.mkdir()
    require_says(refusal(folder, domains, "directory"), "not a regular file")
    domains.path.rmdir()


def test_bad_values(folder):
    domains = Domains(folder / "run")
    cases = [
        ({"version": 2}, ["'version'", "is not 1"]), ({"version": None}, ["'version'"]),
        ({"version": "1"}, ["'version'"]),
        ({"uuid": GROUP}, ["'uuid'", GROUP]), ({"uuid": None}, ["'uuid'"]),
        ({"memory": None}, ["'memory'"]), ({"memory": 0}, ["'memory'"]),
        ({"memory": -5}, ["'memory'"]), ({"dram-limit": "64M"}, ["'dram-limit'"]),
        ({"dram-limit": 1e30}, ["'dram-limit'"]), ({"dram-limit": None}, ["'dram-limit'"]),
        ({"tiers": []}, ["'tiers'"]), ({"tiers": {}}, ["'tiers'"]), ({"tiers": ["x"]}, ["'path'"]),
        ({"tiers": [{"path": "/tmp"}]}, ["'class'"]),
        ({"tiers": [{"path": "/tmp", "class": "tape", "capacity": SIZE}]}, ["cannot use", "tape"]),
        ({"tiers": [{"path": "/tmp", "class": "nvme", "capacity": "1G"}]},
         ["cannot use", "capacity"]),
        ({"tiers": [{"path": "/tmp", "class": "nvme", "capacity": -1}]}, ["capacity"]),
        ({"tiers": [{"path": "/nonexistent/t", "class": "nvme", "capacity": SIZE}]},
         ["/nonexistent/t"]),
        ({"qmp": ""}, ["'qmp'"]), ({"qmp": "/" + "x" * 120}, ["'qmp'"]), ({"qmp": 5}, ["'qmp'"]),
        ({"eviction-policy": "best"}, ["best"]), ({"cold-age": "old"}, ["cold-age"]),
        ({"cold-age": 0}, ["cold-age"]), ({"group": "web"}, ["group", "UUID"]),
        ({"learn": "yes"}, ["learn"]),
    ]
    for number, (changes, words) in enumerate(cases):
        domains.decide(SIZE, LIMIT, changes)
        require_says(refusal(folder, domains, f"case-{number}"), *words)


def test_unreadable_file(folder):
    if os.geteuid() != 0:
        raise Skip("only root can start QEMU as another user")
    with short_temporary_directory() as place:
        os.chmod(place, 0o755)
        domains = Domains(type(folder)(place))
        domains.decide(SIZE, LIMIT)
        domains.path.chmod(0o600)
        try:
            text = refusal(folder, domains, "unreadable", preexec_fn=drop_to_nobody)
        except PermissionError:
            raise Skip("an ordinary user cannot reach the build directory") from None
        require_says(text, str(domains.path), "cannot be read")


def test_memory_that_cannot_be_tiered(folder):
    """Shared, preallocated, in files or huge pages, locked, or no object at all."""
    domains = decided(folder)

    def memory(kind, *more):
        return ["-uuid", UUID, "-m", "256M", "-machine", "memory-backend=pc.ram",
                "-object", f"{kind},id=pc.ram,size=256M", *more]
    cases = {
        "share": (libvirt_ram(SIZE, share=True), ["'pc.ram'", "shared", "<access"]),
        "prealloc": (libvirt_ram(SIZE, prealloc=True), ["'pc.ram'", "immediate"]),
        "memfd": (memory("memory-backend-memfd"), ["'pc.ram'", "memfd", "<source>"]),
        "private-memfd": (memory("memory-backend-memfd,share=off"), ["'pc.ram'", "memfd"]),
        "file": (memory(f"memory-backend-file,mem-path={folder}/ram"), ["'pc.ram'", "file"]),
        "locked": (libvirt_ram(SIZE) + ["-overcommit", "mem-lock=on"], ["mem-lock"]),
        "no-object": (["-uuid", UUID, "-m", "256M"], ["no memory object", "memory-backend-ram"]),
    }
    for name, (arguments, words) in cases.items():
        require_says(refusal(folder, domains, name, arguments), *words)
    require(not (folder / "ram").exists(), "the refused object made its file all the same")


def test_shares_of_numa_nodes(folder):
    """Each node has its share of limit and tiers, rounded up to 2 MiB."""
    sizes = {"ram-node0": 256 * MIB, "ram-node1": 514 * MIB}
    whole = sum(sizes.values())
    domains = decided(folder, whole, 192 * MIB, tiers=[
        {"path": str(folder), "class": "nvme", "capacity": whole, "write-budget": 770 * 1000},
        {"path": str(folder), "class": "qlc", "capacity": 2 * whole}])
    memory = ["-uuid", UUID, "-m", f"{whole // MIB}M"]
    for number, (name, size) in enumerate(sizes.items()):
        memory += ram_object(name, size) + ["-numa", f"node,nodeid={number},cpus={number},"
                                            f"memdev={name}"]
    job = "start=16 size=700 passes=2 words=32 hold=1"
    with vm_of(folder, domains, job, memory, cpus=2) as vm:
        vm.wait_debug("DONE bad=0", 90)
        limits = {name: query(vm, name)["dram-limit"] for name in sizes}
        require(limits == {"ram-node0": 64 * MIB, "ram-node1": 130 * MIB}, f"limits {limits}")
        for name, size in sizes.items():
            require_evicted(vm, 100, name)
            info = query(vm, name)
            require_healthy(info)
            capacities = [tier["capacity"] for tier in info["tiers"]]
            require(capacities == [size, 2 * size], f"{name}: capacities {capacities}")
        require(object_type(vm, "ram-node1") == "memory-backend-tiered", "node 1 is not tiered")


def test_small_shares(folder):
    """No object has less than 16 MiB, and none more than its size."""
    memory = ["-uuid", UUID, "-m", "264M", *ram_object("a", 256 * MIB), *ram_object("b", 8 * MIB),
              "-numa", "node,nodeid=0,cpus=0,memdev=a", "-numa", "node,nodeid=1,memdev=b"]
    domains = decided(folder, 264 * MIB, 20 * MIB)
    with vm_of(folder, domains, "size=128 passes=2 words=32 hold=1", memory) as vm:
        limits = {name: query(vm, name)["dram-limit"] for name in ("a", "b")}
        require(limits == {"a": 20 * MIB, "b": 8 * MIB}, f"limits {limits}")
        vm.wait_debug("DONE bad=0", 60)


def test_plugged_dimm(folder):
    """object-add as libvirt sends it; the decision stays, whatever becomes of the file."""
    domains = decided(folder, 512 * MIB, 128 * MIB)
    with linux(folder, libvirt_ram(512 * MIB), end="console", before_exec=domains.use,
               kernel_words="memhp_default_state=online_movable") as vm:
        vm.wait_console("CONSOLE READY", 60)
        domains.path.unlink()
        try:
            vm.qmp.command("object-add", arguments={
                "qom-type": "memory-backend-memfd", "id": "memdimm0", "size": 256 * MIB})
            raise TestFailure("a memfd could be plugged in")
        except QmpError as refused:
            require_says(str(refused), "'memdimm0'", "memfd")
        vm.qmp.command("object-add", arguments={
            "qom-type": "memory-backend-ram", "id": "memdimm0", "size": 256 * MIB})
        vm.qmp.command("device_add", arguments={"driver": "pc-dimm", "id": "dimm0",
                                                "memdev": "memdimm0"})
        require(query(vm, "memdimm0")["dram-limit"] == 64 * MIB, "not its share")
        vm.run_job(f"total-above:{600 * 1024}", 60)
        vm.run_job("pattern:500:1", 60)
        require_evicted(vm, 50, "memdimm0")
        require_healthy(query(vm, "memdimm0"))
        vm.events.clear()
        vm.qmp.command("device_del", arguments={"id": "dimm0"})
        vm.wait_event("DEVICE_DELETED", 60, lambda data: data.get("device") == "dimm0")
        vm.qmp.command("object-del", arguments={"id": "memdimm0"})


def test_daemon_comes_and_goes(folder):
    """The VM starts without the daemon, connects when it is there, and again after a restart."""
    with short_temporary_directory() as place:
        domains = Domains(type(folder)(place))
        domains.decide(SIZE, LIMIT, qmp=str(domains.socket))
        with vm_of(folder, domains, LOAD, extra=SANDBOX) as vm:
            vm.wait_passes_more(1, 60)
            require(has_daemon_monitor(vm), "no second monitor")
            for _ in range(3):
                with Daemon(domains.socket, folder / "daemon.qmp") as daemon:
                    client, pid = daemon.accept()
                    require(pid == vm.pid, f"{pid} connected, not {vm.pid}")
                    require(client.command("query-uuid")["UUID"] == UUID, "another UUID")
                    infos = client.command("query-tiered-memory")
                    require([one["id"] for one in infos] == ["pc.ram"], f"{infos}")
                    client.command("tiered-memory-configure", id="pc.ram", cold_age=99)
                    vm.wait_passes_more(1, 60)
                wait_daemon_gone(vm)
            vm.wait_passes_more(1, 60)
            vm.check_no_bad()
            vm.qmp.command("quit")
            require(vm.wait_exit(60) == 0, "no clean end")


def test_silent_daemon(folder):
    """One that accepts and says nothing holds nobody up."""
    with short_temporary_directory() as place:
        domains = Domains(type(folder)(place))
        domains.decide(SIZE, LIMIT, qmp=str(domains.socket))
        with Daemon(domains.socket, folder / "daemon.qmp") as daemon, \
                vm_of(folder, domains, LOAD) as vm:
            daemon.listener.settimeout(60)
            connection, _ = daemon.listener.accept()
            with connection:
                vm.wait_passes_more(2, 60)
                vm.qmp.command("stop")
                vm.qmp.command("cont")
                vm.wait_passes_more(1, 60)


def migrate_between(folder, source_domains, target_domains):
    with short_temporary_directory() as place, \
            vm_of(folder, source_domains, LOAD, cpus=2, name="source") as source, \
            vm_of(folder, target_domains, LOAD, cpus=2, name="target", incoming=True) as target:
        source.wait_passes_more(2, 60)
        migrate(source, target, place)
        require(source.memory_hash(SIZE) == target.memory_hash(SIZE), "RAM differs")
        source.qmp.command("quit")
        target.qmp.command("cont")
        target.wait_passes_more(2, 60)
        target.check_no_bad()
        return object_type(target, "pc.ram")


def test_migration(folder):
    """Between hosts that decided differently, and to and from one that decided nothing."""
    here = decided(folder, name="here")
    there = decided(folder, limit=48 * MIB, name="there")
    nowhere = Domains(folder / "nowhere")
    for name, source, target, kind in (("both", here, there, "tiered"),
                                       ("to", nowhere, there, "tiered"),
                                       ("from", here, nowhere, "ram")):
        place = folder / name
        place.mkdir()
        found = migrate_between(place, source, target)
        require(found == f"memory-backend-{kind}", f"{name}: the target has {found}")


def test_preconfig(folder):
    """A machine that is completed over QMP has its monitor then."""
    with short_temporary_directory() as place:
        domains = Domains(type(folder)(place))
        domains.decide(SIZE, LIMIT, qmp=str(domains.socket))
        with Daemon(domains.socket, folder / "daemon.qmp") as daemon, \
                vm_of(folder, domains, LOAD, extra=["--preconfig"]) as vm:
            vm.qmp.command("x-exit-preconfig")
            _, pid = daemon.accept()
            require(pid == vm.pid, "somebody else connected")
            wait_for(lambda: vm.passes() > 0, 60, "the guest does not run")
