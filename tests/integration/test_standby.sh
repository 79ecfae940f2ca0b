#!/usr/bin/env bash
# Two nodes on one database while orders flow through a client with both addresses: the second one stands
# by and says so; it takes over when the owner is killed (no session left: at once) or frozen (when its
# lease ends); a frozen owner that wakes writes nothing any more; two nodes of one name do no harm.
# No order is lost or doubled.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-standby-XXXXXX")
declare -A node=() address=()
others=()
trap 'kill -CONT "${node[@]}" 2>/dev/null; kill -9 "${node[@]}" "${others[@]}" $CARILLON_PG_SUPERVISOR 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
eval "$(tools/services.sh start pg)"
export CARILLON_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
rows() { psql -qAtX -c "$1"; }
for n in a b c; do
    address[$n]=tcp://127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
done
export CARILLON_ADDRESS=${address[a]},${address[b]},${address[c]}

passed=0 failed=0
verdict() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1: $2, not $3"; fi
}
# until_ok WHAT SECONDS COMMAND...: waits for the command to succeed.
until_ok() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@"; do
        if [ $SECONDS -gt $end ]; then
            failed=$((failed + 1))
            echo "failed: $what"
            return 1
        fi
        sleep 0.05
    done
    passed=$((passed + 1))
}

# start PLACE NAME: the places are a, b and c; each has an address and a log. A lease lasts 4 s.
start() {
    "$bin/carillond" --listen "${address[$1]}" --node "$2" --heartbeat 2s --window-length 5s \
        --long-term-poll 1s 2>>"$work/$1.log" &
    node[$1]=$!
    disown
}
is() { [ "$("$bin/carillon" status --address "${address[$1]}" 2>/dev/null | grep -oE '"ownership":"[A-Z]*"')" = "\"ownership\":\"$2\"" ]; }
says() { tail -n "+$((${3:-0} + 1))" "$work/$1.log" 2>/dev/null | grep -q "$2"; }
lines() { wc -l <"$work/$1.log"; }
hello_says() {
    (cd tests/integration && python3 -c 'import sys, protocol_client as p; print(p.Client(sys.argv[1]).hello[3])' "$1")
}
now() { date +%s%N; }
# The owner of everything, as people see it; nothing while there is none.
owner() { rows "SELECT DISTINCT address FROM carillon.partitions WHERE state = 'ACTIVE'"; }
owned_by() { [ "$(owner)" = "${address[$1]}" ]; }
# takeover WHAT PLACE SINCE LIMIT: how long until the place had claimed all lanes.
takeover() {
    until_ok "$1: no takeover" 20 owned_by "$2" || return
    local ms
    ms=$(rows "SELECT round(extract(epoch FROM max(claimed_at)) * 1000 - $3 / 1000000) FROM carillon.claims")
    echo "$1: taken over after $ms ms (limit $4)"
    verdict "$1: in time" "$((ms <= $4))" 1
    until_ok "$1: the new owner is ready" 10 is "$2" ACTIVE
}

cat >"$work/order.json" <<'J'
{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"queue:work","ResultPath":"$.a","Next":"W"},
"W":{"Type":"Wait","Seconds":1,"Next":"B"},"B":{"Type":"Task","Resource":"queue:work","ResultPath":"$.b","Next":"C"},
"C":{"Type":"Task","Resource":"queue:work","End":true}}}
J

# ---- the second node stands by ----
start a one
until_ok "the first node is active" 20 is a ACTIVE
start b two
until_ok "the second stands by (status)" 20 is b STANDBY
until_ok "the second stands by (log)" 5 says b 'ownership.*state=STANDBY other_node=one'
verdict "the first says HELLO as active" "$(hello_says "${address[a]}")" 0
verdict "the second says HELLO as standing by" "$(hello_says "${address[b]}")" 1

# Who has written what: the sessions carry the incarnation.
rows "CREATE TABLE written (at timestamptz NOT NULL DEFAULT clock_timestamp(), app text NOT NULL);
CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
  INSERT INTO written (app) SELECT current_setting('application_name') FROM changed LIMIT 1; RETURN NULL; END \$\$;
