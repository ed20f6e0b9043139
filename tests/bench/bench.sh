#!/usr/bin/env bash
# One node and three nodes under h2load, beside etcd and the floor, in one
# run: requests/s, server CPU per request, p50/p99, memory, fdatasyncs.
#   tests/bench/bench.sh [one] [three] [keys] [failover] [catchup]
#                                                  (default: all of them)
# Server on core 0, load on core 1. ETCD= names an etcd to compare with,
# else the one on PATH, else one built by deploy/peers.sh where go is.
# N= requests a row (default 100000); KILLS= (default 50). Every row of writes is checked by the
# store's revision: h2load counts a gRPC error as success.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
N=${N:-100000}
KEYS=100000
work=$(mktemp -d)
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

find_etcd() {
    if [ -n "${ETCD:-}" ]; then echo "$ETCD"; return; fi
    if command -v etcd >/dev/null; then command -v etcd; return; fi
    if command -v go >/dev/null; then
        "$top/deploy/peers.sh" etcd
    fi
}

free_port() { "$BUILD/bench/free_port"; }
cpu_ticks() { # of the processes: user + system
    local total=0 pid
    for pid; do
        # shellcheck disable=SC2046 # words are wanted
        set -- $(sed 's/.*) //' "/proc/$pid/stat")
        total=$((total + ${12} + ${13}))
    done
    echo "$total"
}
resident_kb() { awk '/^RssAnon:/ {print $2}' "/proc/$1/status"; }
ctl() { "$BUILD/cofrectl" --command-timeout 20s --endpoints "$@"; }
revision() { ctl "$1" get nothing -w json | sed 's/.*"revision":\([0-9]*\).*/\1/'; }
fsyncs() { # host:port; sum of what either server calls it
    { curl -s --max-time 5 "http://$1/metrics" || true; } | awk '
        /^cofre_wal_fsync_total / {ours = $2}
        /^etcd_disk_wal_fsync_duration_seconds_count / {theirs = $2}
        END {print ours == "" ? theirs + 0 : ours + 0}'
}

