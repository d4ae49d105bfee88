#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file says its license near its start."""
from common import files, finish, text

TAG = "SPDX-License-Identifier: GPL-2.0-or-later"
EXEMPT_NAMES = {"LICENSE"}        # the license itself
# git's format, each changes files that carry their own license; compressed, see tests/trace/README.md
EXEMPT_SUFFIXES = {".patch", ".trace"}


def main():
    problems = []
    checked = 0
    for path in files():
        if path.name in EXEMPT_NAMES or path.suffix in EXEMPT_SUFFIXES:
            continue
        checked += 1
        content = text(path)
        if content is None:
            problems.append(f"{path}: not text; binary files don't belong into the tree")
        elif TAG not in "\n".join(content.splitlines()[:4]):
            problems.append(f"{path}: no '{TAG}' in its first four lines")
    finish("license tags", checked, problems)


main()
