# SPDX-License-Identifier: GPL-2.0-or-later
"""A real tidemarkd in directories of its own, and guests that belong to it: prepared as libvirt's hook
does it, started by the tests."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid

from guest import BUILD, MIB, Skip, require, wait_for
from machines import tier_directory

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import processes  # noqa: E402
from unix_http import UnixConnection  # noqa: E402


def binary():
    path = pathlib.Path(os.environ.get("TIDEMARK_DAEMON", BUILD / "engine/src/tidemarkd"))
    if not path.exists():
        raise Skip(f"{path} is not built")
    return path


class Tidemarkd:
    """place: a directory with a short name, for sockets."""

    def __init__(self, place, folder, budget):
        self.place = pathlib.Path(place)
        self.run, self.state = self.place / "run", self.place / "state"
        self.log = folder / "tidemarkd.log"
        config = self.place / "tidemark.toml"
        config.write_text(f'[paths]\nrun = "{self.run}"\nstate = "{self.state}"\n'
                          f'[daemon]\nlog_level = "debug"\n[host]\ndram = "{budget // MIB}MiB"\n')
        self.command = [str(binary()), "--config", str(config)]
        self.process = None

    def __enter__(self):
        environment = dict(os.environ, LIBVIRT_DEFAULT_URI="")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(lambda: self.answers() or self.ended(), 60, f"tidemarkd does not answer: {self.log}")
        except BaseException:
            processes.end(self.process, signal.SIGKILL)
            raise
        return self

    def __exit__(self, *_):
        require(processes.end(self.process), f"tidemarkd does not end: {self.log}")

    def ended(self):
        require(self.process.poll() is None, f"tidemarkd ended: {self.log.read_text()[-1000:]}")

    def answers(self):
        try:
            return self.get("/status") is not None
        except OSError:
            return False

    def request(self, method, path, body=None):
        connection = UnixConnection(self.run / "api.sock")
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, "/api/v1" + path, content,
                               {"Content-Type": "application/json"} if content else {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        require(answer.status < 300, f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def get(self, path):
        return self.request("GET", path)

    def prepare(self, name, memory, **element):
        """Registers a VM with the daemon and leaves the file that QEMU reads; returns its UUID."""
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{self.place}"))
        tiers = [{"class": "nvme", "path": str(tier_directory()), "capacity": 2 * memory}]
        domain = {"uuid": identity, "name": name, "memory": memory, "current": memory,
                  "max-memory": memory, "element": {"tiers": tiers, **element}}
        resolved = self.request("POST", f"/domains/{identity}/prepare", domain)
        (self.run / "domains" / f"{identity}.json").write_text(json.dumps(resolved))
        self.request("POST", f"/domains/{identity}/started")
        return identity

    def use(self):
        """In the QEMU to be: lets it look here."""
        os.environ["TIDEMARK_RUN"] = str(self.run)

    def wait_connected(self, *guests):
        for one in guests:
            wait_for(lambda: self.guest(one).get("connected"), 60, f"guest {one} does not connect")

    def guest(self, identity):
        return self.get(f"/guests/{identity}")
