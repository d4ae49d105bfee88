#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs clang over the project's sources: `clang_check.py locks` for the thread-safety annotations,
`clang_check.py tidy` for clang-tidy. Either makes warnings errors.

A file that was found good is not looked at again until it, a header of ours that it includes, the checks or the tool
change: the cache that scripts/README.md names remembers that (`--all` looks at every file)."""
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time

from common import ROOT, finish, our_cxx

# libxml2's headers are the only ones of a library that lie in a folder of their own.
FLAGS = ["-std=c++20", "-Isrc", "-Itests", "-isystem", "/usr/include/libxml2",
         '-DTIDEMARK_VERSION="lint"']
TOOLS = {"locks": "clang++", "tidy": "clang-tidy"}
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tidemark"
STAMPS = pathlib.Path(os.environ.get("TIDEMARK_CACHE") or CACHE) / "lint"
STAMPS_KEPT = 30 * 24 * 3600  # seconds since the last use
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def command(mode, path):
    if mode == "locks":
        return ["clang++", "-fsyntax-only", "-Wall", "-Wextra", "-Wthread-safety", "-Werror", *FLAGS,
                str(path)]
    return ["clang-tidy", "--quiet", "--warnings-as-errors=*", str(path), "--", *FLAGS]


@functools.lru_cache(None)
def content(path):
    return path.read_bytes()


@functools.lru_cache(None)
def included(path):
    """The files of ours that one includes by itself."""
    found = []
    for name in INCLUDE.findall(content(path).decode(errors="replace")):
        places = (folder / name for folder in (path.parent, ROOT / "src", ROOT / "tests"))
        found += [place.resolve() for place in places if place.is_file()][:1]
    return found


def with_headers(path):
    """A file and all of ours that it sees."""
    seen, left = set(), [path.resolve()]
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += included(one)
    return sorted(seen)


def stamp(mode, path, tool):
    """A file whose name says all that the verdict depends on, but the system's headers."""
    state = hashlib.sha256(repr((mode, tool, command(mode, path))).encode())
    for one in [ROOT / ".clang-tidy", *with_headers(ROOT / path)]:
        state.update(str(one.relative_to(ROOT)).encode() + b"\0" + content(one) + b"\0")
    return STAMPS / f"{mode}-{state.hexdigest()}"


def main(mode, everything):
    paths = [path for path in our_cxx() if path.suffix == ".cc" and path.parts[0] == "src"]
    tool = subprocess.run([TOOLS[mode], "--version"], check=True, capture_output=True, text=True).stdout
    STAMPS.mkdir(parents=True, exist_ok=True)
    good = {path: stamp(mode, path, tool) for path in paths}
    todo = [path for path in paths if everything or not good[path].exists()]

    def check(path):
        run = subprocess.run(command(mode, path), cwd=ROOT, capture_output=True, text=True)
        if run.returncode == 0:
            good[path].touch()
            return []
        return [f"{path}:", run.stdout.rstrip(), run.stderr.rstrip() if mode == "locks" else ""]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [line for lines in pool.map(check, todo) for line in lines if line]
    for path in paths:
        if good[path].exists():
            good[path].touch()
    for old in STAMPS.iterdir():
        if time.time() - old.stat().st_mtime > STAMPS_KEPT:
            old.unlink(missing_ok=True)
    finish(f"clang {mode} ({len(paths) - len(todo)} known to be good)", len(paths), problems)


if sys.argv[1:2] not in (["locks"], ["tidy"]) or sys.argv[2:] not in ([], ["--all"]):
    sys.exit("usage: clang_check.py locks|tidy [--all]")
main(sys.argv[1], sys.argv[2:] == ["--all"])
