# SPDX-License-Identifier: GPL-2.0-or-later
"""A real tidemarkd in a folder of its own, and HTTP to it, well-formed or not."""
import atexit
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from unix_http import UnixConnection  # noqa: E402

BOUND = 60  # seconds: no state is waited for longer


def wait_for(what, condition):
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"after {BOUND} s still not: {what}")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Daemon:
    def __init__(self, program, folder, config=""):
        self.program = str(program)
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "tidemark.toml"
        self.socket = str(self.folder / "run" / "api.sock")
        self.vm_socket = str(self.folder / "run" / "vm.sock")
        self.config.write_text(f'[paths]\nrun = "{self.folder}/run"\nstate = "{self.folder}/state"\n{config}')
        self.log = open(self.folder / "tidemarkd.log", "ab")
        self.process = None
        atexit.register(self.end)  # a test that fails leaves nothing running

    def start(self):
        self.process = subprocess.Popen([self.program, "--config", str(self.config)], stdout=self.log, stderr=self.log,
                                        env={**os.environ, "LIBVIRT_DEFAULT_URI": "", "TIDEMARK_RUN": ""})
        wait_for("tidemarkd answers", self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, f"tidemarkd ended with {self.process.returncode}: {self.last_words()}"
        try:
            return self.ask("GET", "/api/v1/status").status == 200
        except OSError:
            return False

    def last_words(self):
        return (self.folder / "tidemarkd.log").read_text(errors="replace")[-2000:]

    def ask(self, method, path, body=None, headers=None, connection=None):
        mine = connection or UnixConnection(self.socket)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        mine.request(method, path, body=body, headers=headers)
        answer = Answer(mine.getresponse())
        if connection is None:
            mine.close()
        return answer

    def raw(self, data, shut=True):
        """Sends bytes as they are; what comes back until the end of the connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(BOUND)
        connection.connect(self.socket)
        received = b""
        try:
            connection.sendall(data)
            if shut:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
        connection.close()
        return received

    def alive(self):
        """The same process still answers."""
        assert self.process.poll() is None, f"tidemarkd ended with {self.process.returncode}: {self.last_words()}"
        assert self.ask("GET", "/api/v1/status").status == 200

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=BOUND)
