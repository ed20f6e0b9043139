# One node, three nodes and a million keys, loaded by h2load.
# shellcheck shell=bash disable=SC2154 # set by those who source it
KEYS=100000

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
