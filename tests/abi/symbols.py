#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libtidemark.so exports what tidemark.map names, with its version, and nothing else."""
import re
import subprocess
import sys

library, version_map = sys.argv[1:3]
wanted = set(re.findall(r"\b(tidemark_\w+);", open(version_map).read()))
lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True,
                       text=True).stdout.splitlines()
exported = {line.split()[-1] for line in lines}
exported = {name for name in exported if not re.fullmatch(r"TIDEMARK_[\d.]+", name)}
# Sanitizers add symbols of their own; they are not ours to judge.
found = {name.split("@@")[0] for name in exported if "@@TIDEMARK_" in name}
stray = {name for name in exported if "tidemark" in name and "@@TIDEMARK_" not in name}
print(f"{len(found)} exported, {len(wanted)} in the map")
for name in sorted(found ^ wanted | stray):
    print(f"differs: {name}")
sys.exit(1 if found != wanted or stray else 0)
