#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""runpath.py FILE PATH: makes PATH the folders in which an ELF program of 64 bits looks for its libraries first, in the
place of what it was linked with, which must not be shorter. An empty PATH: the system's folders only."""
import struct
import sys

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_STRTAB, DT_RPATH, DT_RUNPATH = 0, 5, 15, 29


def segments(image):
    """Type, offset in the file, address and size in the file of each."""
    offset, = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for number in range(count):
        kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", image, offset + number * size)
        yield kind, at, address, length


def entries(image):
    """The dynamic section: values by tag."""
    for kind, at, _, length in segments(image):
        if kind == PT_DYNAMIC:
            for entry in range(at, at + length, 16):
                tag, value = struct.unpack_from("<qQ", image, entry)
                if tag == DT_NULL:
                    return
                yield tag, value


def in_file(image, address):
    for kind, at, start, length in segments(image):
        if kind == PT_LOAD and start <= address < start + length:
            return address - start + at
    sys.exit("an address of the dynamic section is in no segment")


def main(name, wanted):
    with open(name, "rb") as file:
        image = bytearray(file.read())
    if image[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"{name} is no ELF file of 64 bits, little-endian")
    dynamic = dict(entries(image))
    places = [dynamic[tag] for tag in (DT_RPATH, DT_RUNPATH) if tag in dynamic]
    if not places and wanted:
        sys.exit(f"{name} was linked without a run path: there is no room for {wanted}")
    for place in places:
        at = in_file(image, dynamic[DT_STRTAB] + place)
        end = image.index(0, at)
        if len(wanted) > end - at:
            sys.exit(f"{wanted} is longer than {image[at:end].decode()}, which is in {name}")
        image[at:end] = wanted.encode().ljust(end - at, b"\0")
    with open(name, "r+b") as file:
        file.write(image)


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(sys.argv[1], sys.argv[2])
