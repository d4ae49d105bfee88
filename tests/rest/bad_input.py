#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What no client should send: the daemon answers with a sentence or hangs up, keeps answering others, and loses nothing.
    bad_input.py TIDEMARKD [SEED [SECONDS]]"""
import json
import os
import pwd
import random
import socket
import sys
import tempfile
import threading
import time

from daemon import BOUND, Daemon, UnixConnection, wait_for

GROUPS = "/api/v1/affinity_groups"


def status_of(received):
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else None


def problem_in(received):
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, received[:300]
    problem = json.loads(body)
    assert problem["status"] == status_of(received) and problem["detail"]
    return problem


def post(body, more=b""):
    return (b"POST " + GROUPS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode() + b"\r\nConnection: close\r\n" + more + b"\r\n" + body)


def malformed(daemon):
    for data, status in ((b"\x00\xff\xfe garbage\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 400), (b"GET\r\n\r\n", 400),
                         (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400), (b"GET x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
                         (b"GET /%zz?a=%q HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
                         (b"GET /api/v1/guests/%00 HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
                         (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
                         (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
                         (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                         (b"GET / HTTP/1.1\r\nExpect: a-miracle\r\n\r\n", 417),
                         (b"BREW / HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
                         (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
                         (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
                         (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000 + b"\r\n", 431),
                         (b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
                         (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", 413),
                         (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"80000\r\n" + b"a" * 0x80000 + b"\r\n80001\r\n"
                          + b"a" * 0x80001 + b"\r\n0\r\n\r\n", 413)):
        received = daemon.raw(data)
        assert status_of(received) == status, f"{data[:60]!r}: {received[:200]!r}, not {status}"
        problem_in(received)
    for data in (b"", b"G", b"GET / HTTP/1.1\r\nHost", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", b"\x16\x03\x01" * 20):
        received = daemon.raw(data)
        assert status_of(received) in (None, 400), f"{data!r}: {received[:100]!r}"
    daemon.alive()


def bad_json(daemon):
    cases = [(b"", 400), (b"{", 400), (b"nul", 400), (b'{"name": "\xff\xfe"}', 400), (b'{"a":1}{"b":2}', 400), (b"[" * 100000, 400),
             (b'{"a":' * 100000, 400), (b"[" * 30 + b"]" * 30, 422), (b'{"name":"x","priority":1e999}', 400),
             (b'{"name":"x","priority":18446744073709551616}', 422), (b'{"name":"x","priority":-1}', 422),
             (b'{"name":"x\\u0000y"}', 422), (b'{"name":{"name":{}}}', 422), (b'"name"', 422), (b"5", 422),
             (b'{"name":"' + b"x" * 500000 + b'"}', 422), (b'{"' + b"k" * 500000 + b'":1}', 422),
             (b'{"name":"x","members":[' + b"1," * 200000 + b"1]}", 422), (b'\xef\xbb\xbf{"name":7}', 422)]
    for body, status in cases:
        received = daemon.raw(post(body))
        assert status_of(received) == status, f"{body[:60]!r}: {received[:300]!r}, not {status}"
        assert len(problem_in(received)["detail"]) < 2000
    daemon.alive()


def pipelined(daemon):
    """Answered one by one, in order, and what follows garbage is not."""
    one = b"GET /api/v1/affinity_groups?limit=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = daemon.raw(b"".join(one % (n % 2 * 5000 + 1) for n in range(200)) + last)
    statuses = [int(part.split(b" ", 1)[0]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 400] * 100 + [404], statuses
    received = daemon.raw(one % 1 + b"\x00\x01\x02\r\n\r\n" + one % 1)
    assert received.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 400" in received


def slow(daemon):
    """Clients that stop in the middle of a request are cut off; those that go on asking meanwhile are not kept waiting."""
    stuck = []
    for data in (b"GET / HT", b"POST " + GROUPS.encode() + b" HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        for _ in range(20):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(BOUND)
            connection.connect(daemon.socket)
            connection.sendall(data)
            stuck.append(connection)
    drips = stuck[0]
    ended = threading.Event()

    def drip():
        try:
            while not ended.is_set():
                drips.sendall(b"T")
                ended.wait(0.5)
        except OSError:
            pass

    dripper = threading.Thread(target=drip)
    dripper.start()
    daemon.alive()
    for connection in stuck:
        try:
            assert connection.recv(65536) == b"", "a request that was never sent was answered"
        except ConnectionResetError:
            pass
        connection.close()
    ended.set()
    dripper.join()
    assert daemon.ask("GET", "/api/v1/status").json["api"]["timedOut"] >= len(stuck)


def crowd(daemon):
    """100 clients at a time, each on a connection it keeps; then more idle ones than there is room for."""
    errors = []
    before = daemon.ask("GET", "/api/v1/status").json["groups"]

    def client(number):
        try:
            connection = UnixConnection(daemon.socket)
            for turn in range(10):
                name = f"crowd-{number}-{turn}"
                made = daemon.ask("POST", GROUPS, {"name": name}, connection=connection)
                assert made.status == 201, made.body
                assert daemon.ask("GET", made.headers["location"], connection=connection).json["name"] == name
            connection.close()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(100)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert not errors, errors[:3]
    assert daemon.ask("GET", "/api/v1/status").json["groups"] == before + 1000

    idle = []
    for _ in range(300):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(daemon.socket)
        idle.append(connection)
    daemon.alive()
    assert daemon.ask("GET", "/api/v1/status").json["api"]["open"] <= 128
    for connection in idle:
        connection.close()


def strangers(daemon):
    """Another user is not answered, even where the file's mode would let him in."""
    if os.getuid() != 0:
        print("not root: who may use the socket is not tested")
        return
    assert os.stat(daemon.socket).st_mode & 0o777 == 0o660
    os.chmod(daemon.socket, 0o666)
    for path in (daemon.folder, daemon.folder / "run"):
        path.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(pwd.getpwnam("nobody").pw_gid)
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        status = 1
        try:
            status = 0 if daemon.ask("GET", "/api/v1/status").status == 403 else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "nobody was not refused"
    daemon.alive()


