#!/usr/bin/env bash
# check.sh: what CI asks and needs no service; see `make help` for the single checks.
# Runs all of them, says how long each took, last line: N passed, N failed, N skipped
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
run() {
    local name=$1 start=$SECONDS
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "-- check $name: $((SECONDS - start)) s"
    else
        failed=$((failed + 1))
        echo "-- check $name: FAILED, $((SECONDS - start)) s"
    fi
}
all_formatted() {
    git ls-files '*.c' '*.h' | xargs -r clang-format-14 --dry-run -Werror 2>&1 \
        | grep -a 'error:' | cut -d: -f1 | sort | uniq -c | sed 's/^ *\([0-9]*\) /   \1 places: /'
    return "${PIPESTATUS[1]}"
}
run layers tools/check_layers.py
run tidy tools/tidy.py
run format all_formatted
run build tools/build.sh dev
run symbols tools/check_symbols.sh
run release tools/build.sh release
run hardening tools/check_hardening.sh
if [ -e tools/gen_docs.c ]; then run docs tools/docs.sh check; fi
run lint tools/lint.py
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
