#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the bare-metal guests: build.sh OUTPUT-DIRECTORY -> baremetal.elf (tests),
# perf.elf and paced.elf (benchmark)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: build.sh OUTPUT-DIRECTORY}
mkdir -p "$out"

# Whether an ELF file is newer than all it is made of.
current() {
    local source
    for source in "$here"/*.[cSh] "$here"/../*.h "$here/guest.ld" "${BASH_SOURCE[0]}"; do
        [[ $out/$1 -nt $source ]] || return 1
    done
}

# build SOURCE ELF FLAGS...: one C file and the common entry make a guest.
build() {
    local source=$1 elf=$2 object=$out/${1%.c}.o
    shift 2
    gcc -std=c11 -O2 -Wall -Wextra -Wconversion -Wno-int-to-pointer-cast -Werror -m64 \
        -ffreestanding -fno-tree-loop-distribute-patterns -mcmodel=small -fno-pic -fno-pie \
        -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -mno-red-zone \
        -I "$here/.." "$@" -c "$here/$source" -o "$object"
    gcc -m64 -c "$here/boot.S" -o "$out/boot.o"
    ld -m elf_x86_64 -static -nostdlib -z max-page-size=4096 --no-warn-rwx-segments \
        -T "$here/guest.ld" "$out/boot.o" "$object" -o "$out/$elf.tmp"
    mv "$out/$elf.tmp" "$out/$elf"
}

if ! current baremetal.elf; then
    build guest.c baremetal.elf -mgeneral-regs-only
fi
# With SSE, for zipf: boot.S lets ring 3 use it, and nothing switches or saves registers here.
if ! current perf.elf; then
    build perf.c perf.elf
fi
if ! current paced.elf; then
    build paced.c paced.elf -mgeneral-regs-only
fi
