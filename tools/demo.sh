#!/usr/bin/env bash
# demo.sh: several hundred orders through a real node that is killed in the middle.
# Starts a private PostgreSQL, a node and six worker processes; places the orders; sends SIGKILL to the
# node while they are under way and starts it again; then compares what the workers really did (a
# ledger of their own, on disk before each answer) with what the database says was accepted.
# Last line: demo: N orders, N ended once, 0 lost, 0 doubled, effects N of N      exit 0 only then.
set -euo pipefail
cd "$(dirname "$0")/.."
orders=${ORDERS:-300}
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-demo-XXXXXX")
pids=()
end() {
    kill "${pids[@]}" 2>/dev/null || true
    [ -z "${node:-}" ] || kill "$node" 2>/dev/null || true
    [ -z "${CARILLON_PG_SUPERVISOR:-}" ] || kill "$CARILLON_PG_SUPERVISOR" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
say() { printf '%6.1f s  %s\n' "$(echo "$(date +%s.%N) - $begin" | bc 2>/dev/null || echo 0)" "$*"; }
begin=$(date +%s.%N)
command -v bc >/dev/null || say() { printf '  %s\n' "$*"; }

eval "$(tools/services.sh start pg)"
export CARILLON_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CARILLON_ADDRESS=tcp://127.0.0.1:$port
say "PostgreSQL is up"

start_node() {
    "$bin/carillond" --listen "$CARILLON_ADDRESS" --node demo --log warn 2>>"$work/node.log" &
    node=$!
    disown "$node"
}
start_node
"$bin/carillon" workflow create order examples/order.yaml >/dev/null
say "node $node is up, workflow \"order\" is stored"

for queue in inventory payment shipping; do
    for n in 1 2; do
        "$bin/carillon" demo-worker --queue $queue --data "$work/ledger.$queue.$n" &
        pids+=($!)
    done
done
say "6 workers wait: 2 each for inventory, payment, shipping"

"$bin/carillon" demo-orders --count "$orders" --seconds 12 >"$work/driver" &
driver=$!
rows() { psql -qAtX -c "$1"; }
until [ "$(rows 'SELECT count(*) FROM carillon.outcomes')" -ge "$orders" ]; do sleep 0.2; done
before=$(rows "SELECT count(*) FILTER (WHERE open) || ' under way, ' || count(*) FILTER (WHERE NOT open) || ' ended' FROM carillon.executions")
kill -9 "$node"
say "SIGKILL to the node: $before"
sleep 1
start_node
say "node started again as $node"
status=0
wait "$driver" || status=$?
say "driver: $(cat "$work/driver")"
kill "${pids[@]}"
for p in "${pids[@]}"; do wait "$p" || status=1; done
pids=()

cat "$work"/ledger.* >"$work/ledger"
psql -qAtX -v ON_ERROR_STOP=1 <<SQL >"$work/verdict"
CREATE TEMP TABLE ledger (execution uuid, state text, token text, attempt int, pid int);
\copy ledger FROM '$work/ledger' WITH (DELIMITER ' ')
CREATE TEMP TABLE accepted AS SELECT execution, state_path AS state, count(*) AS n FROM carillon.outcomes GROUP BY 1, 2;
CREATE TEMP TABLE done AS SELECT execution, state, count(*) AS n FROM ledger GROUP BY 1, 2;
SELECT (SELECT count(*) FROM carillon.executions WHERE workflow = 'order'),
       (SELECT count(*) FROM (SELECT name FROM carillon.executions WHERE workflow = 'order' AND NOT open GROUP BY name HAVING count(*) = 1) x),
       (SELECT count(*) FROM carillon.executions WHERE workflow = 'order' AND open),
       (SELECT count(*) FROM ledger) - (SELECT count(DISTINCT token) FROM ledger),
       (SELECT coalesce(sum(least(a.n, coalesce(d.n, 0))), 0) FROM accepted a LEFT JOIN done d USING (execution, state)),
       (SELECT count(*) FROM carillon.outcomes),
       (SELECT count(*) FROM ledger)
SQL
IFS='|' read -r all once open doubled effects outcomes lines <"$work/verdict"
lost=$((orders - once))
cases=${CARILLON_ASL_CASES:-../shared/asl-cases}
if [ -d "$cases/executions" ]; then
    # Exit code 1 tells of a case that differs; the line says how many.
    result=$("$bin/carillon" workflow conformance --fast "$cases" | tail -n 1) || true
    say "recorded executions of the real service: $result"
fi
echo "ledger: $lines effects, $doubled done twice; database: $outcomes outcomes, $all orders, $open still open"
if [ "$status" != 0 ]; then tail -n 20 "$work/node.log" >&2; fi
echo "demo: $orders orders, $once ended once, $lost lost, $doubled doubled, effects $effects of $outcomes"
[ "$status" = 0 ] && [ "$all" = "$orders" ] && [ "$once" = "$orders" ] && [ "$lost" = 0 ] &&
    [ "$doubled" = 0 ] && [ "$effects" = "$outcomes" ] && [ "$lines" = "$outcomes" ]
