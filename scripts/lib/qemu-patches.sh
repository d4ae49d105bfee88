# SPDX-License-Identifier: GPL-2.0-or-later
# The patch series: putting it on a tree, writing it back out, moving it to another version, and
# keeping it small. Sourced by scripts/qemu.

QEMU=$BUILD/qemu
SRC=$QEMU/src

series() { find "$PATCHES" -maxdepth 1 -name '[0-9]*.patch' | sort; }

# What build/qemu/src was made from.
series_stamp() { { cat "$LOCK"; series | xargs -r cat; } | sha256sum | cut -d' ' -f1; }

# export_series <tree> <directory>: fixed options, so that the same commits give the same bytes.
export_series() {
    git -C "$1" -c core.abbrev=10 -c diff.algorithm=myers -c diff.noprefix=false \
        -c diff.mnemonicPrefix=false -c format.signOff=false \
        format-patch -q --zero-commit --no-numbered --no-signature --no-renames \
        --no-attach --no-cover-letter --no-base --no-thread --no-encode-email-headers --stat=72 -U3 \
        --output-directory "$2" pristine..HEAD
}

# exports_same <tree>: are the tree's commits exactly qemu-patches/?
exports_same() {
    local tmp result=0
    tmp=$(mktemp -d)
    export_series "$1" "$tmp"
    diff -r -q -x '*.md' -x qemu.lock -x allowed-files "$PATCHES" "$tmp" >&2 || result=1
    rm -rf "$tmp"
    return $result
}

# am_series <tree> [git-am options]: git apply knows no fuzz, so a patch fits or fails.
am_series() {
    local tree=$1 patches
    shift
    mapfile -t patches < <(series)
    [ ${#patches[@]} -gt 0 ] || return 0
    as_nobody git -C "$tree" am -q --committer-date-is-author-date --keep-cr "$@" \
        "${patches[@]}" && return 0
    git -C "$tree" am --abort || true
    return 1
}

# The overlay's files are used where they are, through links that git does not see.
link_overlay() {
    local exclude=$1/.git/info/exclude
    grep -q -F '/qapi/tiered-*.json' "$exclude" ||
        printf '/backends/tidemark\n/qapi/tiered-*.json\n' >>"$exclude"
    ln -sfn "$(realpath -m --relative-to="$1/backends" "$ROOT/src/qemu")" "$1/backends/tidemark"
    local json
    for json in "$ROOT"/src/qemu/*.json; do
        [ -f "$json" ] || continue
        ln -sfn "$(realpath -m --relative-to="$1/qapi" "$json")" "$1/qapi/${json##*/}"
    done
}

# Is there work in build/qemu/src that a new apply would lose?
has_unexported_work() {
    local head
    [ -z "$(git -C "$SRC" status --porcelain)" ] || return 0
    head=$(git -C "$SRC" rev-parse HEAD)
    [ "$head" != "$(git -C "$SRC" rev-parse pristine)" ] || return 1
    [ "$head" != "$(cat "$QEMU/head" 2>/dev/null)" ]
}

qemu_apply() {
    local stamp version force=${1:-}
    stamp=$(series_stamp)
    version=$(lock_pinned)
    [ -z "$force" ] || [ "$force" = --force ] || die "unknown option '$force': apply takes --force"
    if [ -d "$SRC/.git" ] && git -C "$SRC" rev-parse -q --verify pristine >/dev/null; then
        link_overlay "$SRC"
        if [ -z "$force" ]; then
            # Commits made in the tree since then are left alone: that is how hooks are written.
            [ "$stamp" != "$(cat "$QEMU/stamp" 2>/dev/null)" ] || return 0
            if [ -z "$(git -C "$SRC" status --porcelain)" ] &&
                exports_same "$SRC" >/dev/null 2>&1; then
                remember_applied "$stamp"
                return 0
            fi
            ! has_unexported_work || die "$SRC has changes that qemu-patches/ has not: keep them" \
                "with 'scripts/qemu export', or drop them with 'scripts/qemu apply --force'"
        fi
    fi
    # Going back to pristine in place leaves the times of untouched files alone: a short rebuild.
    if [ "$(cat "$SRC/VERSION" 2>/dev/null)" = "$version" ] && [ -d "$SRC/.git" ]; then
        git -C "$SRC" reset -q --hard
        git -C "$SRC" checkout -q -B tidemark pristine
    else
        say "qemu apply: unpacking QEMU $version"
        mkdir -p "$QEMU"
        qemu_unpack "$version" "$SRC"
    fi
    am_series "$SRC" || die "the series in qemu-patches/ does not apply to QEMU $version"
    link_overlay "$SRC"
    remember_applied "$stamp"
    say "qemu apply: $(series | wc -l) patches on QEMU $version in ${SRC#"$ROOT"/}"
}

remember_applied() {
    printf '%s\n' "$1" >"$QEMU/stamp"
    git -C "$SRC" rev-parse HEAD >"$QEMU/head"
}

qemu_export() {
    [ -d "$SRC/.git" ] || die "nothing to export: run 'scripts/qemu apply' first"
    [ -z "$(git -C "$SRC" status --porcelain)" ] ||
        die "$SRC has changes that are not committed: commit them there, then export"
    local tmp
    tmp=$(mktemp -d)
    export_series "$SRC" "$tmp"
    series | xargs -r rm
    find "$tmp" -name '*.patch' -exec cp {} "$PATCHES/" \;
    rm -rf "$tmp"
    remember_applied "$(series_stamp)"
    say "qemu export: $(series | wc -l) patches in qemu-patches/"
}

# rebase <version>: the version must be in qemu.lock (as pinned or next). Both trees are there, so
# git can merge three ways; what it cannot merge is left for you in build/qemu/rebase.
qemu_rebase() {
    local version=${1:-} dir=$QEMU/rebase
    [ -n "$version" ] || die "rebase needs a version: one of those in qemu.lock"
    [ -d "$SRC/.git" ] || qemu_apply
    exports_same "$SRC" || die "export the commits in $SRC first"
    qemu_unpack "$version" "$dir"
    git -C "$dir" fetch -q "$SRC" +HEAD:refs/heads/old +refs/tags/pristine:refs/heads/old-pristine
    git -C "$dir" checkout -q -B tidemark old
    as_nobody git -C "$dir" rebase -q --committer-date-is-author-date \
        --onto pristine old-pristine tidemark ||
        die "conflicts in $dir: resolve them, 'git rebase --continue', then move it to $SRC," \
            "make $version the pinned version in qemu.lock, and run 'scripts/qemu export'"
    say "qemu rebase: clean on $version in ${dir#"$ROOT"/}; to take it: make $version the pinned" \
        "version in qemu.lock, move the tree to ${SRC#"$ROOT"/}, run 'scripts/qemu export'"
}
