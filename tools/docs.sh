#!/usr/bin/env bash
# docs.sh write|check: the pages of docs/reference are printed from the tables (*.def) by
# tools/gen_docs.c. "write" puts them into the tree, "check" fails when the tree differs.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=build/dev/reference
rm -rf "$fresh"
mkdir -p "$fresh"
build/dev/tools/gen_docs "$fresh"
case ${1:-check} in
write)
    mkdir -p docs/reference
    cp "$fresh"/* docs/reference/
    ;;
check)
    for page in "$fresh"/*; do
        if ! diff -u "docs/reference/${page##*/}" "$page"; then
            echo "docs/reference/${page##*/} is not what the tables say: run make docs" >&2
            exit 1
        fi
    done
    ;;
esac
