#!/usr/bin/env bash
# Child executions and callbacks on a real node and PostgreSQL, while the node dies by SIGKILL again and again, at the
# named points of both and whenever some more children have ended: each parent gets the ends of its two
# children and the answer to its letter, each child is started once.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-child-XXXXXX")
node= others=()
trap 'kill -9 $node "${others[@]}" $CARILLON_PG_SUPERVISOR 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
eval "$(tools/services.sh start pg)"
export CARILLON_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CARILLON_ADDRESS=tcp://127.0.0.1:$port
rows() { psql -qAtX -c "$1"; }
least=40

start_node() {
    "$bin/carillond" --listen "$CARILLON_ADDRESS" --heartbeat 1s --window-length 5s --long-term-poll 1s \
        --log error "$@" 2>>"$work/node.log" &
    node=$!
    disown
}
cat >"$work/kid.json" <<'Y'
{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"queue:work","End":true}}}
Y
cat >"$work/parent.json" <<'Y'
{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
 {"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2",
  "Parameters":{"StateMachineArn":"kid","Input.$":"$"},"OutputPath":"$.Output","End":true}}},
 {"StartAt":"B","States":{"B":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync",
  "Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:1:stateMachine:kid","Input.$":"$",
   "Name.$":"States.Format('{}-kid',$$.Execution.Name)"},"OutputPath":"$.Name","End":true}}},
 {"StartAt":"C","States":{"C":{"Type":"Task","Resource":"queue:mail.waitForTaskToken","HeartbeatSeconds":120,
  "Parameters":{"to.$":"$.n","token.$":"$$.Task.Token"},"End":true}}}]}}}
Y
cat >"$work/slow.json" <<'Y'
{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync",
 "TimeoutSeconds":2,"Parameters":{"StateMachineArn":"lazy","Name":"lazy-1"},"End":true}}}
