# SPDX-License-Identifier: GPL-2.0-or-later
# promtool, which checks metrics and alert rules. Debian has it in the package prometheus, whose service nobody wants
# on a machine that builds: so the package is unpacked, not installed. Sourced after common.sh and apt.sh.

PROMTOOL=$BUILD/tools/promtool

has_promtool() {
    [ -x "$PROMTOOL" ] || command -v promtool >/dev/null
}

# From the machine's own apt sources. Without it the tests that ask it are skipped, so a failure is only told.
fetch_promtool() {
    local folder status=0
    mkdir -p "$BUILD/tools"
    folder=$(mktemp -d "$BUILD/tools/prometheus.XXXXXX")
    say "bootstrap: unpacking promtool"
    [ -n "$(candidate prometheus)" ] || as_root apt-get -qq update >&3 2>&1 || true
    (cd "$folder" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download prometheus &&
        dpkg-deb -x prometheus_*.deb unpacked && mv unpacked/usr/bin/promtool "$PROMTOOL") >&3 2>&1 ||
        status=$?
    rm -rf "$folder"
    [ "$status" = 0 ] || say "bootstrap: promtool could not be had; what asks it is skipped (see $LOG)"
}
