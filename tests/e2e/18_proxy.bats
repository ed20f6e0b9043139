#!/usr/bin/env bats
# The gRPC proxy and the TCP gateway, with stock clients and ours.
load helper
load proxy

teardown() {
    show_logs
    cluster_stop
}

# Our client at a proxy, in the background, as process $DIR/NAME.pid.
client_start() { # NAME PROXY ARG...
    local name=$1 at
    at=$(address "$2")
    shift 2
    background "$name" "$COFRECTL" --endpoints="$at" "$@"
}

metric() { # NAME METRIC
    curl -s "http://$(address "$1")/proxy/metrics" |
        awk -v n="etcd_grpc_proxy_$2_total" '$1 == n { print $2 }'
}

metric_is() { # NAME METRIC VALUE
    [ "$(metric "$1" "$2")" = "$3" ]
}

# The count of watches that a member has.
watchers_of() { # member
    curl -s "$(node_url "$1")/metrics" |
        awk '$1 == "etcd_debugging_mvcc_watcher_total" { print $2 }'
}

watchers_are() { # COUNT, on all members together
    local i sum=0
    for i in $(members); do
        node_dead "$i" || sum=$((sum + $(watchers_of "$i")))
    done
    [ "$sum" = "$1" ]
}

# grpc ADDRESS PATH HEX [HEADER]: headers and trailers of the answer.
grpc() {
    local body=$BATS_TEST_TMPDIR/body
    printf '%b' "\\x00\\x00\\x00\\x00\\x$(printf '%02x' $((${#3} / 2)))" \
        >"$body"
    printf '%b' "$(sed 's/../\\x&/g' <<<"$3")" >>"$body"
    nghttp -vn -t 10 -d "$body" -H ':method: POST' -H 'te: trailers' \
        -H 'content-type: application/grpc' ${4:+-H "$4"} "http://$1$2" |
        sed -n 's/.*recv (stream_id=[0-9]*) //p'
}

both_clients() {
    CLIENTS=("$COFRECTL")
    [ -z "$ETCDCTL37" ] || CLIENTS+=("$ETCDCTL37")
}

@test "put, get, del, txn, leases, locks and elections through the proxy" {
    local client at id
    cluster_init 3
    cluster_start
    proxy_start proxy
    both_clients
    for client in "${CLIENTS[@]}"; do
        at=("$client" --endpoints="$(address proxy)")
        is OK "$("${at[@]}" put k v1)"
        is "$(printf 'k\nv1')" "$("${at[@]}" get k)"
        is "$(printf 'OK\nk\nv1')" "$("${at[@]}" put k v2 --prev-kv)"
        has "$("${at[@]}" txn <<<$'value("k") = "v2"\n\nput t 1\nget k\n\n\n')" \
            $'SUCCESS\n\nOK\n\nk\nv2'
        is "$(printf '1\nk\nv2')" "$("${at[@]}" del k --prev-kv)"
        is "" "$("${at[@]}" get k)"
        id=$("${at[@]}" lease grant 60 | awk '{ print $2 }')
        "${at[@]}" put l 1 --lease="$id"
        has "$("${at[@]}" lease keep-alive --once "$id")" "keepalived with TTL(60)"
        has "$("${at[@]}" lease timetolive "$id" --keys)" "attached keys([l])"
        "${at[@]}" lease revoke "$id"
        is "" "$("${at[@]}" get l)"
        is held "$("${at[@]}" lock mutex echo held)"
        is "" "$("${at[@]}" get mutex --prefix)"
        # The client's address is the proxy's, whichever member answers.
        has "$("${at[@]}" member list)" "$(address proxy)"
        "${at[@]}" endpoint status | grep "3.7.1"
        "${at[@]}" snapshot save "$DIR/image.$(basename "$client")"
    done
    client_start elect proxy elect seat me
    wait_for 10 grep -q me "$DIR/elect.log"
    is me "$(through proxy get seat --prefix --print-value-only)"
    client_start observer proxy elect -l seat
    wait_for 10 grep -q me "$DIR/observer.log"
}

