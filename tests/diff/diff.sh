#!/usr/bin/env bash
# The differential run: an etcd and a cofre, one node each and then three
# each, get the same calls (build/diff draws and compares them); then fewer,
# with cofre's gRPC proxies in front of the cofre.
#   tests/diff/diff.sh [RUNS [SEED]]     a run is some 300 calls; RUNS on one
#                                        node, a third as many on three
# ETCD names an etcd, else one is built by deploy/peers.sh; without one the
# run is skipped, aloud. The servers' data is in memory where /dev/shm is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
runs=${1:-300} seed=${2:-1}
# shellcheck source=tests/servers.bash
. "$top/tests/servers.bash"

# compare N RUNS SEED [OPTION...]: fresh servers, and the runs. proxied=1: with
# a proxy before each cofre.
proxied=
compare() {
    local n=$1 count=$2 first=$3 status=0 etcd
    shift 3
    [ -z "$proxied" ] || set -- "$@" --proxied
    start etcd "$ETCD" "$n"
    etcd=$urls
    start cofre "$BUILD/cofre" "$n"
    if [ -n "$proxied" ]; then
        front "$urls"
        urls=$fronts
        echo "behind proxies:"
    fi
    foreground "${DIFF:-$BUILD/diff}" --etcd "$etcd" --cofre "$urls" \
        --runs "$count" --seed "$first" "$@" >"$work/out" 2>&1 || status=$?
    cat "$work/out"
    if [ $status -gt 1 ]; then
        grep -hm1 -A9 'panic' "$work"/*.log || tail -n 5 "$work"/*.log
    fi
    stop_servers
    return $status
}

if [ -z "$ETCD" ]; then
    echo "diff: SKIPPED: there is no etcd here and none could be built"
    exit 0
fi

passed=0 failed=0 calls=0
tally() {
    local line
    line=$(grep ' calls each side, ' "$work/out" || true)
    if [[ $line =~ :\ ([0-9]+)\ calls.*,\ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]]
    then
        calls=$((calls + BASH_REMATCH[1]))
        passed=$((passed + BASH_REMATCH[2]))
        failed=$((failed + BASH_REMATCH[3]))
    else
        failed=$((failed + 1))
    fi
}

# That it finds what is not equal is shown first.
if compare 1 20 "$seed" --spoil /Range >/dev/null; then
    echo "diff: a spoiled answer is found and shrunk to one step"
    passed=$((passed + 1))
else
    echo "diff: a spoiled answer was NOT found and shrunk:"
    cat "$work/out"
    failed=$((failed + 1))
fi
for n in ${NODES:-1 3}; do
    count=$((n == 1 ? runs : (runs + 2) / 3))
    compare "$n" "$count" "$seed" ${VERBOSE:+--verbose} || true
    tally
done
proxied=1
for n in ${NODES:-1 3}; do
    count=$((n == 1 ? (runs + 4) / 5 : (runs + 14) / 15))
    compare "$n" "$count" "$seed" ${VERBOSE:+--verbose} || true
    tally
done
echo "diff: $calls calls from seed $seed on, in $SECONDS s"
echo "diff: $passed passed, $failed failed"
[ $failed = 0 ]
