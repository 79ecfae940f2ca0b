#!/usr/bin/env bash
# carillon dev --once succeeds; carillon dev keeps its data between runs and serves the command line.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
data=$(mktemp -d "${TMPDIR:-/tmp}/carillon-dev-XXXXXX")
chmod 755 "$data"
dev=
trap 'kill $dev 2>/dev/null; wait 2>/dev/null; rm -rf "$data"' EXIT
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}
once() { "$bin/carillon" dev --once | grep -q '^first run SUCCEEDED after [0-9.]* s'; }
check "dev --once" once

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CARILLON_ADDRESS=tcp://127.0.0.1:$port
start_dev() {
    "$bin/carillon" dev --data "$data" --listen "$CARILLON_ADDRESS" >"$data/out" 2>"$data/err" &
    dev=$!
}
stop_dev() { kill -TERM "$dev" && wait "$dev"; }
start_dev
check "create" "$bin/carillon" workflow create hello examples/hello.yaml
waits() { "$bin/carillon" start hello --name one --input '{"a":1}' --wait -o json | grep -q '"status":"SUCCEEDED"'; }
check "start --wait" waits
id=$("$bin/carillon" start hello --name one --input '{"a":1}' | cut -d' ' -f1)
again() { "$bin/carillon" start hello --name one --input '{"a":1}' | grep -q "^$id (existed)$"; }
check "same name, same execution" again
other() { "$bin/carillon" start hello --name one --input '{"a":2}' 2>/dev/null; [ $? = 4 ]; }
check "same name, other input: conflict" other
history() { [ "$("$bin/carillon" history "$id" | grep -c Greet)" -ge 2 ]; }
check "history" history
bad() { (printf '{"StartAt":"A","States":{"A":{"Type":"Wat","End":true}}}' | "$bin/carillon" workflow create bad - 2>&1 || true) | grep -q '^[0-9]*:[0-9]*: /'; }
check "a bad definition names the place" bad
missing() { "$bin/carillon" start nosuch 2>/dev/null; [ $? = 3 ]; }
check "no such workflow: exit 3" missing
check "dev stops with 0" stop_dev
start_dev
kept() { "$bin/carillon" describe "$id" -o json | grep -q '"status":"SUCCEEDED"'; }
check "data is kept" kept
check "dev stops again" stop_dev
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