@test "a range of many keys, streamed and not, is the members'" {
    local n
    cluster_init 1
    cluster_start
    proxy_start proxy
    for n in $(seq 1 200); do echo "put key/$n $(printf '%0500d' "$n")"; done |
        while read -r line; do echo "$line"; done |
        split -l 100 - "$DIR/part."
    for n in "$DIR"/part.*; do
        { echo; cat "$n"; echo; echo; } | through proxy txn >/dev/null
    done
    is "$(ctl get key/ --prefix | md5sum)" \
        "$(through proxy get key/ --prefix | md5sum)"
    # RangeStream answers, with what a member answers.
    run grpc "$(address proxy)" /etcdserverpb.KV/RangeStream \
        0a046b65792f120100
    has "$output" "grpc-status: 0"
}

@test "a namespace: only its keys, everywhere" {
    local id
    cluster_init 1
    cluster_start
    proxy_start proxy --namespace ns/
    ctl put outside 1
    ctl put ns0 beyond
    through proxy put a 1
    through proxy put b 2
    is "$(printf 'ns/a\n1')" "$(ctl get ns/a)"
    is "$(printf 'a\n1\nb\n2')" "$(through proxy get "" --prefix)"
    is "$(printf 'b\n2')" "$(through proxy get b --from-key)"
    is "$(printf 'a\n1')" "$(through proxy get a b)"
    has "$(through proxy get "" --from-key --count-only -w fields)" \
        '"Count" : 2'
    has "$(through proxy txn <<<$'value("a") = "1"\n\nput c 3\nget a\n\n\n')" \
        $'SUCCESS\n\nOK\n\na\n1'
    is "$(printf 'ns/c\n3')" "$(ctl get ns/c)"
    client_start watch proxy watch "" --prefix --prev-kv
    wait_for 10 watchers_are 1
    through proxy put a 2
    ctl put ns/a 3
    ctl put ns0 more
    ctl put outside 2
    through proxy del a
    wait_for 10 grep -q DELETE "$DIR/watch.log"
    is "$(printf 'PUT\na\n1\na\n2\nPUT\na\n2\na\n3\nDELETE\na\n3\na')" \
        "$(sed '/^$/d' "$DIR/watch.log")"
    id=$(ctl lease grant 60 | awk '{ print $2 }')
    ctl put outside 3 --lease="$id"
    through proxy put inside 3 --lease="$id"
    has "$(through proxy lease timetolive "$id" --keys)" \
        "attached keys([inside])"
    is 3 "$(through proxy del "" --prefix)"
    is "$(printf 'ns0\nmore\noutside\n3')" "$(ctl get "" --prefix)"
    run grpc "$(address proxy)" /etcdserverpb.KV/Put 12017a
    has "$output" "grpc-status: 3"
    has "$output" "grpc-message: etcdserver: key is not provided"
}

@test "serializable reads come from the cache until the key is written" {
    local hits
    cluster_init 1
    cluster_start
    proxy_start proxy
    through proxy put a 1
    is "$(printf 'a\n1')" "$(through proxy get a)"
    # Filled by the linearizable read; a write past the proxy is not seen.
    ctl put a 2
    is "$(printf 'a\n1')" "$(through proxy get a --consistency=s)"
    is 1 "$(metric proxy cache_hits)"
    is "$(printf 'a\n2')" "$(through proxy get a)"
    is "$(printf 'a\n2')" "$(through proxy get a --consistency=s)"
    through proxy put a 3
    is "$(printf 'a\n3')" "$(through proxy get a --consistency=s)"
    through proxy put b 1
    is "$(printf 'a\n3')" "$(through proxy get a --consistency=s)"
    is 3 "$(metric proxy cache_hits)"
    through proxy get a z --consistency=s
    through proxy txn <<<$'\nput c 1\n\n\n'
    is "$(printf 'a\n3\nb\n1\nc\n1')" \
        "$(through proxy get a z --consistency=s)"
    through proxy del b
    is "$(printf 'a\n3\nc\n1')" "$(through proxy get a z --consistency=s)"
    # Another request is another answer, and one with a token of its own.
    is "$(printf 'a\n3')" "$(through proxy get a z --limit 1 --consistency=s)"
    hits=$(metric proxy cache_hits)
    grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801 'token: me'
    grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801 'token: you'
    is "$hits" "$(metric proxy cache_hits)"
    grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801 'token: you'
    is "$((hits + 1))" "$(metric proxy cache_hits)"
    # hasleader: a member is asked.
    grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801 'hasleader: true'
    is "$((hits + 1))" "$(metric proxy cache_hits)"
}

