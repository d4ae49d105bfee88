# SPDX-License-Identifier: GPL-2.0-or-later
# Reading qemu.lock, fetching a version's files into the cache, unpacking them. Nothing is unpacked
# before its sum or signature was checked. Sourced by scripts/qemu.

PATCHES=$ROOT/qemu-patches
LOCK=$PATCHES/qemu.lock
SOURCES=$CACHE/sources

lock_pinned() { awk '$1 == "version" { print $2; exit }' "$LOCK"; }
lock_next() { awk '$1 == "next:" { print $2; exit }' "$LOCK"; }

# lock_lines <version> <keyword>: the arguments of those lines in that version's section.
lock_lines() {
    awk -v v="$1" -v k="$2" '
        $1 == "version" || $1 == "next:" { on = ($2 == v) }
        on && $1 == k { $1 = ""; sub(/^ /, ""); print }' "$LOCK"
}

# file_ok <version> <source> <file> <sum>: is it in the cache, and is it the right one?
file_ok() {
    local version=$1 source=$2 file=$SOURCES/$3 sum=$4
    [ -f "$file" ] || return 1
    if [ "$sum" != unchecked ]; then
        if ! sha256sum --status -c - <<<"$sum  $file"; then
            say "qemu fetch: $file does not have the sha256 that qemu.lock names; removing it"
            rm -f "$file"
            return 1
        fi
        return 0
    fi
    signature_ok "$version" "$source" "$file"
}

signature_ok() {
    local url key status
    read -r _ url key < <(lock_lines "$1" signed | awk -v s="$2" '$1 == s') || return 1
    [ -f "$3.sig" ] || curl -fsSL --connect-timeout 15 -o "$3.sig" "$url" || return 1
    status=$(gpg --batch --status-fd 1 --verify "$3.sig" "$3" 2>/dev/null || true)
    # VALIDSIG ends with the fingerprint of the primary key.
    if ! grep -q "^\[GNUPG:\] VALIDSIG .*$key" <<<"$status"; then
        say "qemu fetch: ${3##*/} has no good signature by $key; if that key is not in your" \
            "keyring yet: gpg --recv-keys $key"
        return 1
    fi
}

source_ok() {
    local version=$1 source=$2 sum name found=
    while read -r _ sum name; do
        file_ok "$version" "$source" "$name" "$sum" || return 1
        found=1
    done < <(lock_lines "$version" file | awk -v s="$source" '$1 == s')
    [ -n "$found" ]
}

fetch_apt() {
    local suite=$1 package=$2 mirror
    mirror=$(apt_mirror)
    private_apt "source-$suite" "deb-src [signed-by=$KEYRING] $mirror $suite main"
    apt-get "${APT[@]}" -qq update &&
        (cd "$SOURCES" && apt-get "${APT[@]}" -qq source --download-only "$package")
}

fetch_url() {
    curl -fsSL --connect-timeout 15 --retry 2 -o "$SOURCES/${1##*/}.part" "$1" &&
        mv "$SOURCES/${1##*/}.part" "$SOURCES/${1##*/}"
}

# Leaves the name of the source whose files are in the cache, checked, in SOURCE.
qemu_fetch() {
    local version=$1 name kind args log=$CACHE/fetch.log
    mkdir -p "$SOURCES"
    [ -n "$(lock_lines "$version" source)" ] ||
        die "qemu.lock has no source for QEMU $version: it names $(lock_pinned), $(lock_next)"
    while read -r name kind args; do
        if source_ok "$version" "$name"; then
            SOURCE=$name
            return 0
        fi
    done < <(lock_lines "$version" source)
    : >"$log"
    while read -r name kind args; do
        say "qemu fetch: QEMU $version from $name ($args)"
        # shellcheck disable=SC2086  # args are words
        if "fetch_$kind" $args >>"$log" 2>&1 </dev/null && source_ok "$version" "$name"; then
            SOURCE=$name
            return 0
        fi
        say "qemu fetch: $name did not deliver QEMU $version"
    done < <(lock_lines "$version" source)
    tail -n 20 "$log" >&2
    die "no source in qemu.lock delivered QEMU $version; see $log"
}

# qemu_unpack <version> <directory>: the tree as git repository, tag "pristine". Fixed names and
# dates make the commit the same on every machine.
qemu_unpack() {
    local version=$1 dir=$2 sum name patch tmp=$2.unpack
    qemu_fetch "$version"
    rm -rf "$tmp" "$dir"
    mkdir -p "$tmp/debian" "$tmp/src"
    while read -r _ sum name; do
        case $name in
        *.debian.tar.*) tar -C "$tmp" --no-same-owner -xf "$SOURCES/$name" ;;
        *) tar -C "$tmp/src" --no-same-owner --strip-components=1 -xf "$SOURCES/$name" ;;
        esac
    done < <(lock_lines "$version" file | awk -v s="$SOURCE" '$1 == s')
    while read -r _ patch; do
        patch -s -d "$tmp/src" --fuzz=0 -p1 <"$tmp/debian/patches/$patch"
    done < <(lock_lines "$version" fix | awk -v s="$SOURCE" '$1 == s')
    (
        cd "$tmp/src"
        git init -q
        git symbolic-ref HEAD refs/heads/tidemark
        git config core.autocrlf false
        git config gc.auto 0
        git add -A -f .
        as_nobody git commit -q -m "QEMU $version"
        git tag pristine
    )
    mv "$tmp/src" "$dir"
    rm -rf "$tmp"
}

# Runs git with an author and a date that do not depend on who runs it and when.
as_nobody() {
    GIT_AUTHOR_NAME=tidemark GIT_AUTHOR_EMAIL=tidemark@localhost \
        GIT_AUTHOR_DATE='1970-01-01T00:00:01Z' GIT_COMMITTER_NAME=tidemark \
        GIT_COMMITTER_EMAIL=tidemark@localhost GIT_COMMITTER_DATE='1970-01-01T00:00:01Z' "$@"
}
