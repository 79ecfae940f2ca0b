#!/usr/bin/env bash
# Recorded executions of the real service, through the core alone and through a node; skipped where the
# recordings are absent.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
cases=${CARILLON_ASL_CASES:-../shared/asl-cases}
carillon=${CARILLON_BIN:-build/bin}/carillon
if [ ! -d "$cases/executions" ]; then
    echo "conformance: no recordings at $cases: skipped"
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-conformance-XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}
# reaches FILE PASSED FAILED: at least so many passed, at most so many failed.
reaches() {
    local p f
    tail -n 2 "$1"
    read -r p f <<<"$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$1")"
    [ "${p:-0}" -ge "$2" ] && [ "${f:-9999}" -le "$3" ]
}
verdicts() { grep -E '^(PASS|FAIL) ' "$1" | cut -d' ' -f1,2 | sort -k2; }

"$carillon" workflow conformance --fast "$cases" >"$work/fast" 2>"$work/err"
check "exit code tells of a failure" [ $? = 1 ]
check "the core alone" reaches "$work/fast" 531 4
"$carillon" workflow conformance "$cases" >"$work/node" 2>>"$work/err"
check "a real node" reaches "$work/node" 511 4
# Each case that the node has run must end as it does in the core alone.
agree() {
    verdicts "$work/fast" >"$work/fast.v"
    verdicts "$work/node" >"$work/node.v"
    [ "$(wc -l <"$work/node.v")" -gt 500 ] && ! comm -13 <(sort "$work/fast.v") <(sort "$work/node.v") | grep .
}
check "core and node agree" agree
mkdir -p "$work/flat/nested"
cp "$cases"/executions/base.test_base.* "$work/flat/nested/"
cp "$cases"/definitions/statelint.*map* "$work/flat/" 2>/dev/null || true
good() { "$carillon" workflow conformance --fast "$work/flat" >"$work/some"; }
check "folders within folders" good
[ $failed = 0 ] || cat "$work/err"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
