#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the daemon starts and ends: what systemd hears, sockets that it hands over, a second daemon, a bad configuration, a
store it cannot use; and TCP, which wants a certificate of whoever asks.    lifecycle.py TIDEMARKD"""
import http.client
import os
import pathlib
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile

from daemon import BOUND, Daemon


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=BOUND,
                          env={**os.environ, "LIBVIRT_DEFAULT_URI": ""})
    return done.returncode, done.stdout + done.stderr


def command_line(program, folder):
    assert run(program, "--version") == (0, "tidemarkd 0.1.0\n")
    assert run(program, "--help")[0] == 0
    assert run(program, "--nonsense")[0] != 0
    config = folder / "bad.toml"
    config.write_text("[daemon]\nwhen_down = 'maybe'\n")
    code, said = run(program, "--config", str(config), "--check")
    assert code == 1 and "when_down" in said and "maybe" in said, said
    config.write_text("[daemon]\nwhen_down = 'refuse'\n")
    assert run(program, "--config", str(config), "--check")[0] == 0
    code, said = run(program, "--config", str(folder / "none.toml"))
    assert code == 1 and "none.toml" in said, said


def told_to_systemd(program, folder):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(BOUND)
    listener.bind(str(folder / "notify"))
    os.environ.update(NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="200000")
    daemon = Daemon(program, folder).start()
    del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    heard = [listener.recv(4096).decode() for _ in range(4)]
    assert heard.count("READY=1") == 1 and heard.count("WATCHDOG=1") == 3, heard
    assert daemon.stop() == 0
    assert not pathlib.Path(daemon.socket).exists()
    while heard[-1] != "STOPPING=1":
        heard.append(listener.recv(4096).decode())


def one_at_a_time(program, folder):
    daemon = Daemon(program, folder).start()
    code, said = run(program, "--config", str(daemon.config))
    assert code == 1 and "another tidemarkd" in said, said
    daemon.alive()
    daemon.kill()
    daemon.start()  # a socket that nobody listens on any more is no obstacle
    assert daemon.stop() == 0


def socket_of_systemd(program, folder):
    daemon = Daemon(program, folder)
    (folder / "run").mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(daemon.socket)
    listener.listen()
    # The descriptor must be 3, and LISTEN_PID the daemon's own.
    process = subprocess.Popen(["/bin/sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "{program}" --config "{daemon.config}" '
                                f'3<&{listener.fileno()}'], pass_fds=[listener.fileno()],
                               env={**os.environ, "LIBVIRT_DEFAULT_URI": ""}, stderr=daemon.log)
    listener.close()
    assert daemon.ask("GET", "/api/v1/status").status == 200
    process.terminate()
    assert process.wait(BOUND) == 0
    assert pathlib.Path(daemon.socket).exists(), "a socket of systemd is systemd's to remove"
    os.unlink(daemon.socket)


def stores(program, folder):
    daemon = Daemon(program, folder).start()
    daemon.stop()
    database = folder / "state" / "tidemark.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = database.read_bytes()
    code, said = run(program, "--config", str(daemon.config))
    assert code == 1 and "newer" in said and database.read_bytes() == before, said
    database.write_bytes(b"nothing that SQLite knows" * 100)
    before = database.read_bytes()
    code, said = run(program, "--config", str(daemon.config))
    assert code == 1 and "not a database" in said and database.read_bytes() == before, said
    shutil.rmtree(folder / "state")


def certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "stranger"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", f"{name}.pem")


def over_tcp(port, folder, certificate):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=BOUND)
    try:
        connection.request("GET", "/api/v1/status")
        return connection.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def tcp(program, folder):
    if shutil.which("openssl") is None:
        print("no openssl: TCP is not tested")
        return
    certificates(folder)
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    lines = f'[api]\ntcp = "127.0.0.1:{port}"\ncert = "{folder}/server.pem"\nkey = "{folder}/server.key"\n'
    code, said = run(program, "--config", str(Daemon(program, folder, lines).config), "--check")
    assert code == 1 and "client_ca" in said, said
    daemon = Daemon(program, folder, lines + f'client_ca = "{folder}/ca.pem"\n').start()
    assert over_tcp(port, folder, "client") == 200
    for nobody in (None, "stranger"):
        assert over_tcp(port, folder, nobody) is None
    plain = socket.create_connection(("127.0.0.1", port), timeout=BOUND)
    plain.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        assert b"200" not in plain.recv(4096)
    except ConnectionResetError:
        pass
    assert over_tcp(port, folder, "client") == 200
    daemon.alive()
    assert daemon.stop() == 0


def main():
    program = sys.argv[1]
    for test in (command_line, told_to_systemd, one_at_a_time, socket_of_systemd, stores, tcp):
        with tempfile.TemporaryDirectory(prefix="tidemark-life-") as folder:
            test(program, pathlib.Path(folder))
        print(f"{test.__name__}: well")


main()
