#!/usr/bin/env bash
# run_tests.sh [--preset NAME] [STAGE...]: builds, runs the stages, counts single tests.
# Stages: unit contract fuzz sim integration (all of them when none is named).
# Last line: N passed, N failed, N skipped. Fails when a test failed or none ran.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=dev
if [ "${1:-}" = --preset ]; then
    preset=$2
    shift 2
fi
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(unit contract fuzz sim integration)
out=build/$preset/results
mkdir -p "$out"
rm -f "$out"/*
counts=$out/counts

case $preset in
asan)
    # Check forks for each test; the leak check then runs in each child.
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=print_stacktrace=1
    seeds=${SEEDS:-40}
    ;;
tsan)
    export CK_FORK=no TSAN_OPTIONS=second_deadlock_stack=1
    seeds=${SEEDS:-15}
    ;;
cov) seeds=${SEEDS:-50} ;;
*) seeds=${SEEDS:-300} ;;
esac

# timed NAME COMMAND...: runs it, prints how long it took.
timed() {
    local name=$1 start rc=0
    shift
    start=$(date +%s%N)
    "$@" || rc=$?
    printf -- '-- %s %s: %d.%d s\n' "$preset" "$name" \
        $((($(date +%s%N) - start) / 1000000000)) $((($(date +%s%N) - start) / 100000000 % 10))
    return $rc
}

run_ctest() {
    local stage=$1 jobs=1
    case $stage in unit | fuzz) jobs=$(nproc) ;; esac
    # The exit status is not asked: what counts is what count_tests.py reads.
    ctest --test-dir "build/$preset" -L "^$stage\$" -j "$jobs" --output-junit "$PWD/$out/$stage.xml" \
        --test-output-size-passed 1000000 --test-output-size-failed 1000000 \
        --test-output-truncation middle --output-on-failure --no-tests=ignore \
        >"$out/$stage.log" 2>&1 || true
    tools/count_tests.py junit "$out/$stage.xml" >>"$counts"
}

run_sim() {
    [ -e tests/sim/main.c ] || return 0
    PRESET=$preset SEEDS=$seeds tools/sim.sh >"$out/sim.log" 2>&1 </dev/null || true
    tail -n 1 "$out/sim.log"
    tools/count_tests.py sim "$out/sim.log" >>"$counts"
}

timed build tools/build.sh "$preset"
for stage in "${stages[@]}"; do
    case $stage in
    unit | contract | fuzz | integration) timed "$stage" run_ctest "$stage" ;;
    sim) timed sim run_sim ;;
    *)
        echo "run_tests.sh: no such stage: $stage" >&2
        exit 2
        ;;
    esac
done
tools/count_tests.py sum "$counts"
