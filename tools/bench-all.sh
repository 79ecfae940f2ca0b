#!/usr/bin/env bash
# bench-all.sh: every workload ROUNDS times in rotation (default 3), each with a private PostgreSQL, node and
# workers on this machine; prints medians beside what they must be and what we aim at.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARILLON_BIN:-build/bin}
rounds=${ROUNDS:-3}
out=$(mktemp "${TMPDIR:-/tmp}/carillon-bench-XXXXXX")
trap 'rm -f "$out"' EXIT
loads=("W1 --seconds ${SECS:-10}" "W1 --seconds ${SECS:-10} --payload 4096" "W2" "W3" "W4" "rss" "idle --seconds ${IDLE:-60}")
for round in $(seq "$rounds"); do
    for load in "${loads[@]}"; do
        # shellcheck disable=SC2086
        line=$("$bin/carillon" bench $load --private 2>/dev/null | tail -n 1) || true
        echo "$load|$line" >>"$out"
        echo "round $round: $load: ${line:0:160}" >&2
    done
done
python3 - "$out" <<'PY'
import json, statistics, sys
rows = {}
for text in open(sys.argv[1]):
    load, line = text.rstrip("\n").split("|", 1)
    try:
        rows.setdefault(load.split(" --seconds")[0] + (" 4 KiB" if "4096" in load else ""), []).append(json.loads(line))
    except json.JSONDecodeError:
        print("no result:", load)
def median(load, key):
    v = [r[key] for r in rows.get(load, []) if key in r]
    return statistics.median(v) if v else None
table = [("W1 steps/s", "W1", "steps_s", ">= 15000", ">= 30000"), ("W1 ratio to ceiling", "W1", "ratio", ">= 0.21", ">= 0.41"),
         ("W1 CPU node+db, s per 1000 steps", "W1", "cpu_total", "< 0.10", "< 0.05"), ("W1 node MiB", "W1", "mb_peak", "< 100", "< 30"),
         ("W1 4 KiB steps/s", "W1 4 KiB", "steps_s", "", ""), ("W2 ms p50", "W2", "ms_p50", "< 8", "< 5"),
         ("W2 ms p99", "W2", "ms_p99", "< 30", "< 12"), ("W3 latest ms", "W3", "max", "< 700", "< 350"),
         ("W3 early", "W3", "early", "0", "0"), ("W4 starts/s, 32 callers", "W4", "single_s", "> 9000", "> 15000"),
         ("W4 starts/s, batched", "W4", "bulk_s", "> 30000", "> 60000"), ("100,000 sleeping: node MiB", "rss", "mb_engine", "< 64", "< 40"),
         ("idle commits/s", "idle", "commits_s", "< 1", ""), ("idle node CPU s", "idle", "node_cpu_s", "< 0.6", "")]
print(f"{'figure':36} {'must':>10} {'aim':>10} {'measured':>10}")
for name, load, key, must, aim in table:
    m = median(load, key)
    print(f"{name:36} {must:>10} {aim:>10} {'-' if m is None else f'{m:.4g}':>10}")
bad = [l for l, v in rows.items() for r in v if r.get("verified") is False]
noisy = max((r.get("other_cores", 0) for v in rows.values() for r in v), default=0)
print(f"other processes took up to {noisy:.2f} cores; not verified: {bad or 'none'}")
PY
