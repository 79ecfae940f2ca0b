#!/usr/bin/env bash
# check_symbols.sh: proves by nm what the simulator is made of (ADR 0005).
#  1. Every object file of the production libraries is inside the simulator: each function and
#     variable that it defines is defined there, at least once more for each file-local name.
#  2. No object file of an adapter library (tools/adapters.txt) is.
#  3. The simulator asks for nothing that reaches the outside: no call of the libraries behind
#     the adapters, no clock, thread, socket, process or entropy. One exception: its main.c (and
#     nothing else) may call clock_gettime, to hold itself to a budget of CPU seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/${1:-dev}
lib=$build/lib
sim=$build/tests/sim
if [ ! -x "$sim" ]; then
    echo "symbols: $sim is not built" >&2
    exit 1
fi
bad=0
fail() {
    echo "symbols: $*" >&2
    bad=$((bad + 1))
}

nm --defined-only "$sim" | awk '{print $3}' | sort | uniq -c | awk '{print $2, $1}' \
    | sort >"$build/sim.symbols"

# Names that an archive member defines, as counts: "name times".
members=0
adapter_libs=$(awk '$1 == "adapter" {print $2}' tools/adapters.txt | sort -u)
for archive in "$lib"/libcarillon_*.a; do
    name=$(basename "$archive" .a)
    name=${name#lib}
    case $name in carillon_testlib | carillon_simlib | carillon_contractlib) continue ;; esac
    if grep -qx "$name" <<<"$adapter_libs"; then
        # An adapter: none of its global names may be in the simulator, unless the simulator
        # brings its own of that name (os and thread are replaced at link time).
        for member in $(ar t "$archive"); do
            file=$(nm --defined-only "$archive" 2>/dev/null \
                | awk -v m="$member:" '$0 == m {p = 1; next} /^$/ {p = 0} p && $2 ~ /[TDBR]/ {print $3}')
            for symbol in $file; do
                if grep -q "^$symbol " "$build/sim.symbols" \
                    && ! nm --defined-only "$lib/libcarillon_simlib.a" 2>/dev/null | grep -q " $symbol$"; then
                    fail "adapter $name($member) is in the simulator: $symbol"
                fi
            done
        done
        continue
    fi
    for member in $(ar t "$archive"); do
        members=$((members + 1))
        nm --defined-only "$archive" 2>/dev/null \
            | awk -v m="$member:" '$0 == m {p = 1; next} /^$/ {p = 0} p && $2 ~ /[TtDdBbRr]/ {print $3}' \
            | grep -v '^\.\|^__func__\|^__PRETTY' | sort -u >"$build/member.symbols" || true
        lost=$(join -v 1 "$build/member.symbols" "$build/sim.symbols")
        [ -z "$lost" ] || fail "$name($member) is not in the simulator: " $lost
    done
done
[ "$members" -gt 0 ] || fail "no production library found"

# What the simulator asks of shared libraries, and what its parts other than main.c ask for.
nm --undefined-only "$sim" | awk '{print $2}' | sed 's/@.*//' | grep -v '^clock_gettime$' \
    | sort -u >"$build/sim.undefined"
for archive in "$lib"/libcarillon_*.a; do
    name=$(basename "$archive" .a)
    grep -qx "${name#lib}" <<<"$adapter_libs"$'\n'carillon_testlib$'\n'carillon_contractlib && continue
    nm --undefined-only "$archive" 2>/dev/null | awk '{print $2}' >>"$build/sim.undefined"
done
sort -uo "$build/sim.undefined" "$build/sim.undefined"
outside='uv_.*|nng_.*|PQ.*|zoo_.*|zookeeper_.*|redis.*|curl_.*|MHD_.*
clock_gettime|gettimeofday|time|clock_nanosleep|nanosleep|usleep|sleep
pthread_create|pthread_mutex_.*|pthread_cond_.*|thrd_.*
socket|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?|poll|epoll_.*|select
getenv|secure_getenv|rand|srand|random|srandom|getrandom|getentropy|arc4random.*
fork|vfork|execv.*|execl.*|posix_spawn.*|system|popen'
found=$(grep -xE "$(tr '\n' '|' <<<"$outside" | sed 's/|$//')" "$build/sim.undefined" || true)
for symbol in $found; do
    fail "the simulator reaches the outside: $symbol"
done

echo "symbols: $members object files of production code in the simulator, $bad wrong"
[ $bad = 0 ]
