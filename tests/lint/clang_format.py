#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""C++ is laid out as .clang-format says. Repair: clang-format -i FILE."""
import subprocess

from common import ROOT, finish, our_cxx


def main():
    paths = our_cxx()
    problems = []
    for path in paths:
        run = subprocess.run(["clang-format", "--dry-run", "--Werror", str(path)], cwd=ROOT,
                             capture_output=True, text=True)
        if run.returncode != 0:
            first = run.stderr.splitlines()[0] if run.stderr else "failed"
            problems.append(f"{path}: run clang-format -i on it ({first})")
    finish("clang-format", len(paths), problems)


main()