wait_healthy() {
    for _ in $(seq 300); do
        ctl "$1" get nothing >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "bench: $1 does not answer; see its log" >&2
    tail -5 "$work"/*.log >&2
    exit 1
}

# start NAME BINARY DIR CLIENT_PORT PEER_PORT CLUSTER
start() {
    taskset -c 0 "$2" --name "$1" --data-dir "$3" --log-level error \
        --listen-client-urls "http://127.0.0.1:$4" \
        --advertise-client-urls "http://127.0.0.1:$4" \
        --listen-peer-urls "http://127.0.0.1:$5" \
        --initial-advertise-peer-urls "http://127.0.0.1:$5" \
        --initial-cluster "$6" --snapshot-count 10000 \
        >"$work/$1.log" 2>&1 &
    pids+=($!)
    pid=$!
}

bodies() { # kind: 16 bodies whose keys are spread over the loaded ones
    local i
    for i in $(seq 0 15); do
        "$BUILD/bench/body" "$1" "$(printf 'k%09d' \
            $((i * KEYS / 16 * 2654435761 % 1000000007)))" 256 \
            >"$work/body.$i"
    done
}

# h2load counts a gRPC error as success; what was read shows in the bytes:
# each get must have brought a value of 256.
check_answers() { # label path count
    local bytes
    case $1 in *get) ;; *) return 0 ;; esac
    bytes=$(sed -n 's/.*(\([0-9]*\)) data$/\1/p' "$work"/h2load.* |
        awk '{s += $1} END {print s}')
    rm -f "$work"/h2load.*
    if [ "$bytes" -lt $(($3 * 256)) ]; then
        echo "bench: $1: $3 answers had only $bytes bytes" >&2
        exit 1
    fi
}

# drive LABEL PORT PATH SHAPE(16x32|1x1) PID...   prints a row
drive() {
    local label=$1 port=$2 path=$3 shape=$4 n=$N clients streams each before after f0 f1
    shift 4
    clients=${shape%x*} streams=${shape#*x}
    [ "$shape" = 1x1 ] && n=$((N / 20))
    each=$((n / clients))
    before=$(cpu_ticks "$@")
    f0=$(fsyncs "127.0.0.1:$port")
    local t0 t1 i loads=()
    t0=$(date +%s%N)
    for i in $(seq 0 $((clients - 1))); do
        taskset -c 1 h2load -t1 -c1 -m"$streams" -n"$each" \
            -d "$work/body.$i" -H 'content-type: application/grpc' \
            -H 'te: trailers' --log-file="$work/load.$i" \
            "http://127.0.0.1:$port$path" >"$work/h2load.$i" 2>&1 &
        loads+=($!)
    done
    wait "${loads[@]}"
    t1=$(date +%s%N)
    after=$(cpu_ticks "$@")
    f1=$(fsyncs "127.0.0.1:$port")
    n=$((each * clients))
    check_answers "$label" "$path" "$n"
    cat "$work"/load.* | awk '{print $3}' | sort -n >"$work/times"
    rm -f "$work"/load.*
    awk -v label="$label" -v shape="$shape" -v n="$n" -v ns=$((t1 - t0)) \
        -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" \
        -v p50="$(sed -n "$((n / 2))p" "$work/times")" \
        -v p99="$(sed -n "$((n * 99 / 100))p" "$work/times")" \
        -v rss="$(resident_kb "$1")" -v syncs=$((f1 - f0)) 'BEGIN {
        printf "%-26s %-6s %9.0f %9.2f %9.2f %9.2f %8.1f %8d\n", label,
            shape, n / (ns / 1e9), ticks * 1e6 / hz / n, p50 / 1000,
            p99 / 1000, rss / 1024, syncs }'
}

heading() {
    printf '\n%-26s %-6s %9s %9s %9s %9s %8s %8s\n' "$1" shape 'req/s' \
        'us CPU' 'p50 ms' 'p99 ms' 'MiB' fsyncs
}

checked_puts() { # label port shape pids...: every put must have counted
    local port=$2 before after want
    before=$(revision "127.0.0.1:$port")
    drive "$1" "$port" /etcdserverpb.KV/Put "$3" "${@:4}"
    after=$(revision "127.0.0.1:$port")
    case $3 in 1x1) want=$((N / 20)) ;; *) want=$((N / 16 * 16)) ;; esac
    if [ $((after - before)) != "$want" ]; then
        echo "bench: $((after - before)) of $want puts took effect" >&2
        exit 1
    fi
}

rows() { # name port pids...
    local name=$1 port=$2 shape
    shift 2
    for shape in 16x32 1x1; do
        bodies put
        checked_puts "$name put" "$port" "$shape" "$@"
        bodies get
        drive "$name get" "$port" /etcdserverpb.KV/Range "$shape" "$@"
        bodies sget
        drive "$name serializable get" "$port" /etcdserverpb.KV/Range \
            "$shape" "$@"
    done
}

floor_rows() {
    local port shape kind
    for kind in write read; do
        port=$(free_port)
        (cd "$work" && exec taskset -c 0 "$BUILD/bench/floor" "$port" "$kind") &
        pids+=($!)
        pid=$!
        sleep 0.5
        for shape in 16x32 1x1; do
            bodies put
            [ "$kind" = read ] && bodies get
            drive "floor $kind" "$port" /etcdserverpb.KV/Put "$shape" "$pid"
        done
        kill -9 "$pid"
    done
}

one() { # name binary
    local port peer
    port=$(free_port) peer=$(free_port)
    start "$1" "$2" "$work/$1-one" "$port" "$peer" \
        "$1=http://127.0.0.1:$peer"
    wait_healthy "127.0.0.1:$port"
    echo "$1: $(awk "BEGIN {print $(resident_kb "$pid") / 1024}") MiB anonymous memory idle"
    taskset -c 1 "$BUILD/bench/load" "127.0.0.1:$port" "$KEYS" 256
    rows "$1" "$port" "$pid"
    kill -9 "$pid"
}

three() { # name binary
    local ports=() peers=() cluster='' i members=() leader=0 id
    for i in 0 1 2; do
        ports+=("$(free_port)") peers+=("$(free_port)")
        cluster+="${cluster:+,}$1$i=http://127.0.0.1:${peers[i]}"
    done
    for i in 0 1 2; do
        start "$1$i" "$2" "$work/$1-three-$i" "${ports[i]}" "${peers[i]}" \
            "$cluster"
        members+=("$pid")
    done
    wait_healthy "127.0.0.1:${ports[0]}"
    for i in 0 1 2; do
        id=$(ctl "127.0.0.1:${ports[i]}" endpoint status -w json)
        [ "$(sed 's/.*"member_id":\([0-9]*\).*/\1/' <<<"$id")" = \
            "$(sed 's/.*"leader":\([0-9]*\).*/\1/' <<<"$id")" ] && leader=$i
    done
    taskset -c 1 "$BUILD/bench/load" "127.0.0.1:${ports[leader]}" "$KEYS" 256
    bodies put
    local before=() after=()
    for i in 0 1 2; do before+=("$(cpu_ticks "${members[i]}")"); done
    checked_puts "$1 x3 put (all three)" "${ports[leader]}" 16x32 \
        "${members[@]}"
    for i in 0 1 2; do after+=("$(cpu_ticks "${members[i]}")"); done
    for i in 0 1 2; do
        awk -v n="$N" -v t=$((after[i] - before[i])) -v hz="$(getconf CLK_TCK)" \
            -v who="$([ "$i" = "$leader" ] && echo leader || echo follower)" \
            'BEGIN {printf "    %s: %.2f us CPU a put\n", who, t * 1e6 / hz / n}'
    done
    bodies get
    drive "$1 x3 get (all three)" "${ports[leader]}" /etcdserverpb.KV/Range \
        16x32 "${members[@]}"
    for i in 0 1 2; do kill -9 "${members[i]}"; done
}

