#!/usr/bin/env bats
# Members come, go, lose their disks and are removed; what is refused leaves
# everything as it was.
load helper
load members

teardown() {
    writer_stop
    show_logs
    cluster_stop
}

@test "1 -> 3 -> 5 -> 3 -> 1 under writes: nothing acknowledged is lost" {
    local i
    start_cluster 1
    writer_start
    for i in 2 3 4 5; do
        member_add "$i"
        member_join "$i"
        writes_go_on
        all_connected
    done
    is 5 "$(ctl member list | grep -c started)"
    for i in 1 2 3 4; do
        member_drop "$i"
        writes_go_on
    done
    writer_stop
    nothing_lost
    is 1 "$(ctl member list | grep -c started)"
    # It has its members from its own disk.
    node_kill 5
    node_start 5
    wait_for 15 node_healthy 5
    nothing_lost
}

@test "a member whose data was deleted is replaced" {
    start_cluster 3
    writer_start
    writes_go_on
    node_kill 2
    rm -rf "$DIR/2.data"
    # As itself it must not come back: it may have voted.
    node_start 2
    wait_for 10 node_dead 2
    has "$(cat "$DIR/2.log")" "already been bootstrapped"
    node_start 2 --initial-cluster-state existing
    wait_for 15 node_dead 2
    has "$(tail -n 3 "$DIR/2.log")" "has already been bootstrapped"
    ctl member remove "$(id_of 2)"
    sed -i "/^2\$/d" "$DIR/set"
    rm -rf "$DIR/2.data"
    all_connected
    member_add 2
    member_join 2
    writes_go_on
    writer_stop
    nothing_lost
    members_agree
}

@test "a learner is added, serves little, and is promoted on any member" {
    local id follower
    start_cluster 3
    for n in $(seq 1 300); do echo "put /k$n $n"; done | split -l 100 - "$DIR/p."
    for part in "$DIR"/p.*; do
        { echo && cat "$part" && printf '\n\n'; } | ctl txn >/dev/null
    done
    member_add 4 --learner
    id=$(id_of 4)
    follower=$(($(leader) % 3 + 1))
    # Not started: not in sync.
    run -1 ctl_on "$follower" member promote "$id"
    has "$output" "can only promote a learner member which is in sync with leader"
    run -1 ctl member add m5 --peer-urls=http://127.0.0.1:1 --learner
    has "$output" "too many learner members in cluster"
    node_start 4 --initial-cluster-state existing
    wait_for 20 same_contents 4 1
    run ctl_on 4 put x y
    has "$output" "rpc not supported for learner"
    is true "$(ctl_on 4 endpoint status -w json | jq '.[0].Status.isLearner')"
    wait_for 10 ctl_on "$follower" member promote "$id"
    echo 4 >>"$DIR/set"
    wait_for 15 node_healthy 4
    is 4 "$(ctl member list | grep -c 'started.*false')"
    run -1 ctl_on "$follower" member promote "$id"
    has "$output" "can only promote a learner member"
    run -1 ctl_on "$follower" member promote 1234
    has "$output" "member not found"
    # It votes and leads.
    ctl_on "$(leader)" move-leader "$id"
    wait_for 5 is_leader 4
}

@test "what is refused leaves the members as they were" {
    local before id1 id2
    start_cluster 3
    before=$(ctl member list)
    run -1 ctl member add x --peer-urls="$(peer_url 1)"
    has "$output" "Peer URLs already exists"
    run -1 ctl member remove 4711
    has "$output" "member not found"
    run -1 ctl member update 4711 --peer-urls=http://127.0.0.1:1
    has "$output" "member not found"
    id1=$(id_of 1)
    id2=$(id_of 2)
    run -1 ctl member update "$id1" --peer-urls="$(peer_url 2)"
    has "$output" "Peer URLs already exists"
    run -1 ctl member promote "$id1"
    has "$output" "can only promote a learner member"
    is "$before" "$(ctl member list)"
    # With one of three away: none more, and none of the two at work.
    node_kill 3
    wait_for 10 ctl --command-timeout=2s put a b
    run -1 ctl member add x --peer-urls=http://127.0.0.1:1
    has "$output" "unhealthy cluster"
    run -1 ctl member remove "$id2"
    has "$output" "unhealthy cluster"
    is "$before" "$(ctl member list)"
    # The one that is away may go; then the two are the cluster.
    ctl member remove "$(id_of 3)"
    # Too few would have started.
    ctl put c d
    member_add 4
    run -1 ctl member add x --peer-urls=http://127.0.0.1:1
    has "$output" "re-configuration failed due to not enough started members"
    # The same after a restart of all.
    before=$(ctl member list)
    for i in 1 2; do node_kill "$i"; done
    for i in 1 2; do node_start "$i"; done
    echo "1
2" >"$DIR/set"
    wait_for 20 node_healthy 1
    is "$before" "$(ctl member list)"
}

