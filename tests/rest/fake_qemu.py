# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of a QEMU as the daemon talks to: connects to vm.sock and answers QMP in a thread."""
import json
import pathlib
import socket
import threading

GIB = 1 << 30


def backend(size):
    states = ("untouched", "zero", "resident", "staged", "stored", "arrived", "in-transit", "held", "poisoned",
              "remote")
    return {"id": "ram0", "size": size, "dram-limit": size // 2, "dram-used": size // 4, "metadata-bytes": 4096,
            "armed": True, "eviction-policy": "lru", "cold-age": 120, "prefetch": True, "prefetch-window": 10,
            "reclaim-slowdown": 20, "learn": True, "prefetch-queued": 0,
            "pages": {state: number for number, state in enumerate(states)},
            "tiers": [{"path": "/tiers/nvme", "class": "nvme", "degraded": False, "capacity": 2 * size, "write-budget": 0,
                       "used": 8192, "pages": 2, "read-bytes": 100, "written-bytes": 200, "read-errors": 0,
                       "write-errors": 0, "checksum-errors": 0}],
            "counters": {"faults": 100, "stored": 10},
            "fault-latency": {"count": 100, "p50": 2000, "p99": 90000, "p999": 200000,
                              "buckets": [{"below": 2000, "count": 90}, {"below": 90000, "count": 10}]}}


def profile(size):
    return {"id": "ram0", "seconds": 10.0, "watching": True,
            "working-set": [{"window": 60, "seen": 4096, "estimate": 8192, "untested": 0}],
            "cold": [], "used-per-second": 1.5, "written-per-second": 0.5, "write-share": 0.25, "locality": 0.5,
            "in-order": 0.1, "waits-per-second": 3.0, "refaults-per-second": 2.0, "more-dram": [], "phase": 1, "phases": 2,
            "phase-changes": 3, "phase-seconds": 30.0, "workload": "web", "workload-confidence": 0.8,
            "workload-labelled": False, "heat": {"cell-bytes": size // 64, "cells": [100.5] * 8 + [0.0] * 56},
            "forecasters": [], "learner-bytes": 65536, "learner-cpu-seconds": 0.5, "reclaim-slowdown": 0.01}


class FakeQemu(threading.Thread):
    def __init__(self, path, uuid, name, size=GIB):
        super().__init__(daemon=True)
        self.backends = [backend(size)]
        self.configured = []
        self.asked = []
        self.answers = {"query-uuid": {"UUID": uuid}, "query-name": {"name": name},
                        "query-tiered-memory": self.backends, "query-tiered-memory-profile": [profile(size)],
                        "query-status": {"status": "running", "running": True},
                        "tiered-memory-prefetch": {"ticket": 7, "pages": 1, "queued": 1},
                        "tiered-memory-prefetch-cancel": {"pages": 3}}
        self.answers["tiered-memory-record-save"] = self.save
        self.refused = {}    # command -> QEMU's sentence
        self.silent = set()  # commands that are never answered
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.start()

    def run(self):
        try:
            self.send({"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 13}}, "capabilities": ["oob"]}})
            for line in self.socket.makefile("r"):
                self.handle(json.loads(line))
        except (OSError, ValueError):
            pass  # closed

    @staticmethod
    def save(arguments):
        if "file" in arguments:
            pathlib.Path(arguments["file"]).write_text("a working set")
        return {"pages": 11}

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\r\n")

    def handle(self, command):
        name = command.get("execute") or command.get("exec-oob")
        arguments = command.get("arguments", {})
        self.asked.append((name, arguments))
        if name == "tiered-memory-configure":
            self.configured.append(arguments)
            self.backends[0].update({key: value for key, value in arguments.items() if key != "id"})
        if name in self.silent:
            return
        answer = self.answers.get(name, {})
        said = {"return": answer(arguments) if callable(answer) else answer}
        if name in self.refused:
            said = {"error": {"class": "GenericError", "desc": self.refused[name]}}
        self.send({**said, **({"id": command["id"]} if "id" in command else {})})
