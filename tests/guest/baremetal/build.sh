#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the bare-metal guest: build.sh OUTPUT-DIRECTORY -> OUTPUT-DIRECTORY/baremetal.elf
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: build.sh OUTPUT-DIRECTORY}
mkdir -p "$out"

if [[ $out/baremetal.elf -nt $here/guest.c && $out/baremetal.elf -nt $here/boot.S &&
    $out/baremetal.elf -nt $here/guest.ld && $out/baremetal.elf -nt ${BASH_SOURCE[0]} ]]; then
    exit 0
fi
# General registers only: ring 0 never set up an FPU state to save or restore.
gcc -std=c11 -O2 -Wall -Wextra -Wconversion -Wno-int-to-pointer-cast -Werror -m64 -ffreestanding \
    -mcmodel=small -mgeneral-regs-only -fno-pic -fno-pie -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fcf-protection=none -mno-red-zone \
    -c "$here/guest.c" -o "$out/guest.o"
gcc -m64 -c "$here/boot.S" -o "$out/boot.o"
ld -m elf_x86_64 -static -nostdlib -z max-page-size=4096 --no-warn-rwx-segments \
    -T "$here/guest.ld" "$out/boot.o" "$out/guest.o" -o "$out/baremetal.elf.tmp"
mv "$out/baremetal.elf.tmp" "$out/baremetal.elf"
