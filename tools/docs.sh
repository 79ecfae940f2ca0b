#!/usr/bin/env bash
# docs.sh write|check: the pages of docs/reference, the man pages and the sample conf/carillond.yaml are
# printed from the tables (*.def) by tools/gen_docs.c. "write" puts them into the tree, "check" fails when the
# tree differs.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=build/dev/reference
rm -rf "$fresh"
mkdir -p "$fresh"
build/dev/tools/gen_docs "$fresh"
for page in "$fresh"/*; do
    place=docs/reference/${page##*/}
    [[ $page != *.yaml ]] || place=conf/${page##*/}
    [[ $page != *.[18] ]] || place=docs/man/${page##*/}
    case ${1:-check} in
    write) cp "$page" "$place" ;;
    check)
        if ! diff -u "$place" "$page"; then
            echo "$place is not what the tables say: run make docs" >&2
            exit 1
        fi
        ;;
    esac
done