keys() { # name binary: a million keys, memory, restart
    local port peer count=${MILLION:-1000000} t0 t1
    port=$(free_port) peer=$(free_port)
    start "$1" "$2" "$work/$1-keys" "$port" "$peer" "$1=http://127.0.0.1:$peer"
    wait_healthy "127.0.0.1:$port"
    taskset -c 1 "$BUILD/bench/load" "127.0.0.1:$port" "$count" 256
    printf '%-10s %9d keys: %7.1f MiB anonymous memory' "$1" "$count" \
        "$(awk "BEGIN {print $(resident_kb "$pid") / 1024}")"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    t0=$(date +%s%N)
    start "$1" "$2" "$work/$1-keys" "$port" "$peer" "$1=http://127.0.0.1:$peer"
    until ctl "127.0.0.1:$port" get nothing --consistency s >/dev/null 2>&1; do
        sleep 0.01
    done
    t1=$(date +%s%N)
    printf ', restart after kill -9: %d ms\n' $(((t1 - t0) / 1000000))
    kill -9 "$pid"
}

# members NAME BINARY: three on all cores, in ports[], peers[], pids_of[].
members() {
    local i cluster=''
    ports=() peers=() pids_of=()
    for i in 0 1 2; do
        ports+=("$(free_port)") peers+=("$(free_port)")
        cluster+="${cluster:+,}$1$i=http://127.0.0.1:${peers[i]}"
    done
    initial=$cluster
    for i in 0 1 2; do member "$1" "$2" "$i"; done
    for i in 0 1 2; do wait_healthy "127.0.0.1:${ports[i]}"; done
}

member() { # NAME BINARY I: starts it, or again
    "$2" --name "$1$3" --data-dir "$work/$1-$$-$3" --log-level error \
        --listen-client-urls "http://127.0.0.1:${ports[$3]}" \
        --advertise-client-urls "http://127.0.0.1:${ports[$3]}" \
        --listen-peer-urls "http://127.0.0.1:${peers[$3]}" \
        --initial-advertise-peer-urls "http://127.0.0.1:${peers[$3]}" \
        --initial-cluster "$initial" >>"$work/$1$3.log" 2>&1 &
    pids_of[$3]=$!
    pids+=($!)
}

members_end() {
    kill -9 "${pids_of[@]}"
    wait "${pids_of[@]}" 2>/dev/null || true
}

leader_of() {
    local i status
    for i in 0 1 2; do
        status=$(ctl "127.0.0.1:${ports[i]}" endpoint status -w json 2>/dev/null) || continue
        if [ "$(sed 's/.*"member_id":\([0-9]*\).*/\1/' <<<"$status")" = \
            "$(sed 's/.*"leader":\([0-9]*\).*/\1/' <<<"$status")" ]; then
            echo "$i"
            return
        fi
    done
    return 1
}

until_leader() { # sets lead
    until lead=$(leader_of); do sleep 0.1; done
}

