# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the kernel's reclaim of a guest's memory going: without it, swap under KVM ends early.

KVM marks each page it maps as accessed, so in a group that holds little but guest RAM all pages end
up on the active list. Reclaim on behalf of a group (Linux 6.18, without MGLRU) then finds next to
nothing on the inactive list, and calls the OOM killer with most of the swap file free. On a host that
is short of memory itself, kswapd would move pages from one list to the other all along; here a thread
does that: when few are inactive, it moves some more, by address and round and round, with
MADV_COLD, which is what the kernel's own shrink_active_list() does to a page. A guest under TCG is
left alone: there enough pages are inactive, and nothing is moved."""
import ctypes
import os
import threading

from levels import MIB

LIBC = ctypes.CDLL(None, use_errno=True)
PROCESS_MADVISE = 440  # the number on every architecture
MADV_COLD = 20
PIECE = 8 * MIB
INTERVAL = 0.01
INACTIVE = 0.3  # share of the group's anonymous memory; the kernel itself aims at a half


class Range(ctypes.Structure):
    """The kernel's struct iovec."""
    _fields_ = [("start", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def advise(descriptor, start, length, advice):
    """madvise() on a range of another process; whether the kernel did it."""
    piece = Range(start, length)
    return LIBC.syscall(PROCESS_MADVISE, descriptor, ctypes.byref(piece), ctypes.c_size_t(1),
                        advice, 0) >= 0


class Aging(threading.Thread):
    """A context manager around the run of a guest in a group with a limit."""

    def __init__(self, group, guest):
        super().__init__(daemon=True)
        self.group = group
        self.guest = guest
        self.at = 0
        self.moved = 0
        self.done = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def run(self):
        descriptor = os.pidfd_open(self.guest.pid)
        try:
            while not self.done.wait(INTERVAL):
                self.look(descriptor)
        except FileNotFoundError:
            pass  # the group is gone
        finally:
            os.close(descriptor)

    def look(self, descriptor):
        stat = self.group.stat()
        inactive, active = stat["inactive_anon"], stat["active_anon"]
        wanted = INACTIVE * (inactive + active) - inactive
        if inactive + active < self.group.limit // 2:
            return
        for _ in range(self.guest.size // PIECE):
            if wanted <= 0:
                return
            length = min(PIECE, self.guest.size - self.at)
            advise(descriptor, self.guest.ram_at + self.at, length, MADV_COLD)
            self.at = (self.at + length) % self.guest.size
            self.moved += length
            wanted -= length  # at most: not all of it is there
