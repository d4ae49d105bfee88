#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that openapi.json describes is asked of a real daemon with a guest, and every answer, good or bad, is
as described.    contract.py TIDEMARKD"""
import sys
import tempfile

from daemon import Daemon, wait_for
from domains import domains
from fake_qemu import GIB, FakeQemu
from schema import Schemas
from statuses import statuses, never_asked

GUEST = "11111111-2222-4333-8444-555555555555"
OTHER = "11111111-2222-4333-8444-666666666666"
NOBODY = "99999999-2222-4333-8444-555555555555"
GROUPS = "/api/v1/affinity_groups"


class Contract:
    def __init__(self, daemon):
        self.daemon = daemon
        self.document = daemon.ask("GET", "/api/v1/openapi.json").json
        self.schemas = Schemas(self.document)
        self.asked = set()  # (path, method, status)

    def template(self, path):
        parts = path.split("?")[0].split("/")
        for template in self.document["paths"]:
            ours = template.split("/")
            if len(ours) == len(parts) and all(a == b or a.startswith("{") for a, b in zip(ours, parts)):
                return template
        raise AssertionError(f"openapi.json does not know {path}")

    def ask(self, method, path, status, body=None, headers=None):
        answer = self.daemon.ask(method, path, body, headers)
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status in wanted, f"{method} {path}: {answer.status}, not {status}: {answer.body[:400]}"
        status = answer.status
        template = self.template(path)
        described = self.document["paths"][template][method.lower()]["responses"].get(str(status))
        assert described, f"openapi.json does not know that {method} {template} answers {status}"
        self.asked.add((template, method.lower(), status))
        for header in described.get("headers", {}):
            assert header.lower() in answer.headers, f"{method} {path} has no {header}"
        content = described.get("content")
        if not content:
            assert answer.body == b"", f"{method} {path}: {answer.body[:100]}"
            return answer
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in content, f"{method} {path} is {kind}, described is {list(content)}"
        if kind.endswith("json"):
            self.schemas.check(answer.json, content[kind]["schema"], f"{method} {path}")
        if status >= 400:
            assert answer.json["status"] == status and len(answer.json["detail"]) > 10
        return answer

    def ask_well(self, method, path, status, body, headers=None):
        """The body is one that openapi.json allows."""
        described = self.document["paths"][self.template(path)][method.lower()]["requestBody"]
        self.schemas.check(body, described["content"]["application/json"]["schema"], f"request of {method} {path}")
        return self.ask(method, path, status, body, headers)


def groups(contract):
    made = contract.ask_well("POST", GROUPS, 201, {"name": "web", "priority": 200, "policy": {"coldAge": 60}})
    assert made.json["origin"] == "operator" and made.json["policy"] == {"coldAge": 60}
    path = made.headers["location"]
    contract.ask("POST", GROUPS, 409, {"name": "web"})
    for bad in ({}, {"name": "a b"}, {"name": "x" * 65}, {"name": GUEST}, {"name": "x", "priority": 0}, {"name": 5},
                {"name": "x", "policy": {"coldAge": -1}}, {"name": "x", "policy": {"evictionPolicy": "MRU"}},
                {"name": "x", "polcy": {}}, {"name": "x", "members": ["no"]}, {"name": "x", "members": 3}, []):
        contract.ask("POST", GROUPS, 422, bad)
    contract.ask("POST", GROUPS, 400, "{")
    contract.ask("POST", GROUPS, 415, "name=x", {"Content-Type": "application/x-www-form-urlencoded"})
    contract.ask("POST", GROUPS, 413, " " * ((1 << 20) + 1))

    etag = contract.ask("GET", path, 200).headers["etag"]
    contract.ask("PUT", path, 428, {"priority": 300})
    contract.ask("PUT", path, 412, {"priority": 300}, {"If-Match": '"0"'})
    contract.ask("PUT", path, 422, {"name": "not a name"}, {"If-Match": etag})
    changed = contract.ask_well("PUT", path, 200, {"policy": {"evictionPolicy": "FIFO"}}, {"If-Match": etag})
    assert changed.json["policy"] == {"evictionPolicy": "FIFO"} and changed.json["priority"] == 100
    contract.ask("PUT", path, 412, {}, {"If-Match": etag})
    whole = contract.ask("GET", path, 200)
    contract.ask_well("PUT", path, 200, whole.json, {"If-Match": whole.headers["etag"]})

    taken = contract.ask("POST", GROUPS, 201, {"name": "db"}).headers["location"]
    tag = {"If-Match": contract.ask("GET", path, 200).headers["etag"]}
    contract.ask("PUT", path, 409, {"name": "db"}, tag)
    renamed = contract.ask_well("PUT", path, 200, {"name": "front"}, tag)
    assert renamed.json["name"] == "front" and path.endswith(renamed.json["groupID"])
    contract.ask("PUT", taken, 409, {"name": "web"}, {"If-Match": "*"})
    contract.ask("DELETE", taken, 204)

    members = path + "/members"
    contract.ask_well("POST", members, 201, {"vm": GUEST.upper()})
    contract.ask("POST", members, 422, {"vm": "me"})
    contract.ask("POST", members, 422, {})
    assert [it["vm"] for it in contract.ask("GET", members, 200).json["items"]] == [GUEST]
    assert contract.ask("GET", path, 200).json["members"] == [GUEST]
    contract.ask("DELETE", f"{members}/{OTHER}", 404)
    contract.ask("DELETE", f"{members}/me", 422)
    before = {"If-Match": renamed.headers["etag"]}
    contract.ask("POST", members, 412, {"vm": OTHER}, before)
    contract.ask("DELETE", f"{members}/{GUEST}", 412, None, before)
    assert contract.ask("GET", path, 200).json["members"] == [GUEST]
    now = {"If-Match": contract.ask("GET", path, 200).headers["etag"]}
    contract.ask("POST", members, 201, {"vm": OTHER}, now)
    contract.ask("DELETE", f"{members}/{GUEST}", 204, None, {"If-Match": contract.ask("GET", path, 200).headers["etag"]})
    contract.ask("DELETE", path, 412, None, {"If-Match": '"0"'})
    contract.ask("DELETE", path, 204)
    contract.ask("GET", path, 404)
    contract.ask("DELETE", path, 404)
    contract.ask("PUT", path, 404, {}, {"If-Match": "*"})
    contract.ask("GET", members, 404)
    contract.ask("POST", members, 404, {"vm": GUEST})


def pages(contract):
    names = {f"page-{number:02}" for number in range(25)}
    for name in names:
        contract.ask("POST", GROUPS, 201, {"name": name})
    found, after, asked = [], "", 0
    while after is not None:
        page = contract.ask("GET", f"{GROUPS}?limit=7&after={after}", 200).json
        assert len(page["items"]) <= 7
        found += [group["name"] for group in page["items"]]
        after = page["next"]
        asked += 1
    assert asked == 4 and len(found) == 25 and set(found) == names
    for limit in ("0", "1001", "x", "-1", "", "99999999999999999999"):
        contract.ask("GET", f"{GROUPS}?limit={limit}", 400)
    for group in contract.ask("GET", GROUPS, 200).json["items"]:
        contract.ask("DELETE", f"{GROUPS}/{group['groupID']}", 204)


def guests(contract, qemu):
    path = f"/api/v1/guests/{GUEST}"
    wait_for("the guest is connected", lambda: contract.daemon.ask("GET", path).status == 200)
    wait_for("its profile is there", lambda: contract.ask("GET", path + "/profile", 200).json["backends"])
    wait_for("it has a past", lambda: contract.ask("GET", path + "/heat", 200).json["samples"])
    guest = contract.ask("GET", path, 200)
    assert guest.json["connected"] and guest.json["name"] == "one" and guest.json["workload"] == "web"
    assert guest.json["stored"] == 4 * 4096 and guest.json["latencyP99Ns"] == 90000
    assert [it["uuid"] for it in contract.ask("GET", "/api/v1/guests?limit=1", 200).json["items"]] == [GUEST]
    assert [it["used"] for it in contract.ask("GET", "/api/v1/tiers", 200).json["items"] if it["path"] == "/tiers/nvme"] == [8192]
    contract.ask("GET", path + "/similar", 200)

    change = {"dramLimit": GIB // 4, "priority": 500, "policy": {"coldAge": 77}}
    changed = contract.ask_well("PATCH", path, 200, change, {"If-Match": guest.headers["etag"]})
    assert changed.json["settings"] == change and changed.json["priority"] == 500
    wait_for("QEMU has it", lambda: any(it.get("cold-age") == 77 for it in qemu.configured))
    contract.ask("PATCH", path, 412, {"priority": 1}, {"If-Match": guest.headers["etag"]})
    back = contract.ask_well("PATCH", path, 200, {"dramLimit": None, "policy": None})
    assert back.json["settings"] == {"priority": 500, "policy": {}}
    for bad in ({"priority": 0}, {"dramLimit": 1}, {"dramLimit": 2 * GIB}, {"dramFloor": 2 * GIB}, {"dramFlor": None}, []):
        contract.ask("PATCH", path, 422, bad)
    policy_reaches_members(contract, qemu)
    commands(contract)
    forecast(contract, qemu)
    for method, below, body in (("GET", "", None), ("PATCH", "", {}), ("GET", "/profile", None), ("GET", "/heat", None),
                                ("GET", "/similar", None), ("GET", "/migrate-forecast", None), ("POST", "/record", {}), ("POST", "/replay", {})):
        contract.ask(method, f"/api/v1/guests/{NOBODY}{below}", 404, body)


def policy_reaches_members(contract, qemu):
    def in_force(what, **values):
        wait_for(what, lambda: all(qemu.backends[0][key.replace("_", "-")] == value for key, value in values.items()))

    before = dict(qemu.backends[0])
    made = contract.ask("POST", GROUPS, 201, {"name": "team", "members": [GUEST], "policy": {"coldAge": 55, "evictionPolicy": "LFU"}})
    in_force("the member has the group's policy", cold_age=55, eviction_policy="lfu")
    assert contract.ask("GET", f"/api/v1/guests/{GUEST}", 200).json["group"]["name"] == "team"
    path = made.headers["location"]
    contract.ask("PUT", path, 200, {"policy": {"coldAge": 56, "prefetchEnabled": False}}, {"If-Match": made.headers["etag"]})
    in_force("the member has the changed policy", cold_age=56, prefetch=False, eviction_policy=before["eviction-policy"])
    contract.ask("DELETE", path, 204)
    in_force("the member runs on defaults", cold_age=120, prefetch=True)
    assert contract.ask("GET", f"/api/v1/guests/{GUEST}", 200).json["group"] is None


def commands(contract):
    path = f"/api/v1/memory/prefetch/{GUEST}"
    contract.ask_well("POST", path, 202, {"ranges": [{"offset": 0, "length": 4096}], "confidence": 0.001})
    order = {"ranges": [{"offset": 4096, "length": 8192}], "tier": "nvme", "confidence": 0.5}
    assert contract.ask_well("POST", path, 202, order).json == {"backend": "ram0", "ticket": 7}
    assert contract.ask("DELETE", path, 200).json == {"pages": 3}
    contract.ask("DELETE", path + "?backend=ram0&ticket=7", 200)
    contract.ask("DELETE", path + "?ticket=7", 400)
    contract.ask("DELETE", path + "?backend=ram0&ticket=x", 400)
    for bad in ({}, {"ranges": []}, {"ranges": [{"offset": 1, "length": 4096}]}, {"ranges": [{"offset": 0}]},
                {**order, "tier": "qlc"}, {**order, "confidence": 2}, {**order, "confidence": 0}, {**order, "confidence": -0.5}, {**order, "more": 1}, {**order, "deadlineMs": 0}):
        contract.ask("POST", path, 422, bad)
    contract.ask("POST", f"/api/v1/memory/prefetch/{NOBODY}", 404, order)
    contract.ask("DELETE", f"/api/v1/memory/prefetch/{NOBODY}", 404)
    for seconds in (0, 86401):
        contract.ask("POST", f"/api/v1/guests/{GUEST}/record", 422, {"seconds": seconds})
    contract.ask("POST", f"/api/v1/guests/{GUEST}/replay", 404, {})  # nothing was recorded
    contract.ask("POST", f"/api/v1/guests/{GUEST}/replay", 422, {"from": 5})


def forecast(contract, qemu):
    path = f"/api/v1/guests/{GUEST}/migrate-forecast"
    bound = {"p50": 100, "p90": 200}
    said = {"verdict": "converges", "chance": 0.9, "reason": "it idles", "running": False, "bandwidth": 1 << 25,
            "downtime-limit": 300, "total-time": bound, "bytes": bound, "downtime": bound, "irreducible": 0, "watched": 5.0,
            "remedies": [], "something-new": {"of": "a newer QEMU"}}
    qemu.answers["query-migrate-forecast"] = said
    assert contract.ask("GET", path + "?bandwidth=33554432&downtimeLimit=100", 200).json == {"uuid": GUEST, "forecast": said}
    for bad in ("bandwidth=0", "bandwidth=", "downtimeLimit=-1", "downtimeLimit=1.5", "bandwidth=99999999999999999999"):
        contract.ask("GET", f"{path}?{bad}", 400)
    qemu.answers["query-migrate-forecast"] = {"verdict": 5}
    contract.ask("GET", path, 502)
    # A migration that completed, told with the next question: its error is kept.
    outcome = {"total-time": bound, "bytes": bound, "downtime": bound, "actual-total-time": 150, "actual-bytes": 300,
               "actual-downtime": 100}
    qemu.answers["query-migrate-forecast"] = {**said, "outcome": outcome}
    qemu.send({"event": "MIGRATION", "data": {"status": "completed"}, "timestamp": {"seconds": 1, "microseconds": 0}})

    def metrics():
        return contract.daemon.ask("GET", "/metrics").body.decode()
    wait_for("the outcome is kept", lambda: "tidemark_migration_forecasts_kept 1\n" in metrics())
    assert 'tidemark_migration_forecast_within_p90_ratio{figure="bytes"} 0\n' in metrics()
    assert 'tidemark_migration_forecast_within_p90_ratio{figure="time"} 1\n' in metrics()


def methods(contract):
    """Each path answers the methods that are described, and no other."""
    for template, described in contract.document["paths"].items():
        path = template.replace("{id}", NOBODY).replace("{vm}", NOBODY).replace("{uuid}", NOBODY)
        answer = contract.daemon.ask("OPTIONS", path)
        assert answer.status == 405, f"OPTIONS {path}: {answer.status}"
        contract.schemas.check(answer.json, {"$ref": "#/components/schemas/Problem"})
        wanted = {method.upper() for method in described if method != "parameters"}
        allowed = set(answer.headers["allow"].split(", "))
        assert allowed - {"HEAD"} == wanted, f"{path} allows {allowed}, described are {wanted}"
    head = contract.daemon.ask("HEAD", GROUPS)
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 0
    assert contract.daemon.ask("GET", "/api/v1/nothing").status == 404


def main():
    with tempfile.TemporaryDirectory(prefix="tidemark-contract-") as folder:
        daemon = Daemon(sys.argv[1], folder, f'[host]\ndram = "1GiB"\n[[tier]]\nname = "fast"\nclass = "nvme"\n'
                        f'path = "{folder}"\n').start()
        contract = Contract(daemon)
        for path in ("/", "/metrics", "/api/v1/status", "/api/v1/openapi.json"):
            contract.ask("GET", path, 200)
        qemu = FakeQemu(daemon.vm_socket, GUEST, "one")
        groups(contract)
        pages(contract)
        guests(contract, qemu)
        methods(contract)
        domains(contract)
        statuses(contract, GUEST)  # the guest connects anew: the daemon was killed meanwhile
        described = {(path, method) for path, it in contract.document["paths"].items() for method in it
                     if method != "parameters"}
        missing = described - {(path, method) for path, method, _ in contract.asked}
        assert not missing, f"never asked: {missing}"
        missing = never_asked(contract)
        assert not missing, "described and never asked:\n" + "\n".join(missing)
        daemon.alive()
        assert daemon.stop() == 0
        print(f"{len(described)} operations, {len(contract.asked)} kinds of answers are as described")


main()
