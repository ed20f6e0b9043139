#!/usr/bin/env bats
# A member was away and comes back: from the log, or by the store's image.
load helper

teardown() {
    show_logs
    cluster_stop
    [ -z "${ROOM:-}" ] || umount "$ROOM"
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

# What was filled has left the log of a member: nobody is waited for any
# more. It looks only when something is applied.
log_is_gone() { # member
    ctl_on "$1" put /applied 1 >/dev/null
    curl -s --max-time 2 "$(node_url "$1")/metrics" |
        awk '$1 == "cofre_raft_log_bytes" { found = $2 < 1000000 }
            END { exit !found }'
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
    wait_for 15 log_is_gone "$(leader)"
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

hash_on() { # member
    ctl_on "$1" endpoint hashkv -w json | jq -r '.[0].HashKV.hash'
}

same_hash() { # member member
    [ "$(hash_on "$1")" = "$(hash_on "$2")" ]
}

anonymous_kb() { # member
    awk '/^RssAnon:/ { print $2 }' "/proc/$(<"$DIR/$1.pid")/status"
}

store_bytes() { # member
    stat -c %s "$DIR/$1.data/member/store.mdb"
}

# Milliseconds of day at which a member began to send an image.
sendings() { # member
    grep 'sending database snapshot' "$DIR/$1.log" |
        sed 's/.*"ts":"[^T]*T\(..\):\(..\):\(..\)\.\(...\).*/\1 \2 \3 \4/' |
        awk '{ print (($1 * 60 + $2) * 60 + $3) * 1000 + $4 }'
}

sent_at_least() { # member count
    [ "$(sendings "$1" | wc -l)" -ge "$2" ]
}

@test "a full disk refuses the image, is not flooded, and recovers" {
    local member lead room at
    [ "$(id -u)" = 0 ] || skip "mounting takes root"
    cluster_init 3 --snapshot-count=100 --snapshot-catchup-entries=10
    room=$DIR/room
    mkdir "$room"
    mount -t tmpfs -o size=8m tmpfs "$room" || skip "no tmpfs here"
    for member in 1 2; do node_start "$member"; done
    ROOM=$room
    node_start 3 --wal-dir "$DIR/3.wal" --data-dir "$room/data"
    for member in 1 2 3; do wait_for 15 node_healthy "$member"; done
    lead=$(leader)
    if [ "$lead" = 3 ]; then
        ctl_on 3 move-leader "$(ctl member list | grep ", m1, " | cut -d, -f1)"
        lead=1
    fi
    node_kill 3
    fill /missed/ 2000 10000
    for at in $(seq 150); do ctl put /last "$at" >/dev/null; done
    wait_for 15 log_is_gone "$lead"
    node_start 3 --wal-dir "$DIR/3.wal" --data-dir "$room/data"
    wait_for 30 sent_at_least "$lead" 5
    has "$(cat "$DIR/3.log")" "No space left on device"
    # It lives with what it had, and the pauses grow: 100, 200, 400, 800 ms.
    node_alive 3
    mapfile -t at < <(sendings "$lead")
    [ $((at[4] - at[3])) -ge 800 ]
    mount -o remount,size=200m "$room"
    wait_for 60 node_healthy 3
    is 150 "$(ctl_on 3 get /last --print-value-only)"
    wait_for 15 same_hash "$lead" 3
}

@test "a member that is 1 GB behind catches up under writes, in bounded memory" {
    local member lead before i
    [ "$(df --output=avail -B1M "$BATS_FILE_TMPDIR" | tail -n1)" -gt 8000 ] ||
        skip "less than 8 GB of free disk"
    cluster_init 3
    cluster_start
    lead=$(leader)
    member=$(a_follower)
    node_kill "$member"
    head -c 1000000 /dev/urandom | base64 -w0 | head -c 1000000 >"$DIR/value"
    # 1,100 values of 1 MB, all different by key and all kept.
    seq 1100 | xargs -P 4 -I{} sh -c \
        "'$COFRECTL' --endpoints='$(endpoints)' --command-timeout=30s \
            put /big/{} <'$DIR/value' >/dev/null"
    is 1100 "$(ctl_on "$lead" get /big/ --prefix --count-only --write-out=fields |
        sed -n 's/^"Count" : //p')"
    before=$(store_bytes "$lead")
    node_start "$member"
    # The others go on while it fetches the image.
    for ((i = 0; i < 50; i++)); do
        ctl_on "$lead" put "/small/$i" x >/dev/null
    done
    wait_for 120 node_healthy "$member"
    wait_for 60 same_hash "$lead" "$member"
    has "$(cat "$DIR/$member.log")" "applied snapshot"
    is x "$(ctl_on "$member" get /small/49 --consistency=s --print-value-only)"
    # Neither holds the gigabyte in memory, and the sender's file has grown by
    # little more than what was written meanwhile.
    [ "$(anonymous_kb "$member")" -lt 400000 ]
    [ "$(anonymous_kb "$lead")" -lt 400000 ]
    [ "$(store_bytes "$lead")" -lt $((before + (100 << 20))) ]
}
