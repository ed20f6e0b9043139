# What else a client does all day, by load programs that check each answer:
# rows of server CPU for each request or event, and its peak of memory.
# shellcheck shell=bash disable=SC2154 # set by those who source it

api_heading() {
    printf '\n%-38s %10s %9s %9s %9s %8s\n' "$1" 'a second' 'us CPU' 'p50 ms' \
        'p99 ms' 'MiB'
}

# load_program NAME ARGUMENT...: at the server `pid`, on its port, when it has
# had a moment to put away what the row before has left.
load_program() {
    local name=$1
    shift
    sleep 8
    taskset -c 1 "$BUILD/bench/$name" "127.0.0.1:$port" "$pid" "$@"
}

# Until what was loaded is in the store's file, and the server is at rest.
settle() {
    local before after
    after=$(cpu_ticks "$pid")
    before=-100
    while [ $((after - before)) -gt 10 ]; do
        before=$after
        sleep 6
        after=$(cpu_ticks "$pid")
    done
}

api_server() { # NAME BINARY SUFFIX: sets pid and port
    local peer
    port=$(free_port) peer=$(free_port)
    start "$1" "$2" "$work/$1-$3" "$port" "$peer" "$1=http://127.0.0.1:$peer"
    wait_healthy "127.0.0.1:$port"
}

api_end() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    rm -rf "${work:?}/$1-$2"
}

api() { # name binary
    local port
    api_server "$1" "$2" api
    taskset -c 1 "$BUILD/bench/load" "127.0.0.1:$port" 100000 1024 0 256 ordered
    settle
    load_program calls range $((N / 50)) "$1 range of 1000 keys of 1 KiB"
    load_program calls keys $((N / 10)) "$1 keys-only range of 1000"
    load_program calls count $((N / 20)) "$1 count of 10000 keys"
    load_program calls txn "$N" "$1 txn, half of them writes" 16 32
    load_program keepalive 10000 "$N" "$1 lease keep-alive"
    api_end "$1" api
    # A server of its own: what the rows before have left is not theirs.
    api_server "$1" "$2" fanout
    load_program fanout 1000 $((N / 200)) 1 "$1 watch event, 1000 watchers"
    load_program fanout 1000 $((N / 50)) 16 "$1 the same, 16 puts at a time"
    api_end "$1" fanout
    api_server "$1" "$2" stream
    taskset -c 1 "$BUILD/bench/load" "127.0.0.1:$port" 500000 256 0 256 ordered
    settle
    load_program stream 500000 256 3 "$1 key of a RangeStream of 500000"
    api_end "$1" stream
}
