#!/usr/bin/env bash
# profile.sh [LOAD...]: what bounds a figure of `carillon bench`: which program and thread has the cores while
# the load runs, and the functions that take most in the two that work hardest. Loads: W1 W2 W3 W4 (W1).
# Asks for linux-perf (and the right to watch all processes: root, or perf_event_paranoid below 1).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARILLON_BIN:-build/bin}
if ! command -v perf >/dev/null; then
    echo "profile.sh: perf is missing: apt-get install linux-perf" >&2
    exit 1
fi
out=$(mktemp -d "${TMPDIR:-/tmp}/carillon-profile-XXXXXX")
trap 'rm -rf "$out"' EXIT
[ $# -gt 0 ] || set -- W1
report() { perf report -i "$out/data" --no-children -g none "$@" 2>/dev/null | grep '%' || true; }
for load in "$@"; do
    case $load in
    W1) options=(--seconds 12) ;;
    W2) options=(--count 1500) ;;
    *) options=() ;;
    esac
    # The whole run, the private PostgreSQL's start included; samples of idle cores are left out.
    perf record -q -a -F 499 -o "$out/data" -- "$bin/carillon" bench "$load" "${options[@]}" --private \
        >"$out/bench" 2>/dev/null
    echo "$load: $(tail -n 1 "$out/bench" | cut -c 1-400)"
    echo "  of all cores' time (swapper: idle):"
    report --sort comm | head -n 8 | sed 's/^/    /'
    for comm in postgres front; do
        echo "  $comm:"
        report --comm "$comm" --sort sym | head -n 8 | sed 's/^/    /'
    done
done
