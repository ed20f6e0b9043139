#!/usr/bin/env bats
# Endpoints by DNS SRV records. Everything runs in network and mount
# namespaces without a name: they are gone when the last process in them is.
# A dnsmasq answers there on 127.0.0.1 and ::1, for the domain "test" alone.
load helper

need_namespaces() {
    [ "$(id -u)" = 0 ] && [ -n "$(command -v dnsmasq)" ] &&
        [ -e /etc/resolv.conf ] &&
        unshare -m -n mount --bind /etc/hosts /etc/resolv.conf 2>/dev/null ||
        skip "no mount and network namespaces with dnsmasq here"
}

# All that the tests start goes in there by itself.
enter() { # NAME PROGRAM: prints the path of a program that enters first
    [ -n "$2" ] || return 0
    printf '#!/bin/sh\nexec nsenter -t %s -m -n -- "%s" "$@"\n' \
        "$(<"$DIR/ns.pid")" "$2" >"$DIR/in/$1"
    chmod +x "$DIR/in/$1"
    echo "$DIR/in/$1"
}

inside() {
    nsenter -t "$(<"$DIR/ns.pid")" -m -n -- "$@"
}

curl() {
    inside "$(type -P curl)" "$@"
}

setup() {
    PATH=$PATH:/usr/sbin:/sbin
    need_namespaces
    cluster_init 3
    mkdir "$DIR/in"
    echo "nameserver 127.0.0.1" >"$DIR/resolv.conf"
    # shellcheck disable=SC2016 # for that shell
    unshare -m -n sh -c 'ip link set lo up &&
        mount --bind "$DIR/resolv.conf" /etc/resolv.conf &&
        : >"$DIR/ns.ready" && exec sleep infinity' \
        >>"$DIR/ns.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/ns.pid"
    wait_for 10 [ -e "$DIR/ns.ready" ]
    COFRE=$(enter cofre "$COFRE")
    ln -s "$COFRECTL" "$DIR/etcdctl"
    AS_ETCDCTL=$(enter as_etcdctl "$DIR/etcdctl")
    COFRECTL=$(enter cofrectl "$COFRECTL")
    ETCD=$(enter etcd "${ETCD:-}")
    ETCDCTL37=$(enter etcdctl37 "$ETCDCTL37")
    both=("$COFRECTL" "$AS_ETCDCTL")
    [ -z "$ETCDCTL37" ] || both+=("$ETCDCTL37")
}

teardown() {
    show_logs
    cluster_stop
}

# NAME COMMAND...: its pid in $DIR/NAME.pid.
background() {
    local name=$1
    shift
    "$@" >>"$DIR/$name.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/$name.pid"
}

listens() { # port
    inside grep -qsi "$(printf ':%04X [0-9A-F]*:0000 0A' "$1")" /proc/net/tcp
}

dns_is_up() {
    inside grep -q ':0035 ' /proc/net/udp &&
        inside grep -q ':0035 ' /proc/net/udp6
}

# dns_start [ARG...]: m1 to m3.test are this machine.
dns_start() {
    background dns nsenter -t "$(<"$DIR/ns.pid")" -m -n -- dnsmasq \
        --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv \
        --bind-interfaces --listen-address=127.0.0.1,::1 --pid-file= \
        --user=root --log-facility=- --local=/test/ \
        --host-record=m1.test,127.0.0.1 --host-record=m2.test,127.0.0.1 \
        --host-record=m3.test,127.0.0.1 "$@"
    wait_for 10 dns_is_up
}

