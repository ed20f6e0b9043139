# What the end-to-end tests share: a cluster of processes in a folder of its
# own ($DIR), found again by its files, so that setup_file can start one for
# all tests of a file. Nothing here sleeps for luck: wait_for waits for a
# condition. deploy/e2e.sh names the programs:
#   COFRE, COFRECTL     ours
#   ETCDCTL34, ETCDCTL37, ETCDUTL   stock ones ("" where they cannot be had)
bats_require_minimum_version 1.5.0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${BUILD:=$ROOT/build}"
: "${COFRE:=$BUILD/cofre}" "${COFRECTL:=$BUILD/cofrectl}"
: "${ETCDCTL34:=}" "${ETCDCTL37:=}" "${ETCDUTL:=}"
export ROOT BUILD COFRE COFRECTL ETCDCTL34 ETCDCTL37 ETCDUTL

# ---- conditions

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "${EPOCHREALTIME/./}" -gt "$deadline" ]; then
            echo "waited in vain for: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

now_ms() {
    echo $((${EPOCHREALTIME/./} / 1000))
}

# is EXPECTED ACTUAL: equal texts, else show both.
is() {
    [ "$1" = "$2" ] || {
        printf 'expected: %s\nactual:   %s\n' "$1" "$2" >&2
        return 1
    }
}

# has TEXT PART: the part is in the text.
has() {
    case $1 in *"$2"*) return 0 ;; esac
    printf 'not found: %s\nin: %s\n' "$2" "$1" >&2
    return 1
}

# ---- ports

# shellcheck source=tests/ports.bash
. "$ROOT/tests/ports.bash"

# ---- a cluster of processes

# cluster_init N [FLAG...]: files of N members in $DIR; starts nothing.
cluster_init() {
    local n=$1 i list=
    shift
    DIR=$(mktemp -d "$BATS_FILE_TMPDIR/cluster.XXXXXX")
    export DIR
    for ((i = 1; i <= n; i++)); do
        free_port >"$DIR/$i.client"
        free_port >"$DIR/$i.peer"
        list+=,m$i=http://127.0.0.1:$(<"$DIR/$i.peer")
    done
    echo "$n" >"$DIR/count"
    echo "${list#,}" >"$DIR/initial"
    echo "e2e-${DIR##*.}" >"$DIR/token"
    printf '%s\n' "$@" >"$DIR/flags"
}

# node_start I [FLAG...]: starts member I; its pid stays in $DIR/I.pid.
node_start() {
    local i=$1 flags
    shift
    mapfile -t flags < <(sed '/^$/d' "$DIR/flags")
    "$COFRE" --name "m$i" --data-dir "$DIR/$i.data" \
        --listen-client-urls "http://127.0.0.1:$(<"$DIR/$i.client")" \
        --advertise-client-urls "http://127.0.0.1:$(<"$DIR/$i.client")" \
        --listen-peer-urls "http://127.0.0.1:$(<"$DIR/$i.peer")" \
        --initial-advertise-peer-urls "http://127.0.0.1:$(<"$DIR/$i.peer")" \
        --initial-cluster "$(<"$DIR/initial")" \
        --initial-cluster-token "$(<"$DIR/token")" \
        --initial-cluster-state new "${flags[@]}" "$@" \
        >>"$DIR/$i.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/$i.pid"
}

members() {
    seq 1 "$(<"$DIR/count")"
}

cluster_start() {
    local i
    for i in $(members); do node_start "$i" "$@"; done
    for i in $(members); do
        wait_for 15 node_healthy "$i" || {
            show_logs
            return 1
        }
    done
}

node_url() {
    echo "http://127.0.0.1:$(<"$DIR/$1.client")"
}

peer_url() {
    echo "http://127.0.0.1:$(<"$DIR/$1.peer")"
}

# It answers a linearizable read.
node_healthy() {
    curl -sf --max-time 2 "$(node_url "$1")/health" | grep -q '"true"'
}

# A process is gone when all its threads are: its first may be a zombie while
# the others still hold the listening sockets.
node_alive() {
    local pid tasks
    [ -f "$DIR/$1.pid" ] || return 1
    pid=$(<"$DIR/$1.pid")
    tasks=("/proc/$pid/task"/*)
    [ -e "${tasks[0]}" ] || return 1
    [ "${#tasks[@]}" -gt 1 ] || ! grep -qs '^State:.Z' "/proc/$pid/status"
}

node_dead() {
    ! node_alive "$1"
}

node_signal() { # member signal
    kill "-$2" "$(<"$DIR/$1.pid")"
}

# Killed without a word, as by a power cut.
node_kill() {
    node_signal "$1" KILL
    wait_for 5 node_dead "$1"
}

node_stop() {
    node_signal "$1" TERM
    wait_for 15 node_dead "$1"
}

# Kills what was started for $DIR.
cluster_stop() {
    local file pid
    for file in "${DIR:-/nonexistent}"/*.pid; do
        [ -f "$file" ] || continue
        pid=$(<"$file")
        # Ours still, and not a number given to another since: $DIR is in the
        # environment of each.
        if grep -qsF "$DIR" "/proc/$pid/environ"; then
            kill -KILL "$pid" 2>/dev/null || true
            wait "$pid" 2>/dev/null || true
        fi
    done
}

# For teardown: what the nodes said, when the test failed.
show_logs() {
    [ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
    local log
    for log in "${DIR:-/nonexistent}"/*.log; do
        [ -f "$log" ] || continue
        echo "---- $log"
        tail -n "${E2E_LOG_LINES:-15}" "$log" | cut -c1-300
    done
}

# ---- clients

endpoints() {
    local i list=
    for i in $(members); do list+=,127.0.0.1:$(<"$DIR/$i.client"); done
    echo "${list#,}"
}

# ctl ARG...: our client on all members; ctl_on I ARG...: on one.
ctl() {
    "$COFRECTL" --endpoints="$(endpoints)" "$@"
}

ctl_on() {
    local i=$1
    shift
    "$COFRECTL" --endpoints="127.0.0.1:$(<"$DIR/$i.client")" "$@"
}

# each_client FUNCTION: called with CTL set to each client at hand in turn.
# shellcheck disable=SC2034 # they are for the function
each_client() {
    local client
    for client in "$COFRECTL" "$ETCDCTL34" "$ETCDCTL37"; do
        [ -n "$client" ] || continue
        CTL=("$client" --endpoints="$(endpoints)")
        PREFIX=/$BATS_TEST_NUMBER/$(basename "$client")-$RANDOM/
        echo "client: $client"
        # Not "|| ...": that would switch off bats's stop at a failed line.
        "$@"
    done
}

# The number of the member that leads, as all that answer agree on it.
leader() {
    local i lead='' id
    for i in $(members); do
        node_alive "$i" || continue
        id=$(ctl_on "$i" --command-timeout=1s endpoint status -w json |
            jq -r '.[0].Status | select(.leader == .header.member_id) |
                .leader') || continue
        [ -z "$id" ] || lead=$i
    done
    [ -n "$lead" ] && echo "$lead"
}

# What a member holds by itself, without asking the others.
contents() {
    ctl_on "$1" get "" --prefix --consistency=s -w json | jq -c .kvs |
        md5sum | cut -d' ' -f1
}

same_contents() { # member member
    [ "$(contents "$1")" = "$(contents "$2")" ]
}
