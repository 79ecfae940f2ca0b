#!/usr/bin/env bash
# The examples build outside of the tree with pkg-config, shared and static, and run against a real
# node; so does the client in Python, which shares no code with it.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
build=${CARILLON_BUILD:-build}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-examples-XXXXXX")
chmod 755 "$work"
dev='' worker=''
trap 'kill $worker $dev 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}

# What "cmake --install" puts in place, without building the rest.
mkdir -p "$work/lib/pkgconfig" "$work/include/carillon"
cp -a "$build"/lib/libcarillon.so* "$build"/lib/libcarillon.a "$work/lib/"
cp include/carillon/carillon.h "$work/include/carillon/"
cp "$build/carillon.pc" "$work/lib/pkgconfig/"
export PKG_CONFIG_PATH=$work/lib/pkgconfig LD_LIBRARY_PATH=$work/lib
cp examples/client.c examples/worker.c "$work/"
shared() {
    (cd "$work" && cc -std=c11 -Wall -Wextra -Werror "$1.c" -o "$1" $(pkg-config --cflags --libs carillon) -pthread)
}
static() {
    (cd "$work" && mkdir -p alone && cp lib/libcarillon.a alone/ &&
        cc -std=c11 "$1.c" -o "$1-static" $(pkg-config --cflags carillon) -Lalone \
            $(pkg-config --libs --static carillon | sed 's/-L[^ ]*//'))
}
check "client builds" shared client
check "worker builds" shared worker
check "client builds, static" static client
check "worker builds, static" static worker

address=tcp://127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$bin/carillon" dev --data "$work/data" --listen "$address" >"$work/out" 2>"$work/err" &
dev=$!
cat >"$work/five.json" <<'JSON'
{"StartAt":"A","States":{
 "A":{"Type":"Task","Resource":"queue:example","Next":"B"},
 "B":{"Type":"Task","Resource":"queue:example","Next":"C"},
 "C":{"Type":"Task","Resource":"queue:example","Next":"D"},
 "D":{"Type":"Task","Resource":"queue:example","Next":"E"},
 "E":{"Type":"Task","Resource":"queue:example","End":true}}}
JSON
py() { python3 tests/integration/protocol_client.py "$address" "$@"; }
defined() {
    for _ in $(seq 300); do
        py define five "$work/five.json" >"$work/version" 2>/dev/null && return 0
        kill -0 $dev || return 1
        python3 -c 'import select; select.select([], [], [], 0.1)'
    done
    return 1
}
check "Python defines a workflow" defined
"$work/worker" "tcp://127.0.0.1:9,$address" example >"$work/worker.out" 2>&1 &
worker=$!
runs() {
    "$work/$1" "$address" five '{"n":1}' "$1" >"$work/$1.out" && grep -q '^SUCCEEDED .*"n":1' "$work/$1.out"
}
check "client and worker" runs client
check "client, static" runs client-static
again() { "$work/client" "$address" five '{"n":1}' client | grep -q '^found '; }
check "the same name again" again
other() { ! "$work/client" "$address" five '{"n":2}' client 2>"$work/other" && grep -q 'EXISTS' "$work/other"; }
check "the same name with another input" other
stops() { kill -TERM $worker && wait $worker; }
check "worker stops with 0" stops
worker=''
started() { py start five from-python '{"p": 2}' >"$work/py" && grep -q True "$work/py"; }
check "Python starts" started
echoes() { [ "$(py echo example 5)" = 5 ]; }
check "Python works" echoes
ends() { py wait "$(cut -d' ' -f1 "$work/py")" 20 | grep -q '^2 {"p":'; }
check "Python waits" ends
"$work/worker-static" "$address" example >"$work/worker2.out" 2>&1 &
worker=$!
static_worker() { "$work/client" "$address" five '{"n":3}' third | grep -q '^SUCCEEDED'; }
check "worker, static" static_worker
check "worker, static, stops with 0" stops
worker=''
echo "$passed passed, $failed failed"
[ $failed = 0 ]