CREATE TRIGGER written AFTER INSERT ON carillon.turn REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION written();
CREATE TRIGGER written AFTER UPDATE ON carillon.lane REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION written()"
"$bin/carillon" workflow create order "$work/order.json" >/dev/null || exit 1
worker() {
    "$bin/carillon" demo-worker --queue work --data "$work/ledger" 2>>"$work/worker.log" &
    others+=($!)
}
worker
worker
orders=${ORDERS:-300}
"$bin/carillon" demo-orders --count "$orders" --seconds 30 >"$work/driver" 2>"$work/driver.err" &
driver=$!
others+=("$driver")
flows() { [ "$(rows 'SELECT count(*) FROM carillon.outcomes')" -gt "$1" ]; }
# Nothing is done to the nodes before work has gone through the present owner.
until_flows() { until_ok "orders flow ($1)" 20 flows "$(($(rows 'SELECT count(*) FROM carillon.outcomes') + 20))"; }
until_flows "first owner"

# ---- the owner is killed ----
at=$(now)
kill -9 "${node[a]}"
takeover "owner killed" b "$at" 4000
start a one
until_ok "the killed one is back and stands by" 20 is a STANDBY
until_flows "after the kill"

# ---- the owner freezes, and wakes when it is no longer the owner ----
old=$(rows "SELECT DISTINCT incarnation FROM carillon.partitions WHERE node = 'two'")
at=$(now)
log=$(lines b)
kill -STOP "${node[b]}"
takeover "owner frozen" a "$at" 8000
since=$(rows "SELECT max(claimed_at) FROM carillon.claims")
# Who is connected to the frozen node waits for it; whoever comes finds the new owner.
worker
"$bin/carillon" start order --name late --input '{}' --wait >/dev/null
verdict "a start while it is frozen" $? 0
kill -CONT "${node[b]}"
until_ok "the woken one learns that it was evicted" 20 says b 'fenced: evicted' "$log"
until_ok "the woken one stands by" 20 is b STANDBY
until_flows "after it woke"
verdict "writes of the old claim" "$(rows "SELECT count(*) FROM written WHERE app LIKE '%/$old' AND at > '$since'")" 0
verdict "writes of the old claim before" "$(rows "SELECT count(*) > 0 FROM written WHERE app LIKE '%/$old'")" t
verdict "claims of the old incarnation after" "$(rows "SELECT count(*) FROM carillon.claims WHERE incarnation = '$old' AND claimed_at > '$since'")" 0
verdict "a new incarnation" "$(rows "SELECT count(*) FROM carillon.node WHERE node = 'two' AND incarnation <> '$old' AND lease_until > now()")" 1

# ---- a node of the owner's name ----
start c one
until_ok "the twin says what is wrong" 20 says c 'level=error.*give each a name of its own'
until_ok "the twin stands by" 5 is c STANDBY
verdict "the owner stays" "$(owner)" "${address[a]}"
kill -TERM "${node[b]}"
until_flows "beside a twin"
verdict "the twin has claimed nothing" "$(rows "SELECT count(DISTINCT p.address) || ' ' || min(p.address) FROM carillon.partitions p")" "1 ${address[a]}"
at=$(now)
kill -9 "${node[a]}"
takeover "owner killed, twin takes over" c "$at" 4000
start a one
until_ok "the other twin says what is wrong" 20 says a 'level=error.*give each a name of its own'
until_ok "the other twin stands by" 5 is a STANDBY

# ---- nothing is lost, nothing doubled ----
wait "$driver"
verdict "the driver" "$(cat "$work/driver")" "placed $orders refused 0 succeeded $orders failed 0"
orders=$((orders + 1)) # the late one
verdict "executions" "$(rows 'SELECT count(*) FROM carillon.executions')" "$orders"
verdict "ended once" "$(rows 'SELECT count(*) FROM carillon.executions WHERE status = 2')" "$orders"
verdict "outcomes" "$(rows 'SELECT count(*) FROM carillon.outcomes')" "$((orders * 3))"
verdict "events without gap" "$(rows 'SELECT count(*) FROM (SELECT execution FROM carillon.history GROUP BY 1 HAVING max(first_event + event_count - 1) <> sum(event_count)) x')" 0
verdict "one outcome for each attempt" "$(rows 'SELECT count(*) FROM (SELECT execution, state_path, attempt FROM carillon.outcomes GROUP BY 1, 2, 3 HAVING count(*) > 1) x')" 0
verdict "epochs rise" "$(rows 'SELECT count(*) FROM (SELECT partition, epoch FROM carillon.claims GROUP BY 1, 2 HAVING count(*) > 1) x')" 0
verdict "open tasks left" "$(rows 'SELECT count(*) FROM carillon.open_tasks')" 0
[ "$failed" = 0 ] || tail -n 8 "$work"/?.log "$work/driver.err" "$work/worker.log"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
