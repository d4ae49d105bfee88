# SPDX-License-Identifier: GPL-2.0-or-later
"""A memory cgroup of our own, v1 or v2, whichever the host has: the DRAM that one side may use.

    with MemoryCgroup("swap", limit) as group:
        process = subprocess.Popen(command, preexec_fn=group.join)   # in the group before exec
        ...
        group.peak()

Leaving the block ends what still runs in the group and removes it, whatever happened."""
import errno
import os
import pathlib
import re
import signal
import time

MOUNTS = "/proc/self/mounts"
MEMBERSHIP = "/proc/self/cgroup"
PREFIX = "tidemark-bench"
LEFTOVER = re.compile(rf"^{PREFIX}-(\d+)-")


class CgroupError(RuntimeError):
    """The host's memory cgroups can't be used; the text says why."""


def hierarchy():
    """(1 or 2, mount point) of the hierarchy that has the memory controller."""
    unified = None
    with open(MOUNTS, encoding="utf-8") as mounts:
        for line in mounts:
            _, place, kind, options = line.split()[:4]
            if kind == "cgroup" and "memory" in options.split(","):
                return 1, pathlib.Path(place)
            if kind == "cgroup2":
                unified = pathlib.Path(place)
    if unified and "memory" in (unified / "cgroup.controllers").read_text().split():
        return 2, unified
    raise CgroupError("this host has no memory cgroup: neither a v1 hierarchy with the memory "
                      "controller nor a v2 one is mounted")


def version_name():
    """For the report: 'v1', 'v2' or why there is none."""
    try:
        return f"v{hierarchy()[0]}"
    except (CgroupError, OSError) as error:
        return f"none ({error})"


def own_path(version):
    """This process's path inside the hierarchy."""
    with open(MEMBERSHIP, encoding="utf-8") as lines:
        for line in lines:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            if version == 1 and "memory" in controllers.split(","):
                return path
            if version == 2 and number == "0" and not controllers:
                return path
    return "/"


def parent_folder(version, mount):
    """Where our groups go: under our own group in v1. A v2 group that holds processes can't have
    groups with a memory limit, so there it is the nearest one above that hands the controller on."""
    own = mount / own_path(version).lstrip("/")
    if not own.is_dir():
        own = mount
    if version == 1:
        return own
    for folder in [own, *own.parents]:
        if folder == mount.parent:
            break
        if "memory" in (folder / "cgroup.subtree_control").read_text().split():
            return folder
    try:
        (mount / "cgroup.subtree_control").write_text("+memory")
    except OSError as error:
        raise CgroupError(f"no cgroup above this process hands the memory controller on, and it "
                          f"could not be enabled in {mount}: {error.strerror}") from None
    return mount


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class MemoryCgroup:
    """One group. limit in bytes, None for no limit (the group then only counts)."""

    FILES = {1: {"limit": "memory.limit_in_bytes", "usage": "memory.usage_in_bytes",
                 "peak": "memory.max_usage_in_bytes"},
             2: {"limit": "memory.max", "usage": "memory.current", "peak": "memory.peak"}}

    def __init__(self, name, limit=None):
        self.version, mount = hierarchy()
        parent = parent_folder(self.version, mount)
        remove_leftovers(parent)
        self.folder = parent / f"{PREFIX}-{os.getpid()}-{name}"
        self.limit = limit
        self.highest = 0

    def __enter__(self):
        try:
            if self.folder.exists():  # an earlier group of the same name that would not go
                remove(self.folder)
            self.folder.mkdir()
        except OSError as error:
            raise CgroupError(f"could not make the memory cgroup {self.folder}: {error.strerror}; "
                              "the benchmark needs root") from None
        try:
            if self.limit is not None:
                self.set_limit(self.limit)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def file(self, what):
        return self.folder / self.FILES[self.version][what]

    def set_limit(self, limit):
        """Bytes; takes effect at once, the kernel reclaims what is over it."""
        self.limit = limit
        self.file("limit").write_text(f"{limit}\n")

    def join(self):
        """For Popen's preexec_fn: the child is in the group before it runs the command."""
        descriptor = os.open(self.folder / "cgroup.procs", os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)

    def usage(self):
        """Bytes charged now: memory of the processes, their page cache, their page tables."""
        value = int(self.file("usage").read_text())
        self.highest = max(self.highest, value)
        return value

    def peak(self):
        """Most bytes ever charged; without the kernel's own peak (before 5.19, v2), most seen."""
        try:
            return int(self.file("peak").read_text())
        except FileNotFoundError:
            self.usage()
            return self.highest

    def stat(self):
        """memory.stat as a dict."""
        pairs = (line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return {key: int(value) for key, value in pairs}

    def close(self):
        remove(self.folder)


def remove(folder):
    """Ends the processes of one of our groups by their ids, and removes the group."""
    deadline = time.monotonic() + 10
    while folder.exists():
        for pid in (folder / "cgroup.procs").read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise CgroupError(f"the memory cgroup {folder} could not be removed: "
                                  f"{error.strerror}") from None
            time.sleep(0.02)


def remove_leftovers(parent):
    """Groups of earlier runs that were killed before they could clean up."""
    for folder in parent.glob(f"{PREFIX}-*"):
        match = LEFTOVER.match(folder.name)
        if match and not is_running(int(match.group(1))):
            remove(folder)
