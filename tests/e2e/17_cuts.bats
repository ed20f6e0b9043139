#!/usr/bin/env bats
# Links that fail in one direction only: each member in a network namespace
# of its own, on one bridge, and nftables to drop what leaves for another.
load helper

NET=10.97.45

need_namespaces() {
    [ "$(id -u)" = 0 ] && command -v nft >/dev/null &&
        ip netns add "probe-$TAG" 2>/dev/null &&
        ip netns exec "probe-$TAG" nft list ruleset >/dev/null 2>&1 || {
        ip netns del "probe-$TAG" 2>/dev/null || true
        skip "no network namespaces with nftables here"
    }
    ip netns del "probe-$TAG"
}

in_ns() { # number, or hub
    local ns=$TAG-$1
    shift
    ip netns exec "$ns" "$@"
}

# Members 1 2 3 at $NET.1 .2 .3; the clients are on the bridge, at $NET.100.
net_start() {
    local i
    ip netns add "$TAG-hub"
    in_ns hub ip link add br0 type bridge
    in_ns hub ip addr add "$NET.100/24" dev br0
    in_ns hub ip link set lo up
    in_ns hub ip link set br0 up
    for i in 1 2 3; do
        ip netns add "$TAG-$i"
        in_ns hub ip link add "port$i" type veth peer name eth0 \
            netns "$TAG-$i"
        in_ns hub ip link set "port$i" master br0 up
        in_ns "$i" ip addr add "$NET.$i/24" dev eth0
        in_ns "$i" ip link set lo up
        in_ns "$i" ip link set eth0 up
        in_ns "$i" nft -f - <<'NFT'
table ip cut {
    chain out {
        type filter hook output priority 0; policy accept;
    }
}
NFT
    done
}

setup() {
    DIR=$(mktemp -d "$BATS_TEST_TMPDIR/cuts.XXXXXX")
    export DIR
    TAG=cuts-${DIR##*.}
    need_namespaces
    net_start
    local i
    for i in 1 2 3; do member_start "$i"; done
    for i in 1 2 3; do wait_for 15 healthy "$i"; done
}

teardown() {
    local ns
    if [ -n "${WRITER:-}" ]; then kill "$WRITER" 2>/dev/null || true; fi
    show_logs
    cluster_stop
    for ns in hub 1 2 3; do ip netns del "$TAG-$ns" 2>/dev/null || true; done
}

# Not by in_ns: the number kept must be the node's own.
member_start() {
    ip netns exec "$TAG-$1" "$COFRE" --name "m$1" --data-dir "$DIR/$1.data" \
        --listen-client-urls "http://$NET.$1:2379" \
        --advertise-client-urls "http://$NET.$1:2379" \
        --listen-peer-urls "http://$NET.$1:2380" \
        --initial-advertise-peer-urls "http://$NET.$1:2380" \
        --initial-cluster "m1=http://$NET.1:2380,m2=http://$NET.2:2380,m3=http://$NET.3:2380" \
        --initial-cluster-token "$TAG" >>"$DIR/$1.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/$1.pid"
}

healthy() {
    in_ns hub curl -sf --max-time 2 "http://$NET.$1:2379/health" |
        grep -q '"true"'
}

ask() { # member cofrectl-arg...
    local i=$1
    shift
    in_ns hub "$COFRECTL" --endpoints="$NET.$i:2379" "$@"
}

leader_by() { # member: whom it takes for the leader
    local i
    for i in 1 2 3; do
        if [ "$(ask "$i" --command-timeout=2s endpoint status -w json |
            jq -r '.[0].Status.header.member_id')" = "$(ask "$1" \
            --command-timeout=2s endpoint status -w json |
            jq -r '.[0].Status.leader')" ]; then
            echo "$i"
            return
        fi
    done
    return 1
}

# What `from` sends to `to` is lost, as on a bad cable; the other way is well.
cut_way() { # from to
    in_ns "$1" nft add rule ip cut out ip daddr "$NET.$2" drop
}

heal() {
    local i
    for i in 1 2 3; do in_ns "$i" nft flush chain ip cut out; done
}

other_leads() { # member old-leader
    local now
    now=$(leader_by "$1") && [ "$now" != "$2" ]
}

# writer_start MEMBER...: writes numbered keys through these until it is told
# to stop, and notes those that were acknowledged.
writer_start() {
    local list
    list=$(printf ",$NET.%s:2379" "$@")
    : >"$DIR/acked"
    (
        n=0
        while [ ! -e "$DIR/stop" ]; do
            n=$((n + 1))
            ! ip netns exec "$TAG-hub" "$COFRECTL" --command-timeout=3s \
                --endpoints="${list#,}" \
                put "/w/$n" "$n" >/dev/null 2>&1 || echo "$n" >>"$DIR/acked"
        done
    ) 3>&- &
    WRITER=$!
}

acked_more() { # than
    [ "$(wc -l <"$DIR/acked")" -gt "$1" ]
}

writes_go_on() {
    wait_for 20 acked_more "$(($(wc -l <"$DIR/acked") + 20))"
}

# Every acknowledged write is there, on each member, and they agree.
nothing_lost() {
    local i
    : >"$DIR/stop"
    wait "$WRITER" || true
    WRITER=
    for i in 1 2 3; do
        wait_for 20 holds_acked "$i"
    done
    wait_for 20 hashes_agree
}

holds_acked() {
    ask "$1" get /w/ --prefix --print-value-only | grep . | sort >"$DIR/$1.has"
    [ -z "$(sort "$DIR/acked" | comm -23 - "$DIR/$1.has")" ]
}

hashes_agree() {
    local rev
    rev=$(ask 1 get /w/1 -w json | jq .header.revision)
    [ "$(for i in 1 2 3; do
        ask "$i" endpoint hashkv --rev="$rev" -w json |
            jq '.[0].HashKV.hash'
    done | sort -u | wc -l)" = 1 ]
}

@test "a leader that is heard but hears nobody is replaced" {
    local lead other
    lead=$(leader_by 1)
    other=$((lead % 3 + 1))
    # A client of the one that is cut off would wait with it.
    writer_start "$other" $((other % 3 + 1))
    writes_go_on
    # The others' words to it are lost, its own arrive.
    cut_way "$other" "$lead"
    cut_way $((other % 3 + 1)) "$lead"
    wait_for 20 other_leads "$other" "$lead"
    writes_go_on
    heal
    wait_for 20 healthy "$lead"
    writes_go_on
    nothing_lost
}

@test "a leader that hears but is not heard is replaced" {
    local lead other
    lead=$(leader_by 1)
    other=$((lead % 3 + 1))
    # A client of the one that is cut off would wait with it.
    writer_start "$other" $((other % 3 + 1))
    writes_go_on
    cut_way "$lead" "$other"
    cut_way "$lead" $((other % 3 + 1))
    wait_for 20 other_leads "$other" "$lead"
    writes_go_on
    # Alone it answers no linearizable read.
    run ask "$lead" --command-timeout=1s get /w/1
    [ "$status" != 0 ]
    heal
    wait_for 20 healthy "$lead"
    writes_go_on
    nothing_lost
}

@test "a follower that is not heard disturbs nobody" {
    local lead member term
    lead=$(leader_by 1)
    member=$((lead % 3 + 1))
    writer_start "$lead" $((member % 3 + 1))
    writes_go_on
    term=$(ask "$lead" endpoint status -w json | jq '.[0].Status.raftTerm')
    cut_way "$member" "$lead"
    cut_way "$member" $((member % 3 + 1))
    writes_go_on
    writes_go_on
    heal
    wait_for 20 healthy "$member"
    is "$term" "$(ask "$lead" endpoint status -w json |
        jq '.[0].Status.raftTerm')"
    nothing_lost
}

