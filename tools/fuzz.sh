#!/usr/bin/env bash
# fuzz.sh [NAME]: runs one fuzz target (or each) for FUZZ_SECONDS (60) from its corpus. New
# inputs stay in build/fuzz/corpus; a crash is written to build/fuzz/crashes: minimise it, mend
# the code and add it to tests/fuzz/corpus/NAME, where every test run replays it.
# Last line: N passed, N failed, 0 skipped; each target counts as one.
set -euo pipefail
cd "$(dirname "$0")/.."
names=("$@")
if [ $# = 0 ] || [ -z "$1" ]; then
    names=()
    for f in tests/fuzz/fuzz_*.c; do
        f=${f##*/fuzz_}
        names+=("${f%.c}")
    done
fi
failed=0
mkdir -p build/fuzz/crashes
for name in "${names[@]}"; do
    new=build/fuzz/corpus/$name
    mkdir -p "$new"
    dict=()
    [ -e "tests/fuzz/$name.dict" ] && dict=(-dict="tests/fuzz/$name.dict")
    if ! "build/fuzz/tests/fuzz/fuzz_$name" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="build/fuzz/crashes/$name-" \
        "${dict[@]}" "$new" "tests/fuzz/corpus/$name" 2>"build/fuzz/$name.log"; then
        echo "fuzz: $name FAILED"
        tail -n 40 "build/fuzz/$name.log"
        failed=$((failed + 1))
    else
        echo "fuzz: $name for ${FUZZ_SECONDS:-60} s:" $(sed -n 's/^stat::\(number_of_executed_units\|peak_rss_mb\): */\1 /p' "build/fuzz/$name.log")
    fi
done
echo "$((${#names[@]} - failed)) passed, $failed failed, 0 skipped"
[ $failed = 0 ]
