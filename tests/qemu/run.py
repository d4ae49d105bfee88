#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the QEMU tests: every function test_* of every test_*.py, in order of file and line.

  run.py [-k WORD] [--list]

WORD selects tests whose file or function name contains it (may be given more than once). Logs go
to build/test-logs/<test>/, the result to build/test-logs/qemu-summary.json.
"""
import pathlib
import sys

import guest
import suite


def main():
    tests = suite.chosen(pathlib.Path(__file__).resolve().parent, __doc__)
    suite.prepare()
    results = suite.Results()
    for name, function in tests:
        folder = guest.log_folder(name)
        results.run(name, folder, lambda function=function, folder=folder: function(folder))
    return results.write("qemu-summary.json")


if __name__ == "__main__":
    sys.exit(main())
