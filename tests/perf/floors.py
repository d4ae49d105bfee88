# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the program `floors` on the measured disk: see floors.cc."""
import json
import subprocess

from levels import MIB, LevelError

QUICK_MIB, FULL_MIB = 128, 512


def program(options):
    path = options.build / "tests/perf/floors"
    if not path.exists():
        raise LevelError(f"{path} is missing: scripts/bench builds it")
    return str(path)


def touch(size, options):
    """Touches so many bytes and gives them back: see floors.cc. Before a side, outside its cgroup."""
    subprocess.run([program(options), "--touch", str(size // MIB)], check=False, timeout=300)


def measure(options):
    options.directory.mkdir(parents=True, exist_ok=True)
    size = QUICK_MIB if options.quick else FULL_MIB
    done = subprocess.run([program(options), str(options.directory), str(size)], capture_output=True,
                          text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise LevelError(f"the floors could not be measured: {done.stderr.strip()}")
    return json.loads(done.stdout)
