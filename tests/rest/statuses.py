# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers that take more than one question: bodies that are no JSON, working sets of others, a QEMU that talks nonsense,
one that says nothing, one that is gone. And whether every described answer was seen."""
from concurrent.futures import ThreadPoolExecutor
import uuid

from daemon import wait_for
from fake_qemu import FakeQemu

GROUPS = "/api/v1/affinity_groups"
PREFETCH = "tiered-memory-prefetch"
OTHER = "11111111-2222-4333-8444-777777777777"
ORDER = {"ranges": [{"offset": 4096, "length": 8192}]}
RECORD_MOST = 86400
OUTSTANDING = 32  # commands that wait for one QEMU's answer

# What only a full disk brings about; store_test has a full file. (path, method, status)
FULL_DISK = {(GROUPS, "post", 507), (GROUPS + "/{id}", "put", 507), (GROUPS + "/{id}", "delete", 507),
             (GROUPS + "/{id}/members/{vm}", "delete", 507), ("/api/v1/guests/{uuid}", "patch", 507),
             ("/api/v1/guests/{uuid}/replay", "post", 507), ("/api/v1/domains/{uuid}/stopped", "post", 507),
             ("/api/v1/domains/{uuid}/started", "post", 409), ("/api/v1/domains/{uuid}/reconnect", "post", 409)}


def never_asked(contract):
    described = {(path, method, int(status)) for path, methods in contract.document["paths"].items()
                 for method, it in methods.items() if method != "parameters" for status in it["responses"]}
    assert described > FULL_DISK, f"excepted, and not described: {FULL_DISK - described}"
    assert not FULL_DISK & contract.asked, f"excepted, and asked: {FULL_DISK & contract.asked}"
    return [f"{method} {path}: {status}" for path, method, status in sorted(described - contract.asked - FULL_DISK)]


def statuses(contract, guest):
    qemu = FakeQemu(contract.daemon.vm_socket, guest, "one")
    wait_for("the guest is connected", lambda: contract.daemon.ask("GET", f"/api/v1/guests/{guest}").status == 200)
    bodies(contract, guest)
    full_group(contract)
    ways = questions(contract, guest)
    recorded(contract, qemu, guest)
    nonsense(contract, qemu, ways)
    silence(contract, qemu, ways)
    qemu.close()
    wait_for("the guest is gone", lambda: not contract.ask("GET", f"/api/v1/guests/{guest}", 200).json["connected"])
    for ask in ways.values():
        ask(503)


def questions(contract, guest):
    """What is answered by QEMU: the command it is asked, and how to ask."""
    prefetch, path = f"/api/v1/memory/prefetch/{guest}", f"/api/v1/guests/{guest}"
    return {PREFETCH: lambda status: contract.ask("POST", prefetch, status, ORDER),
            PREFETCH + "-cancel": lambda status: contract.ask("DELETE", prefetch, status),
            "query-migrate-forecast": lambda status: contract.ask("GET", path + "/migrate-forecast", status),
            "tiered-memory-replay": lambda status: contract.ask("POST", path + "/replay", status, {}),
            "tiered-memory-record-start": lambda status: contract.ask("POST", path + "/record", status, {"seconds": RECORD_MOST})}


def bodies(contract, guest):
    group = contract.ask("POST", GROUPS, 201, {"name": "bodies"})
    for template, methods in contract.document["paths"].items():
        path = template.replace("{id}", group.json["groupID"]).replace("{uuid}", guest)
        for method, described in methods.items():
            if method == "parameters":
                continue
            if "requestBody" in described:
                ask, headers = method.upper(), {"If-Match": "*"}
                contract.ask(ask, path, 400, "{", headers)
                contract.ask(ask, path, 413, " " * ((1 << 20) + 1), headers)
                contract.ask(ask, path, 415, "x=y", {**headers, "Content-Type": "application/x-www-form-urlencoded"})
            elif any(it.get("$ref", "").endswith("/limit") for it in described.get("parameters", ())):
                contract.ask(method.upper(), path + "?limit=0", 400)
    contract.ask("DELETE", group.headers["location"], 204)


def full_group(contract):
    members = [str(uuid.UUID(int=number)) for number in range(1, 4097)]
    path = contract.ask("POST", GROUPS, 201, {"name": "full", "members": members}).headers["location"]
    contract.ask("POST", path + "/members", 507, {"vm": OTHER})
    contract.ask("DELETE", path, 204)


def recorded(contract, qemu, guest):
    """What one recorded, another one of another group may not have."""
    path, other = f"/api/v1/guests/{guest}", FakeQemu(contract.daemon.vm_socket, OTHER, "other")
    wait_for("the other is connected", lambda: contract.daemon.ask("GET", f"/api/v1/guests/{OTHER}").status == 200)
    contract.ask_well("POST", path + "/record", 202, {"seconds": 1})
    wait_for("it is recorded", lambda: contract.ask("GET", path, 200).json["record"]["phase"] == "saved")
    qemu.answers["tiered-memory-replay"] = {"pages": 11}
    assert contract.ask_well("POST", path + "/replay", 202, {}).json == {"pages": 11}
    detail = contract.ask_well("POST", f"/api/v1/guests/{OTHER}/replay", 403, {"from": guest}).json["detail"]
    assert "not of the same affinity group" in detail and not [it for it in other.asked if it[0] == "tiered-memory-replay"]
    contract.ask_well("POST", f"/api/v1/guests/{OTHER}/record", 202, {"seconds": RECORD_MOST})
    contract.ask("POST", f"/api/v1/guests/{OTHER}/record", 409, {"seconds": 1})
    other.close()


def nonsense(contract, qemu, ways):
    for command, ask in ways.items():
        if command == "tiered-memory-record-start":
            continue  # it is not asked for anything
        before, qemu.answers[command] = qemu.answers.get(command), {"verdict": 5}
        ask(502)
        qemu.refused[command] = "it knows no such thing"
        assert "it knows no such thing" in ask(422).json["detail"]
        del qemu.refused[command]
        qemu.answers[command] = before


def silence(contract, qemu, ways):
    """Too many commands wait for an answer: more are refused. None comes: each is told so."""
    qemu.silent = set(ways)

    def waiting():
        return len([name for name, _ in qemu.asked if name in qemu.silent])
    full = waiting() + OUTSTANDING
    # A guest records once at a time. The daemon's own questions take a place for a moment, so one may be refused.
    order = ["tiered-memory-record-start"] + [command for command in ways if command != "tiered-memory-record-start"] * OUTSTANDING
    with ThreadPoolExecutor(2 * OUTSTANDING) as pool:
        answers = []
        for command in order:
            before = waiting()
            if before == full:
                break
            answer = pool.submit(ways[command], (504, 409))
            answers.append(answer)
            wait_for("it waits, or was refused", lambda then=before, it=answer: waiting() > then or it.done())
        assert waiting() == full
        for ask in ways.values():
            ask(409)
        for answer in answers:
            answer.result()
