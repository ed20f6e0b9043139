#!/usr/bin/env bats
# Websockets under /v3/, frame by frame: a mask of zeros leaves a payload as
# it is, so that a shell can write one.
load helper

setup_file() {
    cluster_init 1
    cluster_start
}

teardown_file() {
    cluster_stop
}

teardown() {
    if [ -n "${WS:-}" ]; then exec {WS}>&-; fi
    show_logs
}

# ws_open PATH [HEADER-LINE...]: its socket is $WS, the answer's head $head.
ws_open() {
    local line
    exec {WS}<>"/dev/tcp/127.0.0.1/$(<"$DIR/1.client")"
    {
        printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n' "$1"
        printf 'Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n'
        printf 'Sec-WebSocket-Version: 13\r\n'
        printf 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
        shift
        [ $# -eq 0 ] || printf '%s\r\n' "$@"
        printf '\r\n'
    } >&"$WS"
    head=
    while IFS= read -r -t 10 line <&"$WS" && [ "$line" != $'\r' ]; do
        head+=$line$'\n'
    done
}

# ws_frame FIRST-BYTE TEXT, of at most 125 bytes
ws_frame() {
    printf "\\x$1\\x$(printf %02x $((128 + ${#2})))\\0\\0\\0\\0%s" "$2" >&"$WS"
}

# ws_until PATTERN: reads, brace by brace, until all that came fits; it is
# in $came.
ws_until() {
    local piece
    # shellcheck disable=SC2053 # a pattern
    until [[ $came == $1 ]]; do
        IFS='' LC_ALL=C read -r -t 20 -d '}' piece <&"$WS" || return 1
        came+="$piece}"
    done
}

# What is left until the server hangs up.
ws_rest() {
    timeout 20 cat <&"$WS" | tr -d '\0' | LC_ALL=C tr '\200-\377' '?'
}

b64() {
    printf %s "$1" | base64 -w0
}

@test "the handshake is that of the RFC" {
    ws_open /v3/watch
    has "$head" "HTTP/1.1 101 "
    has "$head" "Upgrade: websocket"
    has "$head" "Connection: Upgrade"
    has "$head" "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    [[ $head != *Sec-WebSocket-Protocol* ]]
    ws_frame 88 ''
    ws_rest
}

@test "a token comes as a protocol" {
    ws_open /v3/maintenance/status 'Sec-WebSocket-Protocol: Bearer, some.token'
    has "$head" "HTTP/1.1 101 "
    has "$head" "Sec-WebSocket-Protocol: Bearer"
    ws_frame 81 '{}'
    has "$(ws_rest)" '"version":"3.7.1"'
}

@test "a request and its answer, then the server closes" {
    ws_open /v3/kv/put
    ws_frame 81 "{\"key\":\"$(b64 ws)\",\"value\":\"$(b64 one)\"}"
    has "$(ws_rest)" '"revision"'
    exec {WS}>&-
    ws_open /v3/kv/range
    ws_frame 81 "{\"key\":\"$(b64 ws)\"}"
    run ws_rest
    has "$output" "\"value\":\"$(b64 one)\""
    has "$output" '"count":"1"'
}

@test "a request in fragments, with a ping between them" {
    ws_open /v3/kv/range
    ws_frame 01 '{"key":'
    ws_frame 89 hello
    ws_frame 80 "\"$(b64 none)\"}"
    run ws_rest
    has "$output" hello
    has "$output" '"header"'
    [[ $output != *'"kvs"'* ]]
}

@test "watchers of one socket: created, an event, progress, closed" {
    local came=
    ws_open /v3/watch
    ws_frame 81 "{\"create_request\":{\"key\":\"$(b64 w1)\"}}"
    ws_until '*"created":true*'
    ws_frame 81 "{\"create_request\":{\"key\":\"$(b64 w2)\"}}"
    ws_until '*"watch_id":"1","created":true*'
    ctl put w2 two
    ws_until "*\"watch_id\":\"1\",\"events\"*\"value\":\"$(b64 two)\"*"
    ctl put w1 one
    ws_until "*\"events\"*\"value\":\"$(b64 one)\"*"
    ws_frame 81 '{"cancel_request":{"watch_id":1}}'
    ws_until '*"canceled":true*'
    ws_frame 88 $'\x03\xe8'
    ws_rest
}

@test "leases are kept alive over one socket" {
    local came=
    ctl lease grant 100 >"$BATS_TEST_TMPDIR/lease"
    id=$((16#$(awk '{print $2}' "$BATS_TEST_TMPDIR/lease")))
    ws_open /v3/lease/keepalive
    ws_frame 81 "{\"ID\":\"$id\"}"
    ws_until '*"TTL":"100"*'
    came=
    ws_frame 81 "{\"ID\":\"$id\"}"
    ws_until '*"TTL":"100"*'
}

@test "a stream of many answers: the snapshot" {
    ws_open /v3/maintenance/snapshot
    ws_frame 81 '{}'
    ws_rest >"$BATS_TEST_TMPDIR/snapshot"
    [ "$(grep -o '"blob"' "$BATS_TEST_TMPDIR/snapshot" | wc -l)" -ge 2 ]
}

@test "errors come as a message, and the server closes" {
    ws_open /v3/nothing
    has "$(ws_rest)" '{"code":5,"message":"Not Found"}'
    exec {WS}>&-
    ws_open /v3/kv/range
    ws_frame 81 '{"limit":"x"}'
    has "$(ws_rest)" 'invalid value for int64 field limit'
}

@test "what is no websocket is told so" {
    ask() { # code header...
        local want=$1 headers=() header
        shift
        for header; do headers+=(-H "$header"); done
        run curl -s -o "$BATS_TEST_TMPDIR/out" -w '%{http_code}' --max-time 20 \
            -H 'Connection: Upgrade' -H 'Upgrade: websocket' "${headers[@]}" \
            "${method[@]}" "$(node_url 1)/v3/kv/range"
        is "$want" "$output"
    }
    local key='Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' method=(-X GET)
    ask 400 "$key"
    ask 400 "$key" 'Sec-WebSocket-Version: 12'
    ask 400 'Sec-WebSocket-Version: 13'
    ask 400 'Sec-WebSocket-Version: 13' 'Sec-WebSocket-Key: short'
    is "Bad Request" "$(<"$BATS_TEST_TMPDIR/out")"
    method=(-X POST)
    ask 405 "$key" 'Sec-WebSocket-Version: 13'
    is "Method Not Allowed" "$(<"$BATS_TEST_TMPDIR/out")"
    # Without the tokens it is a request like any other.
    run curl -s --max-time 20 -H 'Upgrade: websocket' -d '{"key":"YQ=="}' \
        "$(node_url 1)/v3/kv/range"
    has "$output" '"header"'
}

@test "frames that no client may send end the socket, not the member" {
    local bytes
    for bytes in '\x81\x02{}' '\xf1\x80\0\0\0\0' '\x80\x80\0\0\0\0' \
        '\x89\xfe\0\0' '\x81\xff\x7f\0\0\0\0\0\0\0\0\0\0\0'; do
        ws_open /v3/watch
        # shellcheck disable=SC2059 # bytes
        printf "$bytes" >&"$WS"
        LC_ALL=C has "$(timeout 20 cat <&"$WS" | od -An -tx1)" " 88 02 03"
        exec {WS}>&-
    done
    WS=
    node_healthy 1
}

@test "sockets that hang up, or stay open when the member stops" {
    local i fds=()
    for i in $(seq 1 40); do
        ws_open /v3/watch
        ws_frame 81 "{\"create_request\":{\"key\":\"$(b64 x)\"}}"
        if ((i % 2)); then exec {WS}>&-; else fds+=("$WS"); fi
    done
    node_healthy 1
    node_signal 1 TERM
    wait_for 15 node_dead 1
    for i in "${fds[@]}"; do exec {i}>&-; done
    WS=
    node_start 1
    wait_for 15 node_healthy 1
}
