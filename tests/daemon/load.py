#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What tidemarkd costs: starts one on a folder of its own with N simulated guests, and prints its share of
a core and its memory. With --check it is a test: all guests come, come back after the daemon was
killed, and its memory is bounded; times are never judged."""
import argparse
import http.client
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from unix_http import UnixConnection  # noqa: E402

PATIENCE = 60  # seconds for any state to come about
MEMORY_MOST = 100 << 20  # bytes for 200 guests


def get(path, url):
    connection = UnixConnection(path)
    try:
        connection.request("GET", url)
        response = connection.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"{url}: {response.status} {body}")
        return body
    finally:
        connection.close()


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit(f"not within {PATIENCE} s: {what}")


class Daemon:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.api = str(folder / "run" / "api.sock")
        self.config = folder / "tidemark.toml"
        self.config.write_text(f'[paths]\nrun = "{folder}/run"\nstate = "{folder}/state"\n', encoding="utf-8")
        self.process = None

    def start(self):
        log = open(self.folder / "log", "ab")  # closed with the process
        self.process = subprocess.Popen([self.program, "--config", str(self.config)], stdout=log, stderr=log,
                                        env=os.environ | {"LIBVIRT_DEFAULT_URI": ""})

    def metric(self, name):
        """The value of a metric without labels; None while the daemon does not answer."""
        if self.process.poll() is not None:
            raise SystemExit(f"tidemarkd ended:\n{(self.folder / 'log').read_text()[-2000:]}")
        try:
            text = get(self.api, "/metrics")
        except (OSError, http.client.HTTPException):
            return None
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else None

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, kind="VmRSS"):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE).group(1)) << 10

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


def measure(daemon, options):
    # The first polls are over: what follows is what goes on all day.
    before = daemon.metric("tidemark_daemon_qmp_commands_total")
    cpu, begun = daemon.cpu(), time.monotonic()
    time.sleep(options.seconds)
    share = (daemon.cpu() - cpu) / (time.monotonic() - begun)
    commands = daemon.metric("tidemark_daemon_qmp_commands_total") - before
    scrape_cpu = daemon.cpu()
    for _ in range(10):
        text = get(daemon.api, "/metrics")
    scrape = (daemon.cpu() - scrape_cpu) / 10
    print(f"guests              {options.guests}")
    print(f"CPU                 {100 * share:.2f} % of a core over {options.seconds} s ({commands:.0f} commands)")
    print(f"memory              {daemon.memory() / (1 << 20):.1f} MiB, at most {daemon.memory('VmHWM') / (1 << 20):.1f}")
    print(f"a scrape            {scrape * 1000:.0f} ms of CPU, {len(text) >> 10} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidemarkd", default="build/engine/src/tidemarkd")
    parser.add_argument("--guests", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-load-") as name:
        folder = pathlib.Path(name)
        daemon = Daemon(options.tidemarkd, folder)
        daemon.start()
        guests = subprocess.Popen([sys.executable, str(HERE / "sim_guests.py"), "--guests", str(options.guests),
                                   "--socket", str(folder / "run" / "vm.sock")], stdin=subprocess.PIPE)
        try:
            def all_here():
                return daemon.metric("tidemark_guests_connected") == options.guests
            wait_for(f"{options.guests} guests connected", all_here)
            polled = daemon.metric("tidemark_daemon_qmp_commands_total") + 2 * options.guests
            wait_for("every guest polled", lambda: daemon.metric("tidemark_daemon_qmp_commands_total") >= polled)
            if options.check:
                daemon.end(signal.SIGKILL)
                daemon.start()
                wait_for("all guests came back after the daemon was killed", all_here)
                if daemon.metric("tidemark_daemon_qmp_malformed_total") != 0:
                    raise SystemExit("the daemon did not understand a guest")
                if daemon.memory("VmHWM") > MEMORY_MOST:
                    raise SystemExit(f"tidemarkd took {daemon.memory('VmHWM') >> 20} MiB")
            else:
                measure(daemon, options)
        finally:
            guests.stdin.close()
            guests.wait()
            daemon.end()


if __name__ == "__main__":
    main()
