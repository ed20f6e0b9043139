#!/usr/bin/env bats
# compose.yml: three nodes in containers, paused, cut off, killed, restarted.
load helper
load docker

setup_file() {
    [ -n "$(compose_command)" ] && docker info >/dev/null 2>&1 || return 0
    DIR=$(mktemp -d "$BATS_FILE_TMPDIR/compose.XXXXXX")
    TAG=${DIR##*.}
    TAG=e2e${TAG,,}
    export DIR TAG
    export COMPOSE_PROJECT_NAME=$TAG COFRE_IMAGE=cofre-e2e:$TAG
    # A short log, so that a member that was away needs the store's image.
    cat >"$DIR/short.yml" <<'YML'
services:
  cofre1: &short
    environment:
      ETCD_SNAPSHOT_COUNT: "100"
      ETCD_SNAPSHOT_CATCHUP_ENTRIES: "20"
  cofre2: *short
  cofre3: *short
YML
    export COMPOSE_FILE=$ROOT/compose.yml:$DIR/short.yml
    COFRE_PORT1=$(free_port)
    COFRE_PORT2=$(free_port)
    COFRE_PORT3=$(free_port)
    export COFRE_PORT1 COFRE_PORT2 COFRE_PORT3
    COFRE_UP=compose "$ROOT/deploy/up.sh" up >"$DIR/up.out" 2>"$DIR/up.err" ||
        {
            cat "$DIR/up.out" "$DIR/up.err"
            return 1
        }
}

teardown_file() {
    [ -n "${TAG:-}" ] || return 0
    compose down -v --timeout 1 >/dev/null 2>&1
    docker rmi -f "$COFRE_IMAGE" >/dev/null 2>&1 || true
}

setup() {
    need_compose
}

teardown() {
    [ -n "${BATS_TEST_COMPLETED:-}${BATS_TEST_SKIPPED:-}" ] ||
        compose logs --tail=15 2>&1 | cut -c1-300
}

compose() {
    (cd "$ROOT" && $(compose_command) "$@")
}

container() { # number
    compose ps -q "cofre$1"
}

endpoints() {
    echo "127.0.0.1:$COFRE_PORT1,127.0.0.1:$COFRE_PORT2,127.0.0.1:$COFRE_PORT3"
}

port() {
    local name=COFRE_PORT$1
    echo "${!name}"
}

ctl_on() {
    local i=$1
    shift
    "$COFRECTL" --endpoints="127.0.0.1:$(port "$i")" "$@"
}

node_healthy() {
    curl -sf --max-time 2 "http://127.0.0.1:$(port "$1")/health" |
        grep -q '"true"'
}

# By the member that answers, among 1 2 3.
leader() {
    local i
    for i in 1 2 3; do
        ! ctl_on "$i" --command-timeout=1s endpoint status -w json \
            2>/dev/null | jq -e \
            '.[0].Status | .leader == .header.member_id' >/dev/null ||
            echo "$i"
    done | grep .
}

network() {
    docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' \
        "$(container 1)"
}

# What a node says by itself, asked inside its container.
inside() { # number etcdctl-arg...
    local i=$1
    shift
    docker exec "$(container "$i")" etcdctl --command-timeout=2s "$@"
}

has_key() { # number key value: by that node alone
    [ "$(inside "$1" get "$2" --consistency=s --print-value-only)" = "$3" ]
}

single_puts() { # prefix count
    local n
    for ((n = 1; n <= $2; n++)); do ctl put "$1$n" "$n" >/dev/null; done
}

@test "make up: healthy, the member table and what to type next" {
    local i
    has "$(cat "$DIR/up.out")" "http://cofre2:2380"
    has "$(cat "$DIR/up.out")" "Next:"
    has "$(cat "$DIR/up.out")" "make down"
    is 3 "$(compose exec -T cofre1 etcdctl member list -w table |
        grep -c started)"
    for i in 1 2 3; do wait_for 30 healthy "$(container "$i")"; done
    is OK "$(compose exec -T cofre2 etcdctl put /first 1)"
    is 1 "$(ctl get /first --print-value-only)"
}

@test "the nodes run without rights" {
    local i
    for i in 1 2 3; do
        is 10001 "$(docker exec "$(container "$i")" /bin/sh -c 'id -u')"
        run docker exec "$(container "$i")" /bin/sh -c 'echo x >/x'
        [ "$status" != 0 ]
        has "$(docker exec "$(container "$i")" cat /proc/1/status)" \
            "$(printf 'CapEff:\t0000000000000000')"
        has "$(docker exec "$(container "$i")" cat /proc/1/status)" \
            "$(printf 'NoNewPrivs:\t1')"
    done
}

