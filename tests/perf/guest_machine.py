# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that runs the benchmark guest: its RAM per side, its workloads, and what the host sees of it.

The guest announces each workload and waits: the host takes its counters, says go, and takes them
again when the result is there. So CPU time and bytes belong to that workload and no other."""
import contextlib
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "qemu"))

# pylint: disable=wrong-import-position # they live with the tests of QEMU
from cgroup import is_running  # noqa: E402
from guest import (GUESTS, MIB, PAGE, Guest, Skip, TestFailure,  # noqa: E402
                   firmware_arguments)
from levels import LevelError  # noqa: E402
from machines import accelerator  # noqa: E402
from qmp import QmpError  # noqa: E402
from smaps import mappings  # noqa: E402

RAM_ID = "ram0"
RAM_FILE = "tidemark-bench-ram"
# A KVM that emulates ring 0 takes seconds for SeaBIOS; this one does next to nothing.
QUICK_FIRMWARE = "qboot.rom"
POLL = 0.005  # seconds between two looks at what the guest printed
BOOT_TIMEOUT = 120
WORKLOAD_TIMEOUT = 600
CLOCK = os.sysconf("SC_CLK_TCK")
RAM_BLOCK = re.compile(r"^\s*(\S+) .*0x\w+ (0x\w+) 0x\w+ (0x\w+)\s+r[wo]\s*$", re.M)


def ram_size(accel, footprint):
    """Guest RAM: the footprint and room for what else runs there. Linux needs its kernel, an
    initramfs and free memory it holds back, and switches huge pages off below 512 MiB; the
    bare-metal guest starts its footprint below 32 MiB."""
    size = max(footprint + 192 * MIB, 640 * MIB) if accel == "tcg" else footprint + 48 * MIB
    return (size + 64 * MIB - 1) // (64 * MIB) * (64 * MIB)


def memory_object(side, size, dram, folder, policy="lru"):
    """The -object that is guest RAM on one side; folder is on the disk that is measured."""
    common = {"id": RAM_ID, "size": size}
    if side == "tidemark":
        tier = {"path": str(folder), "class": "nvme", "capacity": 2 * size}
        return {"qom-type": "memory-backend-tiered", **common, "dram-limit": min(dram, size),
                "eviction-policy": policy, "tiers": [tier]}
    if side == "file":
        return {"qom-type": "memory-backend-file", **common, "share": True,
                "mem-path": str(ram_file(folder))}
    return {"qom-type": "memory-backend-ram", **common}


def ram_file(folder):
    """Where the file side has its RAM; those of runs that were killed are removed."""
    for path in pathlib.Path(folder).glob(f"{RAM_FILE}-*"):
        pid = path.name.removeprefix(f"{RAM_FILE}-")
        if pid.isdigit() and not is_running(int(pid)):
            path.unlink(missing_ok=True)
    return pathlib.Path(folder) / f"{RAM_FILE}-{os.getpid()}"


@contextlib.contextmanager
def as_level_errors():
    """What goes wrong in a guest is this side's failure, not the benchmark's."""
    try:
        yield
    except (Skip, TestFailure, QmpError, ConnectionError) as error:
        raise LevelError(str(error)) from None


class LineReader:
    """The lines of a file that another process is still writing, each once."""

    def __init__(self, path):
        self.path = path
        self.file = None
        self.rest = ""

    def lines(self):
        if self.file is None:
            try:
                self.file = open(self.path, encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return []
        self.rest += self.file.read()
        *whole, self.rest = self.rest.split("\n")
        return [line.rstrip("\r") for line in whole]

    def close(self):
        if self.file:
            self.file.close()


class PerfGuest:
    """One QEMU with the benchmark guest. A context manager: the process is gone afterwards."""

    def __init__(self, accel, memory, size, folder, before_exec=None, job="", extra=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.accel = accel
        self.size = size
        self.waiting = []
        self.hot = []  # (address in QEMU, bytes) of the guest's hot set, once it said so
        arguments = [*accelerator(accel), "-m", f"size={size // MIB}M", "-no-reboot",
                     "-object", json.dumps(memory), "-machine", f"memory-backend={RAM_ID}", *extra]
        self.linux = accel == "tcg"
        if self.linux:
            arguments += ["-smp", "2", "-kernel", GUESTS / "vmlinuz",
                          "-initrd", GUESTS / "initramfs.cpio",
                          "-append", "console=ttyS0 quiet panic=-1 tidemark.end=console"]
        else:
            if any((pathlib.Path(place) / QUICK_FIRMWARE).exists()
                   for place in firmware_arguments()):
                arguments += ["-bios", QUICK_FIRMWARE]
            arguments += ["-smp", "1", "-kernel", GUESTS / "perf.elf", "-append", job]
        self.started = time.monotonic()
        self.vm = Guest("perf", arguments, folder, debugcon=not self.linux,
                        before_exec=before_exec)
        self.reader = LineReader(self.vm.console_path if self.linux else self.vm.debug_path)

    def __enter__(self):
        self.vm.__enter__()
        try:
            self.ram_at = self.find_ram()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.vm.kill()
        self.reader.close()

    @property
    def pid(self):
        return self.vm.pid

    def find_ram(self):
        """Where guest RAM is in QEMU's address space."""
        text = self.vm.qmp.command("human-monitor-command", command_line="info ramblock")
        for name, used, address in RAM_BLOCK.findall(text):
            if name.endswith(RAM_ID) and int(used, 16) == self.size:
                return int(address, 16)
        raise TestFailure(f"no block of {self.size} bytes called {RAM_ID} in: {text}")

    def wait_line(self, pattern, timeout):
        """The match of the next line that fits; fails if the guest says that it failed."""
        deadline = time.monotonic() + timeout
        while True:
            alive = self.vm.alive()
            self.waiting += self.reader.lines()
            while self.waiting:
                line = self.waiting.pop(0)
                match = re.match(pattern, line)
                if match:
                    return match
                if re.match(r"PERF REFUSED|JOB FAILED|Kernel panic|.*Out of memory", line):
                    raise TestFailure(f"the guest says '{line}': {self.vm.describe()}")
            if not alive:
                raise TestFailure(f"QEMU ended with {self.vm.process.returncode} before "
                                  f"'{pattern}': {self.vm.describe()}")
            if time.monotonic() > deadline:
                raise TestFailure(f"no '{pattern}' within {timeout} s: {self.vm.describe()}")
            time.sleep(POLL)

    def boot(self):
        """Seconds from the start of QEMU until the guest can run a program."""
        self.wait_line(r"CONSOLE READY|GUEST UP" if self.linux else "START", BOOT_TIMEOUT)
        return time.monotonic() - self.started

    def start(self, job):
        """Starts the workloads (the bare-metal guest has its job since it was made)."""
        if self.linux:
            self.wait_line("CONSOLE READY", BOOT_TIMEOUT)
            self.vm.send_console("perf:" + job.replace(" ", ":"))
        return json.loads(self.wait_line(r"PERF INFO (\{.*\})", BOOT_TIMEOUT).group(1))

    def wait_ready(self):
        """Name of the workload that waits for go, None when all are done."""
        match = self.wait_line(r"PERF (READY|DONE|HOT) (.+)", WORKLOAD_TIMEOUT)
        if match.group(1) == "HOT":
            self.hot = [(self.ram_at + at, size) for at, size in json.loads(match.group(2))]
            return self.wait_ready()
        return match.group(2) if match.group(1) == "READY" else None

    def go(self):
        self.vm.send_console("")

    def result(self):
        return json.loads(self.wait_line(r"PERF (\{.*\})", WORKLOAD_TIMEOUT).group(1))

    def ram_mappings(self, *keys):
        """Sums of smaps' numbers over guest RAM (not over the engine's shadow of it)."""
        inside = [one for one in mappings(self.pid)
                  if self.ram_at <= one["start"] < self.ram_at + self.size]
        return {key: sum(one.get(key, 0) for one in inside) for key in keys}

    def tiered(self):
        """What query-tiered-memory says, None on the other sides."""
        answer = self.vm.qmp.command("query-tiered-memory")
        return answer[0] if answer else None


