# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to the daemon over its Unix socket."""
import json

from guest import require, wait_for
from host import RUN
from unix_http import UnixConnection


def exchange(method, path, body=None, headers=None):
    """Status, content and ETag of one request."""
    connection = UnixConnection(RUN / "api.sock")
    try:
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.getheader("ETag")
    finally:
        connection.close()


def request(method, path, body=None, headers=None):
    """Status and content of one request."""
    return exchange(method, path, body, headers)[:2]


def change(path, **members):
    """Puts a resource back with other members."""
    status, content, etag = exchange("GET", path)
    require(status == 200, f"GET {path}: {status} {content}")
    status, content = request("PUT", path, {**content, **members}, {"If-Match": etag})
    require(status == 200, f"PUT {path}: {status} {content}")


def get(path):
    status, content = request("GET", path)
    require(status == 200, f"GET {path}: {status} {content}")
    return content


def guest(vm):
    """What the daemon knows of a guest, or None."""
    status, content = request("GET", f"/guests/{vm.uuid}")
    return content if status == 200 else None


def wait_connected(vm):
    """The daemon talks to the guest's own QEMU."""
    def connected():
        found = guest(vm)
        return found if found and found["connected"] else None
    found = wait_for(connected, 60, f"the daemon does not reach {vm.name}", 0.1)
    require(found["pid"] == vm.host.pid(vm.name), f"it talks to another process: {found}")
    return found
