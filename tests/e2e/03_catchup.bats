#!/usr/bin/env bats
# A member was away and comes back: from the log, or by the store's image.
load helper

teardown() {
    show_logs
    cluster_stop
}

fill() { # prefix count size: in transactions, so that it is quick
    local prefix=$1 count=$2 n value
    value=$(head -c "$3" /dev/zero | tr '\0' v)
    for ((n = 0; n < count; n += 100)); do
        {
            echo
            seq "$n" $((n + 99)) | sed "s,.*,put $prefix& $value,"
            echo
            echo
        } | ctl txn >/dev/null
    done
}

# The followers' first: neither the leader nor the other one.
a_follower() {
    local lead
    lead=$(leader)
    echo $((lead % 3 + 1))
}

caught_up() { # member
    local i
    for i in $(members); do wait_for 15 same_contents "$i" "$1"; done
}

@test "a member that was down takes what it missed from the log" {
    local member
    cluster_init 3
    cluster_start
    fill /before/ 100 10
    member=$(a_follower)
    node_kill "$member"
    fill /missed/ 500 10
    ctl del /before/ --prefix
    node_start "$member"
    wait_for 15 node_healthy "$member"
    caught_up "$member"
    is 500 "$(ctl_on "$member" get /missed/ --prefix --keys-only \
        --consistency=s | grep -c .)"
    run grep -c "applied snapshot" "$DIR/$member.log"
    is 0 "$output"
}

@test "a member for which the log is gone takes the store's image" {
    local member
    cluster_init 3 --snapshot-count=100 --snapshot-catchup-entries=10
    cluster_start
    fill /before/ 100 10
    member=$(a_follower)
    node_stop "$member"
    # More than any log in memory, and many snapshot intervals of entries.
    fill /missed/ 2000 4000
    for ((i = 0; i < 300; i++)); do echo "put /one/$i $i"; done >"$DIR/puts"
    while read -r _ key value; do
        ctl put "$key" "$value" >/dev/null
    done <"$DIR/puts"
    ctl del /before/ --prefix
    ctl compaction "$(ctl get /one/1 -w json | jq .header.revision)"
    node_start "$member"
    wait_for 30 node_healthy "$member"
    caught_up "$member"
    has "$(cat "$DIR/$member.log")" "applied snapshot"
    is 300 "$(ctl_on "$member" get /one/ --prefix --keys-only |
        grep -c .)"
    # And it is a full member again: it survives its own restart, leads, and
    # its word counts for a quorum.
    node_kill "$member"
    node_start "$member"
    wait_for 15 node_healthy "$member"
    node_stop $((member % 3 + 1))
    wait_for 10 ctl --command-timeout=2s put /quorum "of two"
    is "of two" "$(ctl_on "$member" get /quorum --print-value-only)"
}

@test "a watch from before and a lease live on across a member's absence" {
    local member id
    cluster_init 3
    cluster_start
    id=$(ctl lease grant 300 | awk '{ print $2 }')
    ctl put --lease="$id" /leased here
    member=$(leader)
    node_kill "$member"
    wait_for 10 ctl --command-timeout=1s put /other 1
    has "$(ctl lease timetolive "$id" --keys)" "[/leased]"
    node_start "$member"
    wait_for 15 node_healthy "$member"
    has "$(ctl_on "$member" lease timetolive "$id" --keys)" "[/leased]"
    is "lease $id revoked" "$(ctl_on "$member" lease revoke "$id")"
    is "" "$(ctl get /leased)"
}