@test "a member that came by an image brings up the next one" {
    start_cluster 1 --snapshot-catchup-entries=10
    for n in $(seq 1 60); do ctl put "/k$n" "$n" >/dev/null; done
    member_add 2
    member_join 2
    has "$(cat "$DIR/2.log")" "applied snapshot"
    all_connected
    ctl_on "$(leader)" move-leader "$(id_of 2)"
    wait_for 5 is_leader 2
    member_add 3
    member_join 3
    has "$(cat "$DIR/3.log")" "applied snapshot"
    members_agree
    # And one that was started again, whose log begins late, too.
    node_kill 2
    node_kill 3
    node_kill 1
    for n in 1 2 3; do run_member "$n"; done
    for n in 1 2 3; do wait_for 15 node_healthy "$n"; done
    all_connected
    member_add 4
    member_join 4
    members_agree
}

@test "the leader itself is removed; a removed member does not come back" {
    local lead
    start_cluster 3
    writer_start
    writes_go_on
    lead=$(leader)
    member_drop "$lead"
    writes_go_on
    writer_stop
    nothing_lost
    is 2 "$(ctl member list | grep -c started)"
    # Started again, it learns that it is out, and ends without an error.
    : >"$DIR/$lead.log"
    node_start "$lead"
    wait_for 10 node_dead "$lead"
    has "$(cat "$DIR/$lead.log")" \
        "the member has been permanently removed from the cluster"
    run -1 ctl member remove 4711
}

@test "changes asked for at the same time are made one after the other" {
    local n m
    start_cluster 3 --max-learners=20
    # Raft takes one at a time; whoever came too early is not forgotten.
    for n in 1 2 3 4; do
        for m in 1 2 3; do
            ctl_on "$m" member add "l$n$m" --learner \
                --peer-urls="http://127.0.0.1:$((n * 10 + m))" \
                >"$DIR/add.$n$m" 2>&1 3>&- &
            echo $! >>"$DIR/adders"
        done
    done
    while read -r n; do wait "$n"; done <"$DIR/adders"
    is 15 "$(ctl member list | grep -c .)"
    is 12 "$(ctl member list | grep -c unstarted)"
    for m in 1 2 3; do
        is 15 "$(ctl_on "$m" member list --consistency=s | grep -c .)"
    done
}

# The same words by both clients, on a member that leads and on one that
# does not; ids are the only difference.
said_by() { # client member
    local id
    PORT=$(free_port)
    words "$1" "$2" member add new --learner \
        --peer-urls="http://127.0.0.1:$PORT"
    id=$(ctl member list | grep ":$PORT," | cut -d, -f1)
    words "$1" "$2" member add other --learner --peer-urls=http://127.0.0.1:1
    words "$1" "$2" member promote "$id"
    words "$1" "$2" member update "$id" \
        --peer-urls="http://127.0.0.1:$PORT,http://127.0.0.2:$PORT"
    words "$1" "$2" member update "$id" --peer-urls="$(peer_url 1)"
    words "$1" "$2" member remove "$id"
    words "$1" "$2" member remove "$id"
    words "$1" "$2" member remove xyz
    words "$1" "$2" member update "$id"
    words "$1" "$2" member add
    words "$1" "$2" move-leader 4711
    words "$1" "$2" -w json member remove 4711
}

