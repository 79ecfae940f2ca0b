#!/usr/bin/env bash
# `carillon workflow check` and `workflow test`: no node, no database; exit codes and what they print.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
carillon=$(realpath "${CARILLON_BIN:-build/bin}")/carillon
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-workflow-XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
# expect NAME STATUS COMMAND...: runs it in the work folder; output in $work/out.
expect() {
    local rc=0
    (cd "$work" && "${@:3}" >fresh 2>&1) || rc=$?
    mv "$work/fresh" "$work/out"
    if [ $rc = "$2" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "failed: $1: status $rc, expected $2"
        head -n 30 "$work/out"
    fi
}
# says NAME TEXT: the last output holds it.
says() {
    if grep -qF -- "$2" "$work/out"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "failed: $1: no \"$2\" in"
        head -n 30 "$work/out"
    fi
}

cp examples/order.yaml "$work/"
cat >"$work/bad.yaml" <<'YAML'
StartAt: Ask
States:
  Ask:
    Type: Task
    Resource: queue:names
    Next: Grete
  Greet:
    Type: Pas
    End: true
YAML
expect "check: good" 0 "$carillon" workflow check order.yaml
[ ! -s "$work/out" ] || { failed=$((failed + 1)); echo "failed: check: a good file is no news"; }
expect "check: bad" 1 "$carillon" workflow check order.yaml bad.yaml
says "check: place" "bad.yaml:6:11: /States/Ask/Next: "
says "check: the other place" "bad.yaml:8:11: /States/Greet/Type: "
expect "check: absent" 1 "$carillon" workflow check absent.yaml
says "check: absent" "absent.yaml: cannot be read"
expect "check: as JSON" 1 "$carillon" workflow check -o json bad.yaml
says "check: as JSON" '"line":6,"column":11,"pointer":"/States/Ask/Next"'
expect "check: JSON is JSON" 0 python3 -c 'import json; assert len(json.load(open("out"))) >= 2'
expect "check: nothing named" 2 "$carillon" workflow check

cat >"$work/pay.json" <<'JSON'
{"StartAt": "Each", "States": {
  "Each": {"Type": "Map", "MaxConcurrency": 1, "Next": "Sleep", "ItemProcessor": {"StartAt": "Charge", "States": {
    "Charge": {"Type": "Task", "Resource": "queue:payment", "TimeoutSeconds": 60, "End": true,
      "Retry": [{"ErrorEquals": ["Busy", "States.Timeout"], "IntervalSeconds": 10, "BackoffRate": 2}]}}}},
  "Sleep": {"Type": "Wait", "Seconds": 86400, "End": true}}}
JSON
cat >"$work/mock.json" <<'JSON'
{"StateMachines": {"pay": {"TestCases": {
   "Good": {"Charge": "Charged"}, "Busy": {"Charge": "BusyTwice"}, "Slow": {"Charge": "TimesOut"},
   "Short": {"Charge": "One"}}}},
 "MockedResponses": {
   "Charged": {"0-9": {"Return": {"paid": true}}},
   "BusyTwice": {"0-1": {"Throw": {"Error": "Busy", "Cause": "try later"}}, "2-3": {"Return": {"paid": true}}},
   "TimesOut": {"0": {"Throw": {"Error": "States.Timeout"}}, "1-2": {"Return": 1}},
   "One": {"0": {"Return": {}}}}}
JSON
run() { expect "$1" "$2" "$carillon" workflow test pay.json --mock mock.json --input '[1,2]' "${@:3}"; }
run "test: good" 0 --case Good
says "test: a day passes at once" "PASS Good: SUCCEEDED after 86400.000 s"
says "test: the tree names the iteration" "Each[1]"
says "test: the tree is indented" "   MapIterationStarted"
run "test: retries" 0 --case Busy
says "test: waits of retries" "SUCCEEDED after 86430.000 s"
says "test: cause in the history" "try later"
run "test: a thrown time-out takes its time" 0 --case Slow
says "test: time-out and interval" "SUCCEEDED after 86470.000 s"
run "test: more attempts than outcomes" 1 --case Short
says "test: which state" 'state Charge: MockedResponses/One has no outcome "1"'
run "test: all cases" 1
says "test: all cases" "3 passed, 1 failed"
run "test: output as expected" 0 --case Good --expect-output '[{"paid":true},{"paid":true}]'
run "test: another output" 1 --case Good --expect-output '[]'
run "test: another status" 1 --case Good --expect-status FAILED
run "test: no such status" 2 --case Good --expect-status GOOD
run "test: no such case" 2 --case Nobody
run "test: as JSON" 0 --case Busy -o json
expect "test: JSON with the API's names" 0 python3 - <<'PY'
import json
case, = json.load(open("out"))
assert case["passed"] and case["status"] == "SUCCEEDED"
entered = [e for e in case["events"] if e["type"] == "TaskStateEntered"]
assert [e["stateEnteredEventDetails"]["name"] for e in entered] == ["Charge", "Charge"]
assert entered[1]["scope"] == "Each[1]"
PY
expect "test: no mock at all" 1 "$carillon" workflow test pay.json --input '[1]'
says "test: names the state" "state Charge has no mock"
sed 's/"Charge": "One"/"Charg": "One"/' "$work/mock.json" >"$work/slip.json"
expect "test: a slip of the pen" 2 "$carillon" workflow test pay.json --mock slip.json
says "test: did you mean" 'did you mean "Charge"?'
sed 's/"0-1": {"Throw"/"0-x": {"Throw"/' "$work/mock.json" >"$work/range.json"
expect "test: no attempt" 2 "$carillon" workflow test pay.json --mock range.json
says "test: place in the mocks" 'range.json:6:'
expect "test: bad definition" 1 "$carillon" workflow test bad.yaml
expect "test: bad input" 2 "$carillon" workflow test pay.json --input '{'
echo '{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"Broken","Cause":"by design"}}}' >"$work/fail.json"
expect "test: fails" 1 "$carillon" workflow test fail.json
expect "test: fails as expected" 0 "$carillon" workflow test fail.json --expect-error Broken
expect "test: fails otherwise" 1 "$carillon" workflow test fail.json --expect-error Other
echo '{"StartAt":"P","States":{"P":{"Type":"Pass","Next":"P2"},"P2":{"Type":"Choice","Choices":[{"Variable":"$.n","NumericEquals":1,"Next":"E"}],"Default":"P"},"E":{"Type":"Succeed"}}}' >"$work/loop.json"
expect "test: a loop is stopped" 1 "$carillon" workflow test loop.json --input '{"n":0}'
says "test: a loop is stopped" "FAIL loop: "

# The table of commands: options of that command alone, and completions.
expect "help" 0 "$carillon" workflow check --help
says "help: example" "carillon workflow check workflows/*.yaml"
lacks() { ! grep -q -- "$1" "$work/out"; }
expect "help" 0 "$carillon" list --help
says "help: own option" "--limit N"
if lacks --input; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: help of list tells of --input"; fi
expect "an option of another command" 2 "$carillon" workflow list --wait
says "an option of another command: which" "workflow list takes no --wait"
# completes WORD...: what bash would offer after these words.
completes() {
    bash -c 'source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _carillon; echo "${COMPREPLY[*]}"' \
        "$carillon" carillon "$@"
}
expect "completion: commands" 0 completes wo
says "completion: commands" "workflow"
expect "completion: second word" 0 completes workflow c
says "completion: second word" "create check conformance"
expect "completion: options" 0 completes workflow test --expect-
says "completion: options" "--expect-status --expect-output --expect-error"
for shell in zsh fish; do
    expect "completion: $shell" 0 "$carillon" completion $shell
    says "completion: $shell" "conformance"
    if command -v $shell >/dev/null; then expect "completion: $shell reads it" 0 $shell -n out; fi
done
expect "completion: another shell" 2 "$carillon" completion csh
echo "$passed passed, $failed failed"
[ $failed = 0 ]
