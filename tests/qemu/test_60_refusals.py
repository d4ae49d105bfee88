# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot work is refused at start, with a sentence that names what is wrong."""
import ctypes
import json
import os
import subprocess
import tempfile

from guest import MIB, Skip, firmware_arguments, qemu_binary, require
from machines import baremetal, ram, tier_directory, tiers_for
from qmp import QmpError

SIZE = 256 * MIB


def refusal(folder, properties=None, extra=(), name="refused", leave_out=(), **run):
    """Starts QEMU with an object that must be refused; returns what it says."""
    wanted = {"qom-type": "memory-backend-tiered", "id": "ram0", "size": SIZE,
              "dram-limit": 64 * MIB, "tiers": tiers_for(SIZE)}
    wanted.update(properties or {})
    for key in leave_out:
        del wanted[key]
    command = [qemu_binary(), *firmware_arguments(), "-nodefaults", "-display", "none", "-S",
               "-machine", "memory-backend=ram0", "-m", "256M", "-accel", "tcg",
               "-object", json.dumps(wanted), *extra]
    try:
        done = subprocess.run([str(word) for word in command], text=True, timeout=20, cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **run)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{name}: QEMU started with {wanted} {extra}") from None
    (folder / f"{name}.txt").write_text(done.stdout)
    require(done.returncode == 1, f"{name}: QEMU ended with {done.returncode}: {done.stdout}")
    return done.stdout


def require_says(text, *words):
    for word in words:
        require(word in text, f"the refusal does not speak of {word}: {text}")


def test_host_memory_properties(folder):
    for name in ("share", "prealloc", "merge"):
        require_says(refusal(folder, {name: True}, name=name), f"'{name}'", "only 'off'")
    text = refusal(folder, extra=["-overcommit", "mem-lock=on"], name="mem-lock")
    require_says(text, "mem-lock")


def test_hugetlb(folder):
    text = refusal(folder, {"hugetlb": True}, name="hugetlb")
    require_says(text, "'hugetlb'", "only 'off'")


def test_turned_on_later(folder):
    """What creation refuses can't be had by qom-set either."""
    with baremetal(folder, "size=16 passes=1 hold=1", ram(SIZE, 64 * MIB)) as vm:
        for name in ("merge", "prealloc"):
            try:
                vm.qmp.command("qom-set", path="/objects/ram0", property=name, value=True)
            except QmpError as error:
                require_says(str(error), f"'{name}'", "only 'off'")
            else:
                raise AssertionError(f"{name} could be turned on")
            vm.qmp.command("qom-set", path="/objects/ram0", property=name, value=False)


def test_missing_properties(folder):
    for name in ("size", "dram-limit", "tiers"):
        require_says(refusal(folder, leave_out=[name], name=name), name)
    require_says(refusal(folder, {"tiers": []}, name="no-tiers"), "tiers")


def test_tier_paths(folder):
    def tier(path):
        return {"tiers": [{"path": path, "class": "nvme", "capacity": SIZE}]}
    missing = "/nonexistent/tidemark"
    require_says(refusal(folder, tier(missing), name="missing"), missing)
    existing = folder / "exists"
    existing.write_text("precious")
    require_says(refusal(folder, tier(str(existing)), name="existing"), str(existing))
    require(existing.read_text() == "precious", "a file that existed was changed")
    require_says(refusal(folder, tier("/proc"), name="proc"), "/proc")
    require_says(refusal(folder, tier("/dev/null"), name="character"), "/dev/null")


def test_sizes(folder):
    place = str(tier_directory())
    small = [{"path": place, "class": "nvme", "capacity": 64 * MIB}]
    require_says(refusal(folder, {"tiers": small}, name="capacity"), "capacity")
    require_says(refusal(folder, {"dram-limit": 0}, name="zero"), "dram-limit")
    require_says(refusal(folder, {"dram-limit": MIB}, name="tiny"), "dram-limit")
    require_says(refusal(folder, {"cold-age": 0}, name="cold-age"), "cold-age")
    require_says(refusal(folder, {"prefetch-window": 99999}, name="window"), "prefetch-window")
    require_says(refusal(folder, {"eviction-policy": "best"}, name="policy"), "best")
    require_says(refusal(folder, {"group": "web"}, name="group"), "group", "UUID")
    wrong = [{"path": place, "class": "tape", "capacity": SIZE}]
    require_says(refusal(folder, {"tiers": wrong}, name="class"), "tape")


def drop_to_nobody():
    """Leaves root for good; nothing else of the process changes."""
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, so that /proc/self stays readable
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def test_no_userfaultfd_permission(folder):
    """As an ordinary user where neither /dev/userfaultfd nor the sysctl allows it."""
    if os.geteuid() != 0:
        raise Skip("only root can start QEMU as a user without the permission")
    with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as setting:
        if setting.read().strip() != "0":
            raise Skip("vm.unprivileged_userfaultfd allows everybody")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        tiers = [{"path": place, "class": "nvme", "capacity": SIZE}]
        try:
            text = refusal(folder, {"tiers": tiers}, name="userfaultfd",
                           preexec_fn=drop_to_nobody)
        except PermissionError:
            raise Skip("an ordinary user cannot reach the build directory") from None
    require_says(text, "/dev/userfaultfd", "vm.unprivileged_userfaultfd")
