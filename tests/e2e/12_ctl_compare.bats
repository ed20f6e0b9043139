#!/usr/bin/env bats
# Our command line beside etcdctl 3.7: the same calls, the same bytes.
load helper

setup() {
    [ -n "$ETCDCTL37" ] || skip "no etcdctl 3.7"
    cluster_init 1
    cluster_start
}

teardown() {
    show_logs
    cluster_stop
}

@test "every call of the list prints the same and ends the same" {
    run "$ROOT/tests/e2e/ctl_compare.sh" "$ETCDCTL37" "$COFRECTL" \
        "127.0.0.1:$(<"$DIR/1.client")"
    echo "$output" | tail -n 60
    is 0 "$status"
}
