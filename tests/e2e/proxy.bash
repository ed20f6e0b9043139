# gRPC proxies before a cluster, each by a name of its own.

# What runs for $DIR, its pid in $DIR/NAME.pid, so that cluster_stop finds it.
background() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$DIR/$name.log" 2>&1 3>&- </dev/null &
    echo $! >"$DIR/$name.pid"
}

listens() { # port
    ! port_is_free "$1"
}

# proxy_start_at NAME ENDPOINTS [FLAG...]: its port in $DIR/NAME.port.
proxy_start_at() {
    local name=$1 endpoints=$2 port
    shift 2
    port=$(free_port)
    echo "$port" >"$DIR/$name.port"
    background "$name" "${PROXY:-$COFRE}" grpc-proxy start \
        --listen-addr "127.0.0.1:$port" --endpoints "$endpoints" \
        --advertise-client-url "127.0.0.1:$port" "$@"
    wait_for 10 listens "$port"
}

# proxy_start NAME [FLAG...]: in front of all members.
proxy_start() {
    local name=$1
    shift
    proxy_start_at "$name" "$(endpoints)" "$@"
}

address() { # NAME
    echo "127.0.0.1:$(<"$DIR/$1.port")"
}

# through NAME ARG...: our client at a proxy.
through() {
    local name=$1
    shift
    "$COFRECTL" --endpoints="$(address "$name")" "$@"
}
