#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""promtool_test.py TIDEMARKD: promtool has nothing to say against a real /metrics and the alert rules. scripts/bootstrap
unpacks it; without it this is skipped."""
import pathlib
import shutil
import subprocess
import sys

from daemon import SRC, full_metrics

OURS = pathlib.Path(__file__).resolve().parents[2] / "build/tools"


def main():
    promtool = shutil.which("promtool") or shutil.which("promtool", path=OURS)
    if not promtool:
        print("skipped: promtool is neither installed nor in build/tools; scripts/bootstrap unpacks it")
        return 77
    failed = False
    for words, text in ((["check", "rules", SRC / "alerts.yml"], ""), (["check", "metrics"], full_metrics(sys.argv[1]))):
        ran = subprocess.run([promtool, *words], capture_output=True, text=True, input=text)
        print(f"promtool {words[1]}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
        # Lint is told with another status by some versions, and with words only by others.
        failed |= ran.returncode != 0 or (words[1] == "metrics" and bool((ran.stdout + ran.stderr).strip()))
    # One that finds no fault anywhere would prove nothing.
    ran = subprocess.run([promtool, "check", "metrics"], capture_output=True, text=True, input="# TYPE a_total gauge\na_total 1\n")
    if ran.returncode == 0:
        print("promtool finds nothing wrong with what is wrong")
        failed = True
    return 1 if failed else 0


sys.exit(main())
