# Three members when one of them dies, hands over, or lacks a gigabyte.
# shellcheck shell=bash disable=SC2154 # set by those who source it

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
