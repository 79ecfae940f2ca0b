#!/usr/bin/env bash
# A node whose address is taken says so in one line and exits with 1.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
bin=${CARILLON_BIN:-build/bin}
work=$(mktemp -d "${TMPDIR:-/tmp}/carillon-listen-XXXXXX")
holder=
trap 'kill $holder 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
mkfifo "$work/port"
python3 -c '
import signal, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
with open(sys.argv[1], "w") as f:
    print(s.getsockname()[1], file=f)
signal.pause()' "$work/port" &
holder=$!
read -r port <"$work/port"
address=tcp://127.0.0.1:$port
passed=0 failed=0
check() {
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}
"$bin/carillon" dev --once --listen "$address" >"$work/out" 2>"$work/err"
rc=$?
check "exit status 1, not $rc" [ $rc = 1 ]
check "the line that says why" grep -q "cannot listen at $address: address in use\$" "$work/err"
[ $failed = 0 ] || cat "$work/err"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
