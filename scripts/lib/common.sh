# SPDX-License-Identifier: GPL-2.0-or-later
# What every script shares: where things are, how a failure is told. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
CACHE=${TIDEMARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
PREFIX=$BUILD/prefix
# shellcheck disable=SC2034  # used by the scripts that source this file
JOBS=${TIDEMARK_JOBS:-$(nproc)}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

# Lines of a list file without comments and blank lines.
list_lines() {
    sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "installing packages needs root: run this as root, or install sudo"
    fi
}

# The compiler cache lives outside the tree; paths below the checkout are made relative, so that
# the plain and the stock build of QEMU share their objects.
use_ccache() {
    export CCACHE_DIR=$CACHE/ccache CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
    export CCACHE_COMPILERCHECK=content
    mkdir -p "$CCACHE_DIR"
}
