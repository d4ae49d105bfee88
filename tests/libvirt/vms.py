# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests libvirt runs here, as domain XML, and what they print."""
import os
import re
import socket
import uuid

from guest import GUESTS, MIB, PAGE, TestFailure, qemu_binary, require, wait_for

SIZE = 256 * MIB
LIMIT = 64 * MIB
LOAD = "size=176 passes=0 words=32 order=rand zero=16"
NAMESPACE = "urn:tidemark:domain:1"


def element(inner="", **attributes):
    """Our element; attributes such as dram='64MiB'."""
    words = "".join(f" {key}='{value}'" for key, value in attributes.items())
    return f"<tidemark:memory xmlns:tidemark='{NAMESPACE}'{words}>{inner}</tidemark:memory>"


TIERED = element(mode="tiered", dram="25%", floor="16MiB")


class Vm:
    """One domain on a host, tiered unless `metadata` says otherwise. `metadata`, `backing` and `more`
    are XML, `cells` are NUMA cells in bytes; accel='kvm' or 'qemu', which is TCG."""

    def __init__(self, host, name="vm", metadata=TIERED, backing="", cells=(), job=LOAD, size=SIZE,
                 linux=False, plug_to=0, dimm=0, more="", accel="qemu"):
        self.host, self.name, self.job = host, name, job
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        self.size = sum(cells) or size
        self.metadata, self.backing, self.cells = metadata, backing, cells
        self.linux, self.plug_to, self.dimm, self.more, self.accel = linux, plug_to, dimm, more, accel
        self.emulator = qemu_binary()
        self.output = host.folder / f"{name}.output"
        self.socket = f"/run/{name}.console"
        self.cpus = max(2 if linux else 1, len(cells))

    def xml(self):
        cells = self.cells or ((self.size,) if self.plug_to else ())
        numa = "".join(f"<cell id='{index}' cpus='{index}' memory='{size // 1024}' unit='KiB'/>"
                       for index, size in enumerate(cells))
        if len(cells) == 1:
            numa = numa.replace("cpus='0'", f"cpus='0-{self.cpus - 1}'")
        plug = (f"<maxMemory slots='4' unit='KiB'>{self.plug_to // 1024}</maxMemory>"
                if self.plug_to else "")
        dimm = (f"<memory model='dimm'><target><size unit='KiB'>{self.dimm // 1024}</size>"
                "<node>0</node></target></memory>" if self.dimm else "")
        backing = f"<memoryBacking>{self.backing}</memoryBacking>" if self.backing else ""
        return f"""<domain type='{self.accel}'>
<name>{self.name}</name><uuid>{self.uuid}</uuid>
<metadata>{self.metadata}</metadata>
{plug}<memory unit='KiB'>{(self.size + self.dimm) // 1024}</memory>{backing}{self.more}<vcpu>{self.cpus}</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type>{self.kernel()}</os>
<features><acpi/><apic/></features>
<cpu mode='custom' match='exact' check='none'><model>Nehalem</model><numa>{numa}</numa></cpu>
<on_reboot>destroy</on_reboot>
<devices><emulator>{self.emulator}</emulator>{self.outlet()}{dimm}
<controller type='usb' model='none'/><memballoon model='none'/><video><model type='none'/></video>
</devices></domain>""".replace("<numa></numa>", "")

    def kernel(self):
        if self.linux:
            words = ("console=ttyS0 quiet panic=-1 tidemark.end=console"
                     " memhp_default_state=online_movable")
            return (f"<kernel>{GUESTS}/vmlinuz</kernel><initrd>{GUESTS}/initramfs.cpio</initrd>"
                    f"<cmdline>{words}</cmdline>")
        return (f"<kernel>{GUESTS}/baremetal.elf</kernel>"
                f"<cmdline>{self.job} cpus={self.cpus}</cmdline>")

    def outlet(self):
        if self.linux:
            return (f"<serial type='unix'><source mode='bind' path='{self.socket}'/>"
                    f"<log file='{self.output}' append='on'/></serial>")
        return (f"<serial type='file'><source path='{self.output}' append='on'/>"
                "<target type='isa-debug'><model name='isa-debugcon'/></target></serial>")

    def define(self):
        path = self.host.folder / f"{self.name}.xml"
        path.write_text(self.xml())
        self.host.virsh("define", path, "--validate")
        return self

    def start(self):
        self.host.virsh("start", self.name)
        return self

    def text(self):
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def passes(self):
        return len(re.findall(r"^PASS \d+ ok$", self.text(), re.M))

    def wait_passes(self, more=2):
        """The guest goes round its memory and finds what it wrote."""
        wanted = self.passes() + more
        wait_for(lambda: self.passes() >= wanted, 60, f"{self.name} does not run: {self.tail()}")
        require("BAD" not in self.text(), f"wrong bytes: {self.tail()}")

    def tail(self):
        log = f"/var/log/libvirt/qemu/{self.name}.log"
        said = open(log, encoding="utf-8", errors="replace").read() if os.path.exists(log) else ""
        return self.text()[-300:] + said[-1000:]

    def infos(self):
        return {one["id"]: one for one in self.host.qmp(self.name, "query-tiered-memory")}

    def require_tiered(self, limits):
        """Its memory objects and their limits are these; nothing of them was damaged."""
        infos = self.infos()
        found = {name: info["dram-limit"] for name, info in infos.items()}
        require(found == limits, f"{self.name} has {found}, wanted {limits}")
        return self.require_undamaged(infos)

    def require_undamaged(self, infos):
        for info in infos.values():
            require(not info["pages"]["held"] and not info["pages"]["poisoned"], f"lost: {info}")
        return infos

    def wait_evicted(self, mib, identity="pc.ram"):
        def moved():
            counters = self.infos()[identity]["counters"]
            return counters["evicted-pages"] * PAGE >= mib * MIB and counters["faults-stored"] > 0
        wait_for(moved, 60, f"{identity} of {self.name} does not leave DRAM", 0.2)


class Console:
    """The serial line of a Linux guest that reads jobs from it."""

    def __init__(self, vm):
        self.vm = vm
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(vm.socket)
        self.seen = ""
        self.line.settimeout(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.close()

    def wait(self, pattern, count=1):
        def found():
            try:
                self.seen += self.line.recv(1 << 16).decode(errors="replace")
            except TimeoutError:
                pass
            # What came before we were connected stands in the log.
            matches = re.findall(pattern, self.vm.text())
            return matches[count - 1] if len(matches) >= count else None
        return wait_for(found, 60, f"no '{pattern}' from {self.vm.name}: {self.vm.tail()}")

    def run(self, job):
        before = len(re.findall(r"JOB (?:OK|FAILED) \S+\s", self.vm.text()))
        self.line.sendall(job.encode() + b"\n")
        word, name = self.wait(r"JOB (OK|FAILED) (\S+)\s", before + 1)
        if (word, name) != ("OK", job):
            raise TestFailure(f"job {job}: {word} {name}; {self.vm.tail()}")
