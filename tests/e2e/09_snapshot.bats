#!/usr/bin/env bats
# The store as one file, in the form that etcd's own tools read.
load helper

setup_file() {
    cluster_init 3
    cluster_start
    local id
    for n in $(seq 1 200); do
        echo "put /k$n $(printf '%0100d' "$n")"
    done | split -l 100 - "$DIR/part."
    for part in "$DIR"/part.*; do
        { echo && cat "$part" && printf '\n\n'; } | ctl txn >/dev/null
    done
    ctl del /k1
    id=$(ctl lease grant 600 | awk '{ print $2 }')
    ctl put --lease="$id" /leased 1
}

teardown_file() {
    cluster_stop
}

teardown() {
    show_logs
}

save() { # file: through each client on member 2
    rm -f "$1"
    "${CTL[0]}" --endpoints="127.0.0.1:$(<"$DIR/2.client")" snapshot save "$1"
    [ -s "$1" ]
    # A file of pages, and its SHA-256 behind them.
    is 32 $(($(stat -c %s "$1") % 512))
    is "$(tail -c 32 "$1" | od -An -v -tx1 | tr -d ' \n')" \
        "$(head -c -32 "$1" | sha256sum | cut -d' ' -f1)"
}

saving() {
    save "$BATS_TEST_TMPDIR/image"
}

@test "snapshot save through each client" {
    each_client saving
}

@test "etcdutl accepts the image and counts what is in it" {
    [ -n "$ETCDUTL" ] || skip "no stock etcdutl"
    local file=$BATS_TEST_TMPDIR/image revision
    CTL=("$COFRECTL")
    revision=$(ctl get /leased -w json | jq .header.revision)
    save "$file"
    run "$ETCDUTL" snapshot status "$file" -w json
    is 0 "$status"
    is "$revision" "$(jq .revision <<<"${lines[-1]}")"
    # 200 keys put, one of them deleted, one with a lease.
    is 200 "$(jq .totalKey <<<"${lines[-1]}")"
    # The same image from each member: the same hash of the contents.
    is "" "$("$ETCDUTL" hashkv "$file" --rev 0 -w json 2>&1 | grep -i error)"
}

@test "a stock etcd restores the image and serves it" {
    [ -n "$ETCDUTL" ] && [ -n "${ETCD:-}" ] || skip "no stock etcd"
    local file=$BATS_TEST_TMPDIR/image dir=$BATS_TEST_TMPDIR/restored
    local client peer pid
    CTL=("$COFRECTL")
    save "$file"
    client=$(free_port)
    peer=$(free_port)
    "$ETCDUTL" snapshot restore "$file" --data-dir "$dir" --name r \
        --initial-cluster "r=http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer"
    "$ETCD" --name r --data-dir "$dir" \
        --listen-client-urls "http://127.0.0.1:$client" \
        --advertise-client-urls "http://127.0.0.1:$client" \
        --listen-peer-urls "http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "r=http://127.0.0.1:$peer" \
        >"$BATS_TEST_TMPDIR/etcd.log" 2>&1 3>&- </dev/null &
    pid=$!
    wait_for 10 curl -sf "http://127.0.0.1:$client/health"
    is "$(ctl get "" --prefix -w json | jq -c .kvs | md5sum)" \
        "$("$COFRECTL" --endpoints="127.0.0.1:$client" get "" --prefix \
            -w json | jq -c .kvs | md5sum)"
    kill "$pid"
    wait "$pid" || true
}

@test "a snapshot under writes is one moment of the store" {
    local file=$BATS_TEST_TMPDIR/image pid
    CTL=("$COFRECTL")
    "$ROOT/tests/e2e/writer.sh" "$COFRECTL" "$(endpoints)" /busy/ \
        "$DIR/busy" >/dev/null 2>&1 3>&- &
    pid=$!
    wait_for 5 test -s "$DIR/busy"
    save "$file"
    kill "$pid"
    wait "$pid" || true
    [ -z "$ETCDUTL" ] || "$ETCDUTL" snapshot status "$file"
}
