#!/usr/bin/env bats
# Flags, environment and exit codes: what people who come from etcd rely on.
load helper

setup() {
    cluster_init 1
    D=$DIR/1.data
    C=http://127.0.0.1:$(<"$DIR/1.client")
    P=http://127.0.0.1:$(<"$DIR/1.peer")
    # A good command line of one member, with single dashes or double ones.
    GOOD=(--name m1 -data-dir "$D" "--listen-client-urls=$C"
        -advertise-client-urls="$C" --listen-peer-urls "$P"
        -initial-advertise-peer-urls "$P" --initial-cluster "m1=$P")
}

teardown() {
    show_logs
    cluster_stop
}

# refused STATUS TEXT ARG...: ends by itself with this status and this text.
refused() {
    local want=$1 text=$2
    shift 2
    run --separate-stderr timeout 10 "$COFRE" "$@"
    # shellcheck disable=SC2154 # bats sets it
    echo "$stderr" | head -5
    is "$want" "$status"
    has "$stderr" "$text"
}

start_good() { # more arguments: the node runs and answers
    "$COFRE" "${GOOD[@]}" "$@" >>"$DIR/1.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/1.pid"
    wait_for 10 node_healthy 1
}

@test "--version prints four lines and ends with 0" {
    run --separate-stderr "$COFRE" --version
    is 0 "$status"
    is 4 "${#lines[@]}"
    has "${lines[0]}" "etcd Version: 3."
    has "${lines[3]}" "linux/"
    run --separate-stderr "$COFRE" -version
    is 0 "$status"
}

@test "--help prints the flags and ends with 0" {
    run "$COFRE" --help
    is 0 "$status"
    has "$output" "--initial-cluster-state"
    has "$output" "--listen-client-urls"
}

@test "an unknown flag is refused with 2" {
    refused 2 "flag provided but not defined: -no-such-flag" --no-such-flag
    refused 2 "flag provided but not defined: -no-such-flag" \
        "${GOOD[@]}" --no-such-flag=1
    refused 2 "flag provided but not defined: -discovery" --discovery x
    [ ! -e "$D" ]
}

@test "a flag without its value is refused with 2" {
    refused 2 "flag needs an argument: -name" --name
}

@test "a value of the wrong kind is refused with 2" {
    refused 2 'invalid value "x" for flag -snapshot-count: parse error' \
        --snapshot-count x
    refused 2 'invalid value "-1" for flag -max-txn-ops: parse error' \
        --max-txn-ops=-1
    refused 2 \
        'invalid value "5" for flag -grpc-keepalive-min-time: parse error' \
        --grpc-keepalive-min-time=5
    refused 2 'invalid boolean value "maybe" for -pre-vote: parse error' \
        --pre-vote=maybe
    refused 2 'for flag -initial-cluster-state: invalid value' \
        --initial-cluster-state=newish
    refused 2 'URL address does not have the form "host:port": http://a' \
        --listen-peer-urls=http://a
    refused 2 'URL must not contain a path' \
        --listen-peer-urls=http://127.0.0.1:1/x
    refused 2 'URL scheme must be http, https, unix, or unixs: ftp://a:1' \
        --listen-client-urls=ftp://a:1
}

@test "a setting that cannot be is refused with 1, in one clear line" {
    refused 1 '"nonsense\" is not a valid flag' "${GOOD[@]}" nonsense
    refused 1 'expected IP in URL for binding (http://example.test:1)' \
        --listen-peer-urls=http://example.test:1
    refused 1 '--heartbeat-interval must be >0 (set to 0ms)' \
        "${GOOD[@]}" --heartbeat-interval=0
    refused 1 'should be at least as 5 times as --heartbeat-interval[100ms]' \
        "${GOOD[@]}" --heartbeat-interval=100 --election-timeout=400
    refused 1 '--election-timeout[60000ms] is too long' \
        "${GOOD[@]}" --election-timeout=60000
    refused 1 \
        '--advertise-client-urls is required when --listen-client-urls is' \
        --data-dir "$D" --listen-client-urls "$C"
    refused 1 'unknown log format: xml' "${GOOD[@]}" --log-format=xml
    [ ! -e "$D/member" ]
}

@test "an initial cluster that does not fit is refused with 1" {
    refused 1 "couldn't find local name" "${GOOD[@]}" \
        --initial-cluster "other=$P"
    refused 1 "has duplicate url" "${GOOD[@]}" \
        --initial-cluster "m1=$P,m2=$P"
    refused 1 "--initial-cluster" "${GOOD[@]}" \
        --initial-cluster "m1=http://127.0.0.1:1"
}

