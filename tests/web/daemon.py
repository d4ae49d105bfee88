# SPDX-License-Identifier: GPL-2.0-or-later
"""A real tidemarkd on folders of its own, simulated guests, and a way to it for a browser: Chromium speaks only TCP, so
a port on the loopback is passed on to the daemon's Unix socket."""
import json
import os
import pathlib
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "support"))
from unix_http import UnixConnection  # noqa: E402

SRC = TESTS.parent / "src/daemon"
SIMULATED = TESTS / "daemon/sim_guests.py"
DEADLINE = 60


class Daemon:
    def __init__(self, program):
        self.program = program
        self.temporary = tempfile.TemporaryDirectory(prefix="tidemark-web-")
        self.folder = pathlib.Path(self.temporary.name)
        self.api = str(self.folder / "run/api.sock")
        self.config = self.folder / "tidemark.toml"
        self.config.write_text(f'[paths]\nrun = "{self.folder}/run"\nstate = "{self.folder}/state"\n[[tier]]\nname = "fast"\n'
                               'class = "nvme"\npath = "/var/lib/tidemark/nvme"\ncapacity = "1TiB"\n')
        self.log = open(self.folder / "log", "ab")
        self.process = self.guests = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "--config", self.config], stdout=self.log, stderr=self.log,
                                        env=os.environ | {"LIBVIRT_DEFAULT_URI": ""})
        self.wait_for(lambda: self.ask("GET", "/api/v1/status")[0] == 200)

    def simulate(self, guests):
        self.guests = subprocess.Popen([sys.executable, SIMULATED, "--socket", self.folder / "run/vm.sock", "--guests", str(guests)],
                                       stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)

    def ask(self, method, target, body=None):
        """Status and text; status 0 if the daemon does not answer."""
        connection = UnixConnection(self.api)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def wait_for(self, true):
        end = time.monotonic() + DEADLINE
        while not true():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text()[-3000:])
            time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.guests:
            self.guests.stdin.close()   # it ends then
            self.guests.wait(DEADLINE)
        self.kill()
        self.log.close()
        self.temporary.cleanup()

    def serve_tcp(self):
        """Passes connections of a loopback port on, byte by byte; the port's server and the page's address."""
        api = self.api

        class Pass(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.socket(socket.AF_UNIX) as inner:
                    try:
                        inner.connect(api)
                    except OSError:
                        return
                    back = threading.Thread(target=copy, args=(inner, self.request), daemon=True)
                    back.start()
                    copy(self.request, inner)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        server = Server(("127.0.0.1", 0), Pass)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}/"


def full_metrics(program):
    """/metrics of a daemon with guests of a group, once all of it is there."""
    daemon = Daemon(program)
    try:
        daemon.simulate(3)
        # Profiles come last.
        daemon.wait_for(lambda: daemon.ask("GET", "/metrics")[1].count("tidemark_guest_working_set_bytes{") > 0)
        members = [guest["uuid"] for guest in json.loads(daemon.ask("GET", "/api/v1/guests")[1])["items"]]
        daemon.ask("POST", "/api/v1/affinity_groups", json.dumps({"name": "g", "members": members}))
        daemon.wait_for(lambda: "tidemark_group_guests{" in daemon.ask("GET", "/metrics")[1])
        return daemon.ask("GET", "/metrics")[1]
    finally:
        daemon.close()


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