watch_lines() { # NAME: "key value" a line, puts alone
    sed '/^PUT$/d; /^$/d' "$DIR/$1.log" | paste -d' ' - -
}

has_line() { # NAME LINE
    watch_lines "$1" | grep -qx "$2"
}

@test "watches of a range share one; a member killed leaves no gap" {
    local i leader
    cluster_init 3
    cluster_start
    proxy_start proxy --dial-keepalive-time 10s
    for i in 1 2 3 4; do
        client_start "watch$i" proxy watch k --prefix
    done
    wait_for 10 metric_is proxy watchers_coalescing 3
    wait_for 10 watchers_are 1
    for i in 1 2 3; do through proxy put "k$i" "v$i"; done
    for i in 1 2 3 4; do wait_for 10 has_line "watch$i" "k3 v3"; done
    [ "$(metric proxy events_coalescing)" -ge 9 ]
    # The member that has the watch, whichever it is.
    for i in $(members); do
        [ "$(watchers_of "$i")" != 1 ] || leader=$i
    done
    node_kill "$leader"
    for i in 4 5 6; do
        wait_for 20 through proxy put "k$i" "v$i"
    done
    for i in 1 2 3 4; do
        wait_for 20 has_line "watch$i" "k6 v6"
        is "$(printf 'k%s v%s\n' 1 1 2 2 3 3 4 4 5 5 6 6)" \
            "$(watch_lines "watch$i" | uniq)"
        is "" "$(watch_lines "watch$i" | sort | uniq -d | grep -v 'k[456]')"
    done
    # A client that goes takes its watch along, the last one the shared one.
    for i in 1 2 3 4; do kill "$(<"$DIR/watch$i.pid")"; done
    wait_for 10 watchers_are 0
}

@test "watches in the past and from now on become one; compaction" {
    local i
    cluster_init 1
    cluster_start
    proxy_start proxy
    for i in 1 2 3 4 5; do through proxy put k "v$i"; done
    client_start past proxy watch k --rev 3
    client_start now proxy watch k
    wait_for 10 has_line past "k v5"
    # Each begins with a watch of its own; at the present they are one.
    wait_for 10 metric_is proxy watchers_coalescing 1
    wait_for 10 watchers_are 1
    through proxy put k v6
    wait_for 10 has_line past "k v6"
    wait_for 10 has_line now "k v6"
    is "$(printf 'k v%s\n' 2 3 4 5 6)" "$(watch_lines past)"
    is "k v6" "$(watch_lines now)"
    through proxy compaction 5
    for i in 1 2; do
        run through proxy watch k --rev 2
        has "$output" "required revision has been compacted"
    done
    run grpc "$(address proxy)" /etcdserverpb.KV/Range 0a016b2002
    has "$output" "grpc-status: 11"
}

