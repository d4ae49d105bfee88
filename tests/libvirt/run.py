#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the tests with a real libvirtd: every function test_* of every test_*.py, in order.

  run.py [-k WORD] [--list]

Needs root, and a kernel that gives namespaces and overlay mounts; where something lacks, the tests
that need it are skipped with the reason. TIDEMARK_PROGRAMS is the build directory with the hook
and the daemon (default build/engine). Logs go to build/test-logs/libvirt.<test>/, the result to
build/test-logs/libvirt-summary.json.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu"))
sys.path.insert(0, str(HERE.parent / "support"))
import guest  # noqa: E402
import host  # noqa: E402
import suite  # noqa: E402

INSIDE = "TIDEMARK_LIBVIRT_TEST"
SUMMARY = "libvirt-summary.json"


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


def run_one(name, function, results):
    folder = host.test_folder(name)

    def test():
        with host.Host(folder) as place:
            function(place)
    results.run(name, folder, test)


def run_inside(tests):
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
        results = suite.Results()
        for name, function in tests:
            run_one(name, function, results)
        for name in ("var", "etc"):
            subprocess.run(["umount", "--lazy", f"/{name}"], check=False)
    os._exit(results.write(SUMMARY))


def main():
    tests = suite.chosen(HERE, __doc__)
    if INSIDE in os.environ:
        return run_inside(tests)
    lacking = what_lacks()
    if lacking:
        results = suite.Results()
        for name, _ in tests:
            results.skip(name, lacking)
        return results.write(SUMMARY)
    suite.prepare()
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
         "--mount-proc", sys.executable, "-u", __file__, *sys.argv[1:]],
        env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
