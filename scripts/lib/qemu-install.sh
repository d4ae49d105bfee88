# SPDX-License-Identifier: GPL-2.0-or-later
# Installing all that a host needs: engine, QEMU, daemon, command, hook. Sourced by scripts/qemu.

# Only the copying needs root, and not even that below a folder of the caller's.
as_installer() {
    if [ -w "$1" ] || [ -n "${DESTDIR:-}" ]; then
        shift
        "$@"
    else
        shift
        as_root env DESTDIR="${DESTDIR:-}" "$@"
    fi
}

# Built apart from build/engine, whose prefix is below build/: the unit and the library's place depend on it.
host_build() {
    local prefix=$1 dir=$BUILD/host options
    options=(--prefix "$prefix" -Dtests=false)
    # Below /usr the library goes where Debian has libraries; QEMU looks for it beside itself anywhere else.
    [ "$prefix" = /usr ] || options+=(--libdir lib)
    use_ccache
    if [ "${options[*]}" != "$(cat "$dir/configured" 2>/dev/null)" ]; then
        rm -rf "$dir"
        logged host-setup meson setup "${options[@]}" "$dir" "$ROOT"
        printf '%s\n' "${options[*]}" >"$dir/configured"
    fi
    logged host-build ninja -C "$dir" -j "$JOBS"
}

# The emulator with the engine's installed library instead of the one below build/.
install_emulator() {
    local prefix=$1 made=$BUILD/host/qemu-system-x86_64 runpath='$ORIGIN/../../lib'
    [ "$prefix" != /usr ] || runpath=
    cp "$QEMU/build/qemu-system-x86_64" "$made"
    python3 "$ROOT/scripts/lib/runpath.py" "$made" "$runpath"
    as_installer "$2" install -D -m 755 "$made" \
        "${DESTDIR:-}$prefix/libexec/tidemark/qemu-system-x86_64"
}

# As Debian's packages do: groups, folders, and a unit that starts at the next boot.
tell_systemd() {
    [ -d /run/systemd/system ] || return 0
    as_installer "$1" systemd-sysusers tidemark.conf
    as_installer "$1" systemd-tmpfiles --create tidemark.conf
    as_installer "$1" systemctl daemon-reload
    as_installer "$1" systemctl --quiet enable tidemarkd
}

qemu_install() {
    local prefix=/usr etc owner configuration
    while [ $# -gt 0 ]; do
        case $1 in
        --prefix) prefix=${2:?--prefix wants a folder} && shift ;;
        --prefix=*) prefix=${1#*=} ;;
        *) die "unknown option '$1': install takes --prefix DIR" ;;
        esac
        shift
    done
    case $prefix in
    /) die "the prefix is /: give a folder, such as /usr" ;;
    /*) prefix=${prefix%/} ;;
    *) die "the prefix is '$prefix': it must be an absolute path" ;;
    esac
    [ -n "${DESTDIR:-}" ] || "$ROOT/scripts/bootstrap"
    qemu_build
    host_build "$prefix"
    # Who may write to the nearest folder that exists may install.
    owner=${DESTDIR:-}$prefix
    until [ -e "$owner" ]; do owner=$(dirname "$owner"); done
    DESTDIR=${DESTDIR:-} logged host-install as_installer "$owner" \
        meson install -C "$BUILD/host" --no-rebuild
    install_emulator "$prefix" "$owner"
    case $prefix in
    /usr | /usr/local) etc=/etc ;;
    *) etc=$prefix/etc ;;
    esac
    configuration=${DESTDIR:-}$etc/tidemark/tidemark.toml
    [ -e "$configuration" ] || as_installer "$owner" install -D -m 644 \
        "${DESTDIR:-}$prefix/share/doc/tidemark/examples/tidemark.toml" "$configuration"
    if [ -z "${DESTDIR:-}" ] && [ "$etc" = /etc ]; then
        as_installer "$owner" ldconfig
        tell_systemd "$owner"
    fi
    say "qemu install: ${DESTDIR:-}$prefix/libexec/tidemark/qemu-system-x86_64, tidemarkd, tidemark and libvirt's hook; configuration in $configuration"
}
