#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each folder of the top level, of src/ and of tests/ has a README.md that names every file (or group of
files) below it that a reader would look for: at least a title and a sentence."""
from common import ROOT, files, finish, text

PARENTS = ("", "src", "tests")
TOP_LEVEL = {"qemu-patches", "src", "libvirt-hooks", "scripts", "tests", ".ci"}


def main():
    folders = set()
    problems = []
    for path in files():
        for depth in range(len(path.parts)):
            folder = "/".join(path.parts[:depth])
            parent = "/".join(path.parts[:depth - 1]) if depth > 0 else None
            if folder == "" or (parent in PARENTS and not folder.startswith(".")):
                folders.add(folder)
        if len(path.parts) > 1 and path.parts[0] not in TOP_LEVEL:
            problems.append(f"{path.parts[0]}/ is not a folder of the layout")
    for folder in sorted(folders):
        readme = (ROOT / folder / "README.md")
        if not readme.is_file():
            problems.append(f"{folder or '.'}/ has no README.md")
            continue
        lines = [line for line in readme.read_text().splitlines() if line.strip()]
        if len(lines) < 3 or not any(line.startswith("# ") for line in lines):
            problems.append(f"{folder or '.'}/README.md needs a title and a few lines")
    finish("folders with a README", len(folders), sorted(set(problems)))


main()
