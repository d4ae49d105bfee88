# SPDX-License-Identifier: GPL-2.0-or-later
"""A swap file of our own, for the side that Tidemark is compared with.

    with SwapFile(folder, size) as swap:
        ...                       # used before any other swap of the host

Leaving the block turns it off and removes it, whatever happened."""
import os
import pathlib
import re
import subprocess

from cgroup import is_running

PREFIX = "tidemark-bench-swap"
LEFTOVER = re.compile(rf"^{PREFIX}-(\d+)-\d+$")
HEADER = 1 << 20          # mkswap's header page, rounded up
HIGHEST_PRIORITY = 32767  # so that the host's own swap stays out of the measurement


class SwapError(RuntimeError):
    """Swap can't be had here; the text says why."""


def active():
    """What /proc/swaps lists, as dicts: path, size and used in bytes."""
    found = []
    with open("/proc/swaps", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            words = line.split()
            name = words[0].encode().decode("unicode_escape").removesuffix(" (deleted)")
            found.append({"path": name, "size": int(words[2]) * 1024, "used": int(words[3]) * 1024})
    return found


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C",
                               "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
    if done.returncode != 0:
        raise SwapError(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")


class SwapFile:
    """size: bytes of memory that must fit; folder: on the disk that is to be measured."""

    count = 0

    def __init__(self, folder, size):
        self.folder = pathlib.Path(folder).resolve()
        self.size = size + HEADER
        SwapFile.count += 1
        self.path = self.folder / f"{PREFIX}-{os.getpid()}-{SwapFile.count}"

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        try:
            self.make()
            run("mkswap", "-q", str(self.path))
            run("swapon", "-p", str(HIGHEST_PRIORITY), str(self.path))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def make(self):
        """Allocated whole: the kernel refuses a swap file with holes."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SwapError(f"no swap file of {self.size >> 20} MiB in {self.folder}: "
                            f"{error.strerror}") from None

    def used(self):
        """Bytes of it that hold a page now."""
        return next((one["used"] for one in active() if one["path"] == str(self.path)), 0)

    def close(self):
        remove(self.path)


def remove(path):
    if any(one["path"] == str(path) for one in active()):
        run("swapoff", str(path))
    path.unlink(missing_ok=True)


def remove_leftovers(folder):
    """Swap files of earlier runs that were killed before they could clean up."""
    for path in folder.glob(f"{PREFIX}-*"):
        match = LEFTOVER.match(path.name)
        if match and not is_running(int(match.group(1))):
            remove(path)
