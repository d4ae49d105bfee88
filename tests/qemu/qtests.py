#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs QEMU's own migration tests with the QEMU built here: scripts/qemu qtest starts this.

  qtests.py --program FILE --qemu FILE --out FOLDER [--mode off|on] [--full] [--timeout SECONDS] [-p PATH]

With --mode on each QEMU learns its guest's writes and migrates by them: a second monitor connects to us and is told
so, before the test's own commands. Results go to FOLDER/qtest-MODE.json, all that was said to FOLDER/qtest-MODE.log.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import processes  # noqa: E402

ORDERS = [{"execute": "qmp_capabilities"},
          {"execute": "tiered-migration-configure", "arguments": {"learn": True, "predictor": "on"}, "id": "configure"}]
# KVM may be there and yet emulate what a boot sector does; the tests take it when they can.
WRAPPER = """#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
words=() skip=
for word in "$@"; do
    if [ -n "$skip" ] && [[ $word == kvm* ]]; then unset 'words[-1]'; else words+=("$word"); fi
    [ "$word" = -accel ] && skip=1 || skip=
done
exec {qemu} "${{words[@]}}" {more}
"""
MONITOR = "-chardev socket,id=tidemark-test,path={path} -mon chardev=tidemark-test,mode=control"


class Teller:
    """Tells every QEMU that connects what to do, and counts those that did."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.told = self.refused = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.listen, args=(connection,), daemon=True).start()

    def listen(self, connection):
        with connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(b"".join(json.dumps(order).encode() + b"\n" for order in ORDERS))
                for line in lines:
                    answer = json.loads(line)
                    if answer.get("id") == "configure":
                        self.told += "return" in answer
                        self.refused += "error" in answer
            except (OSError, ValueError):
                pass  # it was killed, as tests do


def results(text):
    """Passed, failed and skipped of what the program said in TAP."""
    found = {"passed": 0, "failed": 0, "skipped": [], "failures": []}
    for word, name, skip in re.findall(r"^(ok|not ok) \d+ (\S+)(?: # SKIP ?(.*))?", text, re.M):
        if word != "ok":
            found["failed"] += 1
            found["failures"].append({"name": name, "reason": "see the log"})
        elif re.search(rf"^ok \d+ {re.escape(name)} # SKIP", text, re.M):
            found["skipped"].append({"name": name, "reason": skip or "the test says no reason"})
        else:
            found["passed"] += 1
    return found


def run(options):
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / f"qtest-{options.mode}.log"
    with tempfile.TemporaryDirectory(prefix="tm-") as place:
        wrapper = pathlib.Path(place, "qemu-system-x86_64")  # its name says the architecture
        path = pathlib.Path(place, "tell")
        teller = Teller(path)
        wrapper.write_text(WRAPPER.format(qemu=options.qemu.resolve(),
                                          more=MONITOR.format(path=path) if options.mode == "on" else ""))
        wrapper.chmod(0o755)
        words = [options.program.resolve(), "--tap", "-k", *(["--full"] if options.full else [])]
        for name in options.p:
            words += ["-p", name]
        with open(log, "w", encoding="utf-8") as out:
            with processes.running(words, stdout=out, stderr=subprocess.STDOUT, cwd=place, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "QTEST_QEMU_BINARY": str(wrapper), "TMPDIR": place}) as program:
                try:
                    how = f"it ended with {program.wait(options.timeout)}"
                except subprocess.TimeoutExpired:
                    how = f"not done after {options.timeout} s, and ended"
    found = results(log.read_text(errors="replace"))
    if program.returncode and not found["failed"]:
        found["failed"] += 1
        last = re.findall(r"^# Running (\S+)", log.read_text(errors="replace"), re.M)
        found["failures"].append({"name": last[-1] if last else "migration-test", "reason": how})
    if options.mode == "on" and (teller.refused or not teller.told):
        found["failed"] += 1
        found["failures"].append({"name": "learning on", "reason": f"{teller.told} QEMUs did what they were told, "
                                                                   f"{teller.refused} refused"})
    found["configured"] = teller.told
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--qemu", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--mode", choices=("off", "on"), default="off")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--timeout", type=int, default=1200, metavar="SECONDS")
    parser.add_argument("-p", action="append", default=[], metavar="PATH")
    options = parser.parse_args()
    started = time.monotonic()
    found = run(options)
    found["seconds"] = round(time.monotonic() - started, 1)
    (options.out / f"qtest-{options.mode}.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"migration-test, learning {options.mode}: {found['passed']} passed, {found['failed']} failed, "
          f"{len(found['skipped'])} skipped in {found['seconds']} s")
    for one in found["failures"]:
        print(f"  FAILED {one['name']}: {one['reason']}")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
