# SPDX-License-Identifier: GPL-2.0-or-later
"""What a figure can't be read without: machine, kernel, disk, and how the kernel was set."""
import os
import pathlib
import platform
import re
import subprocess

import cgroup
import swapfile
from levels import ROOT


def read(path, default="?"):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return default


def chosen(path):
    """The value in brackets of a file such as 'always [madvise] never'."""
    match = re.search(r"\[([^]]*)\]", read(path))
    return match.group(1) if match else "?"


def cpu():
    info = read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", info, re.M)
    return (f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}"
            + (", itself a virtual machine" if virtual else ""))


def lru():
    """Which pages the kernel takes for swap: multi-generational LRU, or the two lists."""
    enabled = read("/sys/kernel/mm/lru_gen/enabled", "")
    if not enabled:
        return "active and inactive lists (this kernel has no multi-generational LRU)"
    if int(enabled, 16) & 1:
        return f"multi-generational LRU ({enabled})"
    return "active and inactive lists (multi-generational LRU is switched off)"


def accelerators():
    if not os.path.exists("/dev/kvm"):
        return "TCG only: /dev/kvm does not exist"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "TCG only: /dev/kvm can't be opened"
    modules = [name for name in ("kvm_intel", "kvm_amd", "kvm_pvm")
               if os.path.isdir(f"/sys/module/{name}")]
    return "KVM" + (f" ({', '.join(modules)})" if modules else "") + " and TCG"


def mount_of(folder):
    """(device, file system) of a folder."""
    best = ("?", "?", "")
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            device, place, kind = line.split()[:3]
            inside = pathlib.Path(folder).is_relative_to(place)
            if inside and len(place) >= len(best[2]):
                best = (device, kind, place)
    return best[0], best[1]


def disk(folder):
    folder = pathlib.Path(folder).resolve()
    device, kind = mount_of(folder)
    number = os.stat(folder).st_dev
    node = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    # Of a partition, the whole disk is the parent.
    queue = next((place / "queue" for place in (node, node.parent) if (place / "queue").is_dir()), None)
    if queue is None:
        return f"{device} ({kind}), no block device behind it"
    words = [f"{device} ({kind})", read(queue.parent / "device/model", ""),
             "rotating" if read(queue / "rotational") == "1" else "not rotating",
             f"scheduler {chosen(queue / 'scheduler')}",
             f"read-ahead {read(queue / 'read_ahead_kb')} KiB"]
    return ", ".join(word for word in words if word)


def swap_state():
    others = [one["path"] for one in swapfile.active()]
    text = (f"swappiness {read('/proc/sys/vm/swappiness')}, page-cluster "
            f"{read('/proc/sys/vm/page-cluster')}, zswap "
            f"{'on' if read('/sys/module/zswap/parameters/enabled', 'N') == 'Y' else 'off'}")
    return text + (f"; the host's own swap: {', '.join(others)}" if others else "; the host has no swap")


def revision():
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", *words],
                              capture_output=True, text=True, check=False).stdout.strip()
    head = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "tests/perf")
    return head + (" with changes not committed" if changed else "")


def memory():
    total = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.M)
    return f"{int(total.group(1)) / (1 << 20):.1f} GiB" if total else "?"


def distribution():
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    return name.group(1) if name else "?"


def describe(directory):
    """Sentences by name, in the order of the report."""
    return {
        "revision": revision(),
        "kernel": f"Linux {platform.release()}, {distribution()}",
        "cpu": cpu(),
        "memory": memory(),
        "disk": disk(directory),
        "cgroup": cgroup.version_name(),
        "lru": lru(),
        "swap": swap_state(),
        "huge pages": (f"{chosen('/sys/kernel/mm/transparent_hugepage/enabled')}, defrag "
                       f"{chosen('/sys/kernel/mm/transparent_hugepage/defrag')}; asked for with "
                       "MADV_HUGEPAGE on every side, as QEMU does"),
        "accelerators": accelerators(),
        "load at start": " ".join(read("/proc/loadavg").split()[:3]),
    }
