#!/usr/bin/env bats
# The commands that stay: lock, elect, keep-alive, make-mirror; and checks.
load helper

setup_file() {
    cluster_init 1
    cluster_start
}

teardown_file() {
    cluster_stop
}

teardown() {
    local pid
    for pid in $KEPT; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    show_logs
}

setup() {
    KEPT=
    OUT=$BATS_TEST_TMPDIR
}

# keep NAME ARG...: our client in the background; output in $OUT/NAME.
keep() {
    local name=$1
    shift
    "$COFRECTL" --endpoints="$(endpoints)" "$@" >"$OUT/$name" 2>&1 3>&- &
    PID=$!
    KEPT+=" $PID"
}

key_count() {
    ctl get "$1" --prefix --keys-only | grep -c . || true
}

keys_are() { is "$1" "$(key_count "$2")"; }

ends() { # pid status
    local status=0
    wait "$1" || status=$?
    is "$2" "$status"
}

@test "lock: one after the other, released by a signal" {
    local first second
    keep a lock /l
    first=$PID
    wait_for 5 test -s "$OUT/a"
    is "$(ctl get /l --prefix --keys-only | head -n1)" "$(head -n1 "$OUT/a")"
    keep b lock /l
    second=$PID
    wait_for 5 keys_are 2 /l
    [ ! -s "$OUT/b" ]
    kill -INT "$first"
    ends "$first" 0
    wait_for 5 test -s "$OUT/b"
    kill -TERM "$second"
    ends "$second" 0
    is 0 "$(key_count /l)"
    is "found 0 leases" "$(ctl lease list)"
}

@test "lock: a holder that dies is succeeded when its lease ends" {
    keep a lock /d --ttl 2
    wait_for 5 test -s "$OUT/a"
    kill -KILL "$PID"
    keep b lock /d echo mine
    wait_for 10 grep -q mine "$OUT/b"
    ends "$PID" 0
}

@test "lock: a command's environment, status and absence" {
    run ctl lock /c -- sh -c 'echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"; exit 7'
    is 7 "$status"
    [[ ${lines[0]} =~ ^/c/[0-9a-f]+\ [0-9]+$ ]]
    is "Error: exit status 7" "${lines[1]}"
    run ctl lock /c no-such-command
    is 1 "$status"
    is 'Error: exec: "no-such-command": executable file not found in $PATH' \
        "$output"
    run ctl lock /c -- sh -c 'kill -9 $$'
    is 255 "$status"
    is "Error: signal: killed" "$output"
    is 0 "$(key_count /c)"
    run ctl lock
    is 128 "$status"
}

@test "lock: ours and the stock one respect each other" {
    [ -n "$ETCDCTL37" ] || skip "no etcdctl 3.7"
    "$ETCDCTL37" --endpoints="$(endpoints)" lock /s >"$OUT/a" 2>&1 3>&- &
    local first=$!
    KEPT+=" $first"
    wait_for 5 test -s "$OUT/a"
    keep b lock /s
    wait_for 5 keys_are 2 /s
    [ ! -s "$OUT/b" ]
    kill -INT "$first"
    wait_for 5 test -s "$OUT/b"
    "$ETCDCTL37" --endpoints="$(endpoints)" lock /s echo mine >"$OUT/c" 3>&- &
    KEPT+=" $!"
    wait_for 5 keys_are 2 /s
    kill -INT "$PID"
    wait_for 5 grep -q mine "$OUT/c"
}

@test "elect: leaders in turn, and who listens sees each" {
    local first
    run ctl elect /e
    is 128 "$status"
    is "Error: no proposal argument but -l not set" "$output"
    run ctl elect -l /e x
    is 128 "$status"
    is "Error: proposal given but -l is set" "$output"
    keep heard elect -l /e
    keep a elect /e one
    first=$PID
    wait_for 5 grep -q one "$OUT/a"
    keep b elect /e two
    wait_for 5 keys_are 2 /e
    [ ! -s "$OUT/b" ]
    kill -INT "$first"
    ends "$first" 0
    wait_for 5 grep -q two "$OUT/b"
    wait_for 5 grep -q two "$OUT/heard"
    is "one two" "$(sed -n 'n;p' "$OUT/heard" | xargs)"
}

@test "lease keep-alive: over one stream until it is revoked" {
    local id
    id=$(ctl lease grant 2 | awk '{ print $2 }')
    keep a lease keep-alive "$id"
    wait_for 8 eval '[ "$(grep -c "keepalived with TTL(2)" "$OUT/a")" -ge 5 ]'
    ctl lease revoke "$id"
    ends "$PID" 0
    has "$(tail -n1 "$OUT/a")" "lease $id expired or revoked."
}

