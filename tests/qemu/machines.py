# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines the tests boot: which RAM, which accelerator, which guest."""
import json
import os
import pathlib

from guest import BUILD, GUESTS, MIB, Guest, require_kvm

# Needed for sysexit under TCG, and known to every KVM that runs at all.
CPU = "Nehalem"
# A small translation cache, so that no mapping but guest RAM and its shadow is as large as they are.
TCG = "tcg,thread=multi,tb-size=64"


def tier_directory():
    """Where tier files go: $TIDEMARK_TIERS or the build directory; /tmp may be in DRAM itself."""
    place = pathlib.Path(os.environ.get("TIDEMARK_TIERS", BUILD / "tiers"))
    place.mkdir(parents=True, exist_ok=True)
    return place


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
    """Arguments for a machine whose main memory is tiered, or stock RAM if limit is None.

    Both have the same id, which is what a migration stream calls them."""
    if limit is None:
        return ["-m", f"size={size // MIB}M", "-machine", "memory-backend=ram0",
                "-object", f"memory-backend-ram,id=ram0,size={size // MIB}M"]
    return ["-m", f"size={size // MIB}M", "-machine", "memory-backend=ram0",
            *tiered("ram0", size, limit, **more)]


def accelerator(accel):
    if accel == "kvm":
        require_kvm()
        return ["-accel", "kvm", "-cpu", CPU]
    return ["-accel", TCG, "-cpu", CPU]


def baremetal(folder, job, memory, accel="tcg", cpus=1, name="vm", extra=(),
              incoming=False, reboots=False, before_exec=None, image="baremetal.elf", binary=None):
    """The bare-metal guest with a command line such as "size=256 passes=3"."""
    arguments = [*accelerator(accel), "-smp", cpus, *memory,
                 "-kernel", GUESTS / image, "-append", f"{job} cpus={cpus}", *extra]
    if incoming:
        arguments += ["-incoming", "defer", "-S"]
    if not reboots:
        arguments.append("-no-reboot")
    return Guest(name, arguments, folder, before_exec=before_exec, binary=binary)


def linux(folder, memory, jobs="", end="poweroff", cpus=2, name="vm", extra=(), kernel_words="",
          reboots=False, accel="tcg", before_exec=None):
    """The Linux guest, under TCG unless asked otherwise; jobs as in tests/guest/linux/init."""
    words = (f"console=ttyS0 quiet panic=-1 tidemark.job={jobs} tidemark.end={end} "
             f"{kernel_words}").strip()
    processor = ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else ["-accel", TCG]
    arguments = [*processor, "-smp", cpus, *memory,
                 "-kernel", GUESTS / "vmlinuz", "-initrd", GUESTS / "initramfs.cpio",
                 "-append", words, *extra]
    if not reboots:
        arguments.append("-no-reboot")
    return Guest(name, arguments, folder, debugcon=False, before_exec=before_exec)
