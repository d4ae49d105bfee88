# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon made up for tests of the command: a Unix socket, answers by method and path, and what was asked."""
import http.server
import json
import socketserver
import tempfile
import threading
import urllib.parse

WEB1 = "11111111-1111-4111-8111-111111111111"
DB1 = "22222222-2222-4222-8222-222222222222"
GROUP = "33333333-3333-4333-8333-333333333333"
GIB = 1 << 30


def guest(uuid, name, **more):
    return {"uuid": uuid, "name": name, "title": "", "labels": [], "connected": True, "memory": 4 * GIB, "dramUsed": GIB,
            "dramLimit": 2 * GIB, "dramFloor": GIB // 2, "priority": 100, "group": {"groupID": GROUP, "name": "web"},
            "policy": {"evictionPolicy": "LRU", "coldAge": 120}, "settingsProblem": None, "elementProblem": None, "stored": 3 * GIB // 2,
            "heldPages": 0, "tiers": [], "faultsPerSecond": 120.0, "waitsPerSecond": 12.0, "latencyP99Ns": 250000,
            "workload": "web", "workloadConfidence": 0.9, "workingSet": GIB, "record": {"phase": "none"}, **more}


class Fake:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tidemark-cli-")
        self.socket = f"{self.folder.name}/api.sock"
        self.asked = []           # (method, target, body, If-Match)
        self.answers = {}         # "METHOD path" -> (status, body, headers)
        group = {"groupID": GROUP, "name": "web", "members": [WEB1], "priority": 150, "origin": "operator",
                 "policy": {"prefetchWindow": 30, "reuseEnabled": True}}
        self.groups = [group]
        self.guests = [guest(WEB1, "web1"), guest(DB1, "db1", connected=False, group=None)]
        self.say("GET /api/v1/status", {
            "version": "0.1.0", "dramBudget": 8 * GIB,
            "arbiter": {"rounds": 9, "raised": 3, "lowered": 2, "movedBytes": GIB, "pressed": True},
            "affinity": {"orders": 4, "orderedBytes": GIB // 2, "replays": 7}})
        self.say("GET /api/v1/tiers", {"items": [
            {"path": "/srv/nvme", "name": "fast", "class": "nvme", "capacity": 100 * GIB, "used": 10 * GIB, "guests": 2,
             "degradedFor": 0}], "next": None})
        self.say(f"GET /api/v1/guests/{WEB1}", self.guests[0], headers={"ETag": '"g1"'})
        self.say(f"GET /api/v1/affinity_groups/{GROUP}", group, headers={"ETag": '"7"'})

    def say(self, what, body, status=200, headers=None):
        self.answers[what] = (status, body, headers or {})

    def answer(self, method, target, body, match):
        self.asked.append((method, target, body, match))
        url = urllib.parse.urlsplit(target)
        query = urllib.parse.parse_qs(url.query)
        lists = {"/api/v1/guests": ("uuid", self.guests), "/api/v1/affinity_groups": ("groupID", self.groups)}
        if method == "GET" and url.path in lists:
            # Pages of one item, whatever is asked for: the command must follow them.
            key, items = lists[url.path]
            after = query.get("after", [""])[0]
            rest = sorted((item for item in items if item[key] > after), key=lambda item: item[key])
            return 200, {"items": rest[:1], "next": rest[0][key] if len(rest) > 1 else None}, {}
        return self.answers.get(f"{method} {url.path}", (404, {"title": "Not Found", "detail": f"no answer for {method} {target}"}, {}))

    def __enter__(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length).decode()
                status, body, headers = fake.answer(self.command, self.path, json.loads(text) if text else None,
                                                    self.headers.get("If-Match"))
                data = json.dumps(body).encode() if body is not None else b""
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if data:
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def address_string(self):
                return "client"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(self.socket, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()
