# SPDX-License-Identifier: GPL-2.0-or-later
"""The sessions that README.md prints: their commands, run as they stand there, and what they are said to print."""
import contextlib
import os
import re
import subprocess

from guest import SOURCE, TestFailure, require, wait_for


class Step:
    """One command, and the lines that are printed below it."""

    def __init__(self, command):
        self.command, self.printed = command, []


def steps(heading):
    """The commands of a section, in order: indented lines that begin with "$ ", and what follows each in its block."""
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    require(found, f"README.md has no section '{heading}'")
    said, open_step = [], None
    for line in found.group(1).splitlines():
        if line.startswith("    $ "):
            open_step = Step(line[6:].split("  #")[0].rstrip())
            said.append(open_step)
        elif line.startswith("    ") and open_step:
            open_step.printed.append(line)
        elif line.strip():
            open_step = None
    require(said, f"section '{heading}' of README.md has no line with '$ '")
    return said


def masked(text):
    """What of it is the same on each host and at each time: no numbers, times, bars, names of hosts, or empty lines."""
    text = re.sub(r"\[[#.]+\]", "[BAR]", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\btidemark on \S+", "tidemark on HOST", text)
    text = re.sub(r"(?<![\w-])(\d[\d.]*( ?([KMGT]i)?B| [num]?s)?|-)(?![\w-])", "N", text)
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


class Shell:
    """Runs commands as root at the top of the sources, with sudo and systemctl as far as there are any here. `services`
    restarts what systemctl is asked to."""

    def __init__(self, folder, services):
        self.services, self.log = services, folder / "readme.log"
        self.programs = folder / "programs"
        self.programs.mkdir()
        sudo = self.programs / "sudo"
        sudo.write_text('#!/bin/sh\nexec env "$@"\n')
        sudo.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def run(self, command, folder):
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"$ {command}\n{done.stdout}-> {done.returncode}\n")
        return done

    def follow(self, step, folder):
        """Does a step. What only looks is repeated until it prints what it should: a guest takes a moment to be known."""
        found = re.fullmatch(r"sudo systemctl restart (.*)", step.command)
        if found:
            self.services(found.group(1).split())
            return
        wanted, last = masked("\n".join(step.printed)), None

        def as_printed():
            nonlocal last
            last = self.run(step.command, folder)
            return last.returncode == 0 and (not wanted or masked(last.stdout) == wanted)
        looks = re.match(r"sudo (curl|tidemark) ", step.command)
        with contextlib.suppress(TestFailure):
            if wait_for(as_printed, 60 if looks else 0, "", 0.2):
                return
        raise TestFailure(f"{step.command} ends with {last.returncode} and prints:\n{last.stdout}"
                          f"In README.md it prints (masked):\n{wanted}")
