#!/usr/bin/env bash
# bench-peers.sh [FOLDER]: Carillon in one rotation with other engines and with what PostgreSQL alone can
# do, on this machine. FOLDER holds programs that drive the others (default ../shared/peers; its README
# says how they are made); they come from npm and are installed below build/peers. Skips where the folder
# is absent.
#   ROUNDS (3)   PEERS, a regular expression on their names ('pgboss|tuned1|batch100')
#   WORKLOADS (W1), of W1 W2 W3 W4   SECS of Carillon's W1 (8)
# Last lines: medians, and for each round the ratio of Carillon's W1 to the ceiling and to pg-boss.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${1:-../shared/peers}
if [ ! -e "$peers/run.mjs" ]; then
    echo "bench-peers: no programs of other engines at $peers: skipped"
    exit 0
fi
scratch=$PWD/build/peers
mkdir -p "$scratch/npm"
cp "$peers"/*.mjs "$peers"/*.json "$scratch/npm/"
gcc -O2 -I"$(pg_config --includedir)" -o "$scratch/pgceiling" "$peers/pgceiling.c" -lpq
(cd "$scratch/npm" && [ -d node_modules ] || npm install --legacy-peer-deps --silent)
bin=$PWD/${CARILLON_BIN:-build/bin}
cat >"$scratch/ours.json" <<JSON
[{"peer":"carillon","cfg":"ours","cmd":"$bin/carillon bench \$W --private --seconds \$([ \$W = W1 ] && echo ${SECS:-8} || echo 4)",
  "w":{"W1":0,"W2":0,"W3":0,"W4":0}}]
JSON
python3 - "$scratch" "${PEERS:-pgboss|tuned1|batch100}" <<'PY'
import json, re, sys
scratch, wanted = sys.argv[1:]
rows = json.load(open(f"{scratch}/ours.json"))
rows += [r for r in json.load(open(f"{scratch}/npm/list.json")) if re.search(wanted, f"{r['peer']}/{r['cfg']}")]
json.dump(rows, open(f"{scratch}/npm/rotation.json", "w"))
PY
export PGOPTS_SERVER="-c shared_buffers=1GB -c max_wal_size=4GB -c max_connections=200"
eval "$(tools/services.sh start pg)"
trap 'kill $CARILLON_PG_SUPERVISOR 2>/dev/null' EXIT
export PEERS_SCRATCH=$scratch PEERS_PG=postgres://$PGUSER@127.0.0.1:$PGPORT PEERS_PG_PID=$CARILLON_PG_PID
export PGCEIL_POSTMASTER=$CARILLON_PG_PID PGDATABASE=ceil LIST=rotation.json OUT=rotation.jsonl
export PATH=$scratch/npm/node_modules/.bin:$PATH
RESTATE_SERVER=$(compgen -G "$scratch/npm/node_modules/@restatedev/restate-server-*/bin/restate-server" | head -n 1) || true
export RESTATE_SERVER
psql -q -d postgres -c 'CREATE DATABASE ceil'
rm -f "$scratch/rotation.jsonl"
# The ceiling is pgceiling's own through PostgreSQL's socket, as ours is.
PGHOST=$(dirname "$CARILLON_PG_LOG")
export PGHOST
# shellcheck disable=SC2086
(cd "$scratch/npm" && ROUNDS=${ROUNDS:-3} node run.mjs . ${WORKLOADS:-W1})
node "$scratch/npm/agg.mjs" "$scratch/rotation.jsonl"
python3 - "$scratch/rotation.jsonl" <<'PY'
import json, sys
rounds = {}
for line in open(sys.argv[1]):
    o = json.loads(line)
    if o.get("w", "W1") == "W1":
        rounds.setdefault(o["round"], {})[o["peer"] + "/" + o["cfg"]] = o
for n, r in sorted(rounds.items()):
    ours = r.get("carillon/ours", {}).get("steps_s")
    text = [f"round {n}: carillon {ours:.0f} steps/s" if ours else f"round {n}: no figure of ours"]
    for name, o in r.items():
        rate = o.get("steps_s", o.get("items_s"))
        if ours and rate and name != "carillon/ours":
            text.append(f"{ours / rate:.2f} x {name} ({rate:.0f})")
    print(", ".join(text))
PY