@test "errors keep their codes" {
    cluster_init 1
    cluster_start
    proxy_start proxy
    run grpc "$(address proxy)" /etcdserverpb.KV/Put 12017a
    has "$output" "grpc-status: 3"
    run grpc "$(address proxy)" /etcdserverpb.Lease/LeaseRevoke 0807
    has "$output" "grpc-status: 5"
    has "$output" "grpc-message: etcdserver: requested lease not found"
    run grpc "$(address proxy)" /etcdserverpb.KV/Range 0a016b20e807
    has "$output" "grpc-status: 11"
    # A Txn with an operation that says nothing: a member's answer, and the
    # proxy lives.
    run grpc "$(address proxy)" /etcdserverpb.KV/Txn 1200
    has "$output" "grpc-status: 3"
    run grpc "$(address proxy)" /etcdserverpb.KV/Txn ff
    has "$output" "grpc-status: 13"
    run grpc "$(address proxy)" /grpc.health.v1.Health/Check ""
    has "$output" "grpc-status: 12"
    node_alive proxy
}

@test "hasleader is honoured, on a call and on a stream" {
    cluster_init 3
    cluster_start
    # In front of one member, which will be alone.
    echo 1 >"$DIR/count"
    proxy_start proxy
    through proxy put a 1
    client_start watch proxy watch a
    wait_for 10 watchers_are 1
    echo 3 >"$DIR/count"
    node_kill 2
    node_kill 3
    wait_for 20 eval 'grpc "$(address proxy)" /etcdserverpb.KV/Range \
        0a01613801 "hasleader: true" | grep "grpc-status: 14"'
    run grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801 \
        'hasleader: true'
    has "$output" "grpc-message: etcdserver: no leader"
    # Without it the member answers by itself.
    run grpc "$(address proxy)" /etcdserverpb.KV/Range 0a01613801
    has "$output" "grpc-status: 0"
    run grpc "$(address proxy)" /etcdserverpb.Watch/Watch 0a030a0161 \
        'hasleader: true'
    has "$output" "grpc-status: 14"
    has "$output" "grpc-message: etcdserver: no leader"
}

@test "nobody behind it: calls wait for their deadline, health says so" {
    cluster_init 1
    proxy_start proxy
    run through proxy --command-timeout=1s put a 1
    [ "$status" -ne 0 ]
    has "$output" "context deadline exceeded"
    run grpc "$(address proxy)" /etcdserverpb.Maintenance/Status ""
    has "$output" "grpc-status: 14"
    run curl -s -w '%{http_code}' "http://$(address proxy)/health"
    has "$output" '{"health":"false","reason":"GET ERROR:'
    has "$output" "503"
    is 500 "$(curl -s -o /dev/null -w '%{http_code}' \
        "http://$(address proxy)/metrics")"
    # A member comes: what waits goes on.
    client_start late proxy --command-timeout=60s put late 1
    node_start 1
    wait_for 20 grep -q OK "$DIR/late.log"
}

@test "its own paths over HTTP" {
    local at other
    cluster_init 1
    cluster_start
    other=$(free_port)
    proxy_start proxy --metrics-addr "http://127.0.0.1:$other"
    at=http://$(address proxy)
    is '{"health":"true","reason":""}' "$(curl -s "$at/health")"
    is '{"health":"true","reason":""}' "$(curl -s "$at/proxy/health")"
    is '{"health":"true","reason":""}' \
        "$(curl -s "http://127.0.0.1:$other/proxy/health")"
    is 405 "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$at/health")"
    is 404 "$(curl -s -o /dev/null -w '%{http_code}' "$at/version")"
    is 404 "$(curl -s -o /dev/null -w '%{http_code}' "$at/v3/kv/range")"
    curl -s "$at/metrics" | grep -q '^etcd_server_has_leader 1'
    through proxy get a
    curl -s "$at/proxy/metrics" >"$DIR/page"
    for name in cache_hits cache_keys cache_misses watchers_coalescing \
        events_coalescing; do
        grep -q "^etcd_grpc_proxy_${name}_total [0-9]" "$DIR/page"
    done
    grep -q 'grpc_server_started_total{.*"KV",grpc_method="Range"} [1-9]' \
        <(sed 's/etcdserverpb\.//' "$DIR/page")
    proxy_start quiet --advertise-client-url ""
    is '{"health":"false","reason":"no connection to proxy"}' \
        "$(curl -s "http://$(address quiet)/proxy/health")"
    has "$(through quiet member list)" "$(node_url 1)"
}

