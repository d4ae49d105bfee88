# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of a range of another process's memory the kernel maps with huge pages."""
import ctypes
import fcntl

PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg), since Linux 6.7
PAGE_IS_HUGE = 1 << 6


class Region(ctypes.Structure):
    """The kernel's struct page_region."""
    _fields_ = [("start", ctypes.c_uint64), ("end", ctypes.c_uint64),
                ("categories", ctypes.c_uint64)]


class Scan(ctypes.Structure):
    """The kernel's struct pm_scan_arg."""
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages",
        "category_inverted", "category_mask", "category_anyof_mask", "return_mask")]


def huge_bytes(pid, ranges):
    """Bytes of the ranges (start, length) that huge pages map; None where the kernel can't tell."""
    total = 0
    regions = (Region * 256)()
    with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        for start, length in ranges:
            at, end = start, start + length
            while at < end:
                scan = Scan(size=ctypes.sizeof(Scan), start=at, end=end,
                            vec=ctypes.addressof(regions), vec_len=len(regions),
                            category_mask=PAGE_IS_HUGE, return_mask=PAGE_IS_HUGE)
                try:
                    found = fcntl.ioctl(pagemap, PAGEMAP_SCAN, scan)
                except OSError:
                    return None
                total += sum(one.end - one.start for one in regions[:found])
                at = scan.walk_end
    return total
