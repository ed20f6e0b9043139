#!/usr/bin/env bash
# Nodes under load, beside etcd and the floor, in one run: requests/s, server
# CPU per request, p50/p99, memory, fdatasyncs.
#   tests/bench/bench.sh [one] [three] [keys] [api] [failover] [catchup]
#                                                  (default: all of them)
# Server on core 0, load on core 1. ETCD= names an etcd to compare with (none:
# cofre alone), else the one on PATH, else one built by deploy/peers.sh where
# go is.
# N= requests a row (default 100000; heavy ones are fewer); KILLS= (default
# 50). Every row of writes is checked by the store's revision: h2load counts a
# gRPC error as success. Our own programs check every answer.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
N=${N:-100000}
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/bench/h2load.sh
. "$here/h2load.sh"
# shellcheck source=tests/bench/cluster.sh
. "$here/cluster.sh"
# shellcheck source=tests/bench/api.sh
. "$here/api.sh"

echo "cofre bench on $(date -u +%F), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $N requests a row"
etcd=$(find_etcd || true)
[ -n "$etcd" ] || echo "no etcd to compare with: set ETCD=, or install go"
[ $# -gt 0 ] || set -- one three keys api failover catchup
for what; do
    case $what in
    one)
        heading 'one node'
        floor_rows
        one cofre "$BUILD/cofre"
        [ -z "$etcd" ] || one etcd "$etcd"
        ;;
    three)
        heading 'three nodes'
        three cofre "$BUILD/cofre"
        [ -z "$etcd" ] || three etcd "$etcd"
        ;;
    keys)
        echo
        keys cofre "$BUILD/cofre"
        [ -z "$etcd" ] || keys etcd "$etcd"
        ;;
    api)
        api_heading 'the rest of the API'
        api cofre "$BUILD/cofre"
        [ -z "$etcd" ] || api etcd "$etcd"
        ;;
    failover | catchup)
        echo
        "$what" cofre "$BUILD/cofre"
        [ -z "$etcd" ] || "$what" etcd "$etcd"
        ;;
    *)
        echo "usage: bench.sh [one] [three] [keys] [api] [failover] [catchup]" >&2
        exit 2
        ;;
    esac
done
