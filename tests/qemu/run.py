#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the QEMU tests: every function test_* of every test_*.py, in order of file and line.

  run.py [-k WORD] [--list]

WORD selects tests whose file or function name contains it (may be given more than once). Logs go
to build/test-logs/<test>/, the result to build/test-logs/qemu-summary.json.
"""
import argparse
import importlib
import json
import pathlib
import subprocess
import sys
import time
import traceback

import guest

HERE = pathlib.Path(__file__).resolve().parent


def discover(words):
    tests = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        functions = [value for name, value in vars(module).items()
                     if name.startswith("test_") and callable(value)]
        for function in sorted(functions, key=lambda one: one.__code__.co_firstlineno):
            name = f"{path.stem[5:]}.{function.__name__[5:]}"
            if not words or any(word in name for word in words):
                tests.append((name, function))
    return tests


def run_one(name, function, summary):
    started = time.monotonic()
    folder = guest.log_folder(name)
    print(f"{name} ... ", end="", flush=True)
    try:
        function(folder)
    except guest.Skip as reason:
        summary["skipped"].append({"name": name, "reason": str(reason)})
        print(f"SKIPPED: {reason}")
        return
    except KeyboardInterrupt:
        raise
    except Exception as failure:  # pylint: disable=broad-except # a test may fail in any way
        (folder / "failure.txt").write_text(traceback.format_exc())
        summary["failed"] += 1
        summary["failures"].append({"name": name, "reason": str(failure)})
        print(f"FAILED after {time.monotonic() - started:.1f} s: {failure}\n    logs: {folder}")
        return
    summary["passed"] += 1
    print(f"ok, {time.monotonic() - started:.1f} s", flush=True)


def prepare():
    binary = guest.qemu_binary()
    if not binary.exists():
        sys.exit(f"{binary} does not exist; build it with scripts/qemu build")
    subprocess.run([guest.SOURCE / "tests/guest/baremetal/build.sh", guest.GUESTS], check=True)
    subprocess.run([guest.SOURCE / "tests/guest/linux/build", guest.GUESTS], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", action="append", default=[], metavar="WORD")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    tests = discover(options.k)
    if options.list:
        print("\n".join(name for name, _ in tests))
        return 0
    if not tests:
        sys.exit(f"no test is called {options.k}")
    prepare()
    summary = {"passed": 0, "failed": 0, "skipped": [], "failures": []}
    started = time.monotonic()
    for name, function in tests:
        run_one(name, function, summary)
    summary["seconds"] = round(time.monotonic() - started, 1)
    guest.LOGS.mkdir(parents=True, exist_ok=True)
    (guest.LOGS / "qemu-summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{summary['passed']} passed, {summary['failed']} failed, "
          f"{len(summary['skipped'])} skipped in {summary['seconds']} s")
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