@test "a port in use is refused with 1" {
    start_good
    refused 1 "address already in use" --data-dir "$DIR/other" \
        --listen-client-urls http://127.0.0.1:0 \
        --advertise-client-urls http://127.0.0.1:1 \
        --listen-peer-urls "$P" --initial-advertise-peer-urls "$P" \
        --initial-cluster "default=$P"
    node_healthy 1
}

@test "single and double dashes, and = or a blank" {
    start_good
    has "$(ctl member list)" "started, m1, $P, $C, false"
    has "$(cat "$DIR/1.log")" "ready to serve client requests"
}

@test "the environment gives what no flag gives" {
    ETCD_NAME=m1 ETCD_DATA_DIR=$D ETCD_LISTEN_CLIENT_URLS=$C \
        ETCD_ADVERTISE_CLIENT_URLS=$C ETCD_LISTEN_PEER_URLS=$P \
        ETCD_INITIAL_ADVERTISE_PEER_URLS=$P ETCD_INITIAL_CLUSTER=m1=$P \
        ETCD_NO_SUCH_THING=1 \
        "$COFRE" >>"$DIR/1.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/1.pid"
    wait_for 10 node_healthy 1
    has "$(ctl member list)" "started, m1, $P, $C, false"
    has "$(cat "$DIR/1.log")" \
        "recognized and used environment variable"
    has "$(cat "$DIR/1.log")" "unrecognized environment variable"
}

@test "a flag and its variable together are refused with 1" {
    ETCD_NAME=m2 refused 1 \
        "conflicting environment variable is shadowed by corresponding" \
        "${GOOD[@]}"
}

@test "a bad value in the environment is refused with 1" {
    ETCD_SNAPSHOT_COUNT=x refused 1 'for ETCD_SNAPSHOT_COUNT' "${GOOD[@]}"
}

@test "without --data-dir the data are below the working folder" {
    mkdir "$DIR/cwd"
    (
        cd "$DIR/cwd"
        exec "$COFRE" --name m1 --listen-client-urls "$C" \
            --advertise-client-urls "$C" --listen-peer-urls "$P" \
            --initial-advertise-peer-urls "$P" --initial-cluster "m1=$P" \
            >>"$DIR/1.log" 2>&1 3>&- </dev/null
    ) &
    echo $! >"$DIR/1.pid"
    wait_for 10 node_healthy 1
    [ -d "$DIR/cwd/m1.etcd/member" ]
    is 700 "$(stat -c %a "$DIR/cwd/m1.etcd")"
    node_stop 1
}

@test "logs are JSON, or lines for people" {
    start_good
    node_stop 1
    # Every line is an object with these three.
    is "" "$(jq -c 'select(has("level") and has("ts") and has("msg") | not)' \
        "$DIR/1.log")"
    mv "$DIR/1.log" "$DIR/json"
    start_good --log-format=console --log-level=info
    wait_for 10 grep -q "ready to serve client requests" "$DIR/1.log"
    node_stop 1
    run jq -e . "$DIR/1.log"
    [ "$status" != 0 ]
}

@test "TERM and INT: closed in order, and the status tells the signal" {
    local status
    for signal in TERM INT; do
        # INT is ignored in background jobs of a shell without job control.
        set -m
        start_good
        set +m
        status=0
        kill "-$signal" "$(<"$DIR/1.pid")"
        wait "$(<"$DIR/1.pid")" || status=$?
        is $((128 + $(kill -l "$signal"))) "$status"
    done
    has "$(cat "$DIR/1.log")" "received signal; shutting down"
}

@test "restart: the initial cluster's flags are no longer looked at" {
    start_good
    ctl put /kept 1
    node_stop 1
    "$COFRE" --name m1 --data-dir "$D" --listen-client-urls "$C" \
        --advertise-client-urls "$C" --listen-peer-urls "$P" \
        --initial-advertise-peer-urls "$P" \
        --initial-cluster "wrong=http://127.0.0.1:1" \
        --initial-cluster-state existing --initial-cluster-token other \
        >>"$DIR/1.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/1.pid"
    wait_for 10 node_healthy 1
    is 1 "$(ctl get /kept --print-value-only)"
}

commits() {
    curl -sf "$C/metrics" | awk \
        '$1 == "etcd_disk_backend_commit_duration_seconds_count" { print $2 }'
}

# With the default the store is written every few seconds at most.
@test "--snapshot-count: the store is written after so many entries" {
    local i before
    start_good --snapshot-count=10
    before=$(commits)
    for i in $(seq 100); do ctl put "/k$i" v; done >/dev/null
    [ "$(commits)" -ge $((before + 5)) ]
}

@test "a flag without effect here is taken with a warning" {
    start_good --max-wals=3
    has "$(<"$DIR/1.log")" "--max-wals has no effect in cofre"
    run grep -c '"level":"warn"' "$DIR/1.log"
    is 1 "$output"
}
