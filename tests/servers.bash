# For scripts that start an etcd and a cofre to talk to: fresh servers on free
# ports, in a folder of their own, gone with the script. The script has set
# $top and $BUILD. $ETCD is "" where there is none and none can be built.
shm=/dev/shm
[ -w "$shm" ] || shm=
work=$(mktemp -d ${shm:+-p "$shm"})
pids=()

stop_servers() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
cleanup() {
    stop_servers
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
# A program in the foreground would put the traps off until it ends.
foreground() {
    "$@" &
    pids+=($!)
    wait $!
}

# shellcheck source=tests/ports.bash
. "${BASH_SOURCE[0]%/*}/ports.bash"

answers() { # client port
    curl -sf --max-time 2 "http://127.0.0.1:$1/health" | grep -q '"true"'
}

# start KIND BINARY N [FLAG...]: N members; $urls are their client URLs, $started their
# process ids.
start() {
    local kind=$1 binary=$2 n=$3 i deadline initial=
    local client=() peer=()
    urls='' started=()
    rm -rf "${work:?}/$kind"*
    for ((i = 1; i <= n; i++)); do
        client[i]=$(free_port)
        peer[i]=$(free_port)
        initial+=,m$i=http://127.0.0.1:${peer[i]}
        urls+=,http://127.0.0.1:${client[i]}
    done
    urls=${urls#,}
    for ((i = 1; i <= n; i++)); do
        "$binary" --name "m$i" --data-dir "$work/$kind$n.$i" \
            --listen-client-urls "http://127.0.0.1:${client[i]}" \
            --advertise-client-urls "http://127.0.0.1:${client[i]}" \
            --listen-peer-urls "http://127.0.0.1:${peer[i]}" \
            --initial-advertise-peer-urls "http://127.0.0.1:${peer[i]}" \
            --initial-cluster "${initial#,}" --initial-cluster-token "test$n" \
            --log-level error --unsafe-no-fsync "${@:4}" \
            >"$work/$kind$n.$i.log" 2>&1 </dev/null &
        pids+=($!)
        started+=($!)
    done
    deadline=$((SECONDS + 60))
    for ((i = 1; i <= n; i++)); do
        until answers "${client[i]}"; do
            if [ $SECONDS -gt $deadline ]; then
                echo "$kind, member $i does not answer"
                tail -n 20 "$work/$kind$n.$i.log"
                exit 1
            fi
            sleep 0.05
        done
    done
}

# front URL,...: a gRPC proxy of cofre's in front of each; $fronts are their
# URLs. Members name themselves, and say what is too large.
front() {
    local url port ports=() deadline=$((SECONDS + 60))
    fronts=
    for url in ${1//,/ }; do
        port=$(free_port)
        "$BUILD/cofre" grpc-proxy start --listen-addr "127.0.0.1:$port" \
            --endpoints "${url#http://}" --advertise-client-url '' \
            --max-send-bytes 1073741824 >"$work/proxy.$port.log" 2>&1 \
            </dev/null &
        pids+=($!)
        ports+=("$port")
        fronts+=,http://127.0.0.1:$port
    done
    fronts=${fronts#,}
    for port in "${ports[@]}"; do
        until answers "$port"; do
            if [ $SECONDS -gt $deadline ]; then
                echo "a proxy does not answer"
                tail -n 20 "$work/proxy.$port.log"
                exit 1
            fi
            sleep 0.05
        done
    done
}

: "${ETCD:=$("$top/deploy/peers.sh" etcd)}"
