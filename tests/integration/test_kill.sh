#!/usr/bin/env bash
# SIGKILL of real processes while orders are under way. First the node at each named fault point, before and
# after commits and sends; then PostgreSQL at moments that nobody chose. Whoever was killed is started
# again: nothing acknowledged is lost, nothing is applied twice.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-kill-XXXXXX")
node='' workers=()
trap 'kill -9 $node "${workers[@]}" 2>/dev/null; kill $CARILLON_PG_SUPERVISOR 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
eval "$(PG_RESPAWN=1 tools/services.sh start pg)"
export CARILLON_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CARILLON_ADDRESS=tcp://127.0.0.1:$port
rows() { psql -qAtX -c "$1"; }

# Windows of 5 s: boundaries are crossed all the time.
start_node() {
    "$bin/carillond" --listen "$CARILLON_ADDRESS" --heartbeat 1s --window-length 5s --long-term-poll 1s \
        --log error "$@" 2>>"$work/node.log" &
    node=$!
    disown
}
end_node() {
    kill -9 "$node" 2>/dev/null
    while kill -0 "$node" 2>/dev/null; do sleep 0.05; done
}
cat >"$work/order.json" <<'X'
{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"queue:work","ResultPath":"$.a","Next":"W"},
"W":{"Type":"Wait","Seconds":1,"Next":"B"},"B":{"Type":"Task","Resource":"queue:work","ResultPath":"$.b","Next":"C"},
"C":{"Type":"Task","Resource":"queue:work","End":true}}}
X
cat >"$work/parked.json" <<'X'
{"StartAt":"P","States":{"P":{"Type":"Task","Resource":"queue:nobody","End":true}}}
X
start_node
"$bin/carillon" workflow create order "$work/order.json" >/dev/null || exit 1
"$bin/carillon" workflow create parked "$work/parked.json" >/dev/null || exit 1
for n in 1 2; do
    "$bin/carillon" demo-worker --queue work --data "$work/ledger.$n" 2>>"$work/worker.log" &
    workers+=($!)
done
end_node

# How often a point is passed before it kills: what happens once in a life kills at once.
passes_of() {
    case $1 in
    CLAIM_* | WINDOW_* | STOP_* | RELEASE_*) echo 0 ;;
    LEASE_* | PROMOTE_*) echo 1 ;;
    *) echo "${AFTER:-4}" ;;
    esac
}
# Orders under way, under a name of their own.
orders() {
    "$bin/carillon" demo-orders --name "$1" --count 12 --seconds 1 >"$work/driver" 2>>"$work/driver.err" &
    driver=$!
    total=$((total + 12))
}
# A start and a stop that are acknowledged, whatever happens meanwhile.
stop_one() {
    local id
    id=$("$bin/carillon" start parked --name "$1" --timeout 60s) && "$bin/carillon" stop "${id%% *}" --timeout 60s
}
passed=0 failed=0 total=0 stopped=0 died=0
judge() {
    if wait "$driver" && grep -q 'succeeded 12 failed 0' "$work/driver"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $1: $(cat "$work/driver")"
    fi
}
# Those of child executions are reached, and killed at, by test_child.sh.
points=$(sed -n 's/^FAULT(\([A-Z_]*\),.*/\1/p' base/fault.def | grep -v '^CHILD_\|^LETTER_')
missed=
for point in $points; do
    start_node --fault "$point:after=$(passes_of "$point"):times=1"
    orders "$point"
    stop_one "$point" >/dev/null 2>>"$work/driver.err" &
    stopper=$!
    stopped=$((stopped + 1))
    # Until it has died at the point; windows turn every 5 s.
    for _ in $(seq 120); do
        kill -0 "$node" 2>/dev/null || break
        # What is passed by a node that leaves: made to leave.
        case $point in RELEASE_*) kill "$node" 2>/dev/null ;; esac
        sleep 0.1
    done
    if ! kill -0 "$node" 2>/dev/null; then
        died=$((died + 1))
        start_node
    else
        missed+=" $point"
    fi
    judge "$point"
    if ! wait "$stopper"; then
        failed=$((failed + 1))
        echo "failed: $point: start and stop"
    fi
    end_node
done

start_node
for round in 1 2 3 4; do
    orders "postgres-$round"
    sleep "0.$((RANDOM % 900 + 100))"
    kill -9 "$(cat "$CARILLON_PG_PIDFILE")"
    judge "PostgreSQL killed, round $round"
done
verdict() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1: $2, not $3"; fi
}
verdict "executions" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'order'")" "$total"
verdict "ended once" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'order' AND status = 2")" "$total"
verdict "stopped once" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'parked' AND status = 5")" "$stopped"
verdict "outcomes" "$(rows 'SELECT count(*) FROM carillon.outcomes')" "$((total * 3))"
verdict "events without gap" "$(rows 'SELECT count(*) FROM (SELECT execution FROM carillon.history GROUP BY 1 HAVING max(first_event + event_count - 1) <> sum(event_count)) x')" 0
verdict "one outcome for each attempt" "$(rows 'SELECT count(*) FROM (SELECT execution, state_path, attempt FROM carillon.outcomes GROUP BY 1, 2, 3 HAVING count(*) > 1) x')" 0
verdict "open tasks left" "$(rows 'SELECT count(*) FROM carillon.open_tasks')" 0
verdict "fault points at which the node died" "$died${missed:+ (not at$missed)}" "$(wc -w <<<"$points")"
[ "$failed" = 0 ] || tail -n 5 "$work/node.log" "$work/driver.err" "$work/worker.log"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
