# SPDX-License-Identifier: GPL-2.0-or-later
"""What libvirt's hook tells: admission, groups that form and dissolve by themselves, an operator's group that wins; and what
becomes of a domain when the hook could not tell."""
import json

from daemon import wait_for
from fake_qemu import FakeQemu

MIB = 1 << 20
GROUPS = "/api/v1/affinity_groups"
FIRST, SECOND, GUEST = (f"11111111-2222-4333-8444-{tail}" for tail in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "555555555555"))
BUDGET = 1024 * MIB


def path_of(uuid, what):
    return f"/api/v1/domains/{uuid}/{what}"


def domain(uuid, name, floor, **element):
    return {"uuid": uuid, "name": name, "memory": BUDGET, "element": {"dram": "50%", "floor": floor, **element}}


def group_names(contract):
    return {group["name"]: group for group in contract.ask("GET", GROUPS, 200).json["items"]}


def domains(contract):
    refused(contract)
    groups_by_themselves(contract)
    operator_wins(contract)
    known_from_a_file(contract)
    never_told(contract)


def refused(contract):
    for body in ({}, {"uuid": FIRST}, domain(SECOND, "b", "1GiB"), domain(FIRST, "a", "400%"),
                 domain(FIRST, "a", "64MiB", tiers=[{"name": "nowhere"}]), []):
        contract.ask("POST", path_of(FIRST, "prepare"), 422, body)
    contract.ask("POST", path_of(FIRST, "prepare"), 400, "{")
    for what in ("prepare", "started", "reconnect", "stopped"):
        contract.ask("POST", path_of("no-uuid", what), 422, {})
    for what in ("started", "reconnect"):
        contract.ask("POST", path_of(FIRST, what), 404)
    contract.ask("POST", path_of(FIRST, "stopped"), 204)
    assert contract.ask("GET", "/api/v1/status", 200).json["domains"] == 0


def groups_by_themselves(contract):
    first = contract.ask("POST", path_of(FIRST, "prepare"), 200, domain(FIRST, "a", "400MiB", service="web")).json
    assert first["dram-floor"] == 400 * MIB and first["dram-limit"] == 512 * MIB
    group = group_names(contract)["service:web"]
    assert group["members"] == [FIRST] and group["origin"] == "service" and group["groupID"] == first["group"]

    answer = contract.ask("POST", path_of(SECOND, "prepare"), 409,
                          {**domain(SECOND, "b", "800MiB"), "element": {"dram": "100%", "floor": "800MiB"}})
    assert "floor" in answer.json["detail"] and "'b'" in answer.json["detail"]
    assert "service:web" in group_names(contract) and contract.ask("GET", "/api/v1/status", 200).json["domains"] == 1
    contract.ask("PATCH", f"/api/v1/guests/{GUEST}", 409, {"dramFloor": 900 * MIB})

    contract.ask("POST", path_of(SECOND, "prepare"), 200, domain(SECOND, "b", "100MiB", service="web"))
    assert group_names(contract)["service:web"]["members"] == [FIRST, SECOND]
    contract.ask("POST", path_of(FIRST, "stopped"), 204)
    assert group_names(contract)["service:web"]["members"] == [SECOND]
    contract.ask("POST", path_of(SECOND, "stopped"), 204)
    assert "service:web" not in group_names(contract)


def operator_wins(contract):
    ours = contract.ask("POST", GROUPS, 201, {"name": "ops", "members": [FIRST]}).json
    named = contract.ask("POST", path_of(FIRST, "prepare"), 200, domain(FIRST, "a", "64MiB", group="blue")).json
    assert named["group"] == ours["groupID"] and set(group_names(contract)) == {"ops"}
    contract.ask("DELETE", f"{GROUPS}/{ours['groupID']}/members/{FIRST}", 204)
    formed = group_names(contract)["blue"]
    assert formed["members"] == [FIRST] and formed["origin"] == "domain"

    # Who changes a group that formed by itself keeps it.
    path = f"{GROUPS}/{formed['groupID']}"
    etag = contract.ask("GET", path, 200).headers["etag"]
    kept = contract.ask("PUT", path, 200, {"policy": {"coldAge": 9}}, {"If-Match": etag}).json
    assert kept["origin"] == "operator" and kept["members"] == [FIRST]
    contract.ask("POST", path_of(FIRST, "stopped"), 204)
    assert group_names(contract)["blue"]["members"] == []
    for group in group_names(contract).values():
        contract.ask("DELETE", f"{GROUPS}/{group['groupID']}", 204)


def known_from_a_file(contract):
    """The hook started it while nobody listened."""
    resolved = contract.ask("POST", path_of(FIRST, "prepare"), 200, domain(FIRST, "a", "64MiB", group="blue")).json
    contract.ask("POST", path_of(FIRST, "stopped"), 204)
    file = contract.daemon.folder / "run" / "domains" / f"{FIRST}.json"
    file.write_text(json.dumps(resolved))
    for what in ("started", "reconnect"):
        contract.ask("POST", path_of(FIRST, what), 204, domain(FIRST, "a", "64MiB", group="blue"))
    assert group_names(contract)["blue"]["members"] == [FIRST]
    contract.daemon.kill()
    contract.daemon.start()
    assert group_names(contract)["blue"]["members"] == [FIRST]
    contract.daemon.kill()
    file.unlink()
    contract.daemon.start()
    assert group_names(contract) == {}


def never_told(contract):
    """The daemon heard `prepare` only, neither the start nor the end."""
    element = {"floor": "64MiB", "priority": 300, "group": "blue", "policy": {"cold": 41}}
    resolved = contract.ask("POST", path_of(FIRST, "prepare"), 200, domain(FIRST, "a", **element)).json
    file = contract.daemon.folder / "run" / "domains" / f"{FIRST}.json"
    file.write_text(json.dumps(resolved))
    qemu = FakeQemu(contract.daemon.vm_socket, FIRST, "a", BUDGET)
    path = f"/api/v1/guests/{FIRST}"
    wait_for("it is known", lambda: contract.daemon.ask("GET", path).status == 200)
    guest = contract.ask("GET", path, 200).json
    assert (guest["dramFloor"], guest["priority"], guest["group"]["name"]) == (64 * MIB, 300, "blue"), guest
    assert guest["elementProblem"] is None
    wait_for("QEMU has the element's policy", lambda: qemu.backends[0]["cold-age"] == 41)
    file.unlink()
    qemu.close()
    wait_for("it is forgotten", lambda: contract.ask("GET", "/api/v1/status", 200).json["domains"] == 0)
    assert group_names(contract) == {}
    contract.ask("GET", path, 404)
