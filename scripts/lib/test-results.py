#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts test results for scripts/test.

  test-results.py meson testlog.json...    meson's log, one JSON object a line
  test-results.py summary FILE.json...     {"passed": N, "failed": M, "skipped": [...]}

Prints "PASSED FAILED" on the first line, then one line per failed or skipped test, and
below a failed one what it said last. No test at all
counts as a failure: a suite that was lost must not look like success.
"""
import json
import pathlib
import sys

FINE = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}
SHOWN = 30  # lines of what a failed test said last


def skip_text(entry):
    if isinstance(entry, dict):
        return f"{entry.get('name', '?')}: {entry.get('reason', 'no reason given')}"
    return str(entry)


def last_words(text, count=1):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[-count:]) if lines else "no reason given"


def read_meson(path):
    passed, failed, lines = 0, 0, []
    for line in path.read_text().splitlines():
        test = json.loads(line)
        if test["result"] in FINE:
            passed += 1
        elif test["result"] in SKIPPED:
            said = test.get("stdout", "") + test.get("stderr", "")
            lines.append(f"skipped: {test['name']}: {last_words(said)}")
        else:
            failed += 1
            lines.append(f"failed: {test['name']} ({test['result']})")
            said = test.get("stdout", "") + test.get("stderr", "")
            lines += [f"    > {line}" for line in said.strip().splitlines()[-SHOWN:]]
    return passed, failed, lines


def read_summary(path):
    summary = json.loads(path.read_text())
    lines = [f"failed: {skip_text(entry)}" for entry in summary.get("failures", [])]
    lines += [f"skipped: {skip_text(entry)}" for entry in summary.get("skipped", [])]
    return summary["passed"], summary["failed"], lines


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("meson", "summary"):
        sys.exit(__doc__)
    read = read_meson if sys.argv[1] == "meson" else read_summary
    passed, failed, lines = 0, 0, []
    for name in sys.argv[2:]:
        path = pathlib.Path(name)
        if not path.exists():
            failed += 1
            lines.append(f"failed: {name} was not written")
            continue
        one = read(path)
        passed, failed = passed + one[0], failed + one[1]
        lines += one[2]
        if sum(one[:2]) == 0 and not one[2]:
            failed += 1
            lines.append(f"failed: {name} names no test")
    print(passed, failed)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
