#!/usr/bin/env bats
# Our command line beside etcdctl 3.7: the same calls, the same bytes. Against
# a stock etcd, which has all services, so that it is the client that counts.
load helper

setup() {
    [ -n "$ETCDCTL37" ] || skip "no etcdctl 3.7"
    [ -n "${ETCD:-}" ] || skip "no stock etcd"
    export COFRE=$ETCD
    cluster_init 1
    cluster_start
}

teardown() {
    show_logs
    cluster_stop
}

@test "every call of the list prints the same and ends the same" {
    # Compacted before: else only the first of the two runs finds revision 1.
    ctl put cmp/first 1
    ctl del cmp/first
    ctl compaction "$(ctl get cmp/first -w json | jq .header.revision)"
    run "$ROOT/tests/e2e/ctl_compare.sh" "$ETCDCTL37" "$COFRECTL" \
        "127.0.0.1:$(<"$DIR/1.client")"
    echo "$output" | tail -n 60
    is 0 "$status"
}
