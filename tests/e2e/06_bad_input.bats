#!/usr/bin/env bats
# Garbage, half messages, strangers and broken files: each gets its answer or
# a closed connection, and the node goes on.
load helper

setup_file() {
    cluster_init 1
    cluster_start
    ctl put /before 1
}

teardown_file() {
    cluster_stop
}

teardown() {
    show_logs
    # A cluster of the test's own goes; else the node is still the same one,
    # and serves.
    if [ -n "${ALONE:-}" ]; then
        cluster_stop
    else
        node_alive 1
        is OK "$(ctl put /after 1)"
    fi
}

client_port() { cat "$DIR/1.client"; }
peer_port() { cat "$DIR/1.peer"; }

# raw PORT: sends its input, prints what comes back until the other side
# closes or a moment is over.
raw() {
    exec 9<>"/dev/tcp/127.0.0.1/$1" || return 0
    { cat >&9; } 2>/dev/null || true
    timeout 0.4 cat <&9 || true
    exec 9>&-
}

bytes() { # hex words
    # shellcheck disable=SC2059 # it is made of \x
    printf "$(echo "$*" | tr -d ' ' | sed 's/../\\x&/g')"
}

preface() {
    printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    bytes 000000 04 00 00000000
}

# grpc PATH BODY-FILE [HEADER...]: prints all answer headers and trailers.
grpc() {
    local path=$1 file=$2 header headers=()
    shift 2
    for header; do headers+=(-H "$header"); done
    nghttp -vn -t 5 -d "$file" -H ':method: POST' -H 'te: trailers' \
        -H "content-type: ${TYPE:-application/grpc}" "${headers[@]}" \
        "$(node_url 1)$path" | sed -n 's/.*recv (stream_id=[0-9]*) //p'
}

resident_kb() {
    awk '/^VmRSS/ { print $2 }' "/proc/$(<"$DIR/1.pid")/status"
}

@test "random bytes on the client port and on the peer port" {
    local size
    for size in 1 10 100 5000 200000; do
        head -c "$size" /dev/urandom | raw "$(client_port)" >/dev/null
        head -c "$size" /dev/urandom | raw "$(peer_port)" >/dev/null
    done
}

@test "HTTP/2 that breaks the rules" {
    # After the preface: a frame longer than any, a DATA frame on no stream,
    # HEADERS that HPACK cannot read, a SETTINGS frame of five bytes, PING of
    # seven, a window update of nothing, endless CONTINUATION, noise.
    { preface && bytes ffffff 00 00 00000001 && head -c 100000 /dev/zero; } |
        raw "$(client_port)" >/dev/null
    { preface && bytes 000004 00 00 00000005 00000000; } |
        raw "$(client_port)" >/dev/null
    { preface && bytes 000004 01 05 00000001 ffffffff; } |
        raw "$(client_port)" >/dev/null
    { preface && bytes 000005 04 00 00000000 0000000000; } |
        raw "$(client_port)" >/dev/null
    { preface && bytes 000007 06 00 00000000 00000000000000; } |
        raw "$(client_port)" >/dev/null
    { preface && bytes 000004 08 00 00000000 00000000; } |
        raw "$(client_port)" >/dev/null
    {
        preface
        bytes 000001 01 00 00000001 82
        bytes "$(printf '000001 09 00 00000001 82 %.0s' $(seq 2000))"
    } | raw "$(client_port)" >/dev/null
    { preface && head -c 100000 /dev/urandom; } |
        raw "$(client_port)" >/dev/null
}

@test "a gRPC message that says it is longer than the limit" {
    bytes 00 ffffffff 00 >"$BATS_TEST_TMPDIR/body"
    run grpc /etcdserverpb.KV/Put "$BATS_TEST_TMPDIR/body"
    has "$output" "grpc-status: 8"
    has "$output" \
        "grpc: received message larger than max (4294967295 vs. 2097152)"
}

@test "a gRPC message that ends too early" {
    bytes 00 00000064 0a01 >"$BATS_TEST_TMPDIR/body"
    run grpc /etcdserverpb.KV/Put "$BATS_TEST_TMPDIR/body"
    has "$output" "grpc-status: 2"
    has "$output" "EOF"
}

@test "a message that is no protobuf" {
    bytes 00 00000004 0affffff >"$BATS_TEST_TMPDIR/body"
    for method in KV/Put KV/Range KV/Txn Lease/LeaseGrant; do
        run grpc "/etcdserverpb.$method" "$BATS_TEST_TMPDIR/body"
        has "$output" "grpc-status: 13"
        has "$output" "unmarshal"
    done
}