# srv SERVICE.DOMAIN MEMBER [PRIORITY WEIGHT]: the argument for dnsmasq.
srv() {
    local service=${1%%.*} domain=${1#*.}
    echo "--srv-host=_$service._tcp.$domain,m$2.test,$(<"$DIR/$2.client"),\
${3:-0},${4:-0}"
}

# No words of stock programs in the environment but those of a test.
lookup_error() { # DOMAIN REASON [SERVER]
    local on=${3- on 127.0.0.1:53}
    echo "dns lookup errors: lookup _etcd-client-ssl._tcp.$1$on: $2 and \
lookup _etcd-client._tcp.$1$on: $2"
}

# ---- clients

@test "a client finds its endpoints, by flag and by environment" {
    local c
    dns_start "$(srv etcd-client.a.test 1)" \
        "$(srv etcd-client-two.a.test 2)" "$(srv etcd-client.late.test 3 2 0)" \
        "--srv-host=_etcd-client._tcp.late.test,m1.test,1,1,0"
    cluster_start
    for c in "${both[@]}"; do
        is OK "$("$c" -d a.test put k "$c")"
        is "$(printf 'k\n%s' "$c")" "$("$c" --discovery-srv a.test get k)"
        is "$(printf 'k\n%s' "$c")" "$(ETCDCTL_DISCOVERY_SRV=a.test "$c" get k)"
        is OK "$("$c" -d a.test --discovery-srv-name two put k2 v)"
        # They come before --endpoints, one that is dead does no harm.
        is OK "$("$c" --endpoints=127.0.0.1:1 -d late.test put k2 v)"
    done
    # Every command asks them; etcdctl's endpoint commands ask --endpoints.
    has "$("$COFRECTL" -d a.test endpoint health 2>&1)" \
        "http://m1.test.:$(<"$DIR/1.client") is healthy"
    has "$("$COFRECTL" -d a.test --discovery-srv-name two endpoint health 2>&1)" \
        "http://m2.test.:$(<"$DIR/2.client") is healthy"
    is OK "$(COFRECTL_DISCOVERY_SRV=a.test COFRECTL_DISCOVERY_SRV_NAME=two \
        "$COFRECTL" put k3 v)"
}

# All say the same on standard error, and end the same.
all_fail() { # TEXT ARG...
    local c text=$1
    shift
    for c in "${both[@]}"; do
        run -1 --separate-stderr "$c" "$@" get k
        is "" "$output"
        # shellcheck disable=SC2154 # bats sets it
        is "Error: $text" "$stderr"
    done
}

@test "no records: whose fault it is" {
    dns_start --txt-record=_etcd-client._tcp.other.test,x \
        --srv-host=_etcd-client._tcp.none.test \
        --dns-rr=_etcd-client._tcp.odd.test,33,00010001094b0361206200
    all_fail "$(lookup_error nobody.test "no such host")" -d nobody.test
    all_fail "$(lookup_error other.test "no such host")" -d other.test
    all_fail "$(lookup_error "no name" "no such host" "")" -d "no name"
    all_fail "$(lookup_error elsewhere. "server misbehaving")" -d elsewhere.
    # A target "a b."
    all_fail "dns lookup errors: lookup _etcd-client-ssl._tcp.odd.test on \
127.0.0.1:53: no such host and lookup odd.test: DNS response contained records \
which contain invalid names" -d odd.test
    # "No service here" of RFC 2782 is nobody's endpoint.
    run -1 "$COFRECTL" -d none.test get k
    is "Error: $(lookup_error none.test "no such host")" "$output"
    # The server that answers is named; one that is not there is passed over.
    printf 'nameserver 127.0.0.9\nnameserver ::1\n' >"$DIR/resolv.conf"
    all_fail "$(lookup_error nobody.test "no such host" " on [::1]:53")" \
        -d nobody.test
    printf 'nameserver 127.0.0.9\noptions timeout:1 attempts:1\n' \
        >"$DIR/resolv.conf"
    run -1 "$COFRECTL" -d nobody.test get k
    is "Error: $(lookup_error nobody.test "the server cannot be reached" \
        " on 127.0.0.9:53")" "$output"
}

@test "the search list of resolv.conf, and servers in turn" {
    local c
    dns_start "$(srv etcd-client.svc.deep.test 1)"
    cluster_start
    printf '%s\n' "nameserver 127.0.0.9" "nameserver ::1" \
        "nameserver 127.0.0.1" "search no.test deep.test" >"$DIR/resolv.conf"
    for c in "${both[@]}"; do
        is OK "$("$c" -d svc put k v)"
    done
    all_fail "$(lookup_error svc. "server misbehaving")" -d svc.
    echo "options ndots:5" >>"$DIR/resolv.conf"
    for c in "${both[@]}"; do
        is OK "$("$c" -d svc put k v)"
        is OK "$("$c" -d svc.deep.test put k v)"
    done
}

@test "an answer that needs TCP; more records than are taken" {
    local c i records=()
    for i in $(seq 1 64); do
        records+=("--host-record=a-name-of-some-length-$i.test,127.0.0.1"
            "--srv-host=_etcd-client._tcp.many.test,\
a-name-of-some-length-$i.test,$(<"$DIR/1.client"),$i")
    done
    dns_start "${records[@]}" "$(srv etcd-client-ssl.more.test 1)" \
        "${records[@]//many.test/more.test}"
    node_start 1
    node_start 2
    wait_for 15 node_healthy 1
    for c in "${both[@]}"; do
        is OK "$("$c" -d many.test put k v)"
    done
    run -0 "$COFRECTL" -d many.test endpoint health
    is 64 "$(grep -c "is healthy" <<<"$output")"
    run -1 "$COFRECTL" -d more.test get k
    is "Error: SRV records of more.test: more than 64" "$output"
}

@test "what would need TLS is refused, never asked without" {
    local c
    dns_start "$(srv etcd-client-ssl.tls.test 1)" \
        "$(srv etcd-client-ssl.mixed.test 1)" \
        "$(srv etcd-client.mixed.test 2)" "$(srv etcd-client.plain.test 2)"
    cluster_start
    for c in "$COFRECTL" "$AS_ETCDCTL"; do
        for domain in tls mixed; do
            run -4 "$c" -d $domain.test put k v
            is "Error: --discovery-srv: endpoint \
https://m1.test.:$(<"$DIR/1.client"): TLS is not supported by this version" \
                "$output"
        done
    done
    # Without --insecure-discovery plain ones are passed over, aloud, and the
    # flag's are asked with TLS.
    for c in "${both[@]}"; do
        run --separate-stderr "$c" --insecure-discovery=false \
            --command-timeout=1s -d plain.test --endpoints "$(endpoints)" \
            put k v
        [ "$status" != 0 ]
        is "ignoring discovered insecure endpoint \
\"http://m2.test.:$(<"$DIR/2.client")\"" "$(head -n1 <<<"$stderr")"
    done
    run -4 "$COFRECTL" --insecure-discovery=false -d plain.test put k v
    has "$output" "Error: --insecure-discovery=false: TLS is not supported"
    is "" "$(ctl get k)"
}

# ---- gateway and gRPC proxy

# proxy_start WORD FLAG...: "gateway" or "grpc-proxy"; its port in $DIR/port.
proxy_start() {
    local word=$1
    shift
    free_port >"$DIR/port"
    background "$word" "${PROXY:-$COFRE}" "$word" start \
        --listen-addr "127.0.0.1:$(<"$DIR/port")" "$@"
    wait_for 10 listens "$(<"$DIR/port")"
}

through() {
    "$COFRECTL" --endpoints="127.0.0.1:$(<"$DIR/port")" "$@"
}

id_of() { # client arguments: the id of the member that answers
    "$@" endpoint status -w json | jq .[0].Status.header.member_id
}

leads_to() { # MEMBER: a new connection through the gateway ends there
    [ "$(id_of through)" = "$(<"$DIR/$1.id")" ]
}

note_ids() {
    local i
    for i in $(members); do id_of ctl_on "$i" >"$DIR/$i.id"; done
}

@test "gateway: the lowest priority first, the next when it is gone, and back" {
    local i
    dns_start "$(srv etcd-client.g.test 1 10 1)" \
        "$(srv etcd-client.g.test 2 5 1)" "$(srv etcd-client.g.test 3 20 1)"
    cluster_start
    note_ids
    proxy_start gateway --discovery-srv g.test --insecure-discovery \
        --retry-delay 1s
    has "$(<"$DIR/gateway.log")" '"discovered cluster from SRV"'
    is OK "$(through put k v)"
    for i in $(seq 1 10); do leads_to 2; done
    node_kill 2
    for i in $(seq 1 10); do leads_to 1; done
    has "$(<"$DIR/gateway.log")" \
        "\"address\":\"m2.test.:$(<"$DIR/2.client")\""
    node_kill 1
    for i in $(seq 1 10); do leads_to 3; done
    node_start 2
    wait_for 20 leads_to 2
}

@test "gateway: by weight, and in turn without" {
    dns_start "$(srv etcd-client.w.test 1 1 1)" \
        "$(srv etcd-client.w.test 2 1 2)" "$(srv etcd-client.w.test 3 2 9)" \
        "$(srv etcd-client-turn.w.test 1)" "$(srv etcd-client-turn.w.test 2)"
    local i first
    cluster_start
    note_ids
    proxy_start gateway --discovery-srv w.test --insecure-discovery
    wait_for 30 leads_to 1
    wait_for 30 leads_to 2
    for i in $(seq 1 20); do run ! leads_to 3; done
    node_kill gateway
    proxy_start gateway --discovery-srv w.test --insecure-discovery \
        --discovery-srv-name turn
    first=1
    leads_to 1 || first=2
    for i in 1 2 3 4; do
        leads_to $((3 - first))
        leads_to $first
    done
}

@test "gateway: records with TLS are as good; others only when they are wanted" {
    dns_start "$(srv etcd-client-ssl.s.test 2)" "$(srv etcd-client.s.test 3)" \
        "$(srv etcd-client.p.test 3)" \
        "--srv-host=_etcd-client-ssl._tcp.dead.test,m1.test,1"
    cluster_start
    note_ids
    local i
    for PROXY in "$COFRE" $ETCD; do
        rm -f "$DIR/gateway.log"
        proxy_start gateway --discovery-srv s.test \
            --endpoints "127.0.0.1:$(<"$DIR/1.client")"
        for i in 1 2 3 4; do leads_to 2; done
        has "$(<"$DIR/gateway.log")" "failed to validate discovered endpoints"
        has "$(<"$DIR/gateway.log")" \
            "\\\"http://m3.test.:$(<"$DIR/3.client")\\\" is insecure"
        node_kill gateway
        for domain in p dead; do
            proxy_start gateway --discovery-srv $domain.test \
                --endpoints "127.0.0.1:$(<"$DIR/1.client")"
            for i in 1 2 3 4; do leads_to 1; done
            node_kill gateway
        done
    done
}

# Ours and etcd's say the same where they do not start.
proxies_say() { # TEXT ARG...
    local p text=$1
    shift
    for p in "$COFRE" $ETCD; do
        run -1 timeout 30 "$p" "$@"
        is "$text" "$(grep -v '^{' <<<"$output")"
    done
}

@test "proxies that do not start: no records, a loop" {
    local port word
    port=$(free_port)
    dns_start "--srv-host=_etcd-client._tcp.loop.test,m1.test,$port" \
        "--srv-host=_etcd-client._tcp.lost.test,nowhere.test,$port"
    for word in gateway grpc-proxy; do
        proxies_say "$(lookup_error nobody.test "no such host")" \
            $word start --listen-addr "127.0.0.1:$port" \
            --discovery-srv nobody.test
    done
    printf 'nameserver %s\n' ::9 127.0.0.9 ::1 >"$DIR/resolv.conf"
    proxies_say "$(lookup_error nobody.test "no such host" " on [::1]:53")" \
        gateway start --discovery-srv nobody.test
    printf 'nameserver %s\n' ::9 127.0.0.1 ::1 >"$DIR/resolv.conf"
    proxies_say "SRV or endpoint (m1.test.:$port->127.0.0.1:$port) should not \
resolve to the gateway listen addr (127.0.0.1:$port)" \
        gateway start --listen-addr "127.0.0.1:$port" \
        --discovery-srv loop.test --insecure-discovery
    proxies_say "failed to resolve endpoint host: nowhere.test." \
        gateway start --listen-addr "127.0.0.1:$port" \
        --discovery-srv lost.test --insecure-discovery
}

@test "gRPC proxy: members by their records, plain ones only when wanted" {
    dns_start "$(srv etcd-client.g.test 1)" "$(srv etcd-client.g.test 2)" \
        "$(srv etcd-client-ssl.tls.test 3)" \
        "--srv-host=_etcd-client-ssl._tcp.dead.test,m1.test,1"
    cluster_start
    for PROXY in "$COFRE" $ETCD; do
        proxy_start grpc-proxy --discovery-srv g.test --insecure-discovery
        is OK "$(through put k v)"
        is "$(printf 'k\nv')" "$(through get k)"
        node_kill grpc-proxy
        for domain in g dead; do
            proxy_start grpc-proxy --discovery-srv $domain.test \
                --endpoints "127.0.0.1:$(<"$DIR/3.client")"
            is "$(printf 'k\nv')" "$(through get k)"
            node_kill grpc-proxy
        done
    done
    has "$(<"$DIR/grpc-proxy.log")" \
        "\\\"http://m1.test.:$(<"$DIR/1.client")\\\" is insecure"
    for flag in true false; do
        run -1 timeout 30 "$COFRE" grpc-proxy start --discovery-srv tls.test \
            --listen-addr "127.0.0.1:$(free_port)" --insecure-discovery=$flag
        has "$output" \
            "https://m3.test.:$(<"$DIR/3.client")\\\": TLS is not built into"
    done
}