@test "flags: bad ones, those not built yet, help" {
    local flag
    cluster_init 1
    for word in grpc-proxy gateway; do
        run "$COFRE" "$word"
        is 0 "$status"
        has "$output" "Available Commands:"
        run "$COFRE" "$word" nonsense
        is 0 "$status"
        run "$COFRE" "$word" start --help
        is 0 "$status"
        has "$output" "--discovery-srv string"
        has "$output" "(not built yet, refused)"
        run "$COFRE" "$word" start --nonsense
        is 1 "$status"
        has "$output" "Error: unknown flag: --nonsense"
        is "unknown flag: --nonsense" "${lines[-1]}"
    done
    run "$COFRE" gateway start --trusted-ca-file=x
    is 1 "$status"
    has "$output" "--trusted-ca-file is not built into this version"
    for flag in --cert=x --key=x --cacert=x --cert-file=x --key-file=x \
        --trusted-ca-file=x --auto-tls --insecure-skip-tls-verify \
        --experimental-leasing-prefix=x; do
        run "$COFRE" grpc-proxy start "$flag"
        is 1 "$status"
        has "$output" "${flag%%=*} is not built into this version"
    done
    run "$COFRE" gateway start --retry-delay 5
    is 1 "$status"
    has "$output" "invalid argument \"5\" for \"--retry-delay\" flag: time: \
missing unit in duration \"5\""
    run "$COFRE" gateway start --endpoints nonsense
    is 1 "$status"
    is 'error parsing endpoint "nonsense"' "$output"
    run "$COFRE" gateway start --endpoints ""
    is "no endpoints found" "$output"
    run "$COFRE" gateway start --listen-addr 127.0.0.1:2379 \
        --endpoints 127.0.0.1:2379
    is 1 "$status"
    has "$output" "should not resolve to the gateway listen addr"
    run "$COFRE" grpc-proxy start --metrics-addr nonsense
    is 1 "$status"
    is 'cannot parse "nonsense"' "$output"
    run "$COFRE" grpc-proxy start --endpoints https://127.0.0.1:2379
    is 1 "$status"
    has "$output" "TLS is not built into this version"
}

@test "it ends by the signal, with clients on it" {
    cluster_init 1
    cluster_start
    proxy_start proxy
    client_start watch proxy watch a
    wait_for 10 watchers_are 1
    node_signal proxy TERM
    local status=0
    wait "$(<"$DIR/proxy.pid")" || status=$?
    is 143 "$status"
    wait_for 10 watchers_are 0
}

@test "behind it an etcd with users: every token for itself" {
    local root
    [ -n "${ETCD:-}" ] && [ -n "$ETCDCTL37" ] || skip "no stock etcd"
    cluster_init 1
    COFRE=$ETCD node_start 1
    wait_for 15 node_healthy 1
    proxy_start proxy
    root=("$ETCDCTL37" --endpoints="$(address proxy)" --user root:r)
    ctl_on 1 put secret 1
    "${root[@]:0:2}" user add root:r
    "${root[@]:0:2}" user add guest:g
    "${root[@]:0:2}" role add reader
    "${root[@]:0:2}" role grant-permission reader read open
    "${root[@]:0:2}" user grant-role guest reader
    is "$(printf 'secret\n1')" "$("${root[@]:0:2}" get secret --consistency=s)"
    "${root[@]:0:2}" auth enable
    # What was kept before is nobody's now.
    run "${root[@]:0:2}" get secret --consistency=s
    has "$output" "user name is empty"
    is "$(printf 'secret\n1')" "$("${root[@]}" get secret --consistency=s)"
    run "${root[@]:0:2}" --user guest:g get secret --consistency=s
    has "$output" "permission denied"
    "${root[@]}" put open 1
    is "$(printf 'open\n1')" "$("${root[@]:0:2}" --user guest:g get open)"
    # A watch of root's is none of the guest's.
    background watch "${root[@]}" watch secret
    wait_for 10 metric_is proxy watchers_coalescing 0
    run "${root[@]:0:2}" --user guest:g watch secret
    has "$output" "permission denied"
    "${root[@]}" put secret 2
    wait_for 10 grep -qx 2 "$DIR/watch.log"
}

