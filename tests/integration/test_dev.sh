#!/usr/bin/env bash
# carillon dev --once succeeds; carillon dev keeps its data between runs and serves the command line.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
data=$(mktemp -d "${TMPDIR:-/tmp}/carillon-dev-XXXXXX")
chmod 755 "$data"
dev= nobody=
trap 'kill $dev $nobody 2>/dev/null; wait 2>/dev/null; rm -rf "$data"' EXIT
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}
# Takes as long as a command tries: runs beside the rest.
CARILLON_ADDRESS=tcp://127.0.0.1:1 "$bin/carillon" list -o json >"$data/nobody" 2>&1 &
nobody=$!
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
# Whichever port it got: the banner names one that answers.
admin() {
    python3 -c 'import re, sys, urllib.request
url = re.search(r"^  admin +(http://\S+)", open(sys.argv[1]).read(), re.M)[1]
sys.exit(urllib.request.urlopen(url + "/health/ready", timeout=10).status != 200)' "$data/out"
}
check "admin port of the banner" admin
waits() { "$bin/carillon" start hello --name one --input '{"a":1}' --wait -o json | grep -q '"status":"SUCCEEDED"'; }
check "start --wait" waits
id=$("$bin/carillon" start hello --name one --input '{"a":1}' | cut -d' ' -f1)
again() { "$bin/carillon" start hello --name one --input '{"a":1}' | grep -q "^$id (existed)$"; }
check "same name, same execution" again
other() { "$bin/carillon" start hello --name one --input '{"a":2}' 2>/dev/null; [ $? = 4 ]; }
check "same name, other input: conflict" other
history() { [ "$("$bin/carillon" history "$id" | grep -c Greet)" -ge 2 ]; }
check "history" history
bad() { printf '{"StartAt":"A",\n"States":{"A":{"Type":"Wat","End":true}}}' | "$bin/carillon" workflow create bad - 2>"$data/bad"; [ $? = 1 ] && grep -q '^<stdin>:2:[1-9][0-9]*: /States/A/Type: ' "$data/bad"; }
check "a bad definition names the place" bad
badfile() { printf 'StartAt: A\nStates:\n  A: {Type: Pass, Next: B}\n  C: {Type: Wat}\n' >"$data/b.yaml"; "$bin/carillon" workflow create bad "$data/b.yaml" 2>"$data/bad"; [ "$(grep -c "^$data/b.yaml:[34]:[1-9][0-9]*: /States/" "$data/bad")" -ge 2 ]; }
check "each mistake of a file is named with it" badfile
missing() { "$bin/carillon" start nosuch 2>/dev/null; [ $? = 3 ]; }
check "no such workflow: exit 3" missing
cat >"$data/sleep.json" <<'JSON'
{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":600,"End":true}}}
JSON
sleeps() { "$bin/carillon" workflow create sleep "$data/sleep.json" -o json | grep -q '^{"workflow":"sleep","version":1}$'; }
check "create, as JSON" sleeps
late() { "$bin/carillon" start sleep --name s --wait --timeout 200ms 2>/dev/null; [ $? = 124 ]; }
check "still running: exit 124" late
sleeper=$("$bin/carillon" start sleep --name s | cut -d' ' -f1)
check "stop" "$bin/carillon" stop "$sleeper" --error Some.Error --cause $'one\e[31m "two"\nthree'
ended() { "$bin/carillon" wait "$sleeper" >"$data/ended"; [ $? = 1 ] && grep -q '^status     ABORTED$' "$data/ended"; }
check "wait for one that was stopped: exit 1" ended
harmless() { ! grep -q $'\e' "$data/ended" && grep -q '^cause      one\\u001b\[31m "two"$' "$data/ended" && grep -q '^           three$' "$data/ended"; }
check "control characters do not reach the terminal" harmless
# The JSON of a command parses, and has these values at these places.
json() { "$bin/carillon" "${@:2}" -o json | python3 -c 'import json, sys; v = json.load(sys.stdin); sys.exit(not eval(sys.argv[1]))' "$1"; }
check "describe, as JSON" json 'v["cause"] == "one\x1b[31m \"two\"\nthree" and v["status"] == "ABORTED" and "output" not in v' describe sleep s
check "list, as JSON" json 'sorted(x["name"] for x in v) == ["one", "s"]' list
check "list of a workflow, as JSON" json '[x["name"] for x in v] == ["s"]' list --workflow sleep --status ABORTED
check "history, as JSON" json '[x["id"] for x in v["events"]] == list(range(1, len(v["events"]) + 1)) and len(v["events"]) > 5' history "$id"
check "workflows, as JSON" json '[x["workflow"] for x in v] == ["hello", "sleep"]' workflow list
rows() { [ "$("$bin/carillon" list | grep -c ' [a-z]*/[a-z]*$')" = 2 ]; }
check "list" rows
check "dev stops with 0" stop_dev
start_dev
kept() { "$bin/carillon" describe "$id" -o json | grep -q '"status":"SUCCEEDED"'; }
check "data is kept" kept
check "dev stops again" stop_dev
unreachable() { wait "$nobody"; [ $? = 5 ] && grep -q '^carillon: list: tcp://127.0.0.1:1: cannot be reached$' "$data/nobody" && [ "$(wc -l <"$data/nobody")" = 1 ]; }
check "nobody there: exit 5" unreachable
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
