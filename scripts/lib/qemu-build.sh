# SPDX-License-Identifier: GPL-2.0-or-later
# Building the engine and QEMU. Sourced by scripts/qemu.

# A QEMU that a host for virtual machines needs, and nothing a desktop needs. The firmware path
# makes a binary in its build folder find Debian's firmware: Debian's tarball has none.
QEMU_OPTIONS=(
    --python=/usr/bin/python3 "--cc=ccache cc" "--host-cc=ccache cc"
    --target-list=x86_64-softmmu --without-default-features
    --enable-system --enable-tools --enable-tcg --enable-kvm
    --enable-slirp --enable-vhost-user --enable-vhost-net --enable-vhost-kernel
    --enable-seccomp --enable-zstd --enable-linux-io-uring --enable-cap-ng
    --enable-pixman --enable-avx2
    --disable-docs --disable-download --disable-install-blobs --disable-relocatable
    --disable-werror
    --firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu)

# Output of a long step goes to a log that is shown only when the step fails.
logged() {
    local log=$BUILD/logs/$1.log
    shift
    mkdir -p "$BUILD/logs"
    "$@" >"$log" 2>&1 && return
    tail -n 40 "$log" >&2
    die "failed: $* (log: $log)"
}

engine_build() {
    local dir=$BUILD/engine
    [ -f "$ROOT/meson.build" ] || die "there is no meson.build in $ROOT: the engine is missing"
    use_ccache
    if [ ! -f "$dir/build.ninja" ]; then
        logged engine-setup meson setup --prefix "$PREFIX" --libdir lib "$dir" "$ROOT"
    fi
    logged engine-build ninja -C "$dir" -j "$JOBS"
    logged engine-install meson install -C "$dir" --no-rebuild --only-changed
}

# qemu_configure <source> <directory> <option>...: again only when the options have changed.
qemu_configure() {
    local src=$1 dir=$2
    shift 2
    local options=("${QEMU_OPTIONS[@]}" "$@") stamp
    # QEMU 10.2 always builds its AVX2 code and has no option for it any more.
    grep -q "^option('avx2'" "$src/meson_options.txt" ||
        mapfile -t options < <(printf '%s\n' "${options[@]}" | grep -v -x -e --enable-avx2)
    stamp=$(printf '%s\n' "$src" "${options[@]}" | sha256sum)
    if [ -f "$dir/build.ninja" ] && [ "$stamp" = "$(cat "$dir/configured" 2>/dev/null)" ]; then
        return 0
    fi
    rm -rf "$dir"
    mkdir -p "$dir"
    say "qemu build: configuring ${dir#"$ROOT"/}"
    # A relative path to the sources keeps the compiler cache shared between build directories.
    PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig logged "${dir##*/}-configure" \
        env -C "$dir" "$(realpath --relative-to="$dir" "$src")/configure" "${options[@]}"
    printf '%s\n' "$stamp" >"$dir/configured"
}

# wrapper <name> <binary>: one path for tests and people, with the firmware folders given.
wrapper() {
    cat >"$QEMU/$1.new" <<END
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Written by scripts/qemu: the QEMU built here, with Debian's firmware.
exec "$2" -L /usr/share/qemu -L /usr/share/seabios -L /usr/lib/ipxe/qemu "\$@"
END
    chmod +x "$QEMU/$1.new"
    mv "$QEMU/$1.new" "$QEMU/$1"
}

qemu_compile() {
    local dir=$1
    shift
    logged "${dir##*/}-ninja" ninja -C "$dir" -j "$JOBS" "$@"
}

qemu_build() {
    local stock=
    case ${1:-} in
    '') ;;
    --stock) stock=1 ;;
    *) die "unknown option '$1': build takes --stock or nothing" ;;
    esac
    qemu_apply
    use_ccache
    if [ -n "$stock" ]; then
        qemu_configure "$SRC" "$QEMU/build-stock" -Dtidemark=disabled
        qemu_compile "$QEMU/build-stock" qemu-system-x86_64
        wrapper qemu-system-x86_64-stock "$QEMU/build-stock/qemu-system-x86_64"
        say "qemu build: ${QEMU#"$ROOT"/}/qemu-system-x86_64-stock (Tidemark disabled)"
        return 0
    fi
    engine_build
    PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig pkg-config --exists tidemark ||
        die "the engine's build installed no tidemark.pc in $PREFIX/lib/pkgconfig"
    qemu_configure "$SRC" "$QEMU/build" -Dtidemark=enabled \
        "--extra-ldflags=-Wl,-rpath,$PREFIX/lib"
    qemu_compile "$QEMU/build" qemu-system-x86_64 qemu-img qemu-io
    wrapper qemu-system-x86_64 "$QEMU/build/qemu-system-x86_64"
    ln -sfn build/qemu-img "$QEMU/qemu-img"
    say "qemu build: ${QEMU#"$ROOT"/}/qemu-system-x86_64"
}
