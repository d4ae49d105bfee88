#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs clang over the engine's sources: `clang_check.py locks` for the thread-safety annotations,
`clang_check.py tidy` for clang-tidy. Either makes warnings errors."""
import concurrent.futures
import os
import subprocess
import sys

from common import ROOT, finish, our_cxx

# libxml2's headers are the only ones of a library that lie in a folder of their own.
FLAGS = ["-std=c++20", "-Isrc", "-Itests", "-isystem", "/usr/include/libxml2",
         '-DTIDEMARK_VERSION="lint"']


def command(mode, path):
    if mode == "locks":
        return ["clang++", "-fsyntax-only", "-Wall", "-Wextra", "-Wthread-safety", "-Werror", *FLAGS,
                str(path)]
    return ["clang-tidy", "--quiet", "--warnings-as-errors=*", str(path), "--", *FLAGS]


def main():
    mode = sys.argv[1]
    paths = [path for path in our_cxx() if path.suffix == ".cc" and path.parts[0] == "src"]

    def check(path):
        run = subprocess.run(command(mode, path), cwd=ROOT, capture_output=True, text=True)
        if run.returncode == 0:
            return []
        return [f"{path}:", run.stdout.rstrip(), run.stderr.rstrip() if mode == "locks" else ""]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [line for lines in pool.map(check, paths) for line in lines if line]
    finish(f"clang {mode}", len(paths), problems)


if len(sys.argv) != 2 or sys.argv[1] not in ("locks", "tidy"):
    sys.exit("usage: clang_check.py locks|tidy")
main()
