#!/usr/bin/env bats
# The gRPC proxy and who is there: endpoints out of the member list, and
# proxies that register themselves and name each other.
load helper
load members
load proxy

teardown() {
    show_logs
    cluster_stop
}

# resolver_start NAME TTL [FLAG...]: one that registers itself.
resolver_start() {
    local name=$1 ttl=$2
    shift 2
    proxy_start "$name" --resolver-prefix proxies \
        --resolver-ttl "$ttl" "$@"
}

key_of() { # NAME
    echo "proxies/$(address "$1")"
}

registered() { # NAME
    [ -n "$(ctl get "$(key_of "$1")" --keys-only)" ]
}

unregistered() { # NAME
    [ -z "$(ctl get "$(key_of "$1")" --keys-only)" ]
}

registered_more() { # NAME COUNT: oftener than that
    [ "$(grep -c "registered session" "$DIR/$1.log")" -gt "$2" ]
}

# The lease of the entry, in hex.
lease_of() { # NAME
    printf '%x' "$(ctl get "$(key_of "$1")" -w fields |
        sed -n 's/^"Lease" : //p')"
}

# Who a client would go to, by a proxy's word.
named_by() { # CLIENT PROXY
    "$1" --endpoints="$(address "$2")" member list -w json |
        jq -r '.members[].clientURLs[]' | sort | paste -sd' '
}

names() { # PROXY NAME...: it names these and no others
    local proxy=$1
    shift
    [ "$(named_by "$COFRECTL" "$proxy")" = \
        "$(for n; do address "$n"; done | sort | paste -sd' ')" ]
}

# Calls that a member was sent.
calls_of() { # member RPC
    curl -s "$(node_url "$1")/metrics" | sed -n \
        "s/^grpc_server_started_total{.*grpc_method=\"$2\".*} //p"
}

called_more() { # member RPC COUNT
    [ "$(calls_of "$1" "$2")" -gt "$3" ]
}

watch_lines() { # NAME: "key value" a line, puts alone
    sed '/^PUT$/d; /^$/d' "$DIR/$1.log" | paste -d' ' - -
}

has_line() { # NAME LINE
    watch_lines "$1" | grep -qx "$2"
}

# ---- registered proxies

@test "a proxy registers under a lease that it keeps, and goes with a signal" {
    local lease
    start_cluster 1
    resolver_start one 5
    wait_for 10 registered one
    is "{\"Op\":0,\"Addr\":\"$(address one)\",\"Metadata\":\"\
{\\\"name\\\":\\\"$(hostname)\\\"}\"}" \
        "$(ctl get "$(key_of one)" --print-value-only)"
    lease=$(lease_of one)
    has "$(ctl lease timetolive "$lease" --keys)" \
        "attached keys([$(key_of one)])"
    has "$(ctl lease timetolive "$lease")" "granted with TTL(5s)"
    grep -q '"registered session with lease","addr":"127.*"lease-ttl":5' \
        "$DIR/one.log"
    # Longer than the lease would live by itself.
    wait_for 20 called_more 1 LeaseKeepAlive 3
    is "$lease" "$(lease_of one)"
    node_signal one TERM
    wait_for 10 node_dead one
    unregistered one
    has "$(ctl lease list)" "found 0 leases"
    is 1 "$(grep -c 'registered session' "$DIR/one.log")"
}

@test "one that is killed goes with its lease" {
    start_cluster 1
    resolver_start one 5
    resolver_start two 60
    wait_for 10 names two one two
    node_kill one
    registered one
    wait_for 20 unregistered one
    wait_for 10 names two two
    registered two
}

