#!/usr/bin/env bash
# The daemon and its configuration: --check-config, --print-config, and SIGHUP with a real node, which
# keeps the configuration it has when the new one is bad.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-config-XXXXXX")
node=
trap 'kill -9 $node ${CARILLON_PG_SUPERVISOR:-} 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
unset "${!CARILLON_@}" CREDENTIALS_DIRECTORY
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}
# says STATUS PATTERN ARGUMENT...: carillond ends so, and a line of its answer is so.
says() {
    local status=$1 pattern=$2 out rc=0
    shift 2
    out=$("$bin/carillond" "$@" 2>&1) || rc=$?
    [ "$rc" = "$status" ] && grep -qE -- "$pattern" <<<"$out" && return 0
    echo "carillond $*: exit $rc"
    echo "$out" | head -n 5
    return 1
}

cat >"$work/good.yaml" <<'X'
node:
  id: from-file
log:
  level: warn
deployment:
  instances: 3-5
eventProcessing:
  batchSize: 7
X
cat >"$work/bad.yaml" <<'X'
node:
  id: "two words"
scheduler:
  distributed:
    hartbeatInterval: 5s
X
mkdir "$work/conf.d"
echo 'node: {id: first}' >"$work/conf.d/10.yaml"
echo 'node: {id: second}' >"$work/conf.d/20.yaml"
echo 'not: [yaml' >"$work/conf.d/notes.txt"

check "no configuration is good" says 0 '^the configuration is good$' --check-config
check "good" says 0 '^the configuration is good$' --config "$work/good.yaml" --check-config
check "said: not in force" says 0 "^$work/good.yaml:8:14: eventProcessing.batchSize: accepted, not in force: events \(not built yet\)$" \
    --config "$work/good.yaml" --check-config
check "said: sets nothing" says 0 "^$work/good.yaml:5:1: deployment: sets nothing: " \
    --config "$work/good.yaml" --check-config
check "bad value" says 1 "^$work/bad.yaml:2:7: node.id: wanted a name .*, not \"two words\"$" \
    --config "$work/bad.yaml" --check-config
check "bad key" says 1 "^$work/bad.yaml:5:5: scheduler.distributed.hartbeatInterval: no such key; did you mean heartbeatInterval\?$" \
    --config "$work/bad.yaml" --check-config
check "missing file" says 1 "^$work/none.yaml: .*No such file" --config "$work/none.yaml" --check-config
check "bad flag" says 1 '^--heartbeat: scheduler.distributed.heartbeatInterval: wanted a duration' \
    --heartbeat soon --check-config
check "bad setting" says 1 '^--set: node.idd: no such key; did you mean node.id\?$' --set node.idd=x --check-config
check "no option" says 2 'try --help' --nonsense
check "no value" says 2 'wants KEY=VALUE' --set node.id
check "no database" says 2 'name the database' --config "$work/good.yaml"
check "a bad configuration does not run" says 2 'node.id: wanted' --config "$work/bad.yaml" --database host=nowhere
check "a bad one is not printed" says 1 'node.id: wanted' --config "$work/bad.yaml" --print-config
check "help has the flags" says 0 '--window-length TIME .*windowLength, default 1h:' --help

check "value and origin" says 0 "^node.id: \{value: \"from-file\", origin: \"$work/good.yaml:2:7\", in_force: true" \
    --config "$work/good.yaml" --print-config
check "not in force" says 0 "^eventProcessing.batchSize: \{value: 7, .*in_force: false" \
    --config "$work/good.yaml" --print-config
check "folder, by name" says 0 "^node.id: \{value: \"second\", origin: \"$work/conf.d/20.yaml:1:12\"" \
    --config "$work/conf.d" --print-config
check "later file wins" says 0 '^node.id: \{value: "from-file"' --config "$work/conf.d" --config "$work/good.yaml" --print-config
check "flag wins" says 0 '^node.id: \{value: "f", origin: "flag --node"' --config "$work/good.yaml" --node f --print-config
check "flag of an element" says 0 '^schedulerInstances\[HIGH_PRECISION\].maxScheduledItems: \{value: 5, origin: "flag --timers-chunk"' \
    --timers-chunk 5 --print-config
with_variables() {
    CARILLON_NODE__ID=e CARILLON_DATABASE=postgresql://u:canary@h/db CARILLON_DATABASE__MASTER__PASSWORD=canary \
        says 0 "$1" --config "$work/good.yaml" --print-config
}
check "variable wins over file" with_variables '^node.id: \{value: "e", origin: "environment CARILLON_NODE__ID"'
check "short variable" with_variables '^database.master.url: \{value: "postgresql://u:\*\*\*@h/db", origin: "environment CARILLON_DATABASE"'
check "secret is masked" with_variables '^database.master.password: \{value: "\*\*\*"'
no_canary() {
    ! CARILLON_DATABASE=postgresql://u:canary@h/db CARILLON_DATABASE__MASTER__PASSWORD=canary \
        "$bin/carillond" --print-config --check-config 2>&1 | grep -q canary
}
check "no secret is shown" no_canary
mkdir "$work/credentials"
echo in-the-file >"$work/credentials/database.master.password"
credential() {
    CREDENTIALS_DIRECTORY=$work/credentials says 0 '^database.master.password: .*origin: "credential database.master.password"' --print-config
}
check "credential" credential

# ---- a real node ----

eval "$(tools/services.sh start pg)"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/node.yaml" <<X
node:
  id: running
  listen: tcp://127.0.0.1:$port
database:
  master:
    url: jdbc:postgresql://$PGHOST:$PGPORT/$PGDATABASE
    username: $PGUSER
scheduler:
  distributed:
    heartbeatInterval: 1s
    lanes: 4
log:
  level: warn
X
"$bin/carillond" --config "$work/node.yaml" 2>"$work/log" &
node=$!
# Waits until the log holds a line N times; fails after 20 s or when the node is gone.
logged() {
    local n
    for n in $(seq 200); do
        [ "$(grep -cE -- "$2" "$work/log")" -ge "$1" ] && return 0
        kill -0 "$node" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$work/log"
    return 1
}
export CARILLON_ADDRESS=tcp://127.0.0.1:$port
serves() {
    local n
    for n in $(seq 100); do
        "$bin/carillon" workflow create hello examples/hello.yaml >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}
check "it serves where the file says" serves
four_lanes() { [ "$(psql -qAtX -c 'SELECT count(*) FROM carillon.lane')" = 4 ]; }
check "lanes of the configuration" four_lanes

cp "$work/node.yaml" "$work/kept.yaml"
sed -i 's/level: warn/level: loud/; s/heartbeatInterval: 1s/heartbeatInterval: never/' "$work/node.yaml"
kill -HUP "$node"
check "bad: said" logged 1 'bad configuration.*log.level: wanted one of error, warn, info, debug'
check "bad: all of it" logged 1 'bad configuration.*heartbeatInterval: wanted a duration'
check "bad: the old one goes on" logged 1 'the configuration that ran goes on.*problems=2'
# At the level "warn" this line would not be there: so the new level is in force.
sed 's/level: warn/level: info/; s/heartbeatInterval: 1s/heartbeatInterval: 2s/' "$work/kept.yaml" >"$work/node.yaml"
kill -HUP "$node"
check "good: live keys at once" logged 1 'configuration read again.*applied="log.level" restart_needed_for="scheduler.distributed.heartbeatInterval"'
rm "$work/node.yaml"
kill -HUP "$node"
check "the file is gone" logged 1 'bad configuration.*node.yaml: No such file'
check "it still serves" serves
kill -TERM "$node"
ends() { wait "$node"; }
check "ends with 0" ends
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
