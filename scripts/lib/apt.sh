# SPDX-License-Identifier: GPL-2.0-or-later
# apt without touching the machine's sources: suites the machine does not have (backports, another
# release's sources) are read through an apt directory of our own in the cache. Sourced after
# common.sh.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints "<repository> <suite> <component>" per configured package index. apt answers only for lists
# that it has; on a machine that never ran "apt-get update" they are read into the cache.
apt_targets() {
    # shellcheck disable=SC2016  # apt fills these in
    local fmt='$(REPO_URI) $(RELEASE) $(COMPONENT)' out
    out=$(apt-get indextargets --format "$fmt" 'Created-By: Packages')
    if [ -z "$out" ]; then
        local lists=$CACHE/apt/machine/lists
        mkdir -p "$lists/partial"
        apt-get -qq -o Dir::State::lists="$lists" -o Dir::Cache="$CACHE/apt/machine" \
            -o APT::Sandbox::User=root update >&2
        out=$(apt-get -o Dir::State::lists="$lists" indextargets --format "$fmt" \
            'Created-By: Packages')
    fi
    sort -u <<<"$out"
}

os_codename() {
    # shellcheck disable=SC1091
    (. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") ||
        die "this is not a Debian system: Debian 12 (bookworm) and 13 (trixie) are supported"
}

# The Debian mirror this machine uses. An archive that also carries <codename>-updates is Debian's
# own; third parties name suites after the release too, but have no -updates.
apt_mirror() {
    local codename targets mirror
    codename=$(os_codename)
    targets=$(apt_targets)
    mirror=$(awk -v s="$codename-updates" '$2 == s && $3 == "main" { print $1; exit }' \
        <<<"$targets")
    [ -n "$mirror" ] || mirror=$(awk -v s="$codename" \
        '$2 == s && $3 == "main" && $1 ~ /debian\/?$/ { print $1; exit }' <<<"$targets")
    [ -n "$mirror" ] || mirror=$(awk -v s="$codename" \
        '$2 == s && $3 == "main" { print $1; exit }' <<<"$targets")
    [ -n "$mirror" ] ||
        die "apt has no source for $codename main: expected one in /etc/apt/sources.list.d"
    printf '%s\n' "$mirror"
}

# private_apt <name> <line>...: writes an apt directory with exactly these source lines, updates
# it, and leaves the options that select it in the array APT. One line "+machine" adds the
# machine's own sources.
private_apt() {
    local dir=$CACHE/apt/$1 line
    shift
    rm -rf "$dir/sources"
    mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/cache/archives/partial"
    for line in "$@"; do
        if [ "$line" = +machine ]; then
            find /etc/apt/sources.list /etc/apt/sources.list.d -maxdepth 1 -type f \
                \( -name '*.list' -o -name '*.sources' \) -exec cp {} "$dir/sources/" \; \
                2>/dev/null || true
        else
            printf '%s\n' "$line" >>"$dir/sources/tidemark.list"
        fi
    done
    APT=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/sources"
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache"
        -o Acquire::Languages=none -o APT::Sandbox::User=root)
}
