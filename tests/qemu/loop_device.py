# SPDX-License-Identifier: GPL-2.0-or-later
"""A block device that can be made to fail: a loop device, and a small tmpfs that gets full."""
import contextlib
import fcntl
import os
import struct
import subprocess
import tempfile

from guest import MIB, Skip, wait_for
from machines import tier_directory

LOOP_SET_STATUS64 = 0x4C04
LOOP_GET_STATUS64 = 0x4C05
STATUS_BYTES = 232
SIZE_LIMIT_OFFSET = 32  # of lo_sizelimit in struct loop_info64


class LoopDevice:
    def __init__(self, path, backing):
        self.path = path
        self.backing = backing

    def limit(self, size):
        """Cuts the device to size bytes: what lies beyond cannot be reached, but is not lost.

        0 gives the whole device back."""
        with open(self.path, "rb") as device:
            status = bytearray(fcntl.ioctl(device, LOOP_GET_STATUS64, bytes(STATUS_BYTES)))
            struct.pack_into("<Q", status, SIZE_LIMIT_OFFSET, size)
            fcntl.ioctl(device, LOOP_SET_STATUS64, bytes(status))

    def spoil(self):
        """Overwrites all that is stored behind the device's back; returns the bytes changed."""
        changed = 0
        with open(self.backing, "r+b", buffering=0) as data:
            end = os.fstat(data.fileno()).st_size
            at = 0
            while at < end:
                try:
                    start = os.lseek(data.fileno(), at, os.SEEK_DATA)
                except OSError:  # only holes from here on
                    break
                at = min(os.lseek(data.fileno(), start, os.SEEK_HOLE), end)
                for place in range(start - start % 4096, at, 4096):
                    os.pwrite(data.fileno(), b"spoiled!", place + 512)
                    changed += 8
        return changed


def run(*command):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode:
        raise Skip(f"'{' '.join(command)}' does not work here: {done.stdout.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def loop_device(size):
    """A loop device of size bytes over a sparse file."""
    if os.geteuid() != 0:
        raise Skip("loop devices need root")
    with tempfile.NamedTemporaryFile(suffix=".tier", dir=tier_directory()) as backing:
        backing.truncate(size)
        path = run("losetup", "--find", "--show", backing.name)
        try:
            yield LoopDevice(path, backing.name)
        finally:
            run("losetup", "--detach", path)


@contextlib.contextmanager
def small_tmpfs(size):
    """A directory on a file system of size bytes, on which a large file can only be sparse."""
    if os.geteuid() != 0:
        raise Skip("mounting a tmpfs needs root")
    with tempfile.TemporaryDirectory() as place:
        run("mount", "-t", "tmpfs", "-o", f"size={size // MIB}m", "tidemark-test", place)
        try:
            yield place
        finally:
            # The kernel lets go of what an io_uring had open only some time after its process has ended.
            wait_for(lambda: subprocess.run(["umount", place], check=False).returncode == 0, 60,
                     f"{place} cannot be unmounted")