def job_words(settings):
    """The guest program's command line, the same for both guests."""
    return " ".join(f"{key}={value}" for key, value in settings.items())


class Sample:
    """The host's counters at one moment."""

    def __init__(self, guest):
        fields = pathlib.Path(f"/proc/{guest.pid}/stat").read_text(
            encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        self.cpu_seconds = (int(fields[11]) + int(fields[12])) / CLOCK
        self.threads = thread_seconds(guest.pid)
        self.process = key_values(f"/proc/{guest.pid}/io")
        self.machine = key_values("/proc/vmstat")
        self.tiered = guest.tiered()

    def bytes_since(self, before, side):
        """(read, written) on the disk. The process's own figures would leave out what the kernel
        does for it: swap is counted where it is swapped, and a mapped file's pages are written
        by the kernel's flusher, long after they were changed: there the machine's count serves."""
        if side == "tidemark":
            return tuple(sum(tier[key] for tier in self.tiered["tiers"]) -
                         sum(tier[key] for tier in before.tiered["tiers"])
                         for key in ("read-bytes", "written-bytes"))
        if side in ("swap", "zram"):
            return tuple((self.machine[key] - before.machine[key]) * PAGE
                         for key in ("pswpin", "pswpout"))
        return (self.process["read_bytes"] - before.process["read_bytes"],
                self.machine_bytes(before, "pgpgout") if side == "file" else 0)

    def machine_bytes(self, before, key):
        """pgpgin or pgpgout: what all of the machine read or wrote; the kernel counts KiB."""
        return (self.machine[key] - before.machine[key]) * 1024


def thread_seconds(pid):
    """CPU seconds of the threads that are alive, by name; numbered ones do the same work."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = re.sub(r"[-/]?\d+$", "", (task / "comm").read_text(errors="replace").strip())
            spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread may end meanwhile
        found[name] = found.get(name, 0) + spent
    return found


def key_values(path):
    pairs = (line.replace(":", " ").split() for line in pathlib.Path(path).read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
