#!/usr/bin/env bash
# services.sh: private servers for tests and for trying things out; they die with the caller.
#   tools/services.sh run pg -- COMMAND...   runs a command with PGHOST, PGPORT, PGUSER, PGDATABASE
#                                            set, then removes the server; the command's status
#   eval "$(tools/services.sh start pg)"     the same variables for the calling shell; the server
#                                            lives as long as that shell (stop it earlier with
#                                            kill $CARILLON_PG_SUPERVISOR)
# PG_RESPAWN=1: a server that was killed is started again on its port and data; stop it by its supervisor.
# Its pid stands in the file CARILLON_PG_PIDFILE then.
# PGOPTS_SERVER: more arguments of postgres, e.g. "-c fsync=off -c max_connections=200"
set -euo pipefail

find_bin() {
    local found
    found=${PG_BINDIR:-$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)} || true
    if [ ! -x "$found/postgres" ]; then
        echo "services: no PostgreSQL server is installed (tools/setup.sh demo)" >&2
        exit 1
    fi
    echo "$found"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Sets dir, user, become. PostgreSQL refuses to run as root.
prepare() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/carillon-pg-$$-XXXXXX")
    user=$(id -un)
    become=()
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id postgres >/dev/null 2>&1 || user=nobody
        chown "$user:" "$dir"
        become=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    fi
}

# The server in the background on $port; it dies with this process. Sets pid.
serve() {
    # shellcheck disable=SC2086  # options are words
    (cd "$dir" && exec setpriv "${become[@]:1}" --pdeathsig QUIT "$bin/postgres" -D "$dir/data" \
        -p "$port" -k "$dir" -h 127.0.0.1 ${PGOPTS_SERVER:-}) >>"$dir/log" 2>&1 </dev/null &
    pid=$!
}

# Makes a cluster and starts its server. Sets bin, pid and port.
launch() {
    local try
    bin=$(find_bin)
    (cd "$dir" && "${become[@]}" "$bin/initdb" -D "$dir/data" -U "$user" --auth=trust --no-sync \
        --encoding=UTF8 --locale=C.UTF-8 >"$dir/log" 2>&1) || { cat "$dir/log" >&2; exit 1; }
    for try in 1 2 3; do
        port=$(free_port)
        serve
        while kill -0 $pid 2>/dev/null; do
            if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U "$user"; then return; fi
            sleep 0.05
        done
    done
    tail -n 20 "$dir/log" >&2
    echo "services: PostgreSQL did not start" >&2
    exit 1
}

finish() {
    [ -z "${pid:-}" ] || { kill -QUIT "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; } || true
    rm -rf "$dir"
}

variables() {
    printf 'export PGHOST=127.0.0.1 PGPORT=%s PGUSER=%s PGDATABASE=postgres' "$port" "$user"
    printf ' CARILLON_PG_PID=%s CARILLON_PG_LOG=%s CARILLON_PG_SUPERVISOR=%s' "$pid" "$dir/log" "$$"
    printf ' CARILLON_PG_PIDFILE=%s\n' "$dir/pid"
}

# The supervisor of `start`: owns the server, ends it when the caller's shell is gone.
supervise() {
    local owner=$1 answer=$2
    trap 'finish; exit 0' TERM INT HUP
    trap finish EXIT
    prepare
    launch
    echo "$pid" >"$dir/pid"
    variables >"$answer.new"
    mv "$answer.new" "$answer"
    while kill -0 "$owner" 2>/dev/null; do
        if ! kill -0 "$pid" 2>/dev/null; then
            [ -n "${PG_RESPAWN:-}" ] || break
            # Backends of the killed one hold its shared memory until they notice: tried until they have.
            wait "$pid" 2>/dev/null || true
            serve
            echo "$pid" >"$dir/pid"
        fi
        sleep 0.2
    done
}

case "${1:-} ${2:-}" in
"run pg")
    shift 2
    [ "${1:-}" != -- ] || shift
    trap finish EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    prepare
    launch
    eval "$(variables)"
    rc=0
    "$@" || rc=$?
    exit $rc
    ;;
"start pg")
    answer=$(mktemp -u "${TMPDIR:-/tmp}/carillon-answer-XXXXXX")
    setsid "$0" supervise "$PPID" "$answer" >/dev/null 2>&2 </dev/null &
    supervisor=$!
    until [ -e "$answer" ]; do
        kill -0 $supervisor 2>/dev/null || exit 1
        sleep 0.05
    done
    cat "$answer"
    rm -f "$answer"
    ;;
supervise*) supervise "$2" "$3" ;;
*)
    sed -n '2,10p' "$0" >&2
    exit 2
    ;;
esac
