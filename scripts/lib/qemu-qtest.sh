# SPDX-License-Identifier: GPL-2.0-or-later
# QEMU's own migration tests, with the patches in. Sourced by scripts/qemu.

# qemu_qtest [off|on] [--full] [-p PATH]...: without off or on, both.
qemu_qtest() {
    local modes=(off on) mode status=0
    case ${1:-} in
    off | on)
        modes=("$1")
        shift
        ;;
    esac
    qemu_build
    use_ccache
    qemu_compile "$QEMU/build" tests/qtest/migration-test
    for mode in "${modes[@]}"; do
        python3 "$ROOT/tests/qemu/qtests.py" --mode "$mode" --out "$BUILD/test-logs" \
            --program "$QEMU/build/tests/qtest/migration-test" \
            --qemu "$QEMU/qemu-system-x86_64" "$@" || status=1
    done
    return "$status"
}
