# SPDX-License-Identifier: GPL-2.0-or-later
"""What hook.py calls the hook with: a host in a folder, daemons, domains."""
import contextlib
import json
import os
import re
import socket
import subprocess
import threading

UUID = "5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01"
ELEMENT = ("<tidemark:memory xmlns:tidemark='urn:tidemark:domain:1' dram='50%'>"
           "<tidemark:affinity service='web'/></tidemark:memory>")
BOUND = 60  # seconds; nothing here takes one


class Host:
    """A run directory, a configuration, and the hook: the script that libvirt calls, and its program."""

    def __init__(self, hook, program, folder):
        self.hook, self.program = hook, program
        self.run = folder / "run"
        self.tier = folder / "nvme"
        self.tier.mkdir()
        self.config = folder / "tidemark.toml"
        self.qemu_conf = folder / "qemu.conf"
        # What libvirt passes on, and where this test's files are.
        self.environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": "/root",
                            "TIDEMARK_HOOK": program,
                            "TIDEMARK_CONFIG": str(self.config),
                            "TIDEMARK_QEMU_CONF": str(self.qemu_conf)}
        self.configure()

    def configure(self, more=""):
        self.config.write_text(f"[paths]\nrun = '{self.run}'\n[[tier]]\nname = 'fast'\nclass = 'nvme'\n"
                               f"path = '{self.tier}'\n{more}")

    @property
    def file(self):
        return self.run / "domains" / f"{UUID}.json"

    def call(self, operation, xml, name="d"):
        done = subprocess.run([self.hook, name, operation, "begin", "-"], cwd="/", env=self.environment,
                              input=xml.encode(), capture_output=True, timeout=BOUND, check=False)
        check(done.stdout == b"", f"{operation} prints {done.stdout!r} to stdout")
        return done.returncode, done.stderr.decode()

    def starts(self, xml):
        code, words = self.call("prepare", xml)
        check(code == 0, f"prepare fails: {words}")
        return json.loads(self.file.read_text()), words

    def refused(self, xml):
        code, words = self.call("prepare", xml)
        check(code == 1, f"prepare leaves with {code}: {words}")
        check(not self.file.exists(), "a refused domain left a file")
        check(all(line.startswith("tidemark: ") for line in words.splitlines()) and words, words)
        return words


class Daemon:
    """Listens on api.sock; `answer(request line, body)` gives the bytes to send, None for silence."""

    def __init__(self, host, answer):
        host.run.mkdir(exist_ok=True)
        self.path = str(host.run / "api.sock")
        self.seen = []
        self.answer = answer
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(BOUND)
        self.listener.close()
        os.unlink(self.path)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, contextlib.suppress(OSError):
                    self.serve_one(connection)

    def serve_one(self, connection):
        connection.settimeout(BOUND)
        text = b""
        while b"\r\n\r\n" not in text:
            text += connection.recv(65536)
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
        while len(body) < length:
            body += connection.recv(65536)
        line = head.split(b"\r\n")[0].decode()
        self.seen.append((line, json.loads(body)))
        answer = self.answer(line, json.loads(body))
        if answer is not None:
            connection.sendall(answer)
            return
        while connection.recv(65536):  # until the hook hangs up
            pass


def http(status, body, kind="application/json"):
    text = body if isinstance(body, str) else json.dumps(body)
    return (f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text.encode())}\r\n"
            f"\r\n{text}").encode()


def check(condition, words):
    if not condition:
        raise AssertionError(words)


def domain(metadata=ELEMENT, more="", uuid=UUID):
    return (f"<domain type='kvm'>\n<name>d</name>\n<uuid>{uuid}</uuid>\n<memory unit='KiB'>1048576"
            f"</memory>\n<metadata>\n{metadata}\n</metadata>\n{more}</domain>\n")


def resolved(host, **changes):
    return dict({"version": 1, "uuid": UUID, "name": "d", "memory": 1 << 30, "dram-limit": 256 << 20,
                 "dram-floor": 128 << 20, "tiers": [{"path": str(host.tier), "class": "nvme",
                                                     "capacity": 2 << 30}]}, **changes)
