#!/usr/bin/env bash
# Every command of README and tutorial, in a fresh clone of what is committed.
set -uo pipefail
cd "${CARILLON_SOURCE:-$(dirname "$0")/../..}"
exec tools/docs_run.py
