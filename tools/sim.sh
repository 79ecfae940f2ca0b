#!/usr/bin/env bash
# sim.sh: runs the simulator of a build. SEED=n: that seed alone. SEEDS=n (200): the seeds of
# tests/sim/seeds.txt and three fresh ones, each twice in one process with the same trace; one fresh
# seed in two processes; then n seeds, shared out over the CPUs. Fresh seeds are counted from a
# number made of HEAD's hash. Last line: sim: N seeds, N failed, N s
set -euo pipefail
cd "$(dirname "$0")/.."
sim=build/${PRESET:-dev}/tests/sim
if [ -n "${SEED:-}" ]; then
    exec "$sim" --seed "$SEED"
fi
seeds=${SEEDS:-200}
first=$((16#$(git rev-parse HEAD 2>/dev/null | cut -c1-8 || echo 0)))
jobs=$(nproc)
[ "$jobs" -le "$seeds" ] || jobs=$seeds
start=$(date +%s)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
"$sim" --twice --list tests/sim/seeds.txt --first "$first" --seeds 3 >"$logs/twice" 2>&1 &
from=$((first + 3))
for ((i = 0; i < jobs; i++)); do
    n=$(((seeds + i) / jobs))
    "$sim" --first "$from" --seeds "$n" >"$logs/$i" 2>&1 &
    from=$((from + n))
done
wait
total=0 failed=0
for log in "$logs"/*; do
    cat "$log"
    line=$(grep -a '^sim: [0-9]* seeds, [0-9]* failed' "$log" | tail -n 1 || true)
    if [ -z "$line" ]; then
        echo "sim: a run ended without its closing line" >&2
        failed=$((failed + 1))
        continue
    fi
    total=$((total + $(cut -d' ' -f2 <<<"$line")))
    failed=$((failed + $(cut -d' ' -f4 <<<"$line")))
done
hash_of() { "$sim" --seed "$first" 2>/dev/null | sed -n 's/^seed [0-9]* hash \([0-9a-f]*\) .*/\1/p'; }
one=$(hash_of) two=$(hash_of)
if [ -z "$one" ] || [ "$one" != "$two" ]; then
    echo "sim: seed $first failed: another run in another process: $one and $two"
    failed=$((failed + 1))
fi
total=$((total + 1))
echo "sim: $total seeds, $failed failed, $(($(date +%s) - start)) s"
[ "$failed" = 0 ] && [ "$total" -gt 0 ]
