#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A layer of src/ includes itself and the layers below it, in the order that src/README.md lists them.

The order is read from the numbered list there ("1. `base/`: ..."), so that the map can't go stale.
src/qemu sees nothing of ours but the C interface; the fakes of src/sys are for tests only.
"""
import re

from common import ROOT, files, finish, text

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def layers():
    found = re.findall(r"^\d+\. `(\w+)/`", text("src/README.md") or "", re.M)
    if len(found) < 4 or found[0] != "base":
        raise SystemExit("src/README.md does not list the layers as '1. `base/`: ...'")
    return {name: height for height, name in enumerate(found)}


def problem_of(path, include, order):
    layer = path.parts[1]
    target = include.split("/")[0]
    if layer == "qemu":
        # QEMU's own headers come from its tree; of ours only tidemark.h, by its bare name.
        if target in order:
            return "src/qemu may include tidemark.h and nothing else of ours"
        return None
    if include in ("tidemark.h", "capi/tidemark.h", "tidemark_migrate.h", "tidemark_place.h",
                   "tidemark_postcopy.h", "tidemark_reader.h"):
        return None if layer in ("capi", "daemon", "cli") else "only capi/ includes tidemark.h"
    if target not in order:
        return "is not 'layer/file.h' with a layer that src/README.md lists"
    if not (ROOT / "src" / include).is_file():
        return "does not exist"
    if order[target] > order[layer]:
        return f"{layer}/ lies below {target}/"
    if include.startswith("sys/fake_") and not path.name.startswith("fake_"):
        return "the fakes are for tests only"
    return None


def main():
    order = layers()
    problems = []
    checked = 0
    for path in files():
        if path.parts[0] != "src" or path.suffix not in (".h", ".cc", ".c", ".inc"):
            continue
        checked += 1
        if path.parts[1] != "qemu" and path.parts[1] not in order:
            problems.append(f"{path}: its folder is no layer in src/README.md")
            continue
        for include in INCLUDE.findall(text(path)):
            problem = problem_of(path, include, order)
            if problem:
                problems.append(f'{path}: #include "{include}": {problem}')
    finish("include direction", checked, problems)


main()
