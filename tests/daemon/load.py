#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What tidemarkd costs: starts one on a folder of its own with N simulated guests, in G affinity groups, and prints its
share of a core, its memory, and how long a group's policy takes to reach its members. With --check it is a test: all
guests come, come back after the daemon was killed, take their group's policy, and its memory is bounded; times are
never judged."""
import argparse
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import sim_guests  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

PATIENCE = 60  # seconds for any state to come about
MEMORY_MOST = 100 << 20  # bytes for 200 guests


def ask(path, method, url, body=None, headers=None):
    """Text and ETag of the answer."""
    connection = UnixConnection(path)
    try:
        connection.request(method, url, body=json.dumps(body) if body is not None else None,
                           headers={"Content-Type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        text = response.read().decode()
        if response.status not in (200, 201):
            raise RuntimeError(f"{method} {url}: {response.status} {text}")
        return text, response.getheader("ETag")
    finally:
        connection.close()


def get(path, url):
    return ask(path, "GET", url)[0]


def wait_for(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit(f"not within {patience} s: {what}")


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


class Guests:
    """The simulated guests, and what they were last told to set."""

    def __init__(self, count, socket):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sim_guests.py"), "--guests", str(count), "--socket", socket, "--tell",
             "--memory", "256"],  # MiB: so many fit on any host, and what a prefetch may bring is more than one cell
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()
        self.told = {}  # (name, "cold-age"): (value, when)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            name, when, settings = line.split(" ", 2)
            with self.lock:
                for key, value in json.loads(settings).items():
                    self.told[name, key] = (value, float(when))

    def when_told(self, names, key, value):
        """When the last of them was told, once all were."""
        with self.lock:
            found = [self.told.get((name, key), (None, 0)) for name in names]
        return max(when for _, when in found) if all(one == value for one, _ in found) else None

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()


def make_groups(daemon, options):
    """Each guest in one of them. The first one's UUID, and its members' names."""
    first = None
    for group in range(options.groups):
        members = range(group, options.guests, options.groups)
        text, _ = ask(daemon.api, "POST", "/api/v1/affinity_groups",
                      {"name": f"group-{group}", "members": [sim_guests.uuid_of(number) for number in members]})
        first = first or (json.loads(text)["groupID"], [f"sim-{number}" for number in members])
    return first


def time_policy(daemon, guests, group, cold):
    """Seconds from a change of a group's policy to the last member that was told."""
    url = f"/api/v1/affinity_groups/{group[0]}"
    text, etag = ask(daemon.api, "GET", url)
    begun = time.monotonic()
    ask(daemon.api, "PUT", url, json.loads(text) | {"policy": {"coldAge": cold}}, {"If-Match": etag})
    answered = time.monotonic()
    wait_for("the policy reaches every member", lambda: guests.when_told(group[1], "cold-age", cold))
    return answered - begun, guests.when_told(group[1], "cold-age", cold) - begun


def measure_policy(daemon, guests, group):
    times = [time_policy(daemon, guests, group, 1000 + n) for n in range(20)]
    for what, column in (("policy answered", 0), ("policy everywhere", 1)):
        found = sorted(one[column] for one in times)
        print(f"{what:19} {1000 * found[len(found) // 2]:.0f} ms after the PUT, at most {1000 * found[-1]:.0f} "
              f"(a group of {len(group[1])}, 20 changes)")


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
    print(f"guests              {options.guests}, in {options.groups} groups")
    print(f"CPU                 {100 * share:.2f} % of a core over {options.seconds} s ({commands:.0f} commands)")
    print(f"memory              {daemon.memory() / (1 << 20):.1f} MiB, at most {daemon.memory('VmHWM') / (1 << 20):.1f}")
    print(f"a scrape            {scrape * 1000:.0f} ms of CPU, {len(text) >> 10} KiB")


def all_compared(daemon, members):
    """What is known of the first guest and of each other member of its group is enough for a score."""
    found = json.loads(get(daemon.api, f"/api/v1/guests/{sim_guests.uuid_of(0)}/similar"))["items"]
    return len(found) == members - 1 and all(one["heat"] is not None and one["content"] is not None for one in found)


def check(daemon, guests, group, all_here):
    daemon.end(signal.SIGKILL)
    daemon.start()
    wait_for("all guests came back after the daemon was killed", all_here)
    if group:
        time_policy(daemon, guests, group, 1000)
        wait_for("guests of a group are compared", lambda: all_compared(daemon, len(group[1])))
    if daemon.metric("tidemark_daemon_qmp_malformed_total") != 0:
        raise SystemExit("the daemon did not understand a guest")
    if daemon.memory("VmHWM") > MEMORY_MOST:
        raise SystemExit(f"tidemarkd took {daemon.memory('VmHWM') >> 20} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidemarkd", default="build/engine/src/tidemarkd")
    parser.add_argument("--guests", type=int, default=200)
    parser.add_argument("--groups", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-load-") as name:
        folder = pathlib.Path(name)
        daemon = Daemon(options.tidemarkd, folder)
        daemon.start()
        guests = Guests(options.guests, str(folder / "run" / "vm.sock"))
        try:
            def all_here():
                return daemon.metric("tidemark_guests_connected") == options.guests

            def all_polled():
                polled = daemon.metric("tidemark_daemon_qmp_commands_total") + 2 * options.guests
                wait_for("every guest polled", lambda: daemon.metric("tidemark_daemon_qmp_commands_total") >= polled)
            wait_for(f"{options.guests} guests connected", all_here)
            group = make_groups(daemon, options)
            all_polled()
            if options.check:
                check(daemon, guests, group, all_here)
            else:
                if group:
                    # Their working sets go round: what comes next is known of each other after one round.
                    wait_for("guests of a group help each other",
                             lambda: daemon.metric("tidemark_affinity_ordered_bytes_total"), 5 * PATIENCE)
                measure(daemon, options)
                if group:
                    measure_policy(daemon, guests, group)
        finally:
            guests.end()
            daemon.end()


if __name__ == "__main__":
    main()