Y
cat >"$work/lazy.json" <<'Y'
{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":600,"End":true}}}
Y
# Posts letters (the call), and answers their tokens, in words, on another connection.
cat >"$work/mail.py" <<'Y'
import base64, json, random, sys, time
from protocol_client import CarillonError, Client, TASK_SUCCESS
address, instance = sys.argv[1], random.getrandbits(64)
held, answers = {}, []
while True:
    try:
        worker, other = Client(address, "mail", instance=instance, held=held.values()), Client(address, "reader")
        while True:
            posted = [(t, "{}") for t in held.values()]
            acks, tasks = worker.poll(["mail"], 5, 200, posted)
            for (token, _), ack in zip(posted, acks):
                if ack in (0, 22, 42, 43):
                    del held[bytes(token)]
            for t in tasks:
                words = json.loads(t["input"])["token"]
                if base64.urlsafe_b64decode(words + "==") != t["token"]:
                    sys.exit("the token in words is another one")
                held[bytes(t["token"])] = t["token"]
                answers.append((t["token"], json.dumps("read %s" % json.loads(t["input"])["to"])))
            while answers:
                try:
                    other.call(TASK_SUCCESS, *answers[0])
                except CarillonError as e:
                    if e.code not in (42, 43):
                        raise
                answers.pop(0)
    except (OSError, CarillonError):
        time.sleep(0.05)
Y
# Starts parents until the node has died often enough (a file says so), each again and again until it is known to be.
cat >"$work/drive.py" <<'Y'
import os, sys, time
from protocol_client import CarillonError, Client, SUCCEEDED
address, least, enough = sys.argv[1], int(sys.argv[2]), sys.argv[4]
def until_done(what):
    while True:
        try:
            client = Client(address, "driver")
            return what(client)
        except (OSError, CarillonError):
            time.sleep(0.05)
n = 0
while n < least or not os.path.exists(enough):
    until_done(lambda c: c.start("parent", "p-%d" % n, {"n": n}))
    execution = until_done(lambda c: c.start("parent", "p-%d" % n, {"n": n}))[0]
    with open(sys.argv[3], "a") as f:
        f.write("%d %s\n" % (n, execution))
    n += 1
bad = 0
for line in open(sys.argv[3]):
    n, execution = line.split()
    status, output = until_done(lambda c: c.wait(execution, 120))[:2]
    if status != SUCCEEDED or '"p-%s-kid"' % n not in output or '"read %s"' % n not in output:
        bad += 1
        print("p-%s: %s %s" % (n, status, output), file=sys.stderr)
print("%d bad" % bad)
Y
start_node
for w in kid parent slow lazy; do "$bin/carillon" workflow create "$w" "$work/$w.json" >/dev/null || exit 1; done
"$bin/carillon" demo-worker --queue work --data "$work/ledger" 2>>"$work/worker.log" &
others+=($!)
export PYTHONPATH=tests/integration
python3 "$work/mail.py" "$CARILLON_ADDRESS" 2>>"$work/mail.log" &
others+=($!)
python3 "$work/drive.py" "$CARILLON_ADDRESS" "$least" "$work/started" "$work/enough" >"$work/driver" 2>>"$work/driver.err" &
driver=$!
others+=("$driver")

# It dies at each point in turn, and whenever some more children have ended.
died=0 ended=0
for point in CHILD_BEFORE_START CHILD_AFTER_START LETTER_BEFORE_DELIVERY COMMIT_AFTER_DURABLE none none none none; do
    kill -9 "$node" 2>/dev/null
    while kill -0 "$node" 2>/dev/null; do sleep 0.02; done
    if [ "$point" = none ]; then start_node; else start_node --fault "$point:after=3:times=1"; fi
    while kill -0 "$node" 2>/dev/null && kill -0 "$driver" 2>/dev/null; do
        sleep 0.05
        now=$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'kid' AND NOT open")
        [ "$point" != none ] || [ "$now" -lt $((ended + 6)) ] || break
    done
    ended=${now:-0}
    kill -0 "$driver" 2>/dev/null || break
    died=$((died + 1))
done
kill -9 "$node" 2>/dev/null
while kill -0 "$node" 2>/dev/null; do sleep 0.02; done
touch "$work/enough"
start_node
wait "$driver"
parents=$(wc -l <"$work/started")

passed=0 failed=0
verdict() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1: $2, not $3"; fi
}
# A row of the result is awaited as long as it may take to come about.
comes() {
    local i
    for i in $(seq 200); do [ "$(rows "$2")" = "$3" ] && break; sleep 0.05; done
    verdict "$1" "$(rows "$2")" "$3"
}
verdict "the driver" "$(cat "$work/driver")" "0 bad"
verdict "parents" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'parent' AND status = 2")" "$parents"
verdict "children" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'kid'")" "$((2 * parents))"
verdict "children ended" "$(rows "SELECT count(*) FROM carillon.executions WHERE workflow = 'kid' AND status = 2")" "$((2 * parents))"
verdict "a child's end counts once" "$(rows "SELECT count(*) FROM (SELECT o.worker FROM carillon.outcomes o JOIN carillon.executions e ON e.id::text = o.worker GROUP BY 1 HAVING count(*) <> 1) x")" 0
verdict "ends that counted" "$(rows "SELECT count(*) FROM carillon.outcomes o JOIN carillon.executions e ON e.id::text = o.worker")" "$((2 * parents))"
verdict "one outcome for each attempt" "$(rows 'SELECT count(*) FROM (SELECT execution, state_path, attempt FROM carillon.outcomes GROUP BY 1, 2, 3 HAVING count(*) > 1) x')" 0
comes "messages left" "SELECT count(*) FROM carillon.messages" 0
comes "open tasks left" "SELECT count(*) FROM carillon.open_tasks" 0
[ "$died" = 8 ] || { failed=$((failed + 1)); echo "failed: the node died $died times only"; }

# A parent that waits no more stops its child; a name in use is refused in the words of the recorded service.
slow() { "$bin/carillon" start slow --name "$1" --wait -o json 2>/dev/null; }
verdict "out of time" "$(slow one | grep -c '"error":"States.Timeout"')" 1
comes "the child is stopped" "SELECT status FROM carillon.executions WHERE workflow = 'lazy'" 5
verdict "a name in use" "$(slow two | grep -c 'StepFunctions.ExecutionAlreadyExistsException')" 1
comes "nothing left" "SELECT (SELECT count(*) FROM carillon.messages) + (SELECT count(*) FROM carillon.open_tasks)" 0
echo "node died $died times"
[ "$failed" = 0 ] || tail -n 5 "$work"/*.log "$work/driver.err"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
