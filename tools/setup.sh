#!/usr/bin/env bash
# setup.sh build|demo|test: installs the Debian packages that are missing, and only those; silent
# when there is nothing to do. Each group includes the one before it:
#   build   compile, unit tests          (make, make sim)
#   demo    a PostgreSQL to run against  (make demo)
#   test    clang tools, tracing         (make test, make check, .ci/run)
set -euo pipefail
cd "$(dirname "$0")/.."
group=${1:-test}

packages=(gcc libc6-dev binutils make cmake ninja-build ccache pkg-config git python3 check
    libuv1-dev libxxhash-dev libyaml-dev libmsgpack-dev libjansson-dev libpq-dev libnng-dev
    libssl-dev)
# Packages that only some files of the tree need.
when() {
    local pattern=$1
    shift
    if compgen -G "$pattern" >/dev/null; then packages+=("$@"); fi
}
when 'coord/coord_zk*.c' libzookeeper-mt-dev
when 'coord/coord_redis*.c' libhiredis-dev
when 'net/http_mhd*.c' libmicrohttpd-dev
case $group in
build) ;;
demo | test)
    packages+=(postgresql-15 postgresql-client-15 procps util-linux)
    ;;
*)
    echo "usage: tools/setup.sh build|demo|test" >&2
    exit 2
    ;;
esac
if [ "$group" = test ]; then
    packages+=(clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev llvm-14 iproute2 strace
        curl prometheus) # docs/operate.md; promtool
    when 'coord/coord_zk*.c' zookeeper default-jre-headless
    when 'coord/coord_redis*.c' redis-server
fi

missing=()
have=$(dpkg-query -W -f='${db:Status-Abbrev}${binary:Package}\n' 2>/dev/null \
    | sed -n 's/^ii  *\([^:]*\).*/\1/p')
for p in "${packages[@]}"; do
    grep -qxF "$p" <<<"$have" || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "setup: installing Debian packages: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: not root and no sudo; please install: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# The tests start servers of their own: keep the packages from starting theirs, and
# PostgreSQL's from making a cluster that nobody asked for.
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
restore=()
cleanup() {
    local file
    for file in "${restore[@]}"; do
        case $file in
        "$policy") "${as_root[@]}" rm -f "$policy" ;;
        "$clusters") "${as_root[@]}" sed -i 's/^create_main_cluster = false # carillon setup$/#create_main_cluster = true/' "$clusters" ;;
        esac
    done
    rm -f "$log"
}
trap cleanup EXIT
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    restore+=("$policy")
fi
apt() {
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
        >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        echo "setup: apt-get $1 failed" >&2
        return 1
    fi
}
apt update
case " ${missing[*]} " in
*" postgresql-15 "*)
    apt install --no-install-recommends postgresql-common
    if "${as_root[@]}" sed -i 's/^#create_main_cluster = true$/create_main_cluster = false # carillon setup/' $clusters; then
        restore+=("$clusters")
    fi
    ;;
esac
apt install --no-install-recommends "${missing[@]}"
echo "setup: done"
