#!/usr/bin/env bash
# The node dies by SIGKILL at each named fault point, before and after commits and sends, while orders
# are under way, and is started again: nothing acknowledged is lost, nothing is applied twice.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-kill-XXXXXX")
node= workers=()
trap 'kill -9 $node "${workers[@]}" $CARILLON_PG_SUPERVISOR 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
eval "$(tools/services.sh start pg)"
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
cat >"$work/order.json" <<'X'
{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"queue:work","ResultPath":"$.a","Next":"W"},
"W":{"Type":"Wait","Seconds":1,"Next":"B"},"B":{"Type":"Task","Resource":"queue:work","ResultPath":"$.b","Next":"C"},
"C":{"Type":"Task","Resource":"queue:work","End":true}}}
X
start_node
"$bin/carillon" workflow create order "$work/order.json" >/dev/null || exit 1
for n in 1 2; do
    "$bin/carillon" demo-worker --queue work --data "$work/ledger.$n" 2>>"$work/worker.log" &
    workers+=($!)
done
kill -9 "$node"

passed=0 failed=0 total=0 died=0
points=$(sed -n 's/^FAULT(\([A-Z_]*\),.*/\1/p' base/fault.def)
for point in $points; do
    start_node --fault "$point:after=${AFTER:-4}:times=1"
    "$bin/carillon" demo-orders --name "$point" --count 12 --seconds 1 >"$work/driver" 2>>"$work/driver.err" &
    driver=$!
    # Until it has died at the point, or the orders are through without passing it so often.
    while kill -0 "$node" 2>/dev/null && kill -0 "$driver" 2>/dev/null; do sleep 0.1; done
    if ! kill -0 "$node" 2>/dev/null; then
        died=$((died + 1))
        start_node
    fi
    total=$((total + 12))
    if wait "$driver" && grep -q 'succeeded 12 failed 0' "$work/driver"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $point: $(cat "$work/driver")"
    fi
    kill -9 "$node" 2>/dev/null
    while kill -0 "$node" 2>/dev/null; do sleep 0.05; done
done
verdict() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1: $2, not $3"; fi
}
verdict "executions" "$(rows 'SELECT count(*) FROM carillon.executions')" "$total"
verdict "ended once" "$(rows 'SELECT count(*) FROM carillon.executions WHERE status = 2')" "$total"
verdict "outcomes" "$(rows 'SELECT count(*) FROM carillon.outcomes')" "$((total * 3))"
verdict "events without gap" "$(rows 'SELECT count(*) FROM (SELECT execution FROM carillon.history GROUP BY 1 HAVING max(first_event + event_count - 1) <> sum(event_count)) x')" 0
verdict "one outcome for each attempt" "$(rows 'SELECT count(*) FROM (SELECT execution, state_path, attempt FROM carillon.outcomes GROUP BY 1, 2, 3 HAVING count(*) > 1) x')" 0
verdict "open tasks left" "$(rows 'SELECT count(*) FROM carillon.open_tasks')" 0
echo "node died at $died of $(echo "$points" | wc -w) fault points"
[ "$died" -ge 10 ] || { failed=$((failed + 1)); echo "failed: the fault points are not reached"; }
[ "$failed" = 0 ] || tail -n 5 "$work/node.log" "$work/driver.err" "$work/worker.log"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
