# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests and this harness on stock RAM: if these fail, nothing that follows means anything."""
from guest import MIB, require
from machines import baremetal, linux, ram


def run_baremetal(folder, accel, cpus, job):
    with baremetal(folder, job, ram(512 * MIB, None), accel, cpus) as vm:
        require(vm.wait_exit(60) == 33, f"the guest did not end well: {vm.describe()}")
        vm.wait_debug("DONE bad=0", 1)


def test_baremetal_tcg(folder):
    run_baremetal(folder, "tcg", 1, "size=256 passes=3")


def test_baremetal_kvm_two_cpus(folder):
    run_baremetal(folder, "kvm", 2, "size=256 passes=3 order=rand")


def test_linux_pattern(folder):
    with linux(folder, ram(512 * MIB, None), "pattern:200:1") as vm:
        vm.wait_console("PATTERN OK .* bad=0", 60)
        vm.wait_console("JOBS DONE failed=0", 10)
        require(vm.wait_exit(20) == 0, f"no clean end: {vm.describe()}")


def test_linux_console(folder):
    with linux(folder, ram(512 * MIB, None), end="console") as vm:
        vm.wait_console("CONSOLE READY", 60)
        vm.run_job("pattern:100:1", 60)
        vm.run_job("memory", 10)