@test "the entry outlives a member that is killed, and comes back when lost" {
    local lease count
    start_cluster 1
    resolver_start long 60
    resolver_start short 2
    wait_for 10 names long long short
    lease=$(lease_of long)
    node_kill 1
    names long long short
    wait_for 20 grep -q "session expired" "$DIR/short.log"
    grep -q "creating a new session to rejoin" "$DIR/short.log"
    run ! grep -q "session expired" "$DIR/long.log"
    run_member 1
    wait_for 15 node_healthy 1
    wait_for 20 registered_more short 1
    wait_for 20 registered short
    is "$lease" "$(lease_of long)"
    wait_for 20 names long long short
    wait_for 20 names short long short
    # The lease is taken away: it registers anew.
    count=$(grep -c "registered session" "$DIR/short.log")
    ctl lease revoke "$(lease_of short)"
    wait_for 20 registered_more short "$count"
    wait_for 20 names long long short
}

@test "registered below a namespace, for those who share it" {
    start_cluster 1
    resolver_start one 60 --namespace ns/
    resolver_start two 60 --namespace ns/
    resolver_start other 60
    wait_for 10 names one one two
    wait_for 10 names two one two
    wait_for 10 names other other
    is 2 "$(ctl get ns/proxies/ --prefix --keys-only | grep -c proxies)"
    # Entries that others wrote, and one that says nothing.
    ctl put proxies/strange nonsense
    ctl put proxies/hand '{"Addr":"10.0.0.1:1"}'
    wait_for 10 eval 'named_by "$COFRECTL" other | grep -q "10.0.0.1:1"'
    is "10.0.0.1:1 $(address other)" "$(named_by "$COFRECTL" other)"
    ctl compaction "$(ctl get x -w json | jq .header.revision)"
    ctl del proxies/hand
    wait_for 10 names other other
}

@test "before a member is reached, a proxy names itself" {
    cluster_init 1
    echo 1 >"$DIR/set"
    resolver_start one 60
    names one one
    node_signal one TERM
    wait_for 10 node_dead one
    run ! grep -q "registered session" "$DIR/one.log"
}

@test "beside etcd's own proxy: the same prefix, the same list" {
    local client
    [ -n "${ETCD:-}" ] && [ -n "$ETCDCTL37" ] || skip "no stock etcd"
    start_cluster 1
    resolver_start ours 2
    PROXY=$ETCD resolver_start theirs 2 --data-dir "$DIR/theirs.data"
    PROXY=$ETCD resolver_start more 2 --data-dir "$DIR/more.data"
    for proxy in ours theirs more; do
        wait_for 20 names "$proxy" ours theirs more
    done
    for client in "$COFRECTL" "$ETCDCTL37"; do
        is "$(named_by "$client" theirs)" "$(named_by "$client" ours)"
    done
    # Only the address differs.
    is "$(ctl get "$(key_of theirs)" --print-value-only |
        sed "s/$(address theirs)/A/")" \
        "$(ctl get "$(key_of ours)" --print-value-only |
            sed "s/$(address ours)/A/")"
    is "$(through theirs member list | cut -d, -f2-4 | sort | uniq -c)" \
        "$(through ours member list | cut -d, -f2-4 | sort | uniq -c)"
    node_stop ours
    wait_for 20 unregistered ours
    wait_for 20 names theirs theirs more
    node_stop more
    wait_for 20 names theirs theirs
    resolver_start back 2
    wait_for 20 names theirs theirs back
    wait_for 20 names back theirs back
}

@test "behind it an etcd: the lease, the key and the list are the same" {
    local lease
    [ -n "${ETCD:-}" ] || skip "no stock etcd"
    PROGRAM=$ETCD start_cluster 1
    resolver_start one 5
    resolver_start two 5
    wait_for 10 names one one two
    wait_for 10 names two one two
    lease=$(lease_of one)
    wait_for 30 called_more 1 LeaseKeepAlive 8
    is "$lease" "$(lease_of one)"
    node_stop one
    wait_for 10 names two two
    has "$(ctl lease list)" "found 1 leases"
}

refuses() { # TEXT FLAG...: ours and etcd's alike
    local text=$1 program
    shift
    for program in "$COFRE" ${ETCD:+"$ETCD"}; do
        run "$program" grpc-proxy start "$@"
        is 1 "$status"
        is "$text" "${lines[-1]}"
    done
}

