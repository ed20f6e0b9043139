# What the parts of the benchmark share: servers, and what is asked of them.
# shellcheck shell=bash disable=SC2154 # set by those who source it
work=$(mktemp -d)
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

find_etcd() {
    [ "${ETCD:-}" != none ] || return
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
