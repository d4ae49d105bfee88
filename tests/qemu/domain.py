# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host decides for a VM, as the libvirt hook would leave it, and a daemon to connect to."""
import json
import os
import socket
import struct

from guest import MIB, wait_for
from machines import tier_directory
from qmp import QmpClient

UUID = "7c4e2f7e-3b0e-4d0c-9a53-0f6b2f0f4d48"
GROUP = "0b5a7e62-52a8-4f6e-b8c0-9f4d4d1b7c11"


class Domains:
    """A run directory with domains/<uuid>.json."""

    def __init__(self, run):
        self.run = run
        self.folder = run / "domains"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{UUID}.json"
        self.socket = run / "vm.sock"

    def decide(self, memory, limit, changes=(), **more):
        """Writes the VM's file; a value of None leaves a key out. Returns what was written."""
        place = str(tier_directory())
        value = {"version": 1, "uuid": UUID, "name": "vm", "title": "", "memory": memory,
                 "dram-limit": limit, "dram-floor": 16 * MIB, "priority": 100, "labels": [],
                 "tiers": [{"path": place, "class": "nvme", "capacity": memory // 2},
                           {"path": place, "class": "qlc", "capacity": memory}]}
        value.update({key.replace("_", "-"): one for key, one in more.items()})
        value.update(changes)
        value = {key: one for key, one in value.items() if one is not None}
        self.path.write_text(json.dumps(value))
        return value

    def use(self):
        """In the QEMU to be: lets it look here."""
        os.environ["TIDEMARK_RUN"] = str(self.run)


def ram_object(identity, size, **more):
    """The -object that libvirt gives for plain memory."""
    properties = {"qom-type": "memory-backend-ram", "id": identity, "size": size,
                  **{key.replace("_", "-"): value for key, value in more.items()}}
    return ["-object", json.dumps(properties)]


def libvirt_ram(size, uuid=UUID, **more):
    """How libvirt asks for a machine's memory."""
    more.setdefault("x_use_canonical_path_for_ramblock_id", False)
    return [*(["-uuid", uuid] if uuid else []), "-m", f"size={size // 1024}k,slots=4,maxmem=4G",
            "-machine", "memory-backend=pc.ram", *ram_object("pc.ram", size, **more)]


class Daemon:
    """Listens as the daemon does and talks QMP to who connects."""

    def __init__(self, path, log):
        self.log = log
        self.connection = None
        self.listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self.listener.bind(str(path))
        self.listener.listen()

    def accept(self, timeout=60):
        """The QMP client of the next QEMU to connect, and its process id."""
        self.listener.settimeout(timeout)
        connection, _ = self.listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        client = QmpClient(connection, [], self.log)
        client.handshake()
        self.connection = connection
        return client, struct.unpack("3i", credentials)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        if self.connection:
            self.connection.close()


def wait_daemon_gone(vm):
    """The VM has seen that its daemon left."""
    def connected():
        return next(one["filename"] for one in vm.qmp.command("query-chardev")
                    if one["label"] == "tidemark-qmp")
    wait_for(lambda: connected().startswith("disconnected:"), 60,
             "the VM does not see that the daemon is gone", 0.1)