@test "make-mirror: what is there and what changes, under another prefix" {
    local n there=$DIR
    for n in 1 2 3; do ctl put "/m/k$n" "$n"; done >/dev/null
    ctl put /other 1
    SOURCE=$(endpoints)
    cluster_init 1
    cluster_start
    run "$COFRECTL" --endpoints="$SOURCE" make-mirror "$(endpoints)" \
        --dest-prefix x --no-dest-prefix
    is 128 "$status"
    "$COFRECTL" --endpoints="$SOURCE" make-mirror --prefix /m/ \
        --dest-prefix /copy/ --max-txn-ops 2 "$(endpoints)" \
        >"$OUT/mirror" 2>&1 3>&- &
    KEPT+=" $!"
    wait_for 5 keys_are 3 ""
    # One revision stays one, within --max-txn-ops; and it goes on when the
    # destination was away.
    printf '\nput /m/k4 4\ndel /m/k1\n\n\n' |
        "$COFRECTL" --endpoints="$SOURCE" txn
    wait_for 5 eval '[ "$(ctl get /copy/k4 --print-value-only)" = 4 ]'
    node_kill 1
    "$COFRECTL" --endpoints="$SOURCE" put /m/k5 5
    node_start 1
    wait_for 15 eval '[ "$(ctl get /copy/k5 --print-value-only)" = 5 ]'
    is "/copy/k2 /copy/k3 /copy/k4 /copy/k5" \
        "$(ctl get "" --prefix --keys-only | xargs)"
    is "$(ctl get /copy/k4 -w json | jq '.kvs[0].mod_revision')" \
        "$(($(ctl get /copy/k5 -w json | jq '.kvs[0].mod_revision') - 1))"
    cluster_stop
    DIR=$there
}

@test "check perf: ended by a signal, it tells what it saw and cleans up" {
    keep perf check perf
    wait_for 5 eval '[ "$(key_count /etcdctl-check-perf/)" -gt 100 ]'
    kill -INT "$PID"
    wait "$PID" || true
    grep -E '^(0|1|2) / 60 \[' "$OUT/perf"
    grep -E '(PASS: Throughput is|FAIL: Throughput too low:) [0-9]+ writes/s$' \
        "$OUT/perf"
    grep -E '(PASS: Slowest request took|too long:) [0-9.]+s$' "$OUT/perf"
    grep -E '^(PASS|FAIL)$' "$OUT/perf"
    is 0 "$(key_count /etcdctl-check-perf/)"
    ctl put /etcdctl-check-perf/mine 1
    run ctl check perf
    is 3 "$status"
    has "$output" 'Error: prefix "/etcdctl-check-perf/" has keys.'
    is 1 "$(key_count /etcdctl-check-perf/)"
    run ctl check perf --load foo
    is 4 "$status"
    is "Error: unknown load option foo" "$output"
}

@test "check datascale: memory by the metrics" {
    run --separate-stderr ctl check datascale
    is 0 "$status"
    is "Start data scale check for work load [10000 key-value pairs, 1024 \
bytes per key-value, 50 concurrent clients]." "${lines[0]}"
    [[ ${lines[1]} =~ ^PASS:\ Approximate\ system\ memory\ used\ :\ -?[0-9.]+\ MB\.$ ]]
    # shellcheck disable=SC2154 # bats sets it
    has "$stderr" "10000 / 10000 [----"
    has "$stderr" "-] 100.00% "
    is 0 "$(key_count /etcdctl-check-datascale/)"
}

@test "completion: the shell's words" {
    run bash -c 'source <("$COFRECTL" completion bash)
        complete_words() {
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            _cofrectl
            echo "${COMPREPLY[*]}"
        }
        complete_words cofrectl member l
        complete_words cofrectl --hex get --pre
        complete_words cofrectl snapshot re'
    is "list --prefix restore" "$(xargs <<<"$output")"
    run "$COFRECTL" completion
    is 1 "$status"
    has "$output" "Error: accepts 1 arg(s), received 0"
    run "$COFRECTL" completion foo
    is 1 "$status"
    if command -v zsh >/dev/null; then
        "$COFRECTL" completion zsh | zsh -n
    fi
}

@test "watch: a server that is gone without a word is left for another" {
    local there=$DIR watcher others
    cluster_init 3
    cluster_start
    # Ten seconds of silence, two for the answer: less than servers mind.
    "$COFRECTL" --endpoints="127.0.0.1:$(<"$DIR/1.client"),$(
    )127.0.0.1:$(<"$DIR/2.client")" --keepalive-time 1s \
        --keepalive-timeout 2s watch /w >"$OUT/watch" 2>&1 3>&- &
    watcher=$!
    KEPT+=" $watcher"
    others=127.0.0.1:$(<"$DIR/2.client"),127.0.0.1:$(<"$DIR/3.client")
    wait_for 5 eval '"$COFRECTL" --endpoints="$others" put /w 1 &&
        grep -q 1 "$OUT/watch"'
    node_signal 1 STOP
    wait_for 15 "$COFRECTL" --endpoints="$others" put /w silent
    wait_for 20 grep -q silent "$OUT/watch"
    node_signal 1 CONT
    is 1 "$(grep -c silent "$OUT/watch")"
    cluster_stop
    DIR=$there
}
