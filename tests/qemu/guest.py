# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU process under test: started in its log folder, driven over QMP, watched from outside."""
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from qmp import QmpClient, QmpError

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TIDEMARK_BUILD", SOURCE / "build"))
LOGS = pathlib.Path(os.environ.get("TIDEMARK_TEST_LOGS", BUILD / "test-logs"))
GUESTS = BUILD / "guest"
MIB = 1 << 20
GIB = 1 << 30
PAGE = 4096


class Skip(Exception):
    """Raised by a test whose machine lacks something; the text is the reason."""


class TestFailure(AssertionError):
    """Raised when the thing under test did not do what it must."""


def require(condition, sentence):
    if not condition:
        raise TestFailure(sentence)


def wait_for(condition, timeout, sentence, step=0.02):
    """Returns the first true value of condition(); fails with sentence after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TestFailure(f"{sentence} (waited {timeout} s)")
        time.sleep(step)


def qemu_binary():
    return pathlib.Path(os.environ.get("TIDEMARK_QEMU", BUILD / "qemu/qemu-system-x86_64"))


def firmware_arguments():
    """Firmware comes from the distribution's packages, not from QEMU's build folder."""
    places = ("/usr/share/seabios", "/usr/share/qemu", "/usr/lib/ipxe/qemu")
    return [word for place in places if os.path.isdir(place) for word in ("-L", place)]


def require_kvm():
    if not os.path.exists("/dev/kvm"):
        raise Skip("/dev/kvm does not exist on this machine")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm cannot be opened by this user")


class Guest:
    """One QEMU. Use as a context manager: whatever happens, the process is gone afterwards."""

    def __init__(self, name, arguments, folder, debugcon=True, before_exec=None, binary=None):
        self.name = name
        self.folder = folder
        self.debug_path = folder / f"{name}.debugcon"
        self.console_path = folder / f"{name}.console"
        self.stderr_path = folder / f"{name}.stderr"
        self.events = []
        sockets = [socket.socketpair(), socket.socketpair()]
        self.command = [str(binary or qemu_binary()), *firmware_arguments(), "-nodefaults", "-display",
                        "none", "-name", name, "-serial", "stdio"]
        for index, (_, theirs) in enumerate(sockets):
            self.command += ["-chardev", f"socket,id=qmp{index},fd={theirs.fileno()}",
                             "-mon", f"chardev=qmp{index},mode=control"]
        if debugcon:
            self.command += ["-debugcon", f"file:{self.debug_path}",
                             "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        self.command += [str(word) for word in arguments]
        (folder / f"{name}.command").write_text(" \\\n  ".join(self.command) + "\n")
        with open(self.console_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=folder,
                preexec_fn=before_exec,  # e.g. to join a cgroup
                pass_fds=[theirs.fileno() for _, theirs in sockets])
        for _, theirs in sockets:
            theirs.close()
        self.pid = self.process.pid
        log = folder / f"{name}.qmp"
        self.qmp = QmpClient(sockets[0][0], self.events, log)
        # A second monitor, with out-of-band commands, for when the first one is busy.
        self.qmp_oob = QmpClient(sockets[1][0], [], log, oob=True)

    def __enter__(self):
        try:
            self.qmp.handshake()
            self.qmp_oob.handshake()
        except (OSError, TestFailure, QmpError):
            self.kill()
            raise TestFailure(f"{self.name} did not start: {self.stderr().strip()}") from None
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        for client in (self.qmp, self.qmp_oob):
            client.close()
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def debug_text(self):
        try:
            return self.debug_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def console_text(self):
        return self.console_path.read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def describe(self):
        tail = (self.debug_text() + self.console_text() + self.stderr())[-1500:]
        return f"{self.name} in {self.folder}: {tail}"

    def wait_text(self, read, pattern, timeout, count=1):
        """Waits until pattern occurred count times in what read() returns."""
        def found():
            matches = list(re.finditer(pattern, read()))
            if len(matches) >= count:
                return matches[count - 1]
            if not self.alive():
                matches = list(re.finditer(pattern, read()))
                if len(matches) >= count:
                    return matches[count - 1]
                raise TestFailure(f"QEMU ended with {self.process.returncode} before "
                                  f"'{pattern}': {self.describe()}")
            return None
        try:
            return wait_for(found, timeout, f"no '{pattern}'")
        except TestFailure as failure:
            raise TestFailure(f"{failure}; {self.describe()}") from None

    def wait_debug(self, pattern, timeout, count=1):
        return self.wait_text(self.debug_text, pattern, timeout, count)

    def wait_console(self, pattern, timeout, count=1):
        return self.wait_text(self.console_text, pattern, timeout, count)

    def send_console(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def run_job(self, job, timeout):
        """Runs a job in a Linux guest that reads its console; fails unless it succeeds."""
        # Whole lines only: the console may be read in the middle of one.
        before = len(re.findall(r"JOB (?:OK|FAILED) \S+\s", self.console_text()))
        self.send_console(job)
        match = self.wait_console(r"JOB (OK|FAILED) (\S+)\s", timeout, before + 1)
        require(match.group(1) == "OK" and match.group(2) == job,
                f"job {job} failed: {self.describe()}")

    def wait_exit(self, timeout):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TestFailure(f"still running after {timeout} s: {self.describe()}") from None

    def passes(self):
        return len(re.findall(r"^PASS \d+ ok$", self.debug_text(), re.M))

    def wait_passes_more(self, more, timeout):
        self.wait_debug(r"(?m)^PASS \d+", timeout, self.passes() + more)
        self.check_no_bad()

    def check_no_bad(self):
        text = self.debug_text()
        require("BAD" not in text and " bad\n" not in text, f"wrong bytes: {self.describe()}")

    def wait_event(self, name, timeout, match=lambda data: True):
        def found():
            self.qmp.poll_events()
            return next((event for event in self.events
                         if event["event"] == name and match(event.get("data", {}))), None)
        return wait_for(found, timeout, f"no event {name} from {self.name}")

    def memory_hash(self, size):
        """sha256 of the guest-physical memory [0, size) of a stopped machine, firmware left out.

        The firmware's area below 1 MiB holds the page that QEMU's kvmvapic keeps writing to: under
        KVM it differs after a migration between two stock machines, too."""
        path = self.folder / f"{self.name}.pmem"
        self.qmp.command("pmemsave", val=0, size=size, filename=str(path), timeout=60)
        digest = hashlib.sha256()
        with open(path, "rb") as data:
            digest.update(data.read(0xc0000))
            data.seek(MIB)
            while block := data.read(MIB):
                digest.update(block)
        path.unlink()
        return digest.hexdigest()


class Watcher(threading.Thread):
    """Samples a value in the background while a test does something else."""

    def __init__(self, sample, interval=0.05):
        super().__init__(daemon=True)
        self.sample = sample
        self.interval = interval
        self.values = []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            try:
                self.values.append((time.monotonic(), self.sample()))
            except (FileNotFoundError, ProcessLookupError):
                return
            self.done.wait(self.interval)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def wait_samples(self, count, timeout):
        """A fast guest may be done with its work before anything was seen of it."""
        wait_for(lambda: len(self.values) >= count, timeout, f"fewer than {count} samples")

    def highest(self):
        return max(value for _, value in self.values)


def log_folder(test):
    folder = LOGS / test
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def short_temporary_directory():
    """For Unix sockets, whose names must stay short."""
    return tempfile.TemporaryDirectory(prefix="tm-")