@test "unknown services and methods" {
    bytes 00 00000000 >"$BATS_TEST_TMPDIR/body"
    run grpc /etcdserverpb.KV/Nope "$BATS_TEST_TMPDIR/body"
    has "$output" "grpc-status: 12"
    has "$output" "unknown method Nope for service etcdserverpb.KV"
    run grpc /no.Such/Thing "$BATS_TEST_TMPDIR/body"
    has "$output" "grpc-status: 12"
    has "$output" "unknown service no.Such"
    run grpc /x "$BATS_TEST_TMPDIR/body"
    has "$output" "malformed method name"
}

@test "a content type that is not gRPC's" {
    bytes 00 00000000 >"$BATS_TEST_TMPDIR/body"
    TYPE=application/json \
        run grpc /etcdserverpb.KV/Put "$BATS_TEST_TMPDIR/body"
    has "$output" ":status: 415"
    has "$output" "grpc-status: 3"
}

@test "compression that is not there" {
    bytes 01 00000001 00 >"$BATS_TEST_TMPDIR/body"
    run grpc /etcdserverpb.KV/Put "$BATS_TEST_TMPDIR/body" \
        'grpc-encoding: snappy'
    has "$output" "grpc-status: 12"
    run grpc /etcdserverpb.KV/Put "$BATS_TEST_TMPDIR/body"
    has "$output" "grpc-status: 13"
}

@test "HTTP/1.1 heads without end, and half ones" {
    { printf 'GET /health HTTP/1.1\r\nHost: x\r\n' &&
        for _ in $(seq 3000); do printf 'X-A: %0100d\r\n' 1; done; } |
        raw "$(client_port)" >/dev/null
    { printf 'GET /raft/probing HTTP/1.1\r\nHost: x\r\n' &&
        for _ in $(seq 3000); do printf 'X-A: %0100d\r\n' 1; done; } |
        raw "$(peer_port)" >/dev/null
    printf 'GET /heal' | raw "$(client_port)" >/dev/null
    printf 'GET /version HTTP/9.9\r\n\r\n' | raw "$(client_port)" >/dev/null
    printf 'POST /raft HTTP/1.1\r\nContent-Length: -1\r\n\r\n' |
        raw "$(peer_port)" >/dev/null
}

@test "a peer of another cluster is refused" {
    local id
    id=$(curl -sfi "$(peer_url 1)/members" | tr -d '\r' |
        awk 'tolower($1) == "x-etcd-cluster-id:" { print $2 }')
    peer() { # status text curl-args
        local want=$1 text=$2
        shift 2
        run curl -s --max-time 5 -w '\n%{http_code}' -H 'X-Server-From: 1' \
            -H 'X-Server-Version: 3.7.1' \
            -H "X-Min-Cluster-Version: ${MIN:-3.0.0}" "$@"
        is "$want" "${lines[-1]}"
        has "$output" "$text"
    }
    peer 412 "cluster ID mismatch" -H 'X-Etcd-Cluster-ID: 1234' \
        --data-binary x "$(peer_url 1)/raft"
    peer 412 "cluster ID mismatch" -H 'X-Etcd-Cluster-ID: 1234' \
        "$(peer_url 1)/raft/stream/message/1"
    peer 412 "cluster ID mismatch" --data-binary x "$(peer_url 1)/raft"
    MIN=99.0.0 peer 412 "incompatible version" \
        -H "X-Etcd-Cluster-ID: $id" --data-binary x "$(peer_url 1)/raft"
    peer 400 "error unmarshalling raft message" -H "X-Etcd-Cluster-ID: $id" \
        --data-binary $'\xff\xff\xff' "$(peer_url 1)/raft"
    peer 404 "error sender not found" -H "X-Etcd-Cluster-ID: $id" \
        -H 'X-Raft-To: 1' "$(peer_url 1)/raft/stream/message/99"
    peer 404 "invalid from" -H "X-Etcd-Cluster-ID: $id" \
        "$(peer_url 1)/raft/stream/message/zz"
    peer 405 "Method Not Allowed" -X DELETE "$(peer_url 1)/raft"
    peer 404 "" "$(peer_url 1)/no/such/path"
}

