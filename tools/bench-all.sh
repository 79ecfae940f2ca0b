#!/usr/bin/env bash
# bench-all.sh: every workload ROUNDS times in rotation (default 3), each with a private PostgreSQL, node and
# workers on this machine; prints medians beside what they must be and what we aim at.
#   SECS (10) of W1   IDLE (60) seconds of waiting   LONG=600: W1 once more for so long
# Other engines in the same rotation: tools/bench-peers.sh
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARILLON_BIN:-build/bin}
rounds=${ROUNDS:-3}
out=$(mktemp "${TMPDIR:-/tmp}/carillon-bench-XXXXXX")
trap 'rm -f "$out"' EXIT
secs=${SECS:-10}
loads=("W1|W1 --seconds $secs" "W1 4 KiB|W1 --seconds $secs --payload 4096" "W2|W2" "W3|W3" "W4|W4"
    "ceiling|ceiling --seconds 4" "rss|rss" "idle|idle --seconds ${IDLE:-60}")
measure() {
    local line
    # shellcheck disable=SC2086
    line=$("$bin/carillon" bench $2 --private 2>/dev/null | tail -n 1) || true
    echo "$1|$line" >>"$out"
    echo "$1: ${line:0:200}" >&2
}
for round in $(seq "$rounds"); do
    echo "round $round" >&2
    for load in "${loads[@]}"; do measure "${load%%|*}" "${load#*|}"; done
done
measure core "core"
[ -z "${LONG:-}" ] || measure long "W1 --seconds $LONG"
python3 - "$out" <<'PY'
import json, statistics, sys
rows = {}
for text in open(sys.argv[1]):
    load, line = text.rstrip("\n").split("|", 1)
    try:
        rows.setdefault(load, []).append(json.loads(line))
    except json.JSONDecodeError:
        rows.setdefault(load, []).append({"verified": False})
def median(load, key):
    v = [r[key] for r in rows.get(load, []) if key in r]
    return statistics.median(v) if v else None
# figure, load, key, must, aim: "> n" or "< n"
table = [("W1 steps/s", "W1", "steps_s", "", "> 30000"), ("W1 ratio to the ceiling", "W1", "ratio", "> 0.21", "> 0.41"),
         ("W1 CPU of node + db, s per 1000", "W1", "cpu_total", "< 0.10", "< 0.05"),
         ("W1 RSS of the node, MiB", "W1", "mb_peak", "< 100", "< 30"),
         ("W1, 4 KiB: steps/s", "W1 4 KiB", "steps_s", "", ""), ("W1, 4 KiB: CPU", "W1 4 KiB", "cpu_total", "", ""),
         ("W1 long: last minute to first", "long", "last_to_first", "> 0.85", "> 0.95"),
         ("W1 long: task table, MiB", "long", "task_mb", "< 50", ""),
         ("W2 ms p50", "W2", "ms_p50", "< 8", "< 5"), ("W2 ms p99", "W2", "ms_p99", "< 30", "< 12"),
         ("W3 latest, ms", "W3", "max", "< 700", "< 350"), ("W3 early", "W3", "early", "< 1", ""),
         ("W4 starts/s, 32 callers", "W4", "single_s", "> 9000", "> 15000"),
         ("W4 starts/s, batched", "W4", "bulk_s", "> 30000", "> 60000"),
         ("100,000 sleeping: RSS, MiB", "rss", "mb_engine", "< 64", "< 40"),
         ("idle: calls of the store", "idle", "calls", "< 61", ""), ("idle: commits/s", "idle", "commits_s", "< 1", ""),
         ("idle: CPU of the node, s", "idle", "node_cpu_s", "< 0.6", ""),
         ("ceiling, steps/s", "ceiling", "steps_s", "", ""),
         ("core: transitions/s", "core", "transitions_s", "> 100000", ""), ("core: turns/s", "core", "steps_s", "", "")]
def holds(value, bound):
    op, n = bound.split()
    return value > float(n) if op == ">" else value < float(n)
failed = 0
print(f"{'figure':34} {'must':>10} {'aim':>10} {'measured':>10}")
for name, load, key, must, aim in table:
    m = median(load, key)
    if m is None:
        continue
    verdict = ""
    if must and not holds(m, must):
        failed += 1
        verdict = "under must"
    elif aim:
        verdict = "aim reached" if holds(m, aim) else ""
    print(f"{name:34} {must:>10} {aim:>10} {m:>10.4g} {verdict}")
bad = [l for l, v in rows.items() for r in v if r.get("verified") is False]
noisy = max((r.get("other_cores", 0) for v in rows.values() for r in v), default=0)
print(f"other processes took up to {noisy:.2f} cores; not verified: {bad or 'none'}")
sys.exit(1 if failed or bad else 0)
PY
