#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills the daemon at 100 random moments while groups, members and settings of guests change: what was acknowledged is
there after each restart, in the guests' QEMUs, too, and what was not is there wholly or not at all.

    kill.py TIDEMARKD [SEED]
"""
import http.client
import random
import sys
import tempfile
import threading
import time
import uuid

from daemon import Daemon, UnixConnection, wait_for
from fake_qemu import GIB, FakeQemu

ROUNDS = 100
NAMES = 12
GUESTS = [str(uuid.UUID(int=0x10 + n)) for n in range(8)]
RUNNING = GUESTS[:3]  # have a QEMU, which connects again after each restart
POLICIES = ("LRU", "LFU", "FIFO")


class Writer(threading.Thread):
    """Changes groups and settings as fast as it is answered. `known` is what was acknowledged: by name the group, or None,
    and by UUID a guest's settings. `pending` is the one change that was under way, as the state it would lead to."""

    def __init__(self, daemon, known, seed):
        super().__init__()
        self.daemon = daemon
        self.known = known
        self.pending = None
        self.random = random.Random(seed)
        self.acknowledged = 0
        self.error = None

    def run(self):
        connection = UnixConnection(self.daemon.socket)
        try:
            while True:
                self.step(connection)
        except (OSError, http.client.HTTPException):
            pass  # the daemon is dead
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def step(self, connection):
        if self.random.random() < 0.4:
            self.set_guest(connection, self.random.choice(RUNNING))
        else:
            self.change_group(connection)

    def set_guest(self, connection, vm):
        if self.random.random() < 0.2:
            change, wanted = {"dramLimit": None, "priority": None, "policy": None}, {"policy": {}}
        else:
            change = wanted = {"dramLimit": self.random.randint(8, 512) << 21, "priority": self.random.randint(1, 1000),
                               "policy": {"coldAge": self.random.randint(1, 100000)}}
        self.pending = (vm, wanted)
        answer = self.daemon.ask("PATCH", f"/api/v1/guests/{vm}", change, None, connection)
        assert answer.status == 200, f"PATCH {vm}: {answer.status} {answer.body[:300]}"
        self.acknowledge(vm, wanted)

    def acknowledge(self, key, state):
        self.known[key] = state
        self.pending = None
        self.acknowledged += 1

    def change_group(self, connection):
        name = f"group-{self.random.randrange(NAMES)}"
        there = self.known.get(name)
        free = self.free(name)
        wanted = {"name": name, "priority": self.random.randint(1, 1000),
                  "policy": {"evictionPolicy": self.random.choice(POLICIES),
                             "coldAge": self.random.randint(1, 100000)},
                  "members": sorted(self.random.sample(free, min(len(free), self.random.randint(0, 3))))}
        if there is None:
            self.change(connection, name, wanted, "POST", "/api/v1/affinity_groups", 201)
        elif self.random.random() < 0.2:
            self.change(connection, name, None, "DELETE", f"/api/v1/affinity_groups/{there['groupID']}", 204)
        else:
            self.change(connection, name, wanted, "PUT", f"/api/v1/affinity_groups/{there['groupID']}", 200,
                        {"If-Match": there["etag"]})

    def free(self, name):
        """Guests that no other group has: a guest is in one group, and taking one from another changes two."""
        taken = {vm for other, group in groups_of(self.known).items() if group and other != name for vm in group["members"]}
        return [vm for vm in GUESTS if vm not in taken]

    def change(self, connection, name, wanted, method, path, status, headers=None):
        self.pending = (name, wanted)
        answer = self.daemon.ask(method, path, wanted, headers, connection)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body[:300]}"
        self.acknowledge(name, wanted and {**wanted, "groupID": answer.json["groupID"], "etag": answer.headers["etag"]})


def groups_of(known):
    return {name: group for name, group in known.items() if name not in GUESTS}


def same(group, wanted):
    if group is None or wanted is None:
        return group is None and wanted is None
    return all(group[key] == wanted[key] for key in ("name", "priority", "policy", "members"))


def check(daemon, qemus, known, pending):
    """Returns what is really there now, as `known`."""
    guests = {vm: check_guest(daemon, vm, qemu, known.get(vm, {"policy": {}}),
                              [pending[1]] if pending and pending[0] == vm else [])
              for vm, qemu in qemus.items()}
    return {**check_groups(daemon, groups_of(known), pending), **guests}


def check_guest(daemon, vm, qemu, wanted, under_way):
    path = f"/api/v1/guests/{vm}"
    wait_for(f"guest {vm} is back", lambda: daemon.ask("GET", path).status == 200)
    settings = daemon.ask("GET", path).json["settings"]
    assert settings in [wanted, *under_way], f"acknowledged: {wanted}, found: {settings}, under way: {under_way}"
    if "coldAge" in settings["policy"]:
        wait_for(f"QEMU {vm} has {settings}", lambda: qemu.backends[0]["cold-age"] == settings["policy"]["coldAge"])
    return settings


def check_groups(daemon, known, pending):
    found = {group["name"]: group for group in daemon.ask("GET", "/api/v1/affinity_groups?limit=1000").json["items"]}
    for name in set(known) | set(found):
        group, wanted = found.get(name), known.get(name)
        if same(group, wanted):
            continue
        assert pending and pending[0] == name, f"acknowledged: {wanted}, found: {group}, under way: {pending}"
        assert same(group, pending[1]), f"neither before {wanted} nor after {pending[1]}: {group}"
    now = {}
    for name, group in found.items():
        answer = daemon.ask("GET", f"/api/v1/affinity_groups/{group['groupID']}")
        now[name] = {**answer.json, "etag": answer.headers["etag"]}
    return now


def connect(daemon):
    return {vm: FakeQemu(daemon.vm_socket, vm, f"vm{number}", GIB) for number, vm in enumerate(RUNNING)}


def main():
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    chance = random.Random(seed)
    acknowledged = torn = 0
    with tempfile.TemporaryDirectory(prefix="tidemark-kill-") as folder:
        daemon = Daemon(program, folder).start()
        known = check(daemon, connect(daemon), {}, None)
        for turn in range(ROUNDS):
            writer = Writer(daemon, known, chance.random())
            writer.start()
            time.sleep(chance.uniform(0, 0.3))  # the random moment itself
            daemon.kill()
            writer.join()
            if writer.error:
                raise AssertionError(f"round {turn}, seed {seed}") from writer.error
            daemon.start()
            qemus = connect(daemon)
            known = check(daemon, qemus, writer.known, writer.pending)
            acknowledged += writer.acknowledged
            torn += writer.pending is not None
        assert daemon.stop() == 0
    assert acknowledged >= ROUNDS, f"only {acknowledged} changes were acknowledged: this tested little"
    print(f"seed {seed}: {ROUNDS} kills, {acknowledged} acknowledged changes, {torn} kills in the middle of one; none lost")


main()
