#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the tests with a real libvirtd: every function test_* of every test_*.py, in order.

  run.py [-k WORD] [--list]

Needs root, and a kernel that gives namespaces and overlay mounts; where something lacks, the tests
that need it are skipped with the reason. TIDEMARK_PROGRAMS is the build directory with the hook
and the daemon (default build/engine). Logs go to build/test-logs/libvirt.<test>/, the result to
build/test-logs/libvirt-summary.json.
"""
import argparse
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu"))
import guest  # noqa: E402
import host  # noqa: E402

INSIDE = "TIDEMARK_LIBVIRT_TEST"


def discover(words):
    tests = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        functions = [value for name, value in vars(module).items()
                     if name.startswith("test_") and callable(value)
                     and value.__module__ == path.stem]
        for function in sorted(functions, key=lambda one: one.__code__.co_firstlineno):
            name = f"{path.stem[5:]}.{function.__name__[5:]}"
            if not words or any(word in name for word in words):
                tests.append((name, function))
    return tests


def what_lacks():
    """Why no test can run on this machine, None if they can."""
    if os.geteuid() != 0:
        return "only root can run a libvirtd for unprivileged guests"
    for name in ("libvirtd", "virsh", "unshare"):
        if not shutil.which(name):
            return f"{name} is not installed"
    if not os.path.exists("/dev/userfaultfd"):
        return "/dev/userfaultfd does not exist"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"],
                           capture_output=True, text=True, check=False)
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def run_one(name, function, summary):
    started = time.monotonic()
    folder = host.test_folder(name)
    print(f"{name} ... ", end="", flush=True)
    try:
        with host.Host(folder) as place:
            function(place)
    except guest.Skip as reason:
        summary["skipped"].append({"name": name, "reason": str(reason)})
        print(f"SKIPPED: {reason}")
        return
    except Exception as failure:  # pylint: disable=broad-except # a test may fail in any way
        (folder / "failure.txt").write_text(traceback.format_exc())
        summary["failed"] += 1
        summary["failures"].append({"name": name, "reason": str(failure)})
        print(f"FAILED after {time.monotonic() - started:.1f} s: {failure}\n    logs: {folder}")
        return
    summary["passed"] += 1
    print(f"ok, {time.monotonic() - started:.1f} s", flush=True)


def run_inside(tests, summary):
    """First process of the namespaces: what the servers leave behind has to be reaped."""
    child = os.fork()
    if child:
        while True:
            pid, status = os.wait()
            if pid == child:
                return os.waitstatus_to_exitcode(status)
    # Not below the build directory: what is on an overlay can't be an overlay's upper layer.
    with tempfile.TemporaryDirectory(dir=guest.BUILD, prefix="libvirt-host-") as scratch:
        host.private_directories(pathlib.Path(scratch))
        for name, function in tests:
            run_one(name, function, summary)
        for name in ("var", "etc"):
            subprocess.run(["umount", "--lazy", f"/{name}"], check=False)
    write_summary(summary)
    os._exit(1 if summary["failed"] else 0)


def write_summary(summary):
    guest.LOGS.mkdir(parents=True, exist_ok=True)
    (guest.LOGS / "libvirt-summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{summary['passed']} passed, {summary['failed']} failed, "
          f"{len(summary['skipped'])} skipped", flush=True)


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
    summary = {"passed": 0, "failed": 0, "skipped": [], "failures": []}
    if INSIDE in os.environ:
        return run_inside(tests, summary)
    lacking = what_lacks()
    if lacking:
        summary["skipped"] = [{"name": name, "reason": lacking} for name, _ in tests]
        write_summary(summary)
        return 0
    if not guest.qemu_binary().exists():
        sys.exit(f"{guest.qemu_binary()} does not exist; build it with scripts/qemu build")
    subprocess.run([guest.SOURCE / "tests/guest/baremetal/build.sh", guest.GUESTS], check=True)
    subprocess.run([guest.SOURCE / "tests/guest/linux/build", guest.GUESTS], check=True)
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
         "--mount-proc", sys.executable, "-u", __file__, *sys.argv[1:]],
        env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
