#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulated guests: N QMP monitors that connect to tidemarkd's vm.sock, come back when it restarts, and
answer as QEMUs with tiered memory do. Ends at SIGTERM, or when its standard input ends. With --tell each
setting that arrives is told on standard output: NAME, its seconds on CLOCK_MONOTONIC, and what was set, in JSON."""
import argparse
import asyncio
import json
import random
import signal
import sys
import time
import uuid

PAGE = 4096
STATES = ["untouched", "zero", "resident", "staged", "stored", "arrived", "in-transit", "held", "poisoned",
          "remote"]
ORIGINS = ["streams", "successors", "record", "request", "phases", "network"]
# Where all of them are busy, in turn, each 5 s long; each guest begins at another point.
ROUND = [8 * step for step in random.Random(1).sample(range(8), 8)]
NAMESPACE = uuid.UUID("6f2c3f0a-5d0e-4a55-9a1c-7a1d3a1f0c11")


class Backend:
    def __init__(self, name, size, seed):
        self.random = random.Random(seed)
        self.id = name
        self.size = size
        self.settings = {"dram-limit": size // 4, "eviction-policy": "lru", "cold-age": 120, "prefetch": True,
                         "prefetch-window": 10, "learn": True, "reclaim-slowdown": 20}
        self.faults = 0
        self.seconds = 0
        self.first = seed
        self.heat = [0.0] * 64

    def step(self):
        """A while passes: some pages are used, others cool down."""
        self.faults += self.random.randrange(1000)
        self.seconds += 5
        hot = ROUND[(self.first + self.seconds // 5) % len(ROUND)]
        self.heat = [value * 0.9 for value in self.heat]
        for cell in range(hot, min(64, hot + 6)):
            self.heat[cell] += self.random.random() * 500

    def stats(self):
        pages = self.size // PAGE
        resident = min(pages, self.settings["dram-limit"] // PAGE)
        counts = dict.fromkeys(STATES, 0) | {"resident": resident, "stored": pages - resident}
        tier = {"degraded": False, "direct-io": True, "write-budget": 0, "read-errors": 0, "write-errors": 0,
                "checksum-errors": 0, "used": self.size // 2, "pages": pages // 2, "read-bytes": self.faults * PAGE,
                "written-bytes": self.faults * PAGE // 2, "capacity": 2 * self.size,
                "write-sizes": [{"below": 2 << n, "count": self.faults >> n} for n in range(12, 22)]}
        counters = dict.fromkeys(
            ["faults-untouched", "faults-staged", "faults-stored", "faults-arrived", "refaults", "readahead-pages",
             "readahead-used", "prefetch-pages", "prefetch-declined", "evicted-pages", "zero-elided", "clean-elided",
             "promoted-pages", "demoted-pages"], self.faults // 4)
        counters |= {"faults": self.faults, "faults-parked": 0, "huge-moves": 1, "discarded-pages": 0, "move-busy": 0,
                     "prefetch": [{"origin": origin, "issued": self.faults // 8, "used": self.faults // 9, "late": 1,
                                   "wasted": 2} for origin in ORIGINS]}
        buckets = [{"below": int(250 * 2 ** (n / 4)), "count": 1 + self.faults // (n + 1)} for n in range(8, 60)]
        return self.settings | {
            "id": self.id, "size": self.size, "predictors": ["streams", "phases"], "armed": True,
            "dram-used": resident * PAGE, "dram-slack": 1 << 20, "metadata-bytes": self.size // 256,
            "prefetch-queued": 0, "pages": counts, "counters": counters,
            "tiers": [tier | {"path": "/var/lib/tidemark/nvme", "class": "nvme"},
                      tier | {"path": "/var/lib/tidemark/qlc", "class": "qlc"}],
            "fault-latency": {"count": self.faults, "p50": 2000, "p99": 90000, "p999": 400000, "buckets": buckets}}

    def profile(self, heat):
        rate = self.random.random() * 50
        answer = {
            "id": self.id, "seconds": float(self.seconds), "watching": True, "lost-accesses": 0,
            "working-set": [{"window": n, "seen": self.size // 8, "estimate": self.size // 6, "untested": 0}
                            for n in (10, 60, 600)],
            "cold": [{"age": n, "bytes": self.size // 8, "tested": 0} for n in (60, 120, 600)],
            "used-per-second": rate * 4, "written-per-second": rate, "write-share": 0.25, "locality": 0.5,
            "in-order": 0.2, "waits-per-second": rate, "refaults-per-second": rate / 2,
            "more-dram": [{"bytes": self.size // n, "saved-waits": 1 / n, "saved-refaults": 1 / n} for n in (16, 8, 4)],
            "phase": 1, "phases": 2, "phase-changes": 3, "phase-seconds": 10.5, "workload": "web",
            "workload-confidence": 0.75, "workload-labelled": False, "learner-bytes": 1 << 20,
            "learner-cpu-seconds": self.seconds * 0.002, "reclaim-slowdown": 0.01,
            "forecasters": [{"origin": origin, "on": True, "earning": True, "expected": 10, "ordered": 9, "used": 8,
                             "late": 1, "wasted": 1, "surely": 0.8} for origin in ORIGINS]}
        if heat:
            answer["heat"] = {"cell-bytes": self.size // 64, "cells": self.heat}
        return answer


class Refused(Exception):
    """What QEMU would say to a command it does not take."""


def uuid_of(number):
    return str(uuid.uuid5(NAMESPACE, f"sim-{number}"))


class Guest:
    def __init__(self, number, size, tell=False):
        self.name = f"sim-{number}"
        self.uuid = uuid_of(number)
        self.tell = tell
        self.backends = [Backend("pc.ram", size, number)]
        self.connections = 0

    def answer(self, command, arguments):
        if command == "query-uuid":
            return {"UUID": self.uuid}
        if command == "query-name":
            return {"name": self.name}
        if command == "query-status":
            return {"running": True, "status": "running"}
        if command == "query-tiered-memory":
            for backend in self.backends:
                backend.step()
            return [backend.stats() for backend in self.backends]
        if command == "query-tiered-memory-profile":
            return [backend.profile(arguments.get("heat")) for backend in self.backends]
        if command == "query-tiered-memory-sketch":
            return [{"id": b.id, "values": list(range(1, 257)), "pages": b.size // PAGE} for b in self.backends]
        if command == "tiered-memory-prefetch":
            return {"ticket": 1}
        if command == "tiered-memory-prefetch-cancel":
            return {"pages": 0}
        if command in ("qmp_capabilities", "tiered-memory-record-start", "tiered-memory-set-workload"):
            return {}
        if command == "tiered-memory-configure":
            if self.tell:
                print(self.name, time.monotonic(), json.dumps(arguments), flush=True)
            for backend in self.backends:
                if arguments.get("id", backend.id) == backend.id:
                    backend.settings |= {key: value for key, value in arguments.items() if key != "id"}
            return {}
        raise Refused(f"The command {command} has not been found")

    async def serve(self, path):
        """Connects, again and again, as QEMU with reconnect-ms does."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
            except OSError:
                await asyncio.sleep(0.5)
                continue
            self.connections += 1
            try:
                await self.talk(reader, writer)
            except OSError:
                pass
            writer.close()
            await asyncio.sleep(0.5)

    async def talk(self, reader, writer):
        def send(message):
            writer.write(json.dumps(message).encode() + b"\r\n")
        version = {"qemu": {"major": 10, "minor": 0, "micro": 13}, "package": ""}
        send({"QMP": {"version": version, "capabilities": ["oob"]}})
        while line := await reader.readline():
            request = json.loads(line)
            command = request.get("execute") or request.get("exec-oob")
            try:
                send({"return": self.answer(command, request.get("arguments", {})), "id": request["id"]})
            except Refused as refusal:
                send({"error": {"class": "CommandNotFound", "desc": str(refusal)}, "id": request["id"]})
            await writer.drain()


async def run(options):
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1(4096) or over.set())
    guests = [Guest(number, options.memory << 20, options.tell) for number in range(options.guests)]
    tasks = [asyncio.create_task(guest.serve(options.socket)) for guest in guests]
    await over.wait()
    for task in tasks:
        task.cancel()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", default="/run/tidemark/vm.sock")
    parser.add_argument("--guests", type=int, default=10)
    parser.add_argument("--memory", type=int, default=4096, help="MiB of each guest")
    parser.add_argument("--tell", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
