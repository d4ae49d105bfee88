# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests as functions: every test_* of every test_*.py of a folder, in order of file and line, run one by one."""
import argparse
import importlib
import json
import subprocess
import sys
import time
import traceback

import guest


def discover(here, words):
    """Name and function of those whose name contains one of the words, or of all."""
    tests = []
    for path in sorted(here.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        functions = [value for name, value in vars(module).items()
                     if name.startswith("test_") and callable(value)
                     and value.__module__ == path.stem]
        for function in sorted(functions, key=lambda one: one.__code__.co_firstlineno):
            name = f"{path.stem[5:]}.{function.__name__[5:]}"
            if not words or any(word in name for word in words):
                tests.append((name, function))
    return tests


def chosen(here, about):
    """The tests that the command line names; ends the program where it asks for nothing else."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("-k", action="append", default=[], metavar="WORD")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    tests = discover(here, options.k)
    if options.list:
        print("\n".join(name for name, _ in tests))
        sys.exit(0)
    if not tests:
        sys.exit(f"no test is called {options.k}")
    return tests


def prepare():
    """QEMU must be there; the guests are built."""
    binary = guest.qemu_binary()
    if not binary.exists():
        sys.exit(f"{binary} does not exist; build it with scripts/qemu build")
    for build in ("baremetal/build.sh", "linux/build"):
        subprocess.run([guest.SOURCE / "tests/guest" / build, guest.GUESTS], check=True)


class Results:
    """What became of the tests, in the form that scripts/lib/test-results.py reads."""

    def __init__(self):
        self.passed, self.failures, self.skipped = 0, [], []
        self.started = time.monotonic()

    def skip(self, name, reason):
        self.skipped.append({"name": name, "reason": str(reason)})

    def run(self, name, folder, test):
        started = time.monotonic()
        print(f"{name} ... ", end="", flush=True)
        try:
            test()
        except guest.Skip as reason:
            self.skip(name, reason)
            print(f"SKIPPED: {reason}")
        except Exception as failure:  # pylint: disable=broad-except # a test may fail in any way
            (folder / "failure.txt").write_text(traceback.format_exc())
            self.failures.append({"name": name, "reason": str(failure)})
            print(f"FAILED after {time.monotonic() - started:.1f} s: {failure}\n    logs: {folder}")
        else:
            self.passed += 1
            print(f"ok, {time.monotonic() - started:.1f} s", flush=True)

    def write(self, name):
        """Leaves them in the logs; what the program ends with."""
        seconds = round(time.monotonic() - self.started, 1)
        guest.LOGS.mkdir(parents=True, exist_ok=True)
        (guest.LOGS / name).write_text(json.dumps(
            {"passed": self.passed, "failed": len(self.failures), "skipped": self.skipped,
             "failures": self.failures, "seconds": seconds}, indent=2) + "\n")
        print(f"{self.passed} passed, {len(self.failures)} failed, {len(self.skipped)} skipped in {seconds} s",
              flush=True)
        return 1 if self.failures else 0