all_ports() {
    echo "127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}"
}

percentiles() { # LABEL FILE, of its first column
    sort -n "$2" | awk -v label="$1" '{v[NR] = $1} END {
        printf "%-34s %5d times: p50 %8.1f ms, p99 %8.1f ms, most %8.1f ms\n",
            label, NR, v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.999)], v[NR]}'
}

# How long nobody can write when the leader dies, and when it hands over.
failover() { # name binary
    local i kills=${KILLS:-50} lead next id prober
    members "$1" "$2"
    : >"$work/gaps"
    for ((i = 0; i < kills; i++)); do
        until_leader
        "$BUILD/bench/gap" "$(all_ports)" 4000 >"$work/gap" &
        prober=$!
        sleep 0.5
        kill -9 "${pids_of[lead]}"
        wait "${pids_of[lead]}" 2>/dev/null || true
        wait "$prober"
        cat "$work/gap" >>"$work/gaps"
        member "$1" "$2" "$lead"
        wait_healthy "127.0.0.1:${ports[lead]}"
    done
    percentiles "$1: no write after kill -9" "$work/gaps"
    : >"$work/gaps"
    for ((i = 0; i < kills; i++)); do
        until_leader
        next=$(((lead + 1) % 3))
        id=$(ctl "127.0.0.1:${ports[next]}" endpoint status -w json |
            sed 's/.*"member_id":\([0-9]*\).*/\1/')
        "$BUILD/bench/gap" "$(all_ports)" 1200 >"$work/gap" &
        prober=$!
        sleep 0.4
        ctl "127.0.0.1:${ports[lead]}" move-leader "$(printf %x "$id")" >/dev/null
        wait "$prober"
        cat "$work/gap" >>"$work/gaps"
    done
    percentiles "$1: no write in a move-leader" "$work/gaps"
    members_end
}

# puts_for PORT COMMAND...: sets `puts`, a second, and `took`, in ms, while
# the command runs.
puts_for() {
    local from till t0 t1
    from=$(revision "127.0.0.1:$1")
    t0=$(date +%s%N)
    "${@:2}"
    till=$(revision "127.0.0.1:$1")
    t1=$(date +%s%N)
    took=$(((t1 - t0) / 1000000))
    puts=$(((till - from) * 1000 / took))
}

# A follower that lacks a gigabyte: how long until it answers a linearizable
# read, and what that costs those who write all the while.
catchup() { # name binary
    local lead away took puts without writer port
    members "$1" "$2"
    until_leader
    away=$(((lead + 1) % 3))
    port=${ports[lead]}
    kill -9 "${pids_of[away]}"
    "$BUILD/bench/load" "127.0.0.1:$port" 10000 100000 0 16
    "$BUILD/bench/load" "127.0.0.1:$port" 1000000000 256 1000000 64 2>/dev/null &
    writer=$!
    pids+=("$writer")
    puts_for "$port" sleep 5
    without=$puts
    member "$1" "$2" "$away"
    puts_for "$port" wait_healthy "127.0.0.1:${ports[away]}"
    printf '%-34s %6d ms; puts/s without it %d, meanwhile %d, ' \
        "$1: 1 GB behind, caught up in" "$took" "$without" "$puts"
    puts_for "$port" sleep 5
    printf 'with all three %d\n' "$puts"
    kill "$writer"
    wait "$writer" 2>/dev/null || true
    until [ "$(hash_of "$lead")" = "$(hash_of "$away")" ]; do sleep 0.2; done
    members_end
}

hash_of() { # I
    ctl "127.0.0.1:${ports[$1]}" endpoint hashkv -w json | sed 's/.*"hash":\([0-9]*\).*/\1/'
}

echo "cofre bench on $(date -u +%F), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $N requests a row"
etcd=$(find_etcd || true)
[ -n "$etcd" ] || echo "no etcd to compare with: set ETCD=, or install go"
[ $# -gt 0 ] || set -- one three keys failover catchup
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
    failover | catchup)
        echo
        "$what" cofre "$BUILD/cofre"
        [ -z "$etcd" ] || "$what" etcd "$etcd"
        ;;
    *)
        echo "usage: bench.sh [one] [three] [keys] [failover] [catchup]" >&2
        exit 2
        ;;
    esac
done
