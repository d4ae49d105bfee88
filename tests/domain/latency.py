#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long libvirt waits for the hook, process start included (median, 95th percentile and maximum), and the processor time
of a call: without a daemon, with a real one that has simulated guests, and with one that hangs.

    latency.py HOOK PROGRAM TIDEMARKD [--runs N] [--guests N] [--check]

With --check it is a test: of the processor time of a call only, which a busy machine changes little.
"""
import argparse
import contextlib
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "rest"))
import daemon as rest  # noqa: E402

XML = ("<domain type='kvm'><name>d</name><uuid>5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01</uuid>"
       "<memory unit='MiB'>256</memory><metadata>{}</metadata><devices>{}</devices></domain>")
ELEMENT = "<t:memory xmlns:t='urn:tidemark:domain:1' dram='25%'><t:affinity service='web'/></t:memory>"
# As large as that of a guest with some hundred devices.
DEVICES = "".join(f"<disk type='file' device='disk'><source file='/images/{i}.qcow2'/>"
                  f"<target dev='vd{i}' bus='virtio'/></disk>" for i in range(1500))
OURS, OURS_LARGE = XML.format(ELEMENT, ""), XML.format(ELEMENT, DEVICES)
OTHER, OTHER_LARGE = XML.format("", ""), XML.format("", DEVICES)
CPU_MOST = 0.050  # seconds of a call


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that have ended
    return usage.ru_utime + usage.ru_stime


class Hook:
    def __init__(self, options, config):
        self.options = options
        self.environment = {"PATH": os.environ["PATH"], "TIDEMARK_HOOK": str(pathlib.Path(options.program).resolve()),
                            "TIDEMARK_CONFIG": str(config)}

    def call(self, operation, xml):
        """What it says on stderr, how long it took, and its processor time."""
        cpu, begun = cpu_seconds(), time.perf_counter()
        said = subprocess.run([self.options.hook, "d", operation, "begin", "-"], input=xml.encode(), check=True,
                              env=self.environment, capture_output=True).stderr.decode()
        return said, time.perf_counter() - begun, cpu_seconds() - cpu

    def measure(self, what, operation, xml, alone):
        calls = [self.call(operation, xml) for _ in range(self.options.runs)]
        warned = "starts with its own settings" in calls[-1][0]
        if warned != (alone and operation == "prepare" and ELEMENT in xml):
            raise SystemExit(f"{what}: the daemon was {'not ' if warned else ''}asked: {calls[-1][0]}")
        times = sorted(1000 * wall for _, wall, _ in calls)
        cpu = statistics.median(cpu for _, _, cpu in calls)
        print(f"{what:44} median {statistics.median(times):5.1f} ms, 95 % {times[len(times) * 95 // 100]:5.1f}, "
              f"most {times[-1]:5.1f}; processor {1000 * cpu:4.1f}")
        if self.options.check and cpu > CPU_MOST:
            raise SystemExit(f"{what}: {1000 * cpu:.0f} ms of processor time a call")

    def life(self, who, alone):
        self.measure(f"prepare, {who}", "prepare", OURS, alone)
        self.measure(f"prepare, 190 KB, {who}", "prepare", OURS_LARGE, alone)
        for operation in ("started", "reconnect", "stopped", "release"):
            self.measure(f"{operation}, {who}", operation, OURS, alone)


@contextlib.contextmanager
def simulated_guests(server, count):
    guests = subprocess.Popen([sys.executable, str(TESTS / "daemon" / "sim_guests.py"), "--guests", str(count), "--memory", "64",
                               "--socket", server.vm_socket], stdin=subprocess.PIPE)
    try:
        rest.wait_for("guests connected", lambda: f"\ntidemark_guests_connected {count}\n" in
                      server.ask("GET", "/metrics").body.decode())
        yield
    finally:
        guests.stdin.close()
        guests.wait()


@contextlib.contextmanager
def hung_daemon(path):
    """Takes connections (the kernel does) and never reads."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(4096)
        yield


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("hook", "program", "tidemarkd"):
        parser.add_argument(name)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-latency-") as folder:
        tier = pathlib.Path(folder) / "nvme"
        tier.mkdir()
        server = rest.Daemon(options.tidemarkd, folder,
                             f"[[tier]]\nname = 'a'\nclass = 'nvme'\npath = '{tier}'\ncapacity = '1TiB'\n")
        hook = Hook(options, server.config)
        hook.measure("not ours", "prepare", OTHER, True)
        hook.measure("not ours, 190 KB", "prepare", OTHER_LARGE, True)
        hook.life("no daemon", True)
        server.start()
        with simulated_guests(server, options.guests):
            hook.life(f"daemon with {options.guests} guests", False)
        server.end()
        with hung_daemon(pathlib.Path(server.socket)):
            hook.measure("prepare, daemon hangs", "prepare", OURS, True)
            hook.measure("reconnect, daemon hangs", "reconnect", OURS, True)


main()
