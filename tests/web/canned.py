# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon's answers made up: as many guests as a test wants, with lives that can be told apart. The page is served
beside them, as the daemon does."""
import http.server
import json
import math
import pathlib
import threading
import urllib.parse
import uuid

WEB = pathlib.Path(__file__).resolve().parents[2] / "src/daemon/web"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = ("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
GIB = 1 << 30
MINUTE = 60000
NOW = 1_700_000_000_000
WORKLOADS = ["database", "web", "batch", "idle"]


def guest_id(number):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"guest {number}"))


def guest(number):
    memory = (4, 8, 16, 32)[number % 4] * GIB
    busy = (number * 37 % 100) / 100
    connected = number % 23 != 22
    return {
        "uuid": guest_id(number), "name": f"web-{number:03}" if number % 2 else f"db-{number:03}",
        "title": "", "labels": [], "connected": connected, "memory": memory,
        "dramUsed": int(memory * (0.1 + 0.3 * busy)) if connected else 0, "dramLimit": memory // 2,
        "dramFloor": memory // 10, "priority": 100, "settingsProblem": None, "elementProblem": None,
        "group": None if number % 5 == 4 else {"groupID": guest_id(10000 + number % 3), "name": ("web", "db", "ci")[number % 3]},
        "policy": {"evictionPolicy": "LRU", "prefetchEnabled": True, "prefetchWindow": 10, "coldAge": 120},
        "stored": int(memory * 0.4 * busy), "heldPages": 3 if number == 7 else 0,
        "tiers": [{"path": "/var/lib/tidemark/nvme", "class": "nvme", "capacity": 2 * memory, "used": int(memory * busy),
                   "degraded": number == 11}],
        "faultsPerSecond": 5000 * busy ** 3, "waitsPerSecond": 400 * busy ** 4, "workload": WORKLOADS[number % 4],
        "workloadConfidence": 0.8, "workingSet": int(memory * 0.2 * (1 + busy)), "latencyP50Ns": 9000,
        "latencyP99Ns": int(80000 * (1 + 20 * busy)), "latencyP999Ns": 4000000,
    }


def heat(number):
    """A guest with a hot start, a band that walks upwards, and a job in its last quarter."""
    samples = []
    for i in range(120):
        walk = (i * 2 // 3 + number) % 64
        cells = []
        for cell in range(64):
            value = 200 * math.exp(-cell / 6) + 220 * math.exp(-((cell - walk) / 3) ** 2)
            value += 160 if i > 90 and 40 <= cell < 56 else 0
            cells.append(min(255, int(value)))
        busy = 1 + math.sin(i / 9)
        samples.append({"at": NOW - (119 - i) * 10000, "heat": cells, "faultsPerSecond": 800 * busy + (4000 if i > 90 else 0),
                        "waitsPerSecond": 90 * busy, "dramUsed": int(1.2 * GIB + 0.5 * GIB * busy),
                        "dramLimit": 2 * GIB if i < 60 else 3 * GIB, "latencyP99Us": int(120 * (1 + busy * 8)) if i % 40 else 0})
    return samples


class Canned:
    """The state; a test changes it while the page looks."""

    def __init__(self, guests):
        self.guests = guests
        self.failing = None     # (status, sentence): every request fails
        self.asked = []

    def answer(self, path, query):
        self.asked.append(path)
        if path == "/api/v1/status":
            return {"version": "0.1.0", "dramBudget": 512 * GIB, "guests": self.guests}
        if path == "/api/v1/guests":
            return self.page([guest(n) for n in range(self.guests)], "uuid", query)
        if path == "/api/v1/affinity_groups":
            groups = [{"groupID": guest_id(10000 + n), "name": name, "priority": 100 * (n + 1),
                       "members": [guest_id(i) for i in range(self.guests) if i % 3 == n and i % 5 != 4],
                       "origin": ("operator", "domain", "service")[n],
                       "policy": {"evictionPolicy": "LFU", "prefetchEnabled": n != 2} if n else {}}
                      for n, name in enumerate(("web", "db", "ci"))] if self.guests else []
            return self.page(groups, "groupID", query)
        if path == "/api/v1/tiers":
            tiers = [{"path": "/var/lib/tidemark/nvme", "name": "fast", "class": "nvme", "capacity": 2048 * GIB,
                      "allotted": 100 * GIB, "used": 620 * GIB, "guests": self.guests, "degradedFor": 1 if self.guests > 11 else 0},
                     {"path": "/srv/qlc", "name": None, "class": "qlc", "capacity": None, "allotted": 8192 * GIB,
                      "used": 3000 * GIB, "guests": self.guests, "degradedFor": 0}] if self.guests else []
            return self.page(tiers, "path", query)
        for number in range(self.guests):
            if path == f"/api/v1/guests/{guest_id(number)}/heat":
                return {"uuid": guest_id(number), "memory": 4 * GIB, "buckets": 64, "samples": heat(number) if number else []}
        return None

    @staticmethod
    def page(items, key, query):
        items = sorted(items, key=lambda item: item[key])
        after = query.get("after", [""])[0]
        limit = int(query.get("limit", ["100"])[0])
        rest = [item for item in items if item[key] > after]
        return {"items": rest[:limit], "next": rest[limit - 1][key] if len(rest) > limit else None}

    def serve(self):
        canned = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                if url.path.startswith("/api/"):
                    found = canned.answer(url.path, urllib.parse.parse_qs(url.query))
                    if canned.failing:
                        status, sentence = canned.failing
                        self.reply(status, "application/problem+json", json.dumps({"title": "Failed", "detail": sentence}))
                    elif found is None:
                        self.reply(404, "application/problem+json", json.dumps({"title": "Not Found"}))
                    else:
                        self.reply(200, "application/json", json.dumps(found))
                    return
                file = WEB / (url.path.lstrip("/") or "index.html")
                if file.parent == WEB and file.is_file():
                    self.reply(200, TYPES[file.suffix], file.read_text())
                else:
                    self.reply(404, "text/plain", "not here")

            def reply(self, status, kind, text):
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}/"