# What stock clients see of the proxy, ours and etcd's.
proxy_words() { # NAME
    local at=("$ETCDCTL37" --endpoints="$(address "$1")")
    "${at[@]}" put k 1
    "${at[@]}" put k 2 --prev-kv
    "${at[@]}" get k --consistency=s
    "${at[@]}" get "" --prefix --keys-only
    "${at[@]}" txn <<<$'ver("k") > "0"\n\nput x 1\nget k\ndel nothing\n\n\n'
    "${at[@]}" get k -w json --consistency=s | jq -c '.kvs[0].value, .count'
    "${at[@]}" del k x --prev-kv
    curl -s "http://$(address "$1")/health"
    curl -s -o /dev/null -w '%{http_code}\n' -X PUT \
        "http://$(address "$1")/health"
    curl -s "http://$(address "$1")/nothing"
}

@test "beside etcd's own proxy" {
    [ -n "${ETCD:-}" ] && [ -n "$ETCDCTL37" ] || skip "no stock etcd"
    cluster_init 1
    cluster_start
    proxy_start ours --namespace ours/
    PROXY=$ETCD proxy_start theirs --namespace them/ \
        --data-dir "$DIR/theirs.data"
    proxy_words theirs >"$DIR/theirs.words"
    proxy_words ours >"$DIR/ours.words"
    diff "$DIR/theirs.words" "$DIR/ours.words"
    local words
    for words in "grpc-proxy start --nonsense" "gateway start --retry-delay 5" \
        "gateway start --endpoints nonsense"; do
        # shellcheck disable=SC2086
        run -1 "$COFRE" $words
        local ours=${lines[-1]}
        # shellcheck disable=SC2086
        run -1 "$ETCD" $words
        is "${lines[-1]}" "$ours"
    done
}

# ---- the TCP gateway

gateway_start() { # [FLAG...]
    local port
    port=$(free_port)
    echo "$port" >"$DIR/gateway.port"
    background gateway "$COFRE" gateway start --listen-addr "127.0.0.1:$port" \
        --endpoints "$(endpoints)" "$@"
    wait_for 10 listens "$port"
}

connections_of() { # member: clients that are connected
    grep -c "$(printf ' [0-9A-F]*:%04X [0-9A-F]*:[0-9A-F]* 01' \
        "$(<"$DIR/$1.client")")" /proc/net/tcp
}

@test "the TCP gateway: in turn, around an endpoint that is killed, and back" {
    local i
    cluster_init 3
    cluster_start
    gateway_start --retry-delay 1s
    for i in 1 2 3 4 5 6; do
        is OK "$(through gateway put "g$i" 1)"
    done
    has "$(through gateway get g --prefix --count-only -w fields)" \
        '"Count" : 6'
    client_start watch gateway watch g --prefix
    wait_for 10 watchers_are 1
    # More than one buffer both ways.
    head -c 1000000 /dev/zero | tr '\0' x >"$DIR/large"
    through gateway put large <"$DIR/large"
    is "$(md5sum <"$DIR/large")" \
        "$(through gateway get large --print-value-only | tr -d '\n' | md5sum)"
    node_kill 2
    for i in 1 2 3 4; do
        wait_for 20 through gateway put "h$i" 1
    done
    grep -q '"deactivated endpoint"' "$DIR/gateway.log"
    node_start 2
    wait_for 20 grep -q '"activated"' "$DIR/gateway.log"
    curl -s "http://$(address gateway)/health" | grep -q true
    # All gone: the client is closed, not left to wait.
    for i in 1 2 3; do node_kill "$i"; done
    run curl -s --max-time 10 "http://$(address gateway)/health"
    [ "$status" -ne 0 ] && [ "$status" -ne 28 ]
}
