#!/usr/bin/env bats
# A member that holds something else than the others is found.
load helper

teardown() {
    show_logs
    cluster_stop
}

kill_all() {
    local i
    for i in $(members); do node_kill "$i"; done
}

place() { # of the last entry: the same in both stories
    ctl_on 1 endpoint status -w json | jq -c '.[0].Status |
        [.raftTerm, .raftIndex, .raftAppliedIndex]'
}

# story NAME VALUE: from the common beginning, one put; what is on the disks
# then is kept, and where the log ends.
story() {
    local i
    for i in $(members); do
        rm -rf "$DIR/$i.data"
        cp -r "$DIR/base/$i.data" "$DIR/"
    done
    cluster_start
    ctl put key "$2"
    # That the last entry is committed is not on the disk yet: so another.
    ctl put last 1
    for i in $(members); do
        wait_for 10 at_place "$i" "$(place)"
    done
    place >"$DIR/$1.place"
    kill_all
    mkdir -p "$DIR/$1"
    for i in $(members); do
        rm -rf "$DIR/$1/$i.data"
        mv "$DIR/$i.data" "$DIR/$1/"
    done
}

at_place() {
    [ "$(ctl_on "$1" endpoint status -w json | jq -c '.[0].Status |
        [.raftTerm, .raftIndex, .raftAppliedIndex]')" = "$2" ]
}

# Three members whose logs end alike, to Raft, and the third of which has
# another value: two stories with a common beginning, mixed.
setup() {
    local i try
    cluster_init 3
    cluster_start
    ctl put first 1
    ctl put first 2
    kill_all
    mkdir "$DIR/base"
    for i in 1 2 3; do mv "$DIR/$i.data" "$DIR/base/"; done
    # An election with two rounds makes another term: then once more.
    for try in 1 2 3 4 5 6; do
        story right one
        story wrong two
        ! cmp -s "$DIR/right.place" "$DIR/wrong.place" || break
        echo "try $try: $(cat "$DIR/right.place" "$DIR/wrong.place")"
    done
    cmp "$DIR/right.place" "$DIR/wrong.place"
    cp -r "$DIR/right/1.data" "$DIR/right/2.data" "$DIR/wrong/3.data" "$DIR/"
}

id_of() {
    ctl_on 1 member list | grep ", m$1," | cut -d, -f1
}

alarms() {
    ctl_on 1 alarm list
}

has_alarm() {
    has "$(alarms)" "$1"
}

@test "the leader compares the members: CORRUPT, and no more writes" {
    local i
    # None waits to be healthy: under the alarm it is not, and that may come
    # before the last one has started.
    for i in 1 2 3; do node_start "$i" --corrupt-check-time=200ms; done
    wait_for 20 has_alarm "alarm:CORRUPT"
    run ctl put key three
    [ "$status" != 0 ]
    has "$output" "etcdserver: corrupt cluster"
    has "$(curl -s "$(node_url 1)/health")" "ALARM CORRUPT"
    # Reads go on, and disarming is the operator's decision.
    is one "$(ctl_on 1 get key --print-value-only --consistency=s)"
    is two "$(ctl_on 3 get key --print-value-only --consistency=s)"
}

@test "members that hold the same raise no alarm" {
    rm -rf "$DIR/3.data"
    cp -r "$DIR/right/3.data" "$DIR/"
    cluster_start --corrupt-check-time=100ms
    checks() {
        [ "$(cat "$DIR"/*.log | grep -c '"finished peer corruption check"')" \
            -ge 5 ]
    }
    ctl put key three
    wait_for 20 checks
    is "" "$(alarms)"
}

@test "hashes of compactions: the majority is right" {
    cluster_start --feature-gates=CompactHashCheck=true \
        --compact-hash-check-time=200ms
    ctl put key three
    ctl compaction "$(($(ctl_on 1 get key -w json | jq .header.revision) - 1))"
    wait_for 20 has_alarm "alarm:CORRUPT"
    is "memberID:$(printf %u "0x$(id_of 3)") alarm:CORRUPT" \
        "$(alarms | sed 's/ *$//')"
}

@test "a member with other contents does not start to serve" {
    node_start 1
    node_start 2
    wait_for 15 node_healthy 1
    node_start 3 --feature-gates=InitialCorruptCheck=true
    wait_for 15 node_dead 3
    has "$(cat "$DIR/3.log")" "found data inconsistency with peers"
    # One that holds the same does.
    node_kill 2
    node_start 2 --feature-gates=InitialCorruptCheck=true
    wait_for 15 node_healthy 2
    has "$(cat "$DIR/2.log")" "completed initial corruption check"
}

@test "HashKV between members, by its HTTP path" {
    cluster_start
    local url
    url=$(peer_url 1)/members/hashkv
    ask() { curl -s -X GET --data "$1" "$url"; }
    is 1 "$(ask '{"revision":0}' | jq '.hash > 0 | if . then 1 else 0 end')"
    is "$(ask '{"revision":3}' | jq .hash)" \
        "$(ctl_on 1 endpoint hashkv --rev=3 -w json | jq '.[0].HashKV.hash')"
    has "$(ask '{"revision":99}')" "mvcc: required revision is a future revision"
    has "$(ask '')" "error unmarshalling request"
    has "$(ask '{"revision":"x"}')" "error unmarshalling request"
    has "$(curl -s -X GET -H 'X-Etcd-Cluster-ID: 1' --data '{}' "$url")" \
        "cluster ID mismatch"
    is 405 "$(curl -s -o /dev/null -w '%{http_code}' --data '{}' "$url")"
}
