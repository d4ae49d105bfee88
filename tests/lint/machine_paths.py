#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing in the tree depends on the machine it was written on: no home or checkout paths, and no host of
this machine's package mirrors or proxies (they are read from apt's configuration, never listed)."""
import re
import subprocess

from common import ROOT, files, finish, text

PUBLIC_HOSTS = re.compile(r"(^|\.)(debian\.org|qemu\.org|github\.com|ubuntu\.com)$")
# Written in pieces, or this file would find itself.
PATHS = [re.compile(pattern) for pattern in (
    "/ro" + r"ot/\w", "/ho" + r"me/\w", "/wo" + r"rk/\w", re.escape(str(ROOT)) + r"\b")]


def mirror_hosts():
    config = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True,
                             text=True).stdout
    hosts = set(re.findall(r"[a-z+]+://(?:[^/@\s\"]*@)?([^/:\s\"]+)", config + targets))
    return {host for host in hosts
            if not PUBLIC_HOSTS.search(host) and host not in ("localhost", "127.0.0.1")}


def main():
    problems = []
    checked = 0
    hosts = mirror_hosts()
    for path in files():
        content = text(path)
        if content is None:
            continue
        checked += 1
        for number, line in enumerate(content.splitlines(), 1):
            for pattern in PATHS:
                if pattern.search(line):
                    problems.append(f"{path}:{number}: a path of one machine: {line.strip()[:80]}")
            if any(host in line for host in hosts):
                problems.append(f"{path}:{number}: names a host of this machine's package mirrors")
    finish("machine paths", checked, problems)


main()
