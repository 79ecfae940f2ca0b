#!/usr/bin/env bash
# check_hardening.sh: what is shipped was compiled and linked with the hardening that SECURITY.md
# promises. Read off the files of the release build, not off the flags that were meant to make them so.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
fail() {
    echo "hardening: $*" >&2
    bad=$((bad + 1))
}
# has FILE WHAT PATTERN TEXT: a line of TEXT matches.
has() {
    grep -qE -- "$3" <<<"$4" || fail "$1: no $2"
}
hasnt() {
    if grep -qE -- "$3" <<<"$4"; then fail "$1: $2"; fi
}

files=(build/bin/carillond build/bin/carillon "$(readlink -f build/lib/libcarillon.so)")
for f in "${files[@]}"; do
    if [ ! -e "$f" ]; then
        fail "$f is not built: make"
        continue
    fi
    name=$(basename "$f")
    headers=$(readelf -lW "$f") dynamic=$(readelf -dW "$f")
    symbols=$(readelf --dyn-syms -W "$f") kind=$(readelf -hW "$f")
    has "$name" "position-independent code" 'Type: +DYN' "$kind"
    has "$name" "read-only relocations" 'GNU_RELRO' "$headers"
    has "$name" "binding at start (-z now)" 'FLAGS_1.*NOW' "$dynamic"
    has "$name" "stack without execution" 'GNU_STACK.* RW +0x' "$headers"
    hasnt "$name" "a segment can be written and executed" 'LOAD.* RWE ' "$headers"
    hasnt "$name" "a library path of the build machine" 'RUNPATH|RPATH|TEXTREL' "$dynamic"
    has "$name" "stack protector" '__stack_chk_fail' "$symbols"
    has "$name" "checked string functions (_FORTIFY_SOURCE)" '__(memcpy|snprintf|vsnprintf|memmove)_chk' "$symbols"
    case $name in
    *.so*) hasnt "$name" "cannot be loaded at run time" 'FLAGS_1.*(NOOPEN|NODLOPEN)' "$dynamic" ;;
    *) has "$name" "PIE flag" 'FLAGS_1.*PIE' "$dynamic" ;;
    esac
done
# What leaves no mark in a file (Debian's start-up code takes away that of -fcf-protection): looked for in the
# lines that compiled it.
lines=$(ninja -C build/release -t commands carillond carillon libcarillon.so | grep -- ' -c ' || true)
[ -n "$lines" ] || fail "the lines that compile the programs are not known"
for flag in -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero -fexceptions -fno-strict-overflow; do
    without=$(grep -cv -- " $flag " <<<"$lines" || true)
    [ "$without" = 0 ] || fail "$without files are compiled without $flag"
done
echo "hardening: ${#files[@]} files, $(grep -c . <<<"$lines") compilations, $bad wrong"
[ $bad = 0 ]
