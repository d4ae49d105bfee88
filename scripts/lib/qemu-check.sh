# SPDX-License-Identifier: GPL-2.0-or-later
# What the patch series must keep to: few patches, few lines, in few files, each saying why it is
# there, and applying without help. Sourced by scripts/qemu; needs no network once fetched.

MAX_PATCHES=20
MAX_LINES=600

CHECKS=0
FAILURES=0

expect() {
    local what=$1
    shift
    CHECKS=$((CHECKS + 1))
    if "$@"; then
        say "  ok    $what"
    else
        FAILURES=$((FAILURES + 1))
        say "  FAIL  $what"
    fi
}

# The files a series may touch, one per line with a reason.
foreign_files() {
    series | xargs -r sed -n 's,^+++ b/,,p; s,^--- a/,,p' | sort -u |
        comm -23 - <(list_lines "$PATCHES/allowed-files" | awk '{ print $1 }' | sort -u)
}

only_allowed_files() {
    local foreign
    foreign=$(foreign_files)
    [ -z "$foreign" ] || {
        say "$foreign" | sed 's/^/        not in qemu-patches\/allowed-files: /'
        return 1
    }
}

every_allowed_file_is_used() {
    local unused
    unused=$(comm -13 <(series | xargs -r sed -n 's,^+++ b/,,p' | sort -u) \
        <(list_lines "$PATCHES/allowed-files" | awk '{ print $1 }' | sort -u))
    [ -z "$unused" ] || {
        say "$unused" | sed 's/^/        allowed, but no patch touches it: /'
        return 1
    }
}

changed_lines() {
    series | xargs -r cat | git apply --allow-empty --numstat - | awk '{ n += $1 + $2 } END { print n + 0 }'
}

adds_no_files() {
    ! series | xargs -r grep -H -E '^(new file mode|deleted file mode|rename |GIT binary)'
}

says_why() {
    local patch trailer result=0
    while read -r patch; do
        for trailer in Upstream-Status Hook-for Drop-when; do
            grep -q "^$trailer: ." "$patch" || {
                say "        ${patch##*/} has no line '$trailer: ...'"
                result=1
            }
        done
    done < <(series)
    return $result
}

# From pristine in a repository of its own, so that nothing in build/qemu/src is touched.
pristine_copy() {
    rm -rf "$1"
    git clone -q --shared --no-checkout "$SRC" "$1" &&
        git -C "$1" checkout -q -B tidemark pristine
}

applies() { am_series "$1" 2>/dev/null; }

summary() {
    mkdir -p "$BUILD/logs"
    printf '{"passed": %d, "failed": %d, "skipped": []}\n' \
        $((CHECKS - FAILURES)) "$FAILURES" >"$BUILD/logs/check-summary.json"
    say "qemu check: $((CHECKS - FAILURES)) passed, $FAILURES failed"
    [ "$FAILURES" -eq 0 ]
}

qemu_check() {
    case ${1:-} in
    '') ;;
    --next)
        check_next
        return
        ;;
    *) die "unknown option '$1': check takes --next or nothing" ;;
    esac
    [ -d "$SRC/.git" ] || qemu_apply
    local patches lines
    patches=$(series | wc -l)
    lines=$(changed_lines)
    say "qemu check: $patches patches, $lines changed lines in QEMU's own files"
    expect "there is a series" test "$patches" -gt 0
    expect "at most $MAX_PATCHES patches" test "$patches" -le "$MAX_PATCHES"
    expect "at most $MAX_LINES changed lines" test "$lines" -le "$MAX_LINES"
    expect "hook lines only: no file added, removed or renamed" adds_no_files
    expect "only files on the allow-list" only_allowed_files
    expect "every file on the allow-list is needed" every_allowed_file_is_used
    expect "every patch says why it is there and when it can go" says_why
    pristine_copy "$QEMU/check" || die "cannot copy the pristine tree from $SRC"
    expect "the series applies to QEMU $(lock_pinned) without fuzz" applies "$QEMU/check"
    expect "what was applied exports byte for byte" exports_same "$QEMU/check"
    rm -rf "$QEMU/check"
    summary
}

# Leaves in HOW in which way the patch went on the tree; empty if it did not, after saying where.
apply_next() {
    local tree=$1 patch=$2
    HOW="as it is"
    as_nobody git -C "$tree" am -q --keep-cr "$patch" >/dev/null 2>&1 && return
    git -C "$tree" am --abort
    HOW="by three-way merge"
    as_nobody git -C "$tree" am -q --3way --keep-cr "$patch" >/dev/null 2>&1 && return
    HOW=
    git -C "$tree" diff | sed 's/^/        /'
    git -C "$tree" am --abort
}

# The canary: a version to come. Three-way merging is allowed here, and said.
check_next() {
    local version dir=$QEMU/next patch all=yes
    version=$(lock_next)
    say "qemu check: the series on QEMU $version"
    qemu_unpack "$version" "$dir/src"
    qemu_apply
    git -C "$dir/src" fetch -q "$SRC" +refs/tags/pristine:refs/heads/old-pristine
    while read -r patch; do
        apply_next "$dir/src" "$patch"
        expect "${patch##*/} applies${HOW:+ $HOW}" test -n "$HOW"
        [ -n "$HOW" ] || all=
    done < <(series)
    # Those that need a hand are all named; without them there is nothing to compile.
    [ -n "$all" ] || { summary; return; }
    link_overlay "$dir/src"
    engine_build
    qemu_configure "$dir/src" "$dir/build" -Dtidemark=enabled \
        "--extra-ldflags=-Wl,-rpath,$PREFIX/lib"
    expect "QEMU $version with the overlay compiles" compile_next "$dir/build"
    expect "the binary offers memory-backend-tiered" offers_backend "$dir/build/qemu-system-x86_64"
    summary
}

compile_next() {
    (qemu_compile "$1" qemu-system-x86_64)
}

offers_backend() {
    "$1" -object help 2>/dev/null | grep -q -w memory-backend-tiered
}
