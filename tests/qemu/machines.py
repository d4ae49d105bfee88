# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines the tests boot: which RAM, which accelerator, which guest."""
import json
import os
import pathlib
import tempfile

from guest import GUESTS, MIB, Guest, require_kvm

# Needed for sysexit under TCG, and known to every KVM that runs at all.
CPU = "Nehalem"


def tier_directory():
    """Where tier files go: $TIDEMARK_TIERS, or a directory that allows O_DIRECT."""
    return pathlib.Path(os.environ.get("TIDEMARK_TIERS", tempfile.gettempdir()))


def tiers_for(size, qlc=True):
    """An NVMe and a QLC tier which together hold more than size."""
    place = str(tier_directory())
    tiers = [{"path": place, "class": "nvme", "capacity": size if not qlc else size // 2}]
    if qlc:
        tiers.append({"path": place, "class": "qlc", "capacity": size})
    return tiers


def tiered(identity, size, limit, **more):
    """The -object of one tiered backend, in JSON."""
    properties = {"qom-type": "memory-backend-tiered", "id": identity, "size": size,
                  "dram-limit": limit, "tiers": tiers_for(size)}
    properties.update({key.replace("_", "-"): value for key, value in more.items()})
    return ["-object", json.dumps(properties)]


def ram(size, limit, **more):
    """Arguments for a machine whose main memory is tiered, or stock RAM if limit is None."""
    if limit is None:
        return ["-m", f"size={size // MIB}M"]
    return ["-m", f"size={size // MIB}M", "-machine", "memory-backend=ram0",
            *tiered("ram0", size, limit, **more)]


def accelerator(accel):
    if accel == "kvm":
        require_kvm()
        return ["-accel", "kvm", "-cpu", CPU]
    return ["-accel", "tcg,thread=multi", "-cpu", CPU]


def baremetal(folder, job, memory, accel="tcg", cpus=1, name="vm", extra=(), incoming=False):
    """The bare-metal guest with a command line such as "size=256 passes=3"."""
    arguments = [*accelerator(accel), "-smp", cpus, *memory, "-no-reboot",
                 "-kernel", GUESTS / "baremetal.elf", "-append", f"{job} cpus={cpus}", *extra]
    if incoming:
        arguments += ["-incoming", "defer"]
    return Guest(name, arguments, folder)


def linux(folder, memory, jobs="", end="poweroff", cpus=2, name="vm", extra=(), kernel_words="",
          reboots=False):
    """The Linux guest under TCG; jobs as in tests/guest/linux/init."""
    words = (f"console=ttyS0 quiet panic=-1 tidemark.job={jobs} tidemark.end={end} "
             f"{kernel_words}").strip()
    arguments = ["-accel", "tcg,thread=multi", "-smp", cpus, *memory,
                 "-kernel", GUESTS / "vmlinuz", "-initrd", GUESTS / "initramfs.cpio",
                 "-append", words, *extra]
    if not reboots:
        arguments.append("-no-reboot")
    return Guest(name, arguments, folder, debugcon=False)
