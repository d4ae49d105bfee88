#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""No file has more than 400 lines. Longer ones stand in long_files.txt with their length, which may only
shrink, and a reason."""
from common import ROOT, files, finish, text

LIMIT = 400
LIST = "tests/lint/long_files.txt"
SUFFIXES = {".cc", ".h", ".c", ".py", ".sh", ".build"}


def exceptions():
    allowed = {}
    for line in text(LIST).splitlines():
        if line.strip() and not line.startswith("#"):
            path, limit, reason = line.split(None, 2)
            assert reason.strip()
            allowed[path] = int(limit)
    return allowed


def main():
    allowed = exceptions()
    problems = [f"{LIST}: {path} is gone; remove its line"
                for path in allowed if not (ROOT / path).is_file()]
    checked = 0
    for path in files():
        script = path.parts[0] == "scripts" and path.suffix == ""
        if path.suffix not in SUFFIXES and not script:
            continue
        checked += 1
        lines = len(text(path).splitlines())
        limit = allowed.get(str(path), LIMIT)
        if lines > limit:
            problems.append(f"{path}: {lines} lines, at most {limit}; split it by subject")
        elif str(path) in allowed and lines <= LIMIT:
            problems.append(f"{LIST}: {path} has only {lines} lines now; remove its line")
    finish("file length", checked, problems)


main()
