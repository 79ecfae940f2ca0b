#!/usr/bin/env bash
# sim.sh: runs the simulator of a build. SEED=n: that seed alone. SEEDS=n (200): the seeds of
# tests/sim/seeds.txt, then n seeds from a first one made of HEAD's hash, shared out over the
# CPUs. Last line: sim: N seeds, N failed, N s
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
from=$first
for ((i = 0; i < jobs; i++)); do
    n=$(((seeds + i) / jobs))
    list=()
    [ $i -gt 0 ] || list=(--list tests/sim/seeds.txt)
    "$sim" "${list[@]}" --first "$from" --seeds "$n" >"$logs/$i" 2>&1 &
    from=$((from + n))
done
wait
total=0 failed=0
for ((i = 0; i < jobs; i++)); do
    cat "$logs/$i"
    line=$(grep -a '^sim: [0-9]* seeds, [0-9]* failed' "$logs/$i" | tail -n 1 || true)
    if [ -z "$line" ]; then
        echo "sim: a run ended without its closing line" >&2
        failed=$((failed + 1))
        continue
    fi
    total=$((total + $(cut -d' ' -f2 <<<"$line")))
    failed=$((failed + $(cut -d' ' -f4 <<<"$line")))
done
echo "sim: $total seeds, $failed failed, $(($(date +%s) - start)) s"
[ "$failed" = 0 ] && [ "$total" -gt 0 ]