words() { # client member args...
    local client=$1 member=$2 status=0
    shift 2
    echo "\$ ${*//$PORT/PORT}" | sed -E 's/ *[0-9a-f]{14,16}/ ID/g'
    "$client" --endpoints="127.0.0.1:$(<"$DIR/$member.client")" "$@" \
        >"$DIR/words" 2>&1 3>&- || status=$?
    grep -v '^{"level"' "$DIR/words" |
        sed -E "s/ *[0-9a-f]{14,16}/ ID/g; s/$PORT/PORT/g
            s/(ETCD_INITIAL_CLUSTER=).*(new=[^,\"]*).*/\1\2/" || true
    echo "= $status"
}

@test "etcdctl and cofrectl say the same of it" {
    local member
    [ -n "$ETCDCTL37" ] || skip "no etcdctl 3.7"
    start_cluster 3
    for member in 1 2; do
        said_by "$COFRECTL" "$member" >"$DIR/ours"
        said_by "$ETCDCTL37" "$member" >"$DIR/theirs"
        diff "$DIR/theirs" "$DIR/ours"
        [ "$(wc -l <"$DIR/ours")" -gt 30 ]
    done
}

@test "peer URLs of a member change while it runs" {
    local id new
    start_cluster 3
    node_stop 3
    wait_for 10 ctl --command-timeout=2s put a b
    id=$(id_of 3)
    new=$(free_port)
    ctl member update "$id" --peer-urls="http://127.0.0.1:$new"
    echo "$new" >"$DIR/3.peer"
    node_start 3
    wait_for 15 node_healthy 3
    members_agree
    has "$(ctl member list)" "http://127.0.0.1:$new"
}

@test "joining says what is wrong" {
    start_cluster 1
    free_port >"$DIR/2.client"
    free_port >"$DIR/2.peer"
    # Not added.
    echo "m1=$(peer_url 1),m2=$(peer_url 2)" >"$DIR/initial"
    node_start 2 --initial-cluster-state existing
    wait_for 15 node_dead 2
    has "$(cat "$DIR/2.log")" "member count is unequal"
    [ ! -e "$DIR/2.data/member/wal" ] || is "" "$(ls "$DIR/2.data/member/wal")"
    # Added with other URLs.
    ctl member add x --peer-urls=http://127.0.0.1:1
    node_start 2 --initial-cluster-state existing
    wait_for 15 node_dead 2
    has "$(cat "$DIR/2.log")" "PeerURLs: no match found for existing member"
    # Nobody there.
    echo "m1=http://127.0.0.1:1,m2=$(peer_url 2)" >"$DIR/initial"
    node_start 2 --initial-cluster-state existing
    wait_for 15 node_dead 2
    has "$(cat "$DIR/2.log")" \
        "could not retrieve cluster information from the given URLs"
    has "$(cat "$DIR/2.log")" "cannot fetch cluster info from peer urls"
}

@test "--force-new-cluster goes on with one of three, with everything it had" {
    start_cluster 3
    writer_start
    writes_go_on
    writer_stop
    rm "$DIR/stop"
    node_kill 2
    node_kill 3
    node_kill 1
    node_start 1 --force-new-cluster
    echo 1 >"$DIR/set"
    wait_for 15 node_healthy 1
    nothing_lost_here
    is 1 "$(ctl member list | grep -c started)"
    node_kill 1
    node_start 1
    wait_for 15 node_healthy 1
    member_add 4
    member_join 4
    members_agree
}

# Killed all at once: what this member had not heard of may be elsewhere, but
# it is one of two at least that had it, and the newest of them here.
nothing_lost_here() {
    ctl get /w/ --prefix --print-value-only | sort -n >"$DIR/found"
    [ "$(wc -l <"$DIR/found")" -ge $(($(wc -l <"$DIR/acked") - 2)) ]
}

@test "--strict-reconfig-check=false and --max-learners" {
    start_cluster 1 --strict-reconfig-check=false --max-learners=2
    ctl member add a --peer-urls=http://127.0.0.1:1 --learner
    ctl member add b --peer-urls=http://127.0.0.1:2 --learner
    run -1 ctl member add c --peer-urls=http://127.0.0.1:3 --learner
    has "$output" "too many learner members in cluster"
    run -1 ctl member remove "$(id_of 1)"
    has "$output" "not enough started members"
    # One who has no quorum any more knew what he was doing.
    ctl member add d --peer-urls=http://127.0.0.1:4
    is 4 "$(ctl_on 1 member list --consistency=s | grep -c .)"
}

cluster_version_is() { # member version
    curl -sf "$(node_url "$1")/version" |
        grep -q "\"etcdcluster\":\"$2\""
}

@test "the cluster version is the least that all members speak" {
    cluster_init 3
    node_start 1
    node_start 2
    wait_for 15 node_healthy 1
    # Nobody knows what the third one is.
    wait_for 10 cluster_version_is 1 3.0.0
    node_start 3
    wait_for 15 cluster_version_is 1 3.7.0
    wait_for 15 cluster_version_is 3 3.7.0
    has "$(cat "$DIR"/*.log)" "updated cluster version"
}
