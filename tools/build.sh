#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configure (quietly, when needed) and build.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
targets=()
[ $# -gt 0 ] && targets=(--target "$@")
log=build/$preset/configure.log
mkdir -p "build/$preset"
if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
NINJA_STATUS="[%f/%t] " cmake --build "build/$preset" -j "${JOBS:-$(nproc)}" "${targets[@]}" \
    | { grep -v '^\[[0-9]*/[0-9]*\] \(Building\|Linking\|Creating library\|Re-checking\|Generating\|Running utility\)\|ninja: no work to do' || true; }