@test "a paused leader: the others go on, and it catches up" {
    local lead other
    lead=$(leader)
    other=$((lead % 3 + 1))
    docker pause "$(container "$lead")"
    # A try that timed out may still take effect later: another key, then.
    wait_for 10 ctl_on "$other" --command-timeout=1s put /trying 1
    ctl_on "$other" put /paused 2
    docker unpause "$(container "$lead")"
    wait_for 15 has_key "$lead" /paused 2
    is 2 "$(ctl_on "$lead" get /paused --print-value-only)"
}

cut_off() { # number
    docker network disconnect "$(network)" "$(container "$1")"
}

reconnect() { # number network
    docker network connect --alias "cofre$1" "$2" "$(container "$1")"
}

@test "a leader cut off from the network rejoins, from the log" {
    local lead other net before
    net=$(network)
    lead=$(leader)
    other=$((lead % 3 + 1))
    before=$(docker logs "$(container "$lead")" 2>&1 |
        grep -c "applied snapshot" || true)
    cut_off "$lead"
    wait_for 10 ctl_on "$other" --command-timeout=1s put /trying 1
    ctl_on "$other" put /cut 1
    # Alone it must not answer as if it led still, nor take a write.
    run inside "$lead" get /cut
    [ "$status" != 0 ]
    run inside "$lead" put /cut lost
    [ "$status" != 0 ]
    run inside "$lead" get /first --consistency=s --print-value-only
    is 1 "$output"
    reconnect "$lead" "$net"
    wait_for 20 has_key "$lead" /cut 1
    is "$before" "$(docker logs "$(container "$lead")" 2>&1 |
        grep -c "applied snapshot" || true)"
    is 1 "$(ctl_on "$other" get /cut --print-value-only)"
}

# By its own word, a node has no connection to another one any more. Before
# that, what it sends may wait in the kernel for the network to come back.
has_lost() { # number of-number
    local id
    id=$(ctl_on "$1" member list | grep " cofre$2, " | cut -d, -f1)
    curl -sf --max-time 2 "http://127.0.0.1:$(port "$1")/metrics" |
        grep -q "^etcd_network_active_peers{.*Remote=\"$id\"} 0\$"
}

@test "a member cut off until the log is gone rejoins by the store's image" {
    local lead member other net
    net=$(network)
    lead=$(leader)
    member=$((lead % 3 + 1))
    other=$((member % 3 + 1))
    cut_off "$member"
    wait_for 10 ctl_on "$other" --command-timeout=1s put /trying 1
    wait_for 30 has_lost "$lead" "$member"
    endpoints() { echo "127.0.0.1:$(port "$other")"; }
    # More than is kept for one that is behind (ten times the 20 above).
    single_puts /many/ 350
    ctl put /gone 2
    reconnect "$member" "$net"
    wait_for 30 has_key "$member" /gone 2
    is 350 "$(inside "$member" get /many/ --prefix --keys-only \
        --consistency=s | grep -c .)"
    has "$(docker logs "$(container "$member")" 2>&1)" "applied snapshot"
}

@test "all containers killed at once come back with what they had" {
    local i
    wait_for 10 ctl put /killed 1
    for i in 1 2 3; do container "$i"; done | xargs docker kill
    compose up -d --no-build
    for i in 1 2 3; do wait_for 20 node_healthy "$i"; done
    is 1 "$(ctl get /killed --print-value-only)"
    is 350 "$(ctl get /many/ --prefix --keys-only | grep -c .)"
}

@test "make down keeps the data, make up finds them" {
    wait_for 10 ctl put /down 1
    COFRE_UP=compose "$ROOT/deploy/up.sh" down
    is "" "$(docker ps -aq --filter "label=com.docker.compose.project=$TAG")"
    COFRE_UP=compose "$ROOT/deploy/up.sh" up
    is 1 "$(ctl get /down --print-value-only)"
}

@test "the same with docker-compose 1.29" {
    command -v docker-compose >/dev/null || skip "no docker-compose here"
    [[ $(docker-compose version --short) == 1.* ]] || skip "not of version 1"
    compose down --timeout 5
    compose_command() { echo docker-compose; }
    compose up -d --no-build
    for i in 1 2 3; do wait_for 20 node_healthy "$i"; done
    is 1 "$(compose exec -T cofre1 etcdctl get /down --print-value-only)"
    compose down --timeout 5
}

@test "make clean-data removes the volumes" {
    COFRE_UP=compose "$ROOT/deploy/up.sh" clean-data
    is "" "$(docker volume ls -q \
        --filter "label=com.docker.compose.project=$TAG")"
}
