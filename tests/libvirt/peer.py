# SPDX-License-Identifier: GPL-2.0-or-later
"""A second host, for guests to move to: mount and host name namespaces of its own within those of the run, with
its own /etc, /var and /run as in host.py, and a libvirtd whose socket the first host can reach.

A process in there does what the test asks it over a pipe, a line of JSON each way."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu"))
sys.path.insert(0, str(HERE.parent / "support"))

# pylint: disable=wrong-import-position
import guest  # noqa: E402
import host  # noqa: E402
import processes  # noqa: E402
from guest import TestFailure  # noqa: E402

NAME = "other-host"


class OtherHost(host.Host):
    uuid = "5b1f6a1e-0d0f-4e0b-9a0f-0f6b2f0f4d51"

    def __init__(self, folder, sockets):
        super().__init__(folder)
        self.sockets = sockets
        self.libvirtd_more = f'unix_sock_dir = "{sockets}"'


class Peer:
    """In the test: what host.Host offers, done over there. A context manager: all of it is gone afterwards."""

    def __init__(self, place):
        self.folder = place.folder / "other"
        self.folder.mkdir()
        os.chmod(self.folder, 0o777)
        self.tiers = self.folder / "tiers"
        self.scratch = tempfile.TemporaryDirectory(dir=guest.BUILD, prefix="libvirt-other-")
        self.sockets = tempfile.TemporaryDirectory(prefix="tm-")
        os.chmod(self.sockets.name, 0o755)
        self.uri = f"qemu+unix:///system?socket={self.sockets.name}/libvirt-sock"
        self.process = None

    def __enter__(self):
        with open(self.folder / "peer.log", "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--propagation", "private", sys.executable, "-u", __file__,
                 self.folder, self.scratch.name, self.sockets.name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            self.answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(180)
        finally:
            processes.end(self.process, signal.SIGKILL)
            self.process.stdout.close()
            self.sockets.cleanup()
            self.scratch.cleanup()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise TestFailure(f"the other host is gone: {(self.folder / 'peer.log').read_text()[-1000:]}")
        found = json.loads(line)
        if "failure" in found:
            raise TestFailure(f"the other host: {found['failure']}")
        return found["value"]

    def call(self, method, *words, **options):
        self.process.stdin.write(json.dumps([method, [str(word) for word in words], options]) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def virsh(self, *words, **options):
        return self.call("virsh", *words, **options)

    def qmp(self, name, command, arguments=None):
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        return json.loads(self.virsh("qemu-monitor-command", name, json.dumps(message)))["return"]

    def state(self, name):
        return self.virsh("domstate", name)

    def has_domain_file(self, vm):
        return self.call("has_file", host.RUN / "domains" / f"{vm.uuid}.json")


def serve(place):
    """Does what is asked until there is nobody to ask."""
    for line in sys.stdin:
        method, words, options = json.loads(line)
        try:
            value = os.path.exists(words[0]) if method == "has_file" else getattr(place, method)(*words, **options)
            print(json.dumps({"value": value}), flush=True)
        except Exception as failure:  # pylint: disable=broad-except # the test hears of it
            print(json.dumps({"failure": f"{failure}"}), flush=True)
            traceback.print_exc()


def main():
    folder, scratch, sockets = map(pathlib.Path, sys.argv[1:])
    subprocess.run(["hostname", NAME], check=True)
    host.private_directories(scratch, devices=False)  # those of the first host do
    os.environ["VIRSH_DEFAULT_CONNECT_URI"] = f"qemu+unix:///system?socket={sockets}/libvirt-sock"
    try:
        with OtherHost(folder, sockets) as place:
            print(json.dumps({"value": "ready"}), flush=True)
            serve(place)
    except Exception as failure:  # pylint: disable=broad-except
        print(json.dumps({"failure": f"{failure}"}), flush=True)
        raise
    finally:
        for name in ("var", "etc"):
            subprocess.run(["umount", "--lazy", f"/{name}"], check=False)


if __name__ == "__main__":
    main()
