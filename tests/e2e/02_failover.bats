#!/usr/bin/env bats
# Members die under writes: what was acknowledged is there, and writes resume.
load helper

setup() {
    cluster_init 3
    cluster_start
}

teardown() {
    writers_stop
    show_logs
    cluster_stop
}

# Four writers, each with a file of what was acknowledged to it.
writers_start() {
    local w
    for w in 1 2 3 4; do
        "$ROOT/tests/e2e/writer.sh" "$COFRECTL" "$(endpoints)" "/w$w/" \
            "$DIR/acked.$w" >/dev/null 2>&1 3>&- &
        WRITERS+=("$!")
    done
    wait_for 10 acked_beyond 40
}

writers_stop() {
    local pid
    for pid in "${WRITERS[@]:-}"; do
        [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
        [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    done
    WRITERS=()
}

acked() {
    cat "$DIR"/acked.* 2>/dev/null | wc -l
}

acked_beyond() {
    [ "$(acked)" -gt "$1" ]
}

# Was anything acknowledged that was asked for after this time?
acked_since() { # ms
    cat "$DIR"/acked.* | awk -v t="$1" '$1 > t { n++ } END { exit n < 8 }'
}

# Each acknowledged write is held by each member.
verify_acked() {
    local i
    cat "$DIR"/acked.* | awk '{ print $2, $3 }' | LC_ALL=C sort >"$DIR/want"
    [ -s "$DIR/want" ]
    for i in $(members); do
        ctl_on "$i" get /w --prefix | paste -d' ' - - | LC_ALL=C sort \
            >"$DIR/have"
        LC_ALL=C comm -23 "$DIR/want" "$DIR/have" >"$DIR/lost"
        is "" "$(head "$DIR/lost")"
    done
}

@test "the leader is killed under writes: resumed within 3 s, nothing lost" {
    local lead t
    writers_start
    lead=$(leader)
    t=$(now_ms)
    node_kill "$lead"
    # An acknowledgment of before is not older than a second's time-out.
    wait_for 3 acked_since "$((t + 50))"
    wait_for 10 acked_beyond $(($(acked) + 40))
    node_start "$lead"
    wait_for 15 node_healthy "$lead"
    writers_stop
    verify_acked
    for i in $(members); do wait_for 10 same_contents 1 "$i"; done
}

@test "all members are killed under writes and come back by themselves" {
    local i
    writers_start
    for i in $(members); do node_signal "$i" KILL; done
    for i in $(members); do wait_for 5 node_dead "$i"; done
    writers_stop
    # No flag but the data directory says who the others are.
    for i in $(members); do node_start "$i"; done
    for i in $(members); do wait_for 15 node_healthy "$i"; done
    verify_acked
    is OK "$(ctl put /after all)"
}

@test "the leader asked to stop hands its office on and leaves" {
    local lead t status=0 pid
    writers_start
    lead=$(leader)
    pid=$(<"$DIR/$lead.pid")
    t=$(now_ms)
    node_signal "$lead" TERM
    wait_for 2 acked_since "$((t + 50))"
    wait "$pid" || status=$?
    # The signal's default action at the end: 128 + 15.
    is 143 "$status"
    wait_for 5 acked_since "$(now_ms)"
    has "$(cat "$DIR/$lead.log")" "leadership transfer finished"
    node_start "$lead"
    wait_for 15 node_healthy "$lead"
    writers_stop
    verify_acked
}

@test "two of three down: reads of one's own go on, writes do not" {
    ctl put /kept yes
    node_stop 2
    node_stop 3
    is yes "$(ctl_on 1 get /kept --consistency=s --print-value-only)"
    run ctl_on 1 --command-timeout=1s put /kept no
    is 1 "$status"
    run ctl_on 1 --command-timeout=1s get /kept
    is 1 "$status"
    node_start 2
    wait_for 15 node_healthy 2
    wait_for 15 node_healthy 1
    is OK "$(ctl_on 1 put /kept again)"
}

@test "a member kept from running for a while comes back" {
    local lead
    lead=$(leader)
    # The frozen one is the first that the client knows: it accepts, and never
    # answers.
    endpoints() {
        local i list
        list=127.0.0.1:$(<"$DIR/$lead.client")
        for i in $(members); do list+=,127.0.0.1:$(<"$DIR/$i.client"); done
        echo "$list"
    }
    node_signal "$lead" STOP
    wait_for 10 ctl --command-timeout=3s put /while stopped
    node_signal "$lead" CONT
    wait_for 10 node_healthy "$lead"
    is stopped "$(ctl_on "$lead" get /while --print-value-only)"
    for i in $(members); do wait_for 10 same_contents 1 "$i"; done
}
