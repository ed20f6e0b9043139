#!/usr/bin/env bash
# The differential run: an etcd and a cofre, one node each and then three
# each, get the same calls (build/diff draws and compares them).
#   tests/diff/diff.sh [RUNS [SEED]]     a run is some 300 calls; RUNS on one
#                                        node, a third as many on three
# ETCD names an etcd, else one is built by deploy/peers.sh; without one the
# run is skipped, aloud. The servers' data is in memory where /dev/shm is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
runs=${1:-300} seed=${2:-1}
shm=/dev/shm
[ -w "$shm" ] || shm=
work=$(mktemp -d ${shm:+-p "$shm"})
pids=()

stop_servers() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
cleanup() {
    stop_servers
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
# A program in the foreground would put the traps off until it ends.
foreground() {
    "$@" &
    pids+=($!)
    wait $!
}

port_is_free() {
    ! grep -qsi "$(printf ':%04X [0-9A-F]*:0000 0A' "$1")" \
        /proc/net/tcp /proc/net/tcp6
}
# Below the range that the kernel hands out itself.
free_port() {
    local port
    while :; do
        port=$((12000 + (RANDOM * 32768 + RANDOM) % 20000))
        port_is_free "$port" && break
    done
    echo "$port"
}

answers() { # client port
    curl -sf --max-time 2 "http://127.0.0.1:$1/health" | grep -q '"true"'
}

# start KIND BINARY N: N members; $urls are their client URLs.
start() {
    local kind=$1 binary=$2 n=$3 i deadline initial=
    local client=() peer=()
    urls=
    rm -rf "${work:?}/$kind"*
    for ((i = 1; i <= n; i++)); do
        client[i]=$(free_port)
        peer[i]=$(free_port)
        initial+=,m$i=http://127.0.0.1:${peer[i]}
        urls+=,http://127.0.0.1:${client[i]}
    done
    urls=${urls#,}
    for ((i = 1; i <= n; i++)); do
        "$binary" --name "m$i" --data-dir "$work/$kind$n.$i" \
            --listen-client-urls "http://127.0.0.1:${client[i]}" \
            --advertise-client-urls "http://127.0.0.1:${client[i]}" \
            --listen-peer-urls "http://127.0.0.1:${peer[i]}" \
            --initial-advertise-peer-urls "http://127.0.0.1:${peer[i]}" \
            --initial-cluster "${initial#,}" --initial-cluster-token "diff$n" \
            --log-level error --unsafe-no-fsync \
            >"$work/$kind$n.$i.log" 2>&1 </dev/null &
        pids+=($!)
    done
    deadline=$((SECONDS + 60))
    for ((i = 1; i <= n; i++)); do
        until answers "${client[i]}"; do
            if [ $SECONDS -gt $deadline ]; then
                echo "diff: $kind, member $i does not answer"
                tail -n 20 "$work/$kind$n.$i.log"
                exit 1
            fi
            sleep 0.05
        done
    done
}

# compare N RUNS SEED [OPTION...]: fresh servers, and the runs.
compare() {
    local n=$1 count=$2 first=$3 status=0 etcd
    shift 3
    start etcd "$ETCD" "$n"
    etcd=$urls
    start cofre "$BUILD/cofre" "$n"
    foreground "${DIFF:-$BUILD/diff}" --etcd "$etcd" --cofre "$urls" \
        --runs "$count" --seed "$first" "$@" > >(tee "$work/out") 2>&1 ||
        status=$?
    if [ $status -gt 1 ]; then
        grep -hm1 -A9 'panic' "$work"/*.log || tail -n 5 "$work"/*.log
    fi
    stop_servers
    return $status
}

: "${ETCD:=$("$top/deploy/peers.sh" etcd)}"
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
echo "diff: $calls calls from seed $seed on, in $SECONDS s"
echo "diff: $passed passed, $failed failed"
[ $failed = 0 ]
