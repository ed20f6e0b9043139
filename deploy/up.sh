#!/bin/sh
# Three nodes on this machine: in containers by compose.yml or, without a
# Docker engine, as processes.
#   deploy/up.sh up             start, wait until healthy, say what is next
#   deploy/up.sh down           stop; the data stay
#   deploy/up.sh clean-data     stop, and remove the data
# COFRE_UP=compose or local chooses the way, COFRE_LOCAL the folder of the
# processes (default: build/local), COFRE_PORT1..3 the clients' ports.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$here/$BUILD ;; esac
COFRE=${COFRE:-$BUILD/cofre}
COFRECTL=${COFRECTL:-$BUILD/cofrectl}
COFRE_LOCAL=${COFRE_LOCAL:-$BUILD/local}
: "${COFRE_PORT1:=2379}" "${COFRE_PORT2:=22379}" "${COFRE_PORT3:=32379}"
export COFRE COFRECTL COFRE_PORT1 COFRE_PORT2 COFRE_PORT3
wait_s_max=${COFRE_UP_WAIT:-60}

say() { echo "$*"; }
die() {
    echo "$*" >&2
    exit 1
}

# Compose v2 where it is, else docker-compose; neither without an engine.
find_compose() {
    compose=
    docker info >/dev/null 2>&1 || return 0
    if docker compose version >/dev/null 2>&1; then
        compose="docker compose"
    elif command -v docker-compose >/dev/null; then
        compose=docker-compose
    fi
}

find_way() {
    find_compose
    way=${COFRE_UP:-}
    if [ -z "$way" ]; then
        way=local
        [ -z "$compose" ] || way=compose
    elif [ "$way" = compose ] && [ -z "$compose" ]; then
        die "no Docker engine with compose answers here"
    fi
}

endpoints() {
    echo "127.0.0.1:$COFRE_PORT1,127.0.0.1:$COFRE_PORT2,127.0.0.1:$COFRE_PORT3"
}

# Each node by itself answers a linearizable read.
wait_healthy() { # what shows the logs...
    waited=0
    until "$COFRECTL" --command-timeout=2s --endpoints="$(endpoints)" \
        endpoint health >/dev/null 2>&1; do
        waited=$((waited + 1))
        if [ "$waited" -gt "$wait_s_max" ]; then
            "$@" >&2 || true
            die "the nodes are not healthy after $wait_s_max s"
        fi
        sleep 1
    done
}

show() { # how etcdctl is called
    "$COFRECTL" --endpoints="$(endpoints)" member list -w table
    say ""
    say "Three nodes are up. Next:"
    say "    $* put greeting hello"
    say "    $* get greeting"
    say "    make down        # stops them and keeps the data"
}

up_compose() {
    deploy/image.sh
    # shellcheck disable=SC2086 # one or two words
    $compose up -d --no-build
    # shellcheck disable=SC2086
    wait_healthy $compose logs --tail=20
    show "$compose exec cofre1 etcdctl"
}

pid_of() { # node's number: its process, if it is alive and ours
    [ -f "$COFRE_LOCAL/$1.pid" ] || return 1
    pid=$(cat "$COFRE_LOCAL/$1.pid")
    [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" |
        grep -qF -- "--data-dir=$COFRE_LOCAL/$1.data "
}

start_local() { # number client-port cluster
    peer_port=$(($2 + 1))
    setsid "$COFRE" --name="node$1" --data-dir="$COFRE_LOCAL/$1.data" \
        --listen-client-urls="http://127.0.0.1:$2" \
        --advertise-client-urls="http://127.0.0.1:$2" \
        --listen-peer-urls="http://127.0.0.1:$peer_port" \
        --initial-advertise-peer-urls="http://127.0.0.1:$peer_port" \
        --initial-cluster="$3" --initial-cluster-state=new \
        --initial-cluster-token=cofre-local \
        >>"$COFRE_LOCAL/$1.log" 2>&1 </dev/null &
    echo $! >"$COFRE_LOCAL/$1.pid"
}

logs_local() {
    tail -n 15 "$COFRE_LOCAL"/?.log
}

up_local() {
    [ "${COFRE_UP:-}" = local ] ||
        say "No Docker engine with compose here: starting three processes."
    mkdir -p "$COFRE_LOCAL"
    cluster=''
    number=0
    for port in "$COFRE_PORT1" "$COFRE_PORT2" "$COFRE_PORT3"; do
        number=$((number + 1))
        cluster="$cluster,node$number=http://127.0.0.1:$((port + 1))"
    done
    number=0
    for port in "$COFRE_PORT1" "$COFRE_PORT2" "$COFRE_PORT3"; do
        number=$((number + 1))
        pid_of "$number" || start_local "$number" "$port" "${cluster#,}"
    done
    wait_healthy logs_local
    say "Data, logs and pid files: $COFRE_LOCAL"
    show "${COFRECTL#"$here/"} --endpoints=$(endpoints)"
}

# A process is gone when all its threads are: it loses its command line, and
# its first thread may be a zombie, while others still hold its sockets.
is_running() { # pid
    [ -d "/proc/$1/task" ] || return 1
    [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null |
        wc -l)" != 1 ] || ! grep -qs '^State:.Z' "/proc/$1/status"
}

down_local() {
    stopping=
    for number in 1 2 3; do
        if pid_of "$number"; then
            kill "$pid"
            stopping="$stopping $pid"
        fi
    done
    for pid in $stopping; do
        waited=0
        while is_running "$pid"; do
            waited=$((waited + 1))
            [ "$waited" -le 150 ] || die "process $pid does not stop"
            sleep 0.1
        done
    done
    rm -f "$COFRE_LOCAL"/[123].pid
}

down() { # more words for compose
    [ ! -d "$COFRE_LOCAL" ] || down_local
    # shellcheck disable=SC2086
    [ "$way" = local ] || $compose down "$@"
}

find_way
case ${1:-} in
up) "up_$way" ;;
down) down ;;
clean-data)
    down -v
    rm -rf "$COFRE_LOCAL"
    ;;
*) die "usage: deploy/up.sh up | down | clean-data" ;;
esac
