#!/usr/bin/env bats
# make up where there is no Docker engine: three processes.
load helper

setup() {
    DIR=$(mktemp -d "$BATS_FILE_TMPDIR/local.XXXXXX")
    export COFRE_LOCAL=$DIR COFRE_UP=local
    COFRE_PORT1=$(free_port)
    COFRE_PORT2=$(free_port)
    COFRE_PORT3=$(free_port)
    export COFRE_PORT1 COFRE_PORT2 COFRE_PORT3
}

teardown() {
    show_logs
    cluster_stop
}

endpoints() {
    echo "127.0.0.1:$COFRE_PORT1,127.0.0.1:$COFRE_PORT2,127.0.0.1:$COFRE_PORT3"
}

@test "make up, make down and make clean-data without containers" {
    local pid
    run "$ROOT/deploy/up.sh" up
    is 0 "$status"
    has "$output" "http://127.0.0.1:$((COFRE_PORT3 + 1))"
    has "$output" "Next:"
    is OK "$(ctl put /kept 1)"
    # Once more changes nothing.
    pid=$(<"$DIR/1.pid")
    "$ROOT/deploy/up.sh" up
    is "$pid" "$(<"$DIR/1.pid")"
    "$ROOT/deploy/up.sh" down
    # It has ended; that whoever inherits it has noticed may take a moment.
    [ ! -e "/proc/$pid/status" ] || has "$(grep State "/proc/$pid/status" ||
        printf 'State:\tZ')" "State:$(printf '\t')Z"
    run ctl --command-timeout=1s get /kept
    [ "$status" != 0 ]
    "$ROOT/deploy/up.sh" up
    is 1 "$(ctl get /kept --print-value-only)"
    "$ROOT/deploy/up.sh" clean-data
    [ ! -e "$DIR" ]
}

@test "make up without a Docker engine says so" {
    unset COFRE_UP
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/docker"
    chmod +x "$BATS_TEST_TMPDIR/bin/docker"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$ROOT/deploy/up.sh" up
    is 0 "$status"
    has "$output" "No Docker engine"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH "$ROOT/deploy/up.sh" clean-data
}
