#!/usr/bin/env bats
# Members of ours beside members of a stock etcd, in one cluster.
load helper
load members

setup() {
    [ -n "${ETCD:-}" ] || skip "no stock etcd"
}

teardown() {
    local watcher
    writer_stop
    show_logs
    for watcher in "${DIR:-/nonexistent}"/*.watcher; do
        [ ! -f "$watcher" ] || kill "$(<"$watcher")" 2>/dev/null || true
    done
    cluster_stop
}

hash_of() { # member revision: the hash alone
    ctl_on "$1" endpoint hashkv --rev="$2" -w json | jq .[0].HashKV.hash
}

hashes_agree() { # at the newest revision, and at one further back
    local i at back first
    at=$(ctl get x -w json | jq .header.revision)
    back=$((at - 20))
    for i in $(members); do
        wait_for 15 hash_of "$i" "$at"
        first=${first:-$(hash_of "$i" "$at") $(hash_of "$i" "$back")}
        is "$first" "$(hash_of "$i" "$at") $(hash_of "$i" "$back")"
    done
    [[ $first =~ ^[0-9]+\ [0-9]+$ ]]
}

fill() { # prefix
    local part
    for n in $(seq 1 400); do echo "put $1$n $(printf '%0200d' "$n")"; done |
        split -l 100 - "$DIR/part."
    for part in "$DIR"/part.*; do
        { echo && cat "$part" && printf '\n\n'; } | ctl txn >/dev/null
    done
    for n in $(seq 1 110); do ctl put "${1}one" "$n" >/dev/null; done
    ctl del "${1}1" --prefix >/dev/null
}

learns_and_votes() { # member: one was added as a learner, now it is promoted
    run_member "$1" --initial-cluster-state existing
    wait_for 20 ctl member promote "$(id_of "$1")"
    echo "$1" >>"$DIR/set"
    wait_for 20 node_healthy "$1"
}

versions_agree() {
    local i
    for i in $(members); do
        is '"3.7.0"' "$(curl -s "$(node_url "$i")/version" | jq .etcdcluster)"
    done
}

leads() { # member: it is handed the leadership, and serves
    local lead id
    id=$(id_of "$1")
    lead=$(leader)
    [ "$lead" = "$1" ] || ctl_on "$lead" move-leader "$id"
    wait_for 10 is_leader "$1"
    for i in $(members); do
        ctl_on "$i" put "/led/$1" "by $1 through $i"
        is "by $1 through $i" "$(ctl_on "$i" get "/led/$1" --print-value-only)"
    done
}

leases_work() { # granted, kept and looked at through every member
    local i id
    for i in $(members); do
        id=$(ctl_on "$i" lease grant 300 | awk '{ print $2 }')
        ctl_on "$i" put --lease="$id" "/leased/$i" here
        for j in $(members); do
            has "$(ctl_on "$j" lease timetolive "$id" --keys)" "/leased/$i"
            has "$(ctl_on "$j" lease keep-alive --once "$id")" "TTL(300)"
        done
        ctl_on "$i" lease revoke "$id"
        is "" "$(ctl_on "$i" get "/leased/$i")"
    done
}

@test "a cofre joins an etcd as learner, catches up, votes and leads" {
    PROGRAM=$ETCD start_cluster 1
    fill /a/
    member_add 2 --learner
    learns_and_votes 2
    has "$(cat "$DIR/2.log")" "applied snapshot"
    fill /b/
    versions_agree
    hashes_agree
    all_connected
    member_add 3
    echo "$ETCD" >"$DIR/3.as"
    member_join 3
    leads 2
    leases_work
    leads 1
    leases_work
    ctl compaction "$(($(ctl get x -w json | jq .header.revision) - 50))"
    ctl put /after/compaction 1
    hashes_agree
    # Each restarts with what it has.
    for i in $(members); do
        node_kill "$i"
        run_member "$i"
        wait_for 20 node_healthy "$i"
    done
    hashes_agree
}

# What an etcd has of its members after a restart is in no order, until they
# change: in its image, too.
@test "a cofre falls behind etcds that were restarted" {
    PROGRAM=$ETCD start_cluster 3 --snapshot-count 10 \
        --snapshot-catchup-entries 10
    fill /a/
    all_connected
    member_add 4 --learner
    learns_and_votes 4
    for i in 1 2 3; do
        node_kill "$i"
        run_member "$i"
        wait_for 20 node_healthy "$i"
    done
    leads 1
    node_kill 4
    fill /b/
    : >"$DIR/4.log"
    run_member 4
    wait_for 20 node_healthy 4
    wait_for 20 ctl_on 4 get /b/one
    has "$(cat "$DIR/4.log")" "applied snapshot"
    hashes_agree
}

@test "an etcd joins a cofre as learner, catches up, votes and leads" {
    start_cluster 1 --snapshot-catchup-entries 10
    fill /a/
    member_add 2 --learner
    echo "$ETCD" >"$DIR/2.as"
    learns_and_votes 2
    has "$(cat "$DIR/2.log")" "applied snapshot"
    fill /b/
    versions_agree
    hashes_agree
    all_connected
    member_add 3
    member_join 3
    leads 2
    leases_work
    leads 3
    leases_work
    ctl compaction "$(($(ctl get x -w json | jq .header.revision) - 50))"
    ctl put /after/compaction 1
    hashes_agree
    for i in $(members); do
        node_kill "$i"
        run_member "$i"
        wait_for 20 node_healthy "$i"
    done
    hashes_agree
}

# Watches everything that the writer writes, from the first on, on member I.
watch_start() { # member name
    "$COFRECTL" --endpoints="127.0.0.1:$(<"$DIR/$1.client")" watch /w/ \
        --prefix --rev=1 >"$DIR/$2.watch" 2>/dev/null 3>&- </dev/null &
    echo $! >"$DIR/$2.watcher"
}

watch_stop() { # name
    kill "$(<"$DIR/$1.watcher")" 2>/dev/null || true
    wait "$(<"$DIR/$1.watcher")" 2>/dev/null || true
}

watched_all() { # name: three lines an event
    [ "$(wc -l <"$DIR/$1.watch")" -ge $((3 * $(wc -l <"$DIR/acked"))) ]
}

# What each saw is how the whole begins: nothing lost, doubled, or swapped.
watches_agree() { # member name...
    local member=$1 name
    shift
    watch_start "$member" whole
    wait_for 10 watched_all whole
    watch_stop whole
    for name in "$@"; do
        [ "$(wc -l <"$DIR/$name.watch")" -gt 30 ]
        cmp -n "$(stat -c %s "$DIR/$name.watch")" \
            "$DIR/$name.watch" "$DIR/whole.watch"
    done
}

# One member after the other is replaced by one of the other make.
move_to() { # program numbers...
    local program=$1 i old
    shift
    for i in "$@"; do
        old=$(members | head -n 1)
        member_add "$i" --learner
        echo "$program" >"$DIR/$i.as"
        learns_and_votes "$i"
        writes_go_on
        # A power cut of one of them in each phase.
        node_kill "$i"
        run_member "$i"
        wait_for 20 node_healthy "$i"
        watch_start "$i" "$i"
        all_connected
        member_drop "$old"
        writes_go_on
        all_connected
    done
}

@test "3 etcd -> 3 cofre -> 3 etcd under writes, a watch and a lease" {
    local lease i
    PROGRAM=$ETCD start_cluster 3
    fill /a/
    lease=$(ctl lease grant 600 | awk '{ print $2 }')
    ctl put --lease="$lease" /leased here
    writer_start
    writes_go_on
    move_to "$COFRE" 4 5 6
    hashes_agree
    has "$(ctl lease timetolive "$lease" --keys)" "/leased"
    move_to "$ETCD" 7 8 9
    writer_stop
    nothing_lost
    for i in 7 8 9; do wait_for 10 watched_all "$i"; done
    for i in $(seq 4 9); do watch_stop "$i"; done
    watches_agree 9 4 5 6 7 8 9
    hashes_agree
    has "$(ctl lease timetolive "$lease" --keys)" "/leased"
    is here "$(ctl get /leased --print-value-only)"
}