@test "many broken connections leave no memory behind" {
    local before n
    local client peer
    client=/dev/tcp/127.0.0.1/$(client_port)
    peer=/dev/tcp/127.0.0.1/$(peer_port)
    cd "$BATS_TEST_TMPDIR"
    { preface && bytes 000005 04 00 00000000 0000000000; } >h2
    head -c 2000 /dev/urandom >random
    noise() {
        for n in $(seq 100); do
            cat h2 >"$client" || true
            cat random >"$client" || true
            cat random >"$peer" || true
        done 2>/dev/null
    }
    noise
    before=$(resident_kb)
    noise
    noise
    echo "resident: $before kB, then $(resident_kb) kB"
    [ "$(resident_kb)" -lt $((before + 8192)) ]
    open_few() {
        [ "$(find "/proc/$(<"$DIR/1.pid")/fd" -lname 'socket:*' | wc -l)" \
            -lt 60 ]
    }
    wait_for 10 open_few
}

# ---- data that cannot be used: each refused, and nothing touched

# The names of all files below, and what is in those of the log.
state_of() {
    (cd "$1" && find . -type f | sort && find . -type f -name '*.wal' \
        -print0 | sort -z | xargs -0 sha256sum)
}

# refused_with TEXT...: member 1 ends by itself, not with 0, and says so.
refused_with() {
    local text status=0
    node_start 1
    wait_for 10 node_dead 1
    wait "$(<"$DIR/1.pid")" || status=$?
    [ "$status" != 0 ]
    for text; do has "$(cat "$DIR/1.log")" "$text"; done
}

@test "a log with a broken record in the middle is refused, not cut" {
    ALONE=1
    local wal at before
    cluster_init 1
    node_start 1
    wait_for 10 node_healthy 1
    for n in $(seq 40); do
        ctl put "/k$n" "$(printf '%0500d' "$n")" >/dev/null
    done
    node_kill 1
    wal=$(find "$DIR/1.data" -name '*.wal' | sort | tail -n1)
    [ -n "$wal" ]
    # In the middle of one record, with good ones behind it.
    at=$(grep -abo /k20 "$wal" | head -n1 | cut -d: -f1)
    bytes "$(printf 'a5%.0s' $(seq 40))" |
        dd of="$wal" bs=1 seek=$((at + 100)) conv=notrunc status=none
    before=$(state_of "$DIR/1.data")
    : >"$DIR/1.log"
    refused_with "$(basename "$wal")"
    is "$before" "$(state_of "$DIR/1.data")"
    cluster_stop
}

@test "a data folder that is a file is refused with its path" {
    ALONE=1
    cluster_init 1
    echo precious >"$DIR/1.data"
    refused_with "$DIR/1.data"
    is precious "$(cat "$DIR/1.data")"
}

@test "the data of another cluster are refused with their path" {
    ALONE=1
    [ "$(basename "$COFRE")" != etcd ] || skip "etcd does not"
    local i before
    cluster_init 3
    cluster_start
    ctl put /other 1
    for i in 1 2 3; do node_stop "$i"; done
    mv "$DIR/1.data" "$DIR/other"
    rm -r "$DIR/2.data" "$DIR/3.data"
    # The same machines and addresses, another cluster: by its token.
    echo "second-$(<"$DIR/token")" >"$DIR/token"
    cluster_start
    node_stop 1
    mv "$DIR/1.data" "$DIR/kept"
    mv "$DIR/other" "$DIR/1.data"
    before=$(cd "$DIR/1.data" && find . -type f | sort)
    : >"$DIR/1.log"
    refused_with "$DIR/1.data"
    is "$before" "$(cd "$DIR/1.data" && find . -type f | sort)"
    wait_for 10 node_healthy 2
    is OK "$(ctl_on 2 put /x 1)"
    rm -r "$DIR/1.data"
    mv "$DIR/kept" "$DIR/1.data"
    node_start 1
    wait_for 10 node_healthy 1
    cluster_stop
}

@test "the data directory of an etcd is refused with its path, untouched" {
    ALONE=1
    [ "$(basename "$COFRE")" != etcd ] || skip "etcd does not"
    [ -n "${ETCD:-}" ] || skip "no stock etcd"
    local cofre=$COFRE before
    cluster_init 1
    COFRE=$ETCD
    node_start 1
    wait_for 10 node_healthy 1
    node_stop 1
    COFRE=$cofre
    before=$(cd "$DIR/1.data" && find . -type f -print0 | sort -z |
        xargs -0 sha256sum)
    : >"$DIR/1.log"
    refused_with "$DIR/1.data"
    is "$before" "$(cd "$DIR/1.data" && find . -type f -print0 | sort -z |
        xargs -0 sha256sum)"
}
