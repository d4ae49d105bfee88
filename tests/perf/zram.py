# SPDX-License-Identifier: GPL-2.0-or-later
"""Swap on compressed memory: the optional fourth side. The compressed pages take DRAM of their own beside
the cgroup's, so this side has more than the others; the report says so."""
import pathlib
import subprocess

from swapfile import HIGHEST_PRIORITY, SwapError, active, run

CONTROL = pathlib.Path("/sys/class/zram-control")


def available():
    """Loads the module if need be."""
    if not CONTROL.exists():
        subprocess.run(["modprobe", "zram", "num_devices=0"], capture_output=True, check=False,
                       env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    return (CONTROL / "hot_add").exists()


class ZramSwap:
    """A device of our own; a host's own zram swap is left alone."""

    def __init__(self, size):
        self.size = size
        self.number = None

    def __enter__(self):
        if not available():
            raise SwapError("the zram module could not be loaded")
        self.number = int((CONTROL / "hot_add").read_text())
        try:
            pathlib.Path(f"/sys/block/zram{self.number}/disksize").write_text(f"{self.size}\n")
            run("mkswap", "-q", self.device())
            run("swapon", "-p", str(HIGHEST_PRIORITY), self.device())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def device(self):
        return f"/dev/zram{self.number}"

    def close(self):
        if any(one["path"] == self.device() for one in active()):
            run("swapoff", self.device())
        (CONTROL / "hot_remove").write_text(f"{self.number}\n")
