#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""embed.py OUTPUT PATH=FILE... : writes a C++ file with the contents of the files, for web_files.h."""
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json"}


def literal(data):
    """Bytes as string literals, a source line each: a number after a hex escape would belong to it."""
    lines = []
    for start in range(0, len(data), 32):
        lines.append('    "' + "".join(f"\\{byte:03o}" for byte in data[start:start + 32]) + '"')
    return "\n".join(lines) or '    ""'


def main():
    output, *pairs = sys.argv[1:]
    contents, entries = [], []
    for number, pair in enumerate(pairs):
        path, name = pair.split("=", 1)
        file = pathlib.Path(name)
        data = file.read_bytes()
        contents.append(f"constexpr char kFile{number}[] =\n{literal(data)};\n")
        entries.append(f'    {{"{path}", "{TYPES[file.suffix]}", std::string_view(kFile{number}, {len(data)})}},\n')
    pathlib.Path(output).write_text(
        '// Made by embed.py.\n#include "daemon/web_files.h"\n\nnamespace tidemark::daemon {\nnamespace {\n\n'
        + "\n".join(contents) + "\nconstexpr WebFile kFiles[] = {\n" + "".join(entries)
        + "};\n\n} // namespace\n\nstd::span<const WebFile> web_files() { return kFiles; }\n\n} // namespace tidemark::daemon\n")


main()