SEEDS = (b"GET /api/v1/affinity_groups?limit=3&after=x HTTP/1.1\r\nHost: x\r\n\r\n",
         post(b'{"name":"f","priority":5,"policy":{"coldAge":9,"evictionPolicy":"LRU"},"members":[]}'),
         b"PUT /api/v1/affinity_groups/b3ffd0eb-fee0-522a-a55e-7cc309adcafe HTTP/1.1\r\nIf-Match: *\r\nContent-Length: 2\r\n\r\n{}",
         b"POST /api/v1/domains/11111111-2222-4333-8444-aaaaaaaaaaaa/prepare HTTP/1.1\r\nContent-Length: 94\r\n\r\n"
         b'{"uuid":"11111111-2222-4333-8444-aaaaaaaaaaaa","name":"a","memory":1073741824,"element":{}}   ',
         b"POST /api/v1/memory/prefetch/11111111-2222-4333-8444-aaaaaaaaaaaa HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
         b'20\r\n{"ranges":[{"offset":0,"length":\r\n7\r\n4096}]}\r\n0\r\n\r\n',
         b"PATCH /api/v1/guests/x HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n{\"a\":[]}\n")
PIECES = (b"\r\n", b"\r\n\r\n", b"\x00", b"\xff", b"%", b"%00", b"{", b"[" * 40, b'"', b"\\u", b"0", b"-1", b"1e400", b" " * 300, b"A" * 9000,
          b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", b"../", b"?", b"null", b"99999999999999999999")


def mutated(chance):
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:at] = chance.choice(PIECES)
        elif kind == 2:
            del data[at:at + chance.randint(1, 20)]
        else:
            data[at:at] = data[:chance.randrange(len(data) + 1)]
    return bytes(data[:200000])


def fuzz(daemon, seed, seconds):
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    sent = answered = 0
    while time.monotonic() < end:
        data = mutated(chance)
        received = daemon.raw(data)
        sent += 1
        answered += status_of(received) is not None
        assert b"HTTP/1.1 500" not in received, f"seed {seed}, input {sent}: {data[:300]!r} is answered {received[:300]!r}"
        assert daemon.process.poll() is None, f"seed {seed}, input {sent} ended the daemon: {data!r}\n{daemon.last_words()}"
    daemon.alive()
    print(f"seed {seed}: {sent} inputs, {answered} answered")


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 10
    with tempfile.TemporaryDirectory(prefix="tidemark-bad-") as folder:
        daemon = Daemon(sys.argv[1], folder).start()
        kept = daemon.ask("POST", GROUPS, {"name": "kept"}).json
        for test in (malformed, bad_json, pipelined, slow, crowd, strangers):
            test(daemon)
            print(f"{test.__name__}: well")
        fuzz(daemon, seed, seconds)
        assert daemon.ask("GET", f"{GROUPS}/{kept['groupID']}").json == kept
        wait_for("connections are gone", lambda: daemon.ask("GET", "/api/v1/status").json["api"]["open"] < 5)
        assert daemon.stop() == 0


main()