@test "flags about registering: the words are etcd's" {
    cluster_init 1
    refuses "invalid resolver-ttl 0" --resolver-prefix x
    refuses "invalid resolver-ttl -3" --resolver-prefix x --resolver-ttl -3
    refuses 'invalid resolver-prefix ""' --resolver-ttl 5
    refuses 'invalid advertise-client-url ""' --resolver-prefix x \
        --resolver-ttl 5 --advertise-client-url=
}

# ---- endpoints from the member list

endpoints_are() { # COUNT, of the proxy's last change
    is "\"count\":$1}" "$(grep 'set etcd endpoints by autoSync' \
        "$DIR/proxy.log" | tail -n 1 | grep -o '"count":.*')"
}

@test "a proxy that was given one member learns the others and goes on" {
    local i before
    start_cluster 3
    proxy_start_at proxy "127.0.0.1:$(<"$DIR/1.client")" \
        --endpoints-auto-sync-interval 200ms
    wait_for 10 endpoints_are 3
    background watch "$COFRECTL" --endpoints="$(address proxy)" \
        watch k --prefix
    wait_for 10 eval 'through proxy put k0 v0 && has_line watch "k0 v0"'
    for i in 2 3; do
        before=$(calls_of "$i" Put)
        wait_for 10 eval "through proxy put x 1 && called_more $i Put $before"
    done
    # The one that it was given is gone for good.
    node_kill 1
    for i in 1 2; do wait_for 20 through proxy put "k$i" "v$i"; done
    is "$(printf 'k2\nv2')" "$(through proxy get k2)"
    wait_for 20 has_line watch "k2 v2"
    sed -i '/^1$/d' "$DIR/set"
    wait_for 20 ctl member remove "$(id_of 1)"
    wait_for 10 endpoints_are 2
    # No call meets it any more, so none has to go around it.
    for i in 3 4 5 6; do through proxy put "k$i" "v$i"; done
    # A new one is asked as soon as it has started.
    all_connected
    member_add 4
    through proxy put k7 v7
    endpoints_are 2
    member_join 4
    wait_for 10 endpoints_are 3
    before=$(calls_of 4 Range)
    wait_for 10 eval "through proxy get x && called_more 4 Range $before"
    through proxy put k8 v8
    wait_for 20 has_line watch "k8 v8"
    is "$(printf 'k%s v%s\n' 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8)" \
        "$(watch_lines watch | grep -v 'k0' | uniq)"
}

@test "members leave by the book: a watch at one of them has no gap" {
    local i
    start_cluster 3
    proxy_start proxy --endpoints-auto-sync-interval 200ms
    background watch "$COFRECTL" --endpoints="$(address proxy)" \
        watch k --prefix
    wait_for 10 eval 'through proxy put k0 v0 && has_line watch "k0 v0"'
    # Each member goes once, by the book; the watch is at one of them.
    for i in 1 2; do
        member_drop "$i"
        wait_for 10 endpoints_are $((3 - i))
        wait_for 20 through proxy put "k$i" "v$i"
        wait_for 20 has_line watch "k$i v$i"
        all_connected
    done
    is "$(printf 'k%s v%s\n' 1 1 2 2)" "$(watch_lines watch | grep -v 'k0')"
}

failed_syncs_are() { # COUNT, or more
    [ "$(grep -c 'Auto sync endpoints failed' "$DIR/proxy.log")" -ge "$1" ]
}

@test "no answer: the endpoints stay as they are" {
    start_cluster 1
    # Frozen, so that nobody else takes its ports meanwhile.
    node_signal 1 STOP
    proxy_start proxy --endpoints-auto-sync-interval 100ms
    wait_for 20 failed_syncs_are 1
    node_signal 1 CONT
    wait_for 20 through proxy put a 1
    node_signal 1 STOP
    wait_for 20 failed_syncs_are 2
    node_signal 1 CONT
    wait_for 20 through proxy put a 2
    is "$(printf 'a\n2')" "$(through proxy get a)"
}