@test "two followers that cannot reach each other, and a leader for both" {
    local lead a b
    lead=$(leader_by 1)
    a=$((lead % 3 + 1))
    b=$((a % 3 + 1))
    writer_start 1 2 3
    cut_way "$a" "$b"
    cut_way "$b" "$a"
    writes_go_on
    # The leader goes: who is elected needs the other's vote, and they can
    # reach each other only when the net is whole again.
    node_kill "$lead"
    run ask "$a" --command-timeout=2s put /alone 1
    [ "$status" != 0 ]
    heal
    wait_for 20 healthy "$a"
    writes_go_on
    member_start "$lead"
    wait_for 20 healthy "$lead"
    nothing_lost
}

# Renews the leases of $DIR/leases through a member, and notes in $DIR/kept
# those that it has answered for.
renew_all() { # member
    local id
    while read -r id; do
        ! ask "$1" --command-timeout=1s lease keep-alive --once "$id" \
            2>/dev/null | grep -q 'keepalived with TTL(10)' ||
            echo "$id" >>"$DIR/kept"
    done <"$DIR/leases"
}

# What fell due at the old leader, just as it found that it leads no more, is
# not ended by the next one, who has renewed it.
@test "a lease that is kept at the next leader is not ended by the last" {
    local lead other id
    lead=$(leader_by 1)
    other=$((lead % 3 + 1))
    for _ in $(seq 20); do
        ask "$lead" lease grant 10 | cut -d' ' -f2 >>"$DIR/leases"
    done
    # They fall due one after the other, from a second after the cut on.
    while read -r id; do
        ask "$lead" lease keep-alive --once "$id" >/dev/null
        sleep 0.06
    done <"$DIR/leases"
    sleep 7.6
    for i in 1 2 3; do
        [ "$i" = "$lead" ] || { cut_way "$i" "$lead" && cut_way "$lead" "$i"; }
    done
    wait_for 20 other_leads "$other" "$lead"
    for _ in 1 2 3 4 5; do renew_all "$other"; done
    heal
    wait_for 20 healthy "$lead"
    for _ in 1 2 3; do renew_all "$other"; done
    ask "$other" lease list | tail -n +2 | sort >"$DIR/there"
    [ "$(sort -u "$DIR/kept" | wc -l)" -ge 10 ]
    [ -z "$(sort -u "$DIR/kept" | comm -23 - "$DIR/there")" ]
}
